//! What a run leaves behind.

use std::{collections::BTreeMap, time::Duration};

use super::{Digests, World};
use crate::{
    judge::{Ending, Violation},
    scenario::ExecMode,
    store::Site,
    trace::TraceSum,
};

/// How a run is made.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The planted bug that the node has.
    pub mutant: Option<&'static str>,
    /// Something does not hold when the world is healed, to see that failing works.
    pub canary: bool,
    /// What the disk must hold in the end ([`Report::tables`] of a calm run).
    pub expected_tables: Option<Digests>,
    /// Keeps which place made each call of the disk's write half.
    pub callers: bool,
    /// Keeps what happens as text.
    pub record: bool,
    /// Also each turn of each task.
    pub record_polls: bool,
}

/// What a run leaves behind.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What did not hold, oldest first.
    pub violations: Vec<Violation>,
    /// Hash and size of the trace.
    pub trace: TraceSum,
    /// Simulated time.
    pub time: Duration,
    /// Hashes of what is on the disk in the end, of a recorded chain; otherwise none.
    pub tables: Digests,
    /// Turns of tasks.
    pub polls: u64,
    /// Requests to upstreams.
    pub requests: u64,
    /// Calls of the disk's write half.
    pub store_calls: u64,
    /// The place that made each, if it was asked for.
    pub callers: Vec<String>,
    /// The places that made them.
    pub sites: BTreeMap<String, Site>,
    /// How often each fault of the network happened.
    pub net_faults: BTreeMap<&'static str, u64>,
    /// The trace as text, if it was recorded.
    pub lines: Vec<String>,
}

impl Report {
    /// Whether everything held and the expected end was reached.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.ending == Ending::AsExpected
    }

    /// Which failure it is: two runs fail in the same way if this is equal.
    pub fn signature(&self) -> Option<String> {
        let first = self.violations.first();
        first.map(|violation| format!("{} {}", violation.invariant, violation.key))
    }
}

impl World {
    pub(super) fn report(&self, ending: Ending) -> Report {
        Report {
            ending,
            violations: self.court.violations(),
            trace: self.trace.sum(),
            time: self.executor.now(),
            tables: if self.scenario.exec == ExecMode::Era {
                super::digests(&self.disk.image()).unwrap_or_default()
            } else {
                Digests::new()
            },
            polls: self.executor.polls(),
            requests: self.net.requests(),
            store_calls: self.disk.calls(),
            callers: if self.callers { self.disk.callers() } else { Vec::new() },
            sites: self.disk.sites(),
            net_faults: self.net.counts(),
            lines: self.trace.take_lines(),
        }
    }
}
