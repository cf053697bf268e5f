//! What is written down of a divergence, quirks that tolerate one, and what an operator asks.

use std::{sync::Arc, time::Duration};

use lockstep_types::{L1BatchNumber, Quirk, QuirkCheck, Quirks};
use serde_json::{Value, json};

use crate::support::{
    chain::{BATCH_BLOCKS, L2},
    world::{BATCHES, Running, World},
};

const WRONG: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
/// The batch that is lied about.
const BATCH: u32 = 3;

fn lying_world() -> World {
    let world = World::new();
    world.upstream.twist(|method, params, result| {
        if method == "zks_getL1BatchDetails" && params[0] == json!(BATCH) && !result.is_null() {
            result["rootHash"] = json!(WRONG);
        }
    });
    world
}

fn halted(running: &Running) -> (&'static str, String) {
    assert!(running.within(Duration::from_secs(120), |running| running.halted().is_some()));
    running.halted().unwrap()
}

#[test]
fn a_root_mismatch_leaves_a_bundle_with_both_roots_and_the_writes() {
    let world = lying_world();
    let running = world.start();
    assert_eq!(halted(&running).0, "root_mismatch");
    world.sleep(Duration::from_secs(30));
    let reports = world.memory.reports.all();
    assert_eq!(reports.len(), 1, "{:?}", reports.keys());
    let (name, text) = reports.first_key_value().unwrap();
    assert!(name.starts_with("batch-3-root_mismatch-") && name.ends_with(".json"), "{name}");
    let bundle: Value = serde_json::from_slice(text).unwrap();
    let root = |batch: u32| json!(world.upstream.chain.batches[batch as usize - 1].root.0);
    assert_eq!((&bundle["batch"], &bundle["code"]), (&json!(BATCH), &json!("root_mismatch")));
    assert_eq!(bundle["l2ChainId"], json!(L2.0));
    assert_eq!(bundle["difference"]["field"], json!("state root"));
    assert_eq!(bundle["difference"]["expected"], root(BATCH));
    assert_eq!(bundle["difference"]["actual"], json!(WRONG));
    assert_eq!(bundle["mainNode"]["rootHash"], json!(WRONG), "what it says now");
    assert_eq!(bundle["claims"]["agreedBatch"], json!(BATCH - 1));
    let stored = &bundle["stored"];
    assert_eq!((&stored["root"], &stored["rootBefore"]), (&root(BATCH), &root(BATCH - 1)));
    assert_eq!(stored["firstBlock"], json!((BATCH - 1) * BATCH_BLOCKS + 1));
    let last = world.upstream.chain.blocks[(BATCH * BATCH_BLOCKS) as usize - 1].hash;
    assert_eq!(stored["lastBlockHash"], json!(last));
    let writes = &stored["writes"];
    let first = writes["first"].as_array().unwrap();
    assert!(!first.is_empty() && writes["count"] == json!(first.len()), "{writes}");
    assert!(first.iter().all(|write| write["key"].is_string() && write["index"].is_u64()));
}

#[test]
fn a_bundle_that_cannot_be_written_stops_nothing() {
    let world = lying_world();
    world.memory.reports.refuse(true);
    let running = world.start();
    assert_eq!(halted(&running).0, "root_mismatch");
    world.sleep(Duration::from_secs(60));
    assert!(world.memory.reports.all().is_empty());
    assert!(running.end().is_none(), "it waits for a stop");
    assert!(!running.block(running.head()).is_null(), "what is stored is served");
    world.upstream.be_honest();
    // An operator is heard all the same.
    let operator = running.operator.clone();
    let asked = operator.roll_back_to(L1BatchNumber(BATCHES));
    drop(world.memory.block_on(Box::pin(asked)));
    assert_eq!(world.memory.reports.all().len(), 0);
}

#[test]
fn a_known_divergence_does_not_halt_writes() {
    let mut world = lying_world();
    let quirk = Quirk {
        chain_id: L2,
        batch: L1BatchNumber(BATCH),
        block: None,
        transaction: None,
        check: QuirkCheck::Root,
        why: "made up".to_owned(),
        source: "https://example.org".to_owned(),
    };
    world.config.quirks = Arc::new(Quirks::of_chain(&[quirk], L2).unwrap());
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    assert_eq!(running.halted(), None);
    assert!(world.memory.reports.all().is_empty());
    assert_eq!(world.dump(Some(running))["claims"].len(), BATCHES as usize);
}

#[test]
fn the_operator_asks_by_json_rpc_and_is_told_why_not() {
    let world = World::new();
    world.upstream.set(|knobs| knobs.steps_until = 2);
    let replica = world.open().unwrap();
    let admin = replica.admin();
    let running = world.run(replica);
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(30));
    let ask = |method: &str, params: Value| -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = request.to_string();
        let answer = world.memory.block_on(admin.raw_json_request(&request, 1)).unwrap();
        serde_json::from_str(answer.0.get()).unwrap()
    };
    let status = ask("admin_status", json!([]));
    let (status, tip) = (&status["result"], world.upstream.chain.tip());
    assert_eq!(status["status"], json!("running"));
    assert_eq!(status["head"], json!(tip.to_string()));
    assert_eq!(status["finalBatch"], json!("2"));
    let why = |params: Value| {
        let answer = ask("admin_rollback", params);
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(why(json!([1])).contains("executed on L1 for good"), "{}", why(json!([1])));
    assert!(why(json!([99])).contains("newest sealed batch"), "{}", why(json!([99])));
    for odd in [json!([]), json!(["x"]), json!([-1]), json!([1, 2])] {
        assert!(why(odd.clone()).contains("one batch number"), "{odd}: {}", why(odd.clone()));
    }
    let done = ask("admin_rollback", json!([4]));
    assert_eq!(done["result"], json!({"batch": 4, "block": 4 * BATCH_BLOCKS}), "{done}");
    running.follow_to(tip);
    assert_eq!(running.halted(), None);
}
