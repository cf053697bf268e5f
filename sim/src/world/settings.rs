//! The replica's settings in this world.

use std::time::Duration;

use lockstep_replica::ReplicaConfig;

use super::World;
use crate::scenario::ReplicaKnobs;

impl World {
    /// Settings of the next process.
    pub(super) fn replica_config(&self) -> ReplicaConfig {
        let mut config = self.upstream.replica_config(self.scenario.seed.0);
        // The line is written to nowhere.
        config.progress_interval = Duration::from_secs(600);
        apply(&self.knobs(), &mut config);
        config
    }
}

fn apply(knobs: &ReplicaKnobs, config: &mut ReplicaConfig) {
    let set = |value: Option<usize>, place: &mut usize| {
        if let Some(value) = value {
            *place = value;
        }
    };
    if let Some(blocks) = knobs.chunk_blocks {
        config.fetch.chunk_blocks = blocks;
    }
    set(knobs.chunks_ahead_max, &mut config.fetch.chunks_ahead_max);
    set(knobs.blocks_ahead_max, &mut config.blocks_ahead_max);
    set(knobs.sealed_batches_max, &mut config.sealed_batches_max);
    set(knobs.rollback_changes_max, &mut config.rollback_changes_max);
    set(knobs.tree_cache_bytes, &mut config.tree.cache_bytes);
    if let Some(entries) = knobs.batch_entries_max {
        config.main_node_calls.batch_entries_max = entries;
        config.l1_calls.batch_entries_max = entries;
    }
    if let Some(calls) = knobs.in_flight_max {
        config.main_node_calls.in_flight_max = calls;
        config.l1_calls.in_flight_max = calls;
    }
}
