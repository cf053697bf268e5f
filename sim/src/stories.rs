//! Scenarios written by hand, and those that once failed.

use crate::scenario::Scenario;

macro_rules! scenarios {
    ($folder:literal, $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name, ".toml")))),*]
    };
}

/// One thing each, told on purpose. Exhaustive mode crashes those that can be.
const STORIES: &[(&str, &str)] = scenarios!(
    "stories",
    "batch_close",
    "block_sync",
    "clock_jumps",
    "config_change",
    "deep_rollback",
    "endpoint_failover",
    "first_start",
    "full_disk",
    "l1_steps",
    "long_pause",
    "missing_roots",
    "nested_rollback",
    "other_split",
    "power_cuts",
    "precommits",
    "reorg_across_upgrade",
    "reorg_while_down",
    "restart_loop",
    "rollback",
    "rollback_of_code",
    "second_process",
    "settlement_switch",
    "shorter_chain",
    "shutdown",
    "tree_update",
    "upgrade",
    "write_error",
);

/// Each failed once; its note says what it showed.
const REGRESSIONS: &[(&str, &str)] = scenarios!(
    "regressions",
    "commit_seen_late",
    "proof_of_another_batch",
    "finalized_unknown_to_one",
    "version_lie_before_the_end",
);

fn read(all: &[(&'static str, &str)]) -> Vec<(&'static str, Scenario)> {
    all.iter()
        .map(|(name, text)| match Scenario::from_text(text) {
            Ok(scenario) => (*name, scenario),
            Err(error) => panic!("{name} is no scenario: {error}"),
        })
        .collect()
}

/// Scenarios written by hand.
pub fn stories() -> Vec<(&'static str, Scenario)> {
    read(STORIES)
}

/// Scenarios that once failed.
pub fn regressions() -> Vec<(&'static str, Scenario)> {
    read(REGRESSIONS)
}

/// Stories that exhaustive mode crashes at every call of the disk.
pub fn bases() -> Vec<(&'static str, Scenario)> {
    stories().into_iter().filter(|(_, story)| crate::exhaustive::is_base(story)).collect()
}
