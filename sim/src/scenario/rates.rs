//! How often things go wrong by themselves.

use serde::{Deserialize, Serialize};

/// The network; every rate is per thousand exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetRates {
    /// Time that every exchange takes at least.
    pub latency_ms: u64,
    /// Up to this much more, by chance.
    pub jitter_ms: u64,
    /// Faults happen in the first half of each period of this length; 0: all the time.
    pub period_ms: u64,
    /// N1: an exchange takes 10 to 120 s.
    pub very_slow: u32,
    /// N2: refused.
    pub refused: u32,
    /// N2: the connection breaks before the server sees the request.
    pub reset_before: u32,
    /// N2: the connection breaks after the server has acted.
    pub reset_after: u32,
    /// N3: nothing comes back.
    pub dropped: u32,
    /// N4: the answer to another request of this endpoint comes back.
    pub misdirected: u32,
    /// N5: what the server would have said up to an hour ago.
    pub stale: u32,
    /// N6: the body ends early.
    pub cut: u32,
    /// N7: a byte, a type or a field is wrong, or it is not JSON at all.
    pub garbled: u32,
    /// N8: the body is far too long.
    pub oversized: u32,
    /// N9: the body comes byte by byte.
    pub trickling: u32,
    /// N10: status 429, with or without `Retry-After`.
    pub too_many: u32,
    /// N10: status 500 to 504, 413, 401 or 301.
    pub bad_status: u32,
    /// N11: a JSON-RPC error in place of a result.
    pub rpc_error: u32,
    /// N11: a batch that is out of order, short, or not a list.
    pub bad_batch: u32,
}

impl Default for NetRates {
    fn default() -> Self {
        Self {
            latency_ms: 5,
            jitter_ms: 10,
            period_ms: 0,
            very_slow: 0,
            refused: 0,
            reset_before: 0,
            reset_after: 0,
            dropped: 0,
            misdirected: 0,
            stale: 0,
            cut: 0,
            garbled: 0,
            oversized: 0,
            trickling: 0,
            too_many: 0,
            bad_status: 0,
            rpc_error: 0,
            bad_batch: 0,
        }
    }
}

impl NetRates {
    /// Every rate, with the name of its field.
    pub fn all(&mut self) -> [(&'static str, &mut u32); 15] {
        [
            ("very_slow", &mut self.very_slow),
            ("refused", &mut self.refused),
            ("reset_before", &mut self.reset_before),
            ("reset_after", &mut self.reset_after),
            ("dropped", &mut self.dropped),
            ("misdirected", &mut self.misdirected),
            ("stale", &mut self.stale),
            ("cut", &mut self.cut),
            ("garbled", &mut self.garbled),
            ("oversized", &mut self.oversized),
            ("trickling", &mut self.trickling),
            ("too_many", &mut self.too_many),
            ("bad_status", &mut self.bad_status),
            ("rpc_error", &mut self.rpc_error),
            ("bad_batch", &mut self.bad_batch),
        ]
    }
}

/// How long jobs take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskRates {
    /// Time that a disk job takes at most, by chance.
    pub job_ms_max: u64,
    /// Time that a CPU job takes at most, by chance.
    pub cpu_ms_max: u64,
}
