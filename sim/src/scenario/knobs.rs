//! The replica's settings and those of the machine, as far as a scenario chooses them.

use serde::{Deserialize, Serialize};

/// Which VM runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecMode {
    /// The toy.
    #[default]
    Toy,
    /// EraVM, on a recorded chain.
    Era,
}

/// Which of the ready tasks runs next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// By the seed.
    #[default]
    Random,
    /// First woken, first run.
    Fifo,
}

/// Settings of the replica; `None` leaves a default as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicaKnobs {
    /// Blocks asked for at once.
    pub chunk_blocks: Option<u32>,
    /// Chunks asked for ahead.
    pub chunks_ahead_max: Option<usize>,
    /// Blocks that may wait for the executor.
    pub blocks_ahead_max: Option<usize>,
    /// Batches that may wait for the tree.
    pub sealed_batches_max: Option<usize>,
    /// A write set of a rollback has at most about this many changes.
    pub rollback_changes_max: Option<usize>,
    /// The tree's cache.
    pub tree_cache_bytes: Option<usize>,
    /// Calls asked together.
    pub batch_entries_max: Option<usize>,
    /// Exchanges at the same time.
    pub in_flight_max: Option<usize>,
}
