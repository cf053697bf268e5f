//! What subscribers of a replica are told while it follows the chain: everything once, in order,
//! also across a reorg.

use std::time::Duration;

use lockstep_io::Clock;
use serde_json::{Value, json};

use crate::support::{
    chain::{Chain, Fork},
    world::{BATCHES, Running, Subscription, World},
};

const LONG: Duration = Duration::from_secs(300);

/// The last block that is there before anybody subscribes.
const BEFORE: u32 = 2;

/// Takes heads in as a client would: a head that is not the child of the newest takes it back to
/// its parent.
fn take_heads(known: &mut Vec<(u64, Value)>, pushed: &[Value]) {
    for head in pushed {
        let number = head["number"].as_str().unwrap().trim_start_matches("0x");
        let number = u64::from_str_radix(number, 16).unwrap();
        known.retain(|(other, _)| *other < number);
        if let Some((last, hash)) = known.last() {
            assert_eq!((*last + 1, hash), (number, &head["parentHash"]), "a gap");
        }
        known.push((number, head["hash"].clone()));
    }
}

/// Takes logs in: what is taken back must be the newest.
fn take_logs(known: &mut Vec<Value>, pushed: &[Value]) {
    for log in pushed {
        let mut log = log.clone();
        let removed = log["removed"].take();
        if removed == json!(true) {
            assert_eq!(known.pop(), Some(log), "taken back in another order");
        } else {
            known.push(log);
        }
    }
}

/// What a client knows at last, as it should be.
fn expected(running: &Running) -> (Vec<(u64, Value)>, Vec<Value>) {
    let first = BEFORE + 1;
    let hash = |number: u32| (u64::from(number), running.block(number)["hash"].clone());
    let heads = (first..=running.head()).map(hash).collect();
    let range = json!([{"fromBlock": format!("{first:#x}")}]);
    let logs = running.ask("eth_getLogs", range);
    let mut logs = logs.as_array().unwrap().clone();
    logs.iter_mut().for_each(|log| drop(log["removed"].take()));
    (heads, logs)
}

/// Batches are sealed while a subscriber listens, and logs say so from then on.
fn without_batches(logs: &[Value]) -> Vec<Value> {
    let mut logs = logs.to_vec();
    logs.iter_mut().for_each(|log| drop(log["l1BatchNumber"].take()));
    logs
}

fn follows(world: &World, running: &Running, chain: &Chain) {
    let tip = chain.tip();
    let hash = json!(chain.blocks[tip as usize - 1].hash);
    let done =
        running.within(LONG, |running| running.head() == tip && running.block(tip)["hash"] == hash);
    assert!(done, "head {}, status {:?}", running.head(), running.status.borrow());
    world.sleep(Duration::from_secs(1));
}

#[test]
fn heads_and_logs_are_told_once_and_in_order_across_reorgs() {
    let world = World::new();
    world.upstream.set(|knobs| {
        knobs.l1_tags = (9_000, Some(8_000), None);
        knobs.tip = BEFORE;
    });
    let running = world.start();
    running.follow_to(BEFORE);
    let mut heads = running.subscribe(json!(["newHeads"]), 10_000);
    let mut logs = running.subscribe(json!(["logs", {}]), 10_000);
    let (mut known_heads, mut known_logs) = (Vec::new(), Vec::new());

    let first = world.upstream.chain.clone();
    let tip = first.tip();
    world.upstream.set(|knobs| knobs.tip = tip);
    follows(&world, &running, &first);
    let forks = [(3, BATCHES + 1), (1, 4), (2, BATCHES)];
    let forks = forks.map(|(common, batches)| Chain::forked(batches, Fork::after(common)));
    for chain in forks {
        let chain = std::sync::Arc::new(chain);
        world.upstream.switch_to(&chain);
        follows(&world, &running, &chain);
        take_heads(&mut known_heads, &heads.pushed());
        take_logs(&mut known_logs, &without_batches(&logs.pushed()));
        let (expected_heads, expected_logs) = expected(&running);
        assert_eq!(known_heads, expected_heads);
        assert!(!expected_logs.is_empty());
        assert_eq!(known_logs, without_batches(&expected_logs));
    }
}

#[test]
fn a_head_is_pushed_without_anybody_waiting_for_time_to_pass() {
    let world = World::new();
    world.upstream.set(|knobs| knobs.tip = BEFORE);
    let running = world.start();
    running.follow_to(BEFORE);
    let mut heads: Subscription = running.subscribe(json!(["newHeads"]), 100);
    world.upstream.set(|knobs| knobs.tip = BEFORE + 1);
    let clock: &dyn Clock = &world.memory.clock;
    let deadline = clock.mono().plus(LONG);
    // Time stands still while anything can run: a head that needed a timer would come later than
    // the block.
    while running.head() == BEFORE && clock.mono() < deadline {
        world.sleep(Duration::from_millis(1));
    }
    world.memory.runtime.run_until_idle();
    assert_eq!(heads.pushed().len(), 1);
}
