//! Subscriptions.

use std::time::Duration;

use lockstep_io::Clock;
use lockstep_types::{Address, B256, L1BatchNumber, L2BlockHash, L2BlockNumber, TxType, keccak256};
use serde_json::{Value, json};

use super::{
    sample::{Block, event, l2_tx, receipt, world, world_with},
    world::World,
};
use crate::ApiConfig;

const REJECTED: &str = "Rejecting subscription - invalid parameters provided.";

/// Adds a block to the open batch: an event of contract 1, and one of contract `other`. Its
/// transaction is `number` unless `other` says that it is one of another chain.
fn add_block(world: &mut World, number: u8, other: u8) -> L2BlockHash {
    let events = vec![event(1, &[1]), event(other, &[2])];
    let transactions = vec![(l2_tx(number, TxType::Eip1559), receipt(events))];
    let mut block =
        Block { number: u32::from(number), batch: 2, transactions, ..Block::default() }.record();
    block.header.hash = L2BlockHash(keccak256([number, other]));
    world.persist(&block, None);
    block.header.hash
}

fn hashes(heads: &[Value]) -> Vec<Value> {
    heads.iter().map(|head| head["hash"].clone()).collect()
}

/// Block, index, and whether it was removed.
fn places(logs: &[Value]) -> Vec<String> {
    let place = |log: &Value| {
        let (block, index) = (log["blockNumber"].as_str(), log["logIndex"].as_str());
        let removed = if log["removed"] == true { " removed" } else { "" };
        format!("{}/{}{removed}", block.unwrap(), index.unwrap())
    };
    logs.iter().map(place).collect()
}

#[test]
fn heads_are_pushed_when_blocks_are_persisted() {
    let mut world = world();
    let mut heads = world.subscribe(json!(["newHeads"]), 100);
    assert_eq!(world.pushed(&mut heads), [json!(null); 0]);
    let (fourth, fifth) = (add_block(&mut world, 4, 9), add_block(&mut world, 5, 9));
    let pushed = world.pushed(&mut heads);
    assert_eq!(hashes(&pushed), [json!(fourth.0), json!(fifth.0)]);
    assert_eq!(pushed[0], world.ask("eth_getHeaderByNumber", json!(["0x4"])));
    assert!(pushed[0].get("transactions").is_none());
    let sixth = add_block(&mut world, 6, 9);
    assert_eq!(hashes(&world.pushed(&mut heads)), [json!(sixth.0)]);
}

#[test]
fn only_logs_that_are_meant_are_pushed() {
    let mut world = world();
    let mut all = world.subscribe(json!(["logs"]), 100);
    let mut none_named = world.subscribe(json!(["logs", {}]), 100);
    let of_nine = json!({"address": Address::repeat_byte(9)});
    let mut of_nine = world.subscribe(json!(["logs", of_nine]), 100);
    let topic = json!({"topics": [[B256::repeat_byte(2), B256::repeat_byte(7)]]});
    let mut of_topic = world.subscribe(json!(["logs", topic]), 100);
    add_block(&mut world, 4, 9);
    add_block(&mut world, 5, 8);
    let expected = ["0x4/0x0", "0x4/0x1", "0x5/0x0", "0x5/0x1"];
    let pushed = world.pushed(&mut all);
    assert_eq!(places(&pushed), expected);
    let range = json!([{"fromBlock": "0x4", "toBlock": "latest"}]);
    assert_eq!(json!(pushed), world.ask("eth_getLogs", range));
    assert_eq!(places(&world.pushed(&mut none_named)), expected);
    assert_eq!(places(&world.pushed(&mut of_nine)), ["0x4/0x1"]);
    assert_eq!(places(&world.pushed(&mut of_topic)), ["0x4/0x1", "0x5/0x1"]);
}

#[test]
fn after_a_reorg_logs_are_taken_back_newest_first_and_heads_come_again() {
    let mut world = world();
    let mut heads = world.subscribe(json!(["newHeads"]), 100);
    let mut logs = world.subscribe(json!(["logs"]), 100);
    let mut txs = world.subscribe(json!(["newPendingTransactions"]), 100);
    add_block(&mut world, 4, 9);
    add_block(&mut world, 5, 9);
    for subscription in [&mut heads, &mut logs, &mut txs] {
        assert!(!world.pushed(subscription).is_empty());
    }
    world.roll_back(L1BatchNumber(1));
    let taken_back = world.pushed(&mut logs);
    let expected = ["0x5/0x1", "0x5/0x0", "0x4/0x1", "0x4/0x0", "0x3/0x0"];
    let expected = expected.map(|place| format!("{place} removed"));
    // Block 3 was there before the subscription, but it is gone for the subscriber as well.
    assert_eq!(places(&taken_back), expected);
    assert_eq!(world.pushed(&mut heads), [json!(null); 0]);

    let third = add_block(&mut world, 3, 7);
    let fourth = add_block(&mut world, 4, 7);
    assert_eq!(hashes(&world.pushed(&mut heads)), [json!(third.0), json!(fourth.0)]);
    assert_eq!(places(&world.pushed(&mut logs)), ["0x3/0x0", "0x3/0x1", "0x4/0x0", "0x4/0x1"]);
    // Transaction 4 was told of before.
    assert_eq!(world.pushed(&mut txs), [json!(B256::repeat_byte(3))]);
}

#[test]
fn a_reorg_between_two_looks_is_told_whole() {
    let mut world = world();
    let mut heads = world.subscribe(json!(["newHeads"]), 100);
    let mut logs = world.subscribe(json!(["logs"]), 100);
    add_block(&mut world, 4, 9);
    assert_eq!(world.pushed(&mut heads).len(), 1);
    assert_eq!(world.pushed(&mut logs).len(), 2);
    // Nobody runs meanwhile: the subscriber sees the result only.
    world.roll_back(L1BatchNumber(1));
    let third = add_block(&mut world, 3, 7);
    let fourth = add_block(&mut world, 4, 7);
    assert_eq!(hashes(&world.pushed(&mut heads)), [json!(third.0), json!(fourth.0)]);
    let expected = [
        "0x4/0x1 removed",
        "0x4/0x0 removed",
        "0x3/0x0 removed",
        "0x3/0x0",
        "0x3/0x1",
        "0x4/0x0",
        "0x4/0x1",
    ];
    assert_eq!(places(&world.pushed(&mut logs)), expected);
}

#[test]
fn transactions_are_told_once() {
    let mut world = world();
    let mut txs = world.subscribe(json!(["newPendingTransactions"]), 100);
    add_block(&mut world, 4, 9);
    assert_eq!(world.pushed(&mut txs), [json!(B256::repeat_byte(4))]);
    add_block(&mut world, 5, 9);
    assert_eq!(world.pushed(&mut txs), [json!(B256::repeat_byte(5))]);
}

#[test]
fn syncing_is_told_at_once_and_when_it_changes() {
    let mut world = world();
    let mut syncing = world.subscribe(json!(["syncing"]), 100);
    assert_eq!(world.pushed(&mut syncing), [json!(false)]);
    world.tip.send_replace(Some(L2BlockNumber(10)));
    assert_eq!(world.pushed(&mut syncing), [json!(null); 0]);
    world.tip.send_replace(Some(L2BlockNumber(100)));
    let behind = world.pushed(&mut syncing);
    assert_eq!(behind[0]["highestBlock"], "0x64");
    add_block(&mut world, 4, 9);
    assert_eq!(world.pushed(&mut syncing), [json!(null); 0]);
    world.tip.send_replace(Some(L2BlockNumber(4)));
    assert_eq!(world.pushed(&mut syncing), [json!(false)]);
}

#[test]
fn what_cannot_be_subscribed_to_is_refused() {
    let world = world();
    let five_topics = json!(["logs", {"topics": [null, null, null, null, null]}]);
    for params in [json!(["nope"]), five_topics, json!(["logs", {"address": "0x12"}])] {
        let (code, text) = world.error("eth_subscribe", params);
        assert_eq!((code, text.as_str()), (-32_602, REJECTED));
    }
    assert_eq!(world.error("eth_subscribe", json!([])).0, -32_602);
}

#[test]
fn there_are_so_many_subscriptions_and_no_more() {
    let mut world = world_with(ApiConfig { subscriptions_max: 1, ..ApiConfig::default() });
    let first = world.subscribe(json!(["newHeads"]), 100);
    let (code, text) = world.error("eth_subscribe", json!(["newHeads"]));
    assert_eq!((code, text.as_str()), (-32_006, "Too many subscriptions"));
    assert_eq!(world.ask("eth_unsubscribe", json!([first.id])), json!(true));
    world.io.runtime.run_until_idle();
    let mut second = world.subscribe(json!(["newHeads"]), 100);
    add_block(&mut world, 4, 9);
    assert_eq!(world.pushed(&mut second).len(), 1);
    assert_eq!(world.ask("eth_unsubscribe", json!([first.id])), json!(false));
}

#[test]
fn a_slow_subscriber_is_dropped_and_holds_nobody_up() {
    let mut world = world();
    let mut slow = world.subscribe(json!(["newHeads"]), 2);
    let mut fast = world.subscribe(json!(["newHeads"]), 100);
    for number in 4..14 {
        add_block(&mut world, number, 9);
    }
    assert_eq!(world.pushed(&mut fast).len(), 10);
    let clock: &dyn Clock = &world.io.clock;
    world.io.block_on(clock.sleep(Duration::from_secs(2)));
    // What was on its way still comes, and then nothing any more.
    let got = world.pushed(&mut slow);
    assert!((1..10).contains(&got.len()), "{}", got.len());
    assert!(slow.messages.is_closed() && !fast.messages.is_closed());
    assert_eq!(world.io.runtime.task_names(), ["subscription"]);
}

#[test]
fn a_client_that_takes_its_time_gets_everything() {
    let mut world = world();
    let mut heads = world.subscribe(json!(["newHeads"]), 1);
    let expected: Vec<_> = (4..34).map(|number| add_block(&mut world, number, 9)).collect();
    let expected: Vec<_> = expected.iter().map(|hash| json!(hash.0)).collect();
    assert_eq!(hashes(&world.pushed(&mut heads)), expected);
}

#[test]
fn subscriptions_end_with_their_clients() {
    let mut world = world();
    let heads = world.subscribe(json!(["newHeads"]), 100);
    let logs = world.subscribe(json!(["logs"]), 100);
    assert_eq!(world.io.runtime.task_names().len(), 2);
    drop((heads, logs));
    world.io.runtime.run_until_idle();
    assert_eq!(world.io.runtime.task_names().len(), 0);
    add_block(&mut world, 4, 9);
    world.io.runtime.run_until_idle();
}
