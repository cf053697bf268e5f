//! L1 steps: believed when L1 bears them out, and never in the way of blocks.

use std::time::Duration;

use lockstep_types::{BatchSteps, Finality, StepKind};
use serde_json::{Value, json};

use crate::support::{
    upstream::{FIRST_L1_BLOCK, diamond, step_hash},
    world::{BATCHES, World},
};

/// The batch whose steps are twisted.
const BATCH: u32 = 3;
const KINDS: [(&str, StepKind); 3] =
    [("commit", StepKind::Commit), ("prove", StepKind::Prove), ("execute", StepKind::Execute)];

/// Steps of [`BATCH`] and of the batch after, when L1's receipt of `kind` is changed. Blocks go on.
fn steps_with(kind: &str, change: fn(&mut Value)) -> (BatchSteps, BatchSteps) {
    let hash = step_hash(kind, BATCH);
    let twist = move |method: &str, params: &Value, result: &mut Value| {
        if method == "l1:eth_getTransactionReceipt" && params[0] == json!(hash) {
            change(result);
        }
    };
    let steps = |batch| {
        let mut world = World::new();
        world.upstream.twist(twist);
        let running = world.start();
        running.follow_to(world.upstream.chain.tip());
        world.sleep(Duration::from_secs(60));
        assert_eq!(running.halted(), None);
        world.steps(running, batch)
    };
    (steps(BATCH), steps(BATCH + 1))
}

#[test]
fn a_step_that_l1_does_not_bear_out_is_not_stored() {
    type Change = fn(&mut Value);
    let changes: Vec<(&str, Change)> = vec![
        ("unknown", |receipt| *receipt = Value::Null),
        ("in no block", |receipt| receipt["blockNumber"] = Value::Null),
        ("failed", |receipt| receipt["status"] = json!("0x0")),
        ("no event", |receipt| receipt["logs"] = json!([])),
        ("removed", |receipt| receipt["logs"][0]["removed"] = json!(true)),
        ("other contract", |receipt| {
            receipt["logs"][0]["address"] = json!("0x2222222222222222222222222222222222222222")
        }),
        ("other event", |receipt| {
            receipt["logs"][0]["topics"][0] = json!(format!("0x{}", "11".repeat(32)))
        }),
        ("other batch", |receipt| {
            let topics = &mut receipt["logs"][0]["topics"];
            (topics[1], topics[2]) =
                (json!(format!("0x{:064x}", 7)), json!(format!("0x{:064x}", 9)));
        }),
    ];
    for (name, kind) in KINDS {
        let mut changes: Vec<_> = changes.clone();
        if kind != StepKind::Prove {
            changes.push(("other root", |receipt| {
                receipt["logs"][0]["topics"][2] = json!(format!("0x{}", "11".repeat(32)))
            }));
            changes.push(("other commitment", |receipt| {
                receipt["logs"][0]["topics"][3] = json!(format!("0x{}", "11".repeat(32)))
            }));
        }
        for (what, change) in changes {
            let (steps, after) = steps_with(name, change);
            assert_eq!(steps.get(kind), None, "{name}: {what}");
            for (other, kind) in KINDS.into_iter().filter(|(other, _)| *other != name) {
                assert!(steps.get(kind).is_some(), "{name}: {what}: {other} is not stored");
            }
            assert!(after.is_final(), "{name}: {what}: the batch after is not final");
        }
    }
}

#[test]
fn steps_become_final_as_l1_does() {
    let world = World::new();
    let last = FIRST_L1_BLOCK + u64::from(BATCH);
    world.upstream.set(|knobs| knobs.l1_tags = (9_000, None, None));
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    let finality = |running: &crate::support::world::Running| {
        let batch = running.batch(BATCH);
        (
            batch["commitTxFinality"].clone(),
            batch["executeTxFinality"].clone(),
            batch["status"].clone(),
        )
    };
    let stages = [
        ((9_000, None, None), ("pending", "pending", "sealed")),
        ((9_000, Some(last), Some(1)), ("fastFinalized", "pending", "sealed")),
        ((9_000, Some(last + 20), Some(last)), ("finalized", "fastFinalized", "sealed")),
        // An endpoint that is behind takes nothing back that was final.
        ((9_000, Some(last + 20), Some(1)), ("finalized", "fastFinalized", "sealed")),
        ((9_000, Some(last + 20), Some(last + 20)), ("finalized", "finalized", "verified")),
        ((9_000, None, None), ("finalized", "finalized", "verified")),
    ];
    for (tags, (commit, execute, status)) in stages {
        world.upstream.set(|knobs| knobs.l1_tags = tags);
        world.sleep(Duration::from_secs(30));
        let expected = (json!(commit), json!(execute), json!(status));
        assert_eq!(finality(&running), expected, "{tags:?}");
    }
}

#[test]
fn steps_that_vanish_before_they_are_final_are_forgotten() {
    let mut world = World::new();
    world.upstream.set(|knobs| knobs.l1_tags = (9_000, Some(8_000), None));
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(30));
    assert_eq!(running.batch(BATCH)["executeTxFinality"], json!("fastFinalized"));
    // L1 went another way, and the main node knows.
    world.upstream.set(|knobs| knobs.steps_until = 0);
    world.sleep(Duration::from_secs(30));
    assert_eq!(world.steps(running, BATCH), BatchSteps::default());
}

#[test]
fn every_batch_has_its_steps_however_late_the_first_becomes_final() {
    let mut world = World::new();
    world.config.l1_steps.batches_max = 2;
    world.upstream.set(|knobs| knobs.l1_tags = (9_000, Some(8_000), None));
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(120));
    let steps = world.steps(running, BATCHES);
    let finality = steps.execute.map(|tx| tx.finality);
    assert_eq!(finality, Some(Finality::FastFinalized));
}

#[test]
fn another_l1_leaves_statuses_unknown_and_blocks_go_on() {
    let mut world = World::new();
    world.upstream.twist(|method, _, result| {
        if method == "l1:eth_chainId" {
            *result = json!("0x1");
        }
    });
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(600));
    assert_eq!(running.halted(), None);
    assert_eq!(running.batch(BATCH)["status"], json!("sealed"));
    let rows = world.dump(Some(running));
    assert_eq!((rows["steps"].len(), rows["claims"].len()), (0, BATCHES as usize));
}

#[test]
fn a_step_waits_until_its_commitment_is_known() {
    let mut world = World::new();
    world.upstream.twist(|method, _, result| {
        if method == "zks_getL1BatchDetails" && !result.is_null() {
            result["commitment"] = Value::Null;
        }
    });
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    let shown = running.batch(BATCH);
    assert_eq!(shown["commitTxHash"], Value::Null, "any event would do: {shown}");
    assert!(shown["proveTxHash"].is_string(), "its event names no commitment: {shown}");
    world.upstream.be_honest();
    world.sleep(Duration::from_secs(60));
    assert!(world.steps(running, BATCH).is_final());
}

#[test]
fn a_main_node_that_names_another_contract_than_the_operator_is_not_believed() {
    let known = lockstep_types::Address::repeat_byte(7);
    let mut world = World::new();
    world.config.l1_contract = Some(known);
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    assert_eq!(running.halted(), None, "blocks go on");
    assert_eq!(world.steps(running, BATCH), BatchSteps::default());

    let mut world = World::new();
    world.config.l1_contract = Some(serde_json::from_value(diamond()).unwrap());
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    assert!(world.steps(running, BATCH).is_final());
}
