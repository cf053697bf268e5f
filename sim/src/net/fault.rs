//! What is to become of an exchange, drawn before it begins.

use std::time::Duration;

use lockstep_io::{EndpointId, HttpRequest};
use rand_chacha::rand_core::RngCore;

use super::State;

/// How far an exchange comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// There and back.
    Whole,
    /// No connection.
    Refused,
    /// The server does not see it.
    ResetBefore,
    /// The server sees it, and the answer is lost.
    ResetAfter,
    /// Nothing comes back.
    Dropped,
}

/// How the body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFate {
    /// At once.
    Whole,
    /// This many thousandths of it, and then the connection breaks, or seems to end well.
    Cut {
        /// Of its length.
        thousandths: u64,
        /// Whether it looks as if it were complete.
        cleanly: bool,
    },
    /// A byte a second.
    Trickling,
    /// Followed by endless blanks.
    Oversized,
}

/// How what is said is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Something in it is wrong.
    Garbled,
    /// Another status, without a body.
    Status(u16),
    /// 429.
    TooMany,
    /// An error in place of a result.
    RpcError,
    /// A batch that is not as asked for.
    BadBatch,
}

/// What is to become of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) way: Way,
    pub(super) there: Duration,
    pub(super) back: Duration,
    pub(super) stale_by: Duration,
    pub(super) is_misdirected: bool,
    pub(super) change: Option<Change>,
    pub(super) body: BodyFate,
    very_slow: bool,
}

impl Fate {
    /// Ids of what goes wrong.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        match self.way {
            Way::Whole => {}
            Way::Refused => names.push("N2 refused"),
            Way::ResetBefore => names.push("N2 reset before"),
            Way::ResetAfter => names.push("N2 reset after"),
            Way::Dropped => names.push("N3"),
        }
        match self.change {
            Some(Change::Garbled) => names.push("N7"),
            Some(Change::Status(_)) => names.push("N10 status"),
            Some(Change::TooMany) => names.push("N10 429"),
            Some(Change::RpcError) => names.push("N11 error"),
            Some(Change::BadBatch) => names.push("N11 batch"),
            None => {}
        }
        match self.body {
            BodyFate::Whole => {}
            BodyFate::Cut { .. } => names.push("N6"),
            BodyFate::Trickling => names.push("N9"),
            BodyFate::Oversized => names.push("N8"),
        }
        if self.very_slow {
            names.push("N1");
        }
        if self.is_misdirected {
            names.push("N4");
        }
        if self.stale_by > Duration::ZERO {
            names.push("N5");
        }
        names
    }
}

impl State {
    /// Draws the fate of an exchange that begins at `now`.
    pub(super) fn draw(
        &mut self,
        now: Duration,
        endpoint: EndpointId,
        _request: &HttpRequest,
    ) -> Fate {
        let (latency, jitter) = (self.rates.latency_ms, self.rates.jitter_ms);
        let mut fate = Fate {
            way: Way::Whole,
            there: self.millis(latency / 2, latency / 2 + jitter / 2),
            back: self.millis(latency / 2, latency / 2 + jitter / 2),
            stale_by: Duration::ZERO,
            is_misdirected: false,
            change: None,
            body: BodyFate::Whole,
            very_slow: false,
        };
        let is_out = self.outages.get(&endpoint.0).is_some_and(|until| now < *until);
        let is_closed = self.closed.get(&endpoint.0).is_some_and(|until| now < *until);
        if is_closed {
            fate.way = Way::Refused;
        } else if is_out || now < self.all_out_until {
            fate.way =
                if self.rng.next_u32().is_multiple_of(2) { Way::Refused } else { Way::Dropped };
        } else if !self.is_healed && self.is_bad_time(now) {
            self.spoil(&mut fate);
        }
        for name in fate.names() {
            *self.counts.entry(name).or_default() += 1;
        }
        fate
    }

    fn is_bad_time(&self, now: Duration) -> bool {
        match u128::from(self.rates.period_ms) {
            0 => true,
            period => now.as_millis() % period < period / 2,
        }
    }

    fn spoil(&mut self, fate: &mut Fate) {
        let rates = self.rates.clone();
        if self.chance(rates.refused) {
            fate.way = Way::Refused;
        } else if self.chance(rates.reset_before) {
            fate.way = Way::ResetBefore;
        } else if self.chance(rates.reset_after) {
            fate.way = Way::ResetAfter;
        } else if self.chance(rates.dropped) {
            fate.way = Way::Dropped;
        }
        if self.chance(rates.very_slow) {
            fate.very_slow = true;
            fate.back += self.millis(10_000, 120_000);
        }
        if self.chance(rates.stale) {
            // Mostly a little, sometimes much.
            let most_ms = 1_000 << (self.rng.next_u32() % 12);
            fate.stale_by = self.millis(500, most_ms);
        }
        fate.is_misdirected = self.chance(rates.misdirected);
        fate.change = if self.chance(rates.garbled) {
            Some(Change::Garbled)
        } else if self.chance(rates.too_many) {
            Some(Change::TooMany)
        } else if self.chance(rates.bad_status) {
            let codes = [500, 502, 503, 504, 413, 401, 301, 204];
            let at = usize::try_from(self.rng.next_u32()).unwrap_or(0) % codes.len();
            Some(Change::Status(codes[at]))
        } else if self.chance(rates.rpc_error) {
            Some(Change::RpcError)
        } else if self.chance(rates.bad_batch) {
            Some(Change::BadBatch)
        } else {
            None
        };
        if self.chance(rates.cut) {
            let (thousandths, cleanly) =
                (self.rng.next_u64() % 1_000, self.rng.next_u32().is_multiple_of(2));
            fate.body = BodyFate::Cut { thousandths, cleanly };
        } else if self.chance(rates.trickling) {
            fate.body = BodyFate::Trickling;
        } else if self.chance(rates.oversized) {
            fate.body = BodyFate::Oversized;
        }
    }
}
