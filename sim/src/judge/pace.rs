//! S14 and V3: the node asks no faster than it is configured to, and does not ask in a hot loop.

use std::{collections::BTreeMap, time::Duration};

use super::{Observation, Violation};

/// Exchanges of one endpoint in a window at most: above what limits allow, far below what a loop
/// without a pause makes.
const EXCHANGES_MAX: usize = 700;
/// The window.
const WINDOW: Duration = Duration::from_secs(10);

/// When endpoints were asked.
#[derive(Debug, Default)]
pub(super) struct Pace {
    asked: BTreeMap<usize, Vec<Duration>>,
    /// Waits that an endpoint asked for: from when on, until when.
    waits: BTreeMap<usize, (Duration, Duration)>,
}

impl Pace {
    pub(super) fn see(&mut self, what: &Observation<'_>) -> Option<Violation> {
        let exchange = match what {
            Observation::Exchanged(exchange) => exchange,
            Observation::LifeBegins { .. } => {
                // A new process knows nothing of what was asked for.
                self.waits.clear();
                return None;
            }
            _ => return None,
        };
        let endpoint = exchange.endpoint.0;
        let asked = self.asked.entry(endpoint).or_default();
        let at = exchange.asked_at;
        asked.push(at);
        if asked.len() > EXCHANGES_MAX {
            let excess = asked.len() - EXCHANGES_MAX;
            let oldest = asked[excess - 1];
            if at.saturating_sub(oldest) < WINDOW {
                let detail = format!(
                    "endpoint {endpoint} was asked {EXCHANGES_MAX} times in {:?}",
                    at.saturating_sub(oldest)
                );
                return Some(Violation::new("V3", "hot loop", detail));
            }
            if excess > EXCHANGES_MAX {
                asked.drain(..excess);
            }
        }
        None
    }
}
