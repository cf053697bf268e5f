//! How often things go wrong by themselves. Rates are per thousand.

use serde::{Deserialize, Serialize};

/// The network; every rate is per thousand exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetRates {
    /// Time that every exchange takes at least.
    pub latency_ms: u64,
    /// Up to this much more, by chance.
    pub jitter_ms: u64,
}

impl Default for NetRates {
    fn default() -> Self {
        Self { latency_ms: 5, jitter_ms: 10 }
    }
}

/// The disk and the CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskRates {
    /// Time that a disk job takes at most, by chance.
    pub job_ms_max: u64,
    /// Time that a CPU job takes at most, by chance.
    pub cpu_ms_max: u64,
}
