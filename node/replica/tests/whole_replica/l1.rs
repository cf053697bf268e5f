//! L1 steps: believed when L1 bears them out, and never in the way of blocks.

use std::{sync::Arc, time::Duration};

use lockstep_io::NetError;
use lockstep_replica::{GatewayConfig, RollBackError};
use lockstep_types::{BatchSteps, Finality, L1BatchNumber, StepKind};
use serde_json::{Value, json};

use crate::support::{
    chain::BATCH_BLOCKS,
    upstream::{FIRST_L1_BLOCK, GATEWAY, GATEWAY_NODE, diamond, step_hash},
    world::{BATCHES, Running, World},
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
            // Nobody here has computed one: the announced one may be what is wrong.
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
    let finality = |running: &Running| {
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
fn another_l1_is_refused_at_first_and_later_leaves_statuses_unknown() {
    let mut world = World::new();
    let other_l1 = |method: &str, _: &Value, result: &mut Value| {
        if method == "l1:eth_chainId" {
            *result = json!("0x1");
        }
    };
    world.upstream.twist(other_l1);
    let refused = world.open().unwrap_err().to_string();
    assert!(refused.contains("L1 chain 9") && refused.contains("chain 1:"), "{refused}");

    world.upstream.be_honest();
    drop(world.open().unwrap());
    world.kill(None);
    world.upstream.twist(other_l1);
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
    assert_eq!(shown["proveTxHash"], Value::Null, "its event names no root at all: {shown}");
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

/// L1's receipts of `kinds` for [`BATCH`] name another root, while `is_so`.
fn another_root_on_l1(
    world: &World,
    kinds: &[&str],
    is_so: impl Fn() -> bool + Send + Sync + 'static,
) {
    let hashes: Vec<_> = kinds.iter().map(|kind| json!(step_hash(kind, BATCH))).collect();
    world.upstream.twist(move |method, params, result| {
        let is_meant = method == "l1:eth_getTransactionReceipt" && hashes.contains(&params[0]);
        if is_meant && is_so() {
            result["logs"][0]["topics"][2] = json!(WRONG);
        }
    });
}

const WRONG: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

#[test]
fn a_root_that_l1_holds_for_good_and_is_not_ours_halts_writes_and_what_it_contradicts_goes() {
    // What L1 executed with our root is not doubted any more.
    for (kind, kinds) in [("commit", &["commit", "execute"][..]), ("execute", &["execute"])] {
        let mut world = World::new();
        // Nothing after it is executed: then it would stay.
        world.upstream.set(|knobs| knobs.steps_until = BATCH);
        another_root_on_l1(&world, kinds, || true);
        let running = world.start();
        let limit = Duration::from_secs(300);
        assert!(running.within(limit, |running| running.halted().is_some()), "{kind}");
        let (code, reason) = running.halted().unwrap();
        assert_eq!(code, "l1_mismatch", "{reason}");
        let ours = world.upstream.chain.batches[BATCH as usize - 1].root.to_string();
        assert!(reason.contains(WRONG) && reason.contains(&ours), "{reason}");
        world.sleep(Duration::from_secs(30));
        let reports = world.memory.reports.all();
        assert_eq!(reports.len(), 1, "{:?}", reports.keys());
        assert!(reports.keys().all(|name| name.starts_with("batch-3-l1_mismatch")), "{kind}");
        assert_eq!(running.head(), (BATCH - 1) * BATCH_BLOCKS, "{kind}");
        assert!(!running.block(running.head()).is_null(), "the rest is served");
        assert!(running.halted().is_some(), "{kind}: a rollback is not the end of it");
        world.upstream.be_honest();
        let back = world.memory.block_on(running.operator.roll_back_to(L1BatchNumber(BATCH - 1)));
        assert_eq!(back.unwrap().batch, L1BatchNumber(BATCH - 1));
        running.follow_to(world.upstream.chain.tip());
        world.sleep(Duration::from_secs(60));
        assert!(world.steps(running, BATCH).is_final(), "{kind}");
    }
}

#[test]
fn a_root_that_may_still_change_on_l1_is_waited_for() {
    let world = World::new();
    world.upstream.set(|knobs| knobs.l1_tags = (9_000, Some(8_000), None));
    another_root_on_l1(&world, &["commit", "execute"], || true);
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(600));
    assert_eq!(running.halted(), None);
    assert_eq!(running.batch(BATCH)["commitTxHash"], Value::Null);
    world.upstream.be_honest();
    world.upstream.set(|knobs| knobs.l1_tags = (9_000, Some(8_000), Some(7_000)));
    world.sleep(Duration::from_secs(60));
    assert_eq!(running.batch(BATCH)["status"], json!("verified"));
}

#[test]
fn an_l1_provider_that_was_wrong_for_a_moment_halts_nothing() {
    let world = World::new();
    let clock = world.memory.clock.clone();
    let is_so = move || lockstep_io::Clock::mono(&clock).0 < 8_000_000_000;
    another_root_on_l1(&world, &["commit", "execute"], is_so);
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(120));
    assert_eq!(running.halted(), None);
    assert_eq!(running.batch(BATCH)["status"], json!("verified"));
}

/// A world in which batches 3 and 4 settle on a gateway, which is asked.
fn world_with_gateway() -> World {
    let mut world = World::new();
    let endpoints = vec![GATEWAY_NODE];
    world.config.gateway = Some(GatewayConfig { chain_id: GATEWAY, endpoints });
    world.upstream.set(|knobs| knobs.on_gateway = 3..5);
    world
}

/// Chain and finality of the execution of each batch, by the API.
fn executed(running: &Running) -> Vec<(Value, Value)> {
    let batch = |number| running.batch(number);
    let of = |batch: Value| (batch["executeChainId"].clone(), batch["status"].clone());
    (1..=BATCHES).map(|number| of(batch(number))).collect()
}

#[test]
fn steps_are_believed_on_the_chain_where_each_batch_settles() {
    let mut world = world_with_gateway();
    world.upstream.set(|knobs| knobs.gateway_tags = (9_000, Some(8_000), Some(0)));
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    let on = |chain: u64, status: &str| (json!(chain), json!(status));
    let (l1, early) = (on(9, "verified"), on(GATEWAY.0, "sealed"));
    let expected = [&l1, &l1, &early, &early, &l1, &l1].map(Clone::clone);
    assert_eq!(executed(&running), expected, "final on L1 is not final on the gateway");
    world.upstream.set(|knobs| knobs.gateway_tags = (9_000, Some(8_000), Some(7_000)));
    world.sleep(Duration::from_secs(60));
    let there = on(GATEWAY.0, "verified");
    let expected = [&l1, &l1, &there, &there, &l1, &l1].map(Clone::clone);
    assert_eq!(executed(&running), expected);
    assert_eq!(world.steps(running, 3).commit.unwrap().chain_id, GATEWAY);
}

#[test]
fn a_gateway_that_is_silent_or_another_chain_hides_only_its_own_steps() {
    type Trouble = fn(&World);
    let troubles: [(&str, Trouble); 3] = [
        ("silent", |world| {
            world.upstream.set(|knobs| {
                knobs.failure = Some(Arc::new(|endpoint| {
                    (endpoint == GATEWAY_NODE).then_some(Err(NetError::TimedOut))
                }));
            });
        }),
        ("another chain", |world| {
            world.upstream.twist(|method, _, result| {
                if method == "gateway:eth_chainId" {
                    *result = json!("0x1");
                }
            });
        }),
        ("another contract", |world| {
            world.upstream.twist(|method, _, result| {
                if method == "gateway:eth_getTransactionReceipt" {
                    result["logs"][0]["address"] = diamond();
                }
            });
        }),
    ];
    for (what, trouble) in troubles {
        let world = world_with_gateway();
        trouble(&world);
        let running = world.start();
        running.follow_to(world.upstream.chain.tip());
        world.sleep(Duration::from_secs(120));
        assert_eq!(running.halted(), None, "{what}");
        let final_there = (json!(9), json!("verified"));
        let unknown = (Value::Null, json!("sealed"));
        let [l1, none] = [&final_there, &unknown];
        let expected = [l1, l1, none, none, l1, l1].map(Clone::clone);
        assert_eq!(executed(&running), expected, "{what}");
        world.upstream.be_honest();
        world.sleep(Duration::from_secs(120));
        let statuses = executed(&running).into_iter().all(|(_, status)| status == "verified");
        assert!(statuses, "{what}: {:?}", executed(&running));
    }
}

#[test]
fn batches_on_a_chain_that_nobody_is_asked_about_do_not_hide_later_ones() {
    let world = World::new();
    world.upstream.set(|knobs| knobs.on_gateway = 3..5);
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    let final_there = (json!(9), json!("verified"));
    let unknown = (Value::Null, json!("sealed"));
    let [l1, none] = [&final_there, &unknown];
    assert_eq!(executed(&running), [l1, l1, none, none, l1, l1].map(Clone::clone));
    // What L1 holds for good stays, although the batches before it are not known to be final.
    let refused = world.memory.block_on(running.operator.roll_back_to(L1BatchNumber(4)));
    let Err(RollBackError::BelowFinal { final_batch, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(final_batch, L1BatchNumber(BATCHES));
}

/// A world of which nothing is committed, and blocks up to `until` are precommitted.
fn precommitting(until: u32) -> World {
    let world = World::new();
    world.upstream.set(|knobs| (knobs.steps_until, knobs.precommitted) = (0, until));
    world
}

/// The block that the API calls `safe`.
fn safe(running: &Running) -> u32 {
    let block = running.ask("eth_getBlockByNumber", json!(["safe", false]));
    let number = block["number"].as_str().unwrap().trim_start_matches("0x").to_owned();
    u32::from_str_radix(&number, 16).unwrap()
}

#[test]
fn precommits_are_believed_when_l1_shows_what_was_run() {
    let until = BATCH_BLOCKS * 3 + 2;
    let mut world = precommitting(until);
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(90));
    assert_eq!(safe(&running), until);
    let details =
        |running: &Running, block: u32| running.ask("zks_getBlockDetails", json!([block]));
    for block in 1..=until {
        let shown = details(&running, block);
        assert!(shown["precommitTxHash"].is_string(), "{block}: {shown}");
        assert_eq!(shown["precommitTxFinality"], json!("finalized"), "{block}");
        assert_eq!(shown["precommitChainId"], json!(9), "{block}");
    }
    assert_eq!(details(&running, until + 1)["precommitTxHash"], Value::Null);
    world.upstream.set(|knobs| knobs.precommitted = until + 2);
    world.sleep(Duration::from_secs(30));
    assert_eq!(safe(&running), until + 2, "a chain that makes precommits is asked more often");

    // A reorg takes them with the blocks.
    world.upstream.set(|knobs| knobs.precommitted = BATCH_BLOCKS * 2);
    let rolled_back = world.memory.block_on(running.operator.roll_back_to(L1BatchNumber(2)));
    assert_eq!(rolled_back.unwrap().batch, L1BatchNumber(2));
    world.sleep(Duration::from_secs(90));
    assert_eq!(safe(&running), BATCH_BLOCKS * 2);
    assert_eq!(world.dump(Some(running))["precommits"].len(), BATCH_BLOCKS as usize * 2);
}

#[test]
fn no_lie_about_a_precommit_is_believed() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 8] = [
        ("unknown", |receipt| *receipt = Value::Null),
        ("failed", |receipt| receipt["status"] = json!("0x0")),
        ("no event", |receipt| receipt["logs"] = json!([])),
        ("other contract", |receipt| {
            receipt["logs"][0]["address"] = json!("0x2222222222222222222222222222222222222222");
        }),
        ("other event", |receipt| receipt["logs"][0]["topics"][0] = json!(WRONG)),
        ("other batch", |receipt| {
            receipt["logs"][0]["topics"][1] = json!(format!("0x{:064x}", 1));
        }),
        ("an earlier block", |receipt| {
            receipt["logs"][0]["topics"][2] = json!(format!("0x{:064x}", BATCH_BLOCKS + 1));
        }),
        ("something else was run", |receipt| receipt["logs"][0]["data"] = json!(WRONG)),
    ];
    // The second precommit of batch 2.
    let end = BATCH_BLOCKS + 4;
    for (what, change) in changes {
        let world = precommitting(BATCH_BLOCKS * 2);
        let hash = step_hash("precommit", end);
        world.upstream.twist(move |method, params, result| {
            if method == "l1:eth_getTransactionReceipt" && params[0] == json!(hash) {
                change(result);
            }
        });
        let running = world.start();
        running.follow_to(world.upstream.chain.tip());
        world.sleep(Duration::from_secs(90));
        assert_eq!(running.halted(), None, "{what}");
        assert_eq!(safe(&running), end - 2, "{what}");
        let shown = running.ask("zks_getBlockDetails", json!([end]));
        assert_eq!(shown["precommitTxHash"], Value::Null, "{what}");
        world.upstream.be_honest();
        world.sleep(Duration::from_secs(90));
        assert_eq!(safe(&running), end, "{what}");
    }
}
