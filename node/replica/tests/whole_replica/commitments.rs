//! Commitments of our own, against what the main node announces.

use std::time::Duration;

use lockstep_checkers::CommitmentsConfig;
use lockstep_store::tables;
use lockstep_types::B256;
use serde_json::{Value, json};

use crate::support::{chain::BATCH_BLOCKS, world::World};

/// Batches of these tests, fewer than the chain has: each takes seconds to commit to.
const BATCHES: u32 = 2;
/// The newest block.
const TIP: u32 = BATCHES * BATCH_BLOCKS;

/// A world whose replica computes commitments, which the main node does not announce.
fn world() -> World {
    let mut world = World::new();
    world.config.commitments = Some(CommitmentsConfig::default());
    // L1 has no commitments of the toy chain's own.
    world.upstream.set(|knobs| (knobs.tip, knobs.steps_until) = (TIP, 0));
    world.upstream.twist(|method, _, result| {
        if method == "zks_getL1BatchDetails" && !result.is_null() {
            result["commitment"] = Value::Null;
        }
    });
    world
}

/// Commitments as stored: a number of one byte comes before each.
fn computed(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<B256> {
    rows.iter().map(|(_, row)| B256::from_slice(&row[1..33])).collect()
}

#[test]
fn commitments_are_computed_behind_the_chain_and_compared_when_announced() {
    let mut world = world();
    let running = world.start();
    running.follow_to(TIP);
    world.sleep(Duration::from_secs(30));
    assert_eq!(running.halted(), None);
    let rows = world.dump(Some(running));
    let computed = computed(&rows[tables::COMMITMENTS.name]);
    assert_eq!(computed.len(), BATCHES as usize);
    let compared = |rows: &[(Vec<u8>, Vec<u8>)]| {
        let row = rows.iter().find(|(key, _)| key == b"compared").map(|(_, value)| value.clone());
        row.map(|value| u32::from(value[0]))
    };
    assert_eq!(compared(&rows[tables::CURSORS.name]), None);

    // The main node has computed the same by now; nothing is computed again.
    world.upstream.twist(move |method, params, result| {
        if method == "zks_getL1BatchDetails" && !result.is_null() {
            let index = usize::try_from(params[0].as_u64().unwrap()).unwrap() - 1;
            result["commitment"] = json!(computed[index]);
        }
    });
    let running = world.start();
    world.sleep(Duration::from_secs(30));
    assert_eq!(running.halted(), None);
    let rows = world.dump(Some(running));
    assert_eq!(compared(&rows[tables::CURSORS.name]), Some(BATCHES));
}

#[test]
fn another_commitment_halts_writes_and_what_is_stored_goes_on_being_served() {
    let world = world();
    world.upstream.be_honest(); // The toy chain's commitments are not those of its batches.
    let running = world.start();
    let halted = running.within(Duration::from_secs(900), |running| running.halted().is_some());
    assert!(halted, "{:?}", running.status.borrow());
    let (code, reason) = running.halted().unwrap();
    assert_eq!(code, "commitment_mismatch", "{reason}");
    assert!(reason.starts_with("batch 1 has commitment"), "{reason}");
    assert!(running.head() > 0 && running.head() <= TIP);
}
