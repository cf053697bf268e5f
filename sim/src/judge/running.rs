//! S11 and V1 while the node runs: nothing panics, and writes halt only for a reason.

use lockstep_replica::Status;

use super::{LifeEnd, Observation, Violation};
use crate::model::{ExpectedEnd, Model};

/// Codes of a halt that follows from a disk that fails.
const DISK_HALTS: [&str; 4] = ["store_failed", "disk_full", "tree_damaged", "inconsistent"];

/// What the node says of itself.
#[derive(Debug)]
pub(super) struct Running {
    disk_fails: bool,
}

impl Running {
    pub(super) fn new(disk_fails: bool) -> Self {
        Self { disk_fails }
    }

    pub(super) fn see(&self, what: &Observation<'_>, model: &Model) -> Option<Violation> {
        match what {
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
