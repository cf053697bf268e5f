//! What happens, and when.

use serde::{Deserialize, Serialize};

use super::ReplicaKnobs;
use crate::model::ModelEvent;

/// Something that happens once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When.
    pub when: When,
    /// What.
    pub event: Event,
}

/// When a step happens: at a time, or when something is done for the n-th time (from 1) since the
/// world began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// Milliseconds after the beginning.
    AtMs(u64),
    /// At a call of the disk's write half.
    StoreCall {
        /// From 1.
        nth: u64,
        /// When it has been made, instead of before.
        #[serde(default)]
        after: bool,
    },
    /// When the node sends this request of this JSON-RPC method.
    Request {
        /// Of the first call of the request.
        method: String,
        /// From 1.
        nth: u64,
    },
    /// Milliseconds after the step before it has happened.
    AfterMs(u64),
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The process is killed and begins again.
    Kill {
        /// How long it is down.
        down_ms: u64,
    },
    /// As `kill`, and what was written and not synced is lost.
    PowerLoss {
        /// Which part of that is left.
        keep: Keep,
        /// How long it is down.
        down_ms: u64,
    },
    /// The process is asked to stop, and killed if it has not after the time.
    Terminate {
        /// The grace.
        grace_ms: u64,
        /// How long it is down.
        down_ms: u64,
    },
    /// The process stands still.
    Pause {
        /// How long.
        ms: u64,
    },
    /// A second process is begun beside the one that runs. It must be refused.
    SecondProcess,
    /// From the next life on the replica has other settings.
    Reconfigure(Box<ReplicaKnobs>),
    /// Wall time jumps.
    ClockJump {
        /// By this much, either way.
        ms: i64,
    },
    /// CPU jobs take longer.
    StarveCpu {
        /// This many times.
        factor: u32,
        /// For this long.
        ms: u64,
    },
    /// The disk fails.
    Disk(DiskFault),
    /// Nobody answers, or one endpoint does not.
    Outage {
        /// Which; `None`: none does.
        endpoint: Option<usize>,
        /// For this long.
        ms: u64,
    },
    /// Nobody listens at an endpoint: connections are refused at once.
    Closed {
        /// Which.
        endpoint: usize,
        /// For this long.
        ms: u64,
    },
    /// Something happens to the main node or to L1.
    Model(ModelEvent),
}

/// How much of what was not synced is left after power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Nothing.
    Oldest,
    /// All.
    Newest,
    /// About half.
    Middle,
    /// As much as chance will have it.
    Random,
}

/// How the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DiskFault {
    /// The next write call fails with `Full`, and all after it until the disk is freed.
    Full {
        /// When there is space again; `None`: when the world is healed.
        ms: Option<u64>,
    },
    /// The next write call fails with `Io`.
    WriteError,
    /// The next read fails with `Io`.
    ReadError,
    /// Reads of one row, chosen by chance, say `Corrupt` until the world is healed.
    Rot,
    /// Write calls take this long.
    Slow {
        /// Each.
        call_ms: u64,
        /// For how long.
        ms: u64,
    },
}
