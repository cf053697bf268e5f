//! S12, S14 and V3: the node asks no faster than it is configured to, waits when it is asked to,
//! does not ask in a hot loop, and takes no answer without a bound.
//!
//! The node has several clients of one endpoint, each with its own limits. Blocks are asked for by
//! one of them, so they show whether it keeps to them.

use std::{collections::BTreeMap, time::Duration};

use super::{Exchange, ExchangeEnd, Observation, Violation};
use crate::scenario::{Event, Scenario};

/// Exchanges of one endpoint in a window at most: above what limits allow, far below what a loop
/// without a pause makes.
const EXCHANGES_MAX: usize = 700;
/// The window.
const WINDOW: Duration = Duration::from_secs(10);

/// An answer may be this long at most.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Exchanges at the same time if a scenario does not say how many.
const IN_FLIGHT_MAX: usize = 16;

/// What only one client asks.
const BLOCK: &str = "en_syncL2Block";
/// What a client asks each endpoint first.
const CHAIN_ID: &str = "eth_chainId";

/// A wait that an endpoint asked for is kept up to this long.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What was to be sent when a wait was asked for is sent within this time.
const ON_ITS_WAY: Duration = Duration::from_secs(3);

/// An endpoint that fails this often within a [`PATIENCE`], and never answers, is asked too often:
/// each client lets it rest after a few failures, longer each time.
const FAILURES_MAX: usize = 100;
/// See [`FAILURES_MAX`].
const PATIENCE: Duration = Duration::from_secs(60);

/// When endpoints were asked.
#[derive(Debug)]
pub(super) struct Pace {
    asked: BTreeMap<usize, Vec<Duration>>,
    /// Waits that an endpoint asked for when it was asked for blocks: from when on, until when.
    waits: BTreeMap<usize, (Duration, Duration)>,
    /// When an endpoint was last asked for its chain.
    chain_asked: BTreeMap<usize, Duration>,
    /// When an endpoint was asked in vain, since it last answered anything.
    failures: BTreeMap<usize, Vec<Duration>>,
    in_flight: usize,
    in_flight_max: usize,
}

impl Pace {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let later = scenario.script.iter().filter_map(|step| match &step.event {
            Event::Reconfigure(knobs) => Some(knobs.in_flight_max),
            _ => None,
        });
        let all = later.chain([scenario.replica.in_flight_max]);
        let in_flight_max = all.map(|calls| calls.unwrap_or(IN_FLIGHT_MAX)).max();
        Self {
            asked: BTreeMap::new(),
            waits: BTreeMap::new(),
            chain_asked: BTreeMap::new(),
            failures: BTreeMap::new(),
            in_flight: 0,
            in_flight_max: in_flight_max.unwrap_or(IN_FLIGHT_MAX).max(1),
        }
    }

    pub(super) fn see(&mut self, what: &Observation<'_>) -> Option<Violation> {
        match what {
            Observation::Asks { method, request } => {
                let bytes_max = request.response_bytes_max;
                if bytes_max > ANSWER_BYTES_MAX {
                    let detail = format!("{method} may be answered with {bytes_max} bytes");
                    return Some(Violation::new("S12", "answer without a bound", detail));
                }
                self.in_flight += usize::from(*method == BLOCK);
                if self.in_flight > self.in_flight_max {
                    let (now, max) = (self.in_flight, self.in_flight_max);
                    let detail = format!("{now} exchanges at the same time, {max} are allowed");
                    return Some(Violation::new("S14", "too many at once", detail));
                }
                None
            }
            Observation::Exchanged(exchange) => {
                self.in_flight -= usize::from(exchange.method == BLOCK);
                let endpoint = exchange.endpoint.0;
                let violation = self.waits_are_kept(endpoint, exchange);
                let violation = violation.or_else(|| self.failing_rests(endpoint, exchange));
                violation.or_else(|| self.no_hot_loop(endpoint, exchange))
            }
            Observation::LifeBegins { .. } => {
                // A new process knows nothing of what was asked for.
                self.waits.clear();
                self.chain_asked.clear();
                self.failures.clear();
                None
            }
            _ => None,
        }
    }

    fn waits_are_kept(&mut self, endpoint: usize, exchange: &Exchange) -> Option<Violation> {
        let at = exchange.asked_at;
        if exchange.method == CHAIN_ID {
            self.chain_asked.insert(endpoint, at);
        }
        if exchange.method != BLOCK {
            return None;
        }
        let wait = self.waits.get(&endpoint).copied();
        if let Some((from, pause)) = exchange.told_to_wait {
            let until = from + pause.min(WAIT_MAX);
            let (_, known) = self.waits.get(&endpoint).copied().unwrap_or_default();
            self.waits.insert(endpoint, (from, until.max(known)));
        }
        let (from, until) = wait?;
        // Picked before, and then asked for its chain.
        let was_picked =
            self.chain_asked.get(&endpoint).is_some_and(|asked| *asked + WAIT_MAX > at);
        let is_early = from + ON_ITS_WAY < at && at < until && !was_picked;
        is_early.then(|| {
            let detail = format!(
                "endpoint {endpoint} said at {from:?} that it is not to be asked before {until:?}, \
                 and was asked at {at:?}"
            );
            Violation::new("S14", "retry-after", detail)
        })
    }

    fn failing_rests(&mut self, endpoint: usize, exchange: &Exchange) -> Option<Violation> {
        let failures = self.failures.entry(endpoint).or_default();
        match &exchange.end {
            ExchangeEnd::Answered { .. } => failures.clear(),
            ExchangeEnd::Failed(_) => failures.push(exchange.asked_at),
            ExchangeEnd::GivenUp => {}
        }
        let newest = *failures.last()?;
        failures.retain(|at| *at + PATIENCE > newest);
        (failures.len() > FAILURES_MAX).then(|| {
            let count = failures.len();
            let detail = format!("endpoint {endpoint} failed {count} times within {PATIENCE:?}");
            Violation::new("V3", "a failing endpoint does not rest", detail)
        })
    }

    fn no_hot_loop(&mut self, endpoint: usize, exchange: &Exchange) -> Option<Violation> {
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
