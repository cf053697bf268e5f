//! S11, V1 and A8 while the node runs: nothing panics, writes halt only for a reason, and nothing is
//! written while it says that they are halted.

use std::time::Duration;

use lockstep_io::store::Change;
use lockstep_replica::Status;
use lockstep_store::tables;

use super::{LifeEnd, Observation, Violation};
use crate::model::{ExpectedEnd, Model};

/// Codes of a halt that follows from a disk that fails.
const DISK_HALTS: [&str; 4] = ["store_failed", "disk_full", "tree_damaged", "inconsistent"];

/// A new status is heard of within this time.
const HEARD_OF: Duration = Duration::from_secs(2);

/// What the node says of itself.
#[derive(Debug)]
pub(super) struct Running {
    disk_fails: bool,
    /// Since when writes are said to be halted.
    halted_since: Option<Duration>,
}

impl Running {
    pub(super) fn new(disk_fails: bool) -> Self {
        Self { disk_fails, halted_since: None }
    }

    pub(super) fn see(
        &mut self,
        now: Duration,
        what: &Observation<'_>,
        model: &Model,
    ) -> Option<Violation> {
        match what {
            Observation::Status { status: Status::Halted { .. } } => {
                self.halted_since.get_or_insert(now);
            }
            Observation::Status { .. } | Observation::LifeBegins { .. } => self.halted_since = None,
            _ => {}
        }
        match what {
            Observation::Written { set, result: Ok(_), .. }
                if self.halted_since.is_some_and(|since| now > since + HEARD_OF)
                    && set.changes.iter().any(is_block) =>
            {
                let detail = format!("halted since {:?}, and a block is stored", self.halted_since);
                Some(Violation::new("A8", "writes while halted", detail))
            }
            Observation::Panicked { name, message } => {
                let detail = format!("task `{name}` panicked: {message}");
                Some(Violation::new("S11", format!("panic in {name}"), detail))
            }
            Observation::Status { status: Status::Halted { code, reason } } => {
                let is_known = self.may_halt(code, model);
                let detail = format!("writes are halted ({code}) for no reason: {reason}");
                (!is_known).then(|| Violation::new("V1", format!("halt {code}"), detail))
            }
            // A stop may be asked for while it opens.
            Observation::LifeEnds { end: LifeEnd::Refused(why), .. }
                if !self.disk_fails && why != "stopped" =>
            {
                // Genesis is asked of a main node that may lie.
                let was_lied_to = !model.told().is_empty();
                let detail = format!("the replica does not open: {why}");
                (!was_lied_to).then(|| Violation::new("V1", "refused", detail))
            }
            _ => None,
        }
    }

    fn may_halt(&self, code: &str, model: &Model) -> bool {
        let expected = match model.expected_end() {
            ExpectedEnd::Halted { codes, .. } => codes,
            ExpectedEnd::Healthy { .. } | ExpectedEnd::Refused(_) => Vec::new(),
        };
        expected.iter().any(|expected| expected == code)
            || model.halts().contains(code)
            || model.has_unknown_version() && code == "unknown_protocol_version"
            || self.disk_fails && DISK_HALTS.contains(&code)
    }
}

fn is_block(change: &Change) -> bool {
    matches!(change, Change::Put { table, .. } if *table == tables::BLOCKS)
}
