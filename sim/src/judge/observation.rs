//! What the judge is told.

use std::time::Duration;

use bytes::Bytes;
use lockstep_io::{Durability, EndpointId, HttpRequest, NetError, Seq, StoreError, WriteSet};
use lockstep_replica::Status;

use crate::model::Tag;

/// Something that happened.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A process began: the first is life 1.
    LifeBegins {
        /// Which.
        life: u32,
    },
    /// `Replica::open` returned a replica.
    Opened {
        /// Which.
        life: u32,
    },
    /// A process ended.
    LifeEnds {
        /// Which.
        life: u32,
        /// How.
        end: &'a LifeEnd,
    },
    /// The replica says something new about itself.
    Status {
        /// What.
        status: &'a Status,
    },
    /// A write set was given to the disk.
    Written {
        /// What.
        set: &'a WriteSet,
        /// How.
        durability: Durability,
        /// What the disk said. After an error it may be on disk or not.
        result: &'a Result<Seq, StoreError>,
    },
    /// Everything written so far became durable, or not.
    Synced {
        /// What the disk said.
        result: &'a Result<Seq, StoreError>,
    },
    /// Power was lost: the disk is as it was after write set `seq`, which may be the last.
    PowerLost {
        /// The newest write set that is left.
        seq: Seq,
    },
    /// An exchange with the main node or L1 begins.
    Asks {
        /// Method of the first call.
        method: &'a str,
        /// What is asked.
        request: &'a HttpRequest,
    },
    /// An exchange with the main node or L1 ended.
    Exchanged(&'a Exchange),
    /// A task panicked without having been made to.
    Panicked {
        /// Of the task.
        name: &'static str,
        /// What it said.
        message: &'a str,
    },
    /// The node logged a line of level `ERROR`.
    ErrorLogged {
        /// The line.
        line: &'a str,
    },
    /// From now on no fault happens, except for permanent ones.
    Healed,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeEnd {
    /// It was killed, or the power was lost.
    Killed,
    /// `run` returned without an error, after a stop was asked for.
    Stopped,
    /// `run` returned this after a stop was asked for: writes had been halted.
    Halted(String),
    /// `open` refused.
    Refused(String),
}

/// An exchange with an endpoint.
#[derive(Debug)]
pub struct Exchange {
    /// Which.
    pub endpoint: EndpointId,
    /// What was asked.
    pub request: HttpRequest,
    /// Method of the first call.
    pub method: String,
    /// When, since the world began.
    pub asked_at: Duration,
    /// When and for how long the node was asked to wait, if it was.
    pub told_to_wait: Option<(Duration, Duration)>,
    /// What came back.
    pub end: ExchangeEnd,
}

/// What came back from an endpoint.
#[derive(Debug)]
pub enum ExchangeEnd {
    /// This answer, as far as it was handed out.
    Answered {
        /// Status code.
        status: u16,
        /// The body as the node got it.
        body: Bytes,
        /// Whether the server told the truth.
        tag: Tag,
        /// Which transport faults changed it (ids such as `N6`); then the tag says nothing.
        faults: Vec<&'static str>,
    },
    /// No answer.
    Failed(NetError),
    /// The node gave up, or died.
    GivenUp,
}

/// How a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The expected end was reached.
    AsExpected,
    /// Time ran out before; this is where the node was then.
    TooLate(String),
    /// A violation ended it.
    Violation,
}
