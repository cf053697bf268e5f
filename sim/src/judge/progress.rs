//! V2: once nothing goes wrong any more, something goes on.

use std::time::Duration;

use lockstep_replica::Status;

use super::{Observation, Violation};

/// Nothing may be stored for this long: above every pause that the node makes by itself.
const STALL_MAX: Duration = Duration::from_secs(300);

/// When something was stored last.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// `None` until the world is healed.
    last: Option<Duration>,
    /// Then the node says why.
    is_halted: bool,
}

impl Progress {
    pub(super) fn see(&mut self, now: Duration, what: &Observation<'_>) -> Option<Violation> {
        let has_moved = match what {
            Observation::Healed => {
                self.last = Some(now);
                true
            }
            Observation::Status { status } => {
                self.is_halted = matches!(status, Status::Halted { .. });
                true
            }
            Observation::LifeBegins { .. } => {
                self.is_halted = false;
                true
            }
            Observation::Written { result: Ok(_), .. }
            | Observation::LifeEnds { .. }
            | Observation::Opened { .. } => true,
            _ => false,
        };
        let last = self.last.as_mut()?;
        if has_moved {
            *last = now;
            return None;
        }
        let stall = now.saturating_sub(*last);
        (stall > STALL_MAX && !self.is_halted).then(|| {
            let detail = format!("nothing was stored for {stall:?}, and the node says nothing");
            Violation::new("V2", "stall", detail)
        })
    }
}
