//! Filters.

use std::time::Duration;

use lockstep_store::BatchRecord;
use lockstep_types::{
    Address, B256, L1BatchNumber, L2BlockHash, L2BlockNumber, TxType, block::legacy_block_hash,
    keccak256,
};
use serde_json::{Value, json};

use super::{
    sample::{Block, batch, event, l2_tx, receipt, world, world_with},
    world::World,
};
use crate::ApiConfig;

const NOT_FOUND: (i64, &str) = (-32_602, "Filter not found");

/// Adds a block to batch 2: one event of contract 1, and one more of contract `other`.
fn add_block(world: &mut World, number: u8, other: u8) -> L2BlockHash {
    add_to_batch(world, (number, other), 2, None)
}

/// The same, to any batch, which it may end.
fn add_to_batch(
    world: &mut World,
    (number, other): (u8, u8),
    batch: u32,
    sealed: Option<&BatchRecord>,
) -> L2BlockHash {
    let events = vec![event(1, &[1]), event(other, &[2])];
    let transactions = vec![(l2_tx(number, TxType::Eip1559), receipt(events))];
    let mut block =
        Block { number: u32::from(number), batch, transactions, ..Block::default() }.record();
    block.header.hash = L2BlockHash(keccak256([number, other]));
    world.persist(&block, sealed);
    block.header.hash
}

fn changes(world: &World, id: &Value) -> Value {
    world.ask("eth_getFilterChanges", json!([id]))
}

fn places(logs: &Value) -> Vec<String> {
    let place = |log: &Value| {
        format!("{}/{}", log["blockNumber"].as_str().unwrap(), log["logIndex"].as_str().unwrap())
    };
    logs.as_array().unwrap().iter().map(place).collect()
}

#[track_caller]
fn assert_not_found(world: &World, method: &str, id: &Value) {
    let (code, message) = world.error(method, json!([id]));
    assert_eq!((code, message.as_str()), NOT_FOUND);
}

#[test]
fn a_filter_tells_of_every_new_block_once() {
    let mut world = world();
    let blocks = world.ask("eth_newBlockFilter", json!([]));
    let txs = world.ask("eth_newPendingTransactionFilter", json!([]));
    assert_ne!(blocks, txs);
    assert_eq!((changes(&world, &blocks), changes(&world, &txs)), (json!([]), json!([])));
    let fourth = add_block(&mut world, 4, 9);
    assert_eq!(changes(&world, &blocks), json!([fourth.0]));
    let fifth = add_block(&mut world, 5, 9);
    assert_eq!(changes(&world, &blocks), json!([fifth.0]));
    let hashes = [4, 5].map(B256::repeat_byte);
    assert_eq!(changes(&world, &txs), json!(hashes));
    assert_eq!((changes(&world, &blocks), changes(&world, &txs)), (json!([]), json!([])));
}

#[test]
fn a_filter_of_logs_tells_of_those_that_it_means() {
    let mut world = world();
    let new = |world: &World, filter: Value| world.ask("eth_newFilter", json!([filter]));
    let all = new(&world, json!({"fromBlock": "0x0"}));
    let of_nine = new(&world, json!({"address": Address::repeat_byte(9)}));
    let later = new(&world, json!({"fromBlock": "0x5", "toBlock": "0x5"}));
    let of_one = new(&world, json!({"blockHash": legacy_block_hash(L2BlockNumber(1)).0}));
    add_block(&mut world, 4, 9);
    add_block(&mut world, 5, 8);
    add_block(&mut world, 6, 9);
    let expected = ["0x4/0x0", "0x4/0x1", "0x5/0x0", "0x5/0x1", "0x6/0x0", "0x6/0x1"];
    assert_eq!(places(&changes(&world, &all)), expected);
    assert_eq!(places(&changes(&world, &of_nine)), ["0x4/0x1", "0x6/0x1"]);
    assert_eq!(places(&changes(&world, &later)), ["0x5/0x0", "0x5/0x1"]);
    for id in [&all, &of_nine, &later, &of_one] {
        assert_eq!(changes(&world, id), json!([]));
    }
    let logs = |id: &Value| places(&world.ask("eth_getFilterLogs", json!([id])));
    assert_eq!(logs(&all).len(), 11, "those of before, too");
    assert_eq!(logs(&of_one), ["0x1/0x0", "0x1/0x1", "0x1/0x2"]);
    assert_eq!(logs(&of_nine), ["0x6/0x1"], "the newest block, as no other is named");
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let world = world();
    let nowhere = json!([{"blockHash": B256::ZERO}]);
    let both = json!([{"blockHash": B256::ZERO, "fromBlock": "0x1"}]);
    for (params, message) in [
        (json!([{"topics": [[], [], [], [], []]}]), "More than four topics in filter"),
        (nowhere, "Block with such an ID doesn't exist yet"),
        (both, "invalid filter: if blockHash is supplied fromBlock and toBlock must not be"),
        (json!([{"address": "0x1"}]), "Invalid params"),
    ] {
        assert_eq!(world.error("eth_newFilter", params), (-32_602, message.to_owned()));
    }
}

#[test]
fn what_does_not_fit_in_an_answer_comes_with_the_next() {
    let mut world = world_with(ApiConfig { logs_max: 3, ..ApiConfig::default() });
    let logs = world.ask("eth_newFilter", json!([{}]));
    let blocks = world.ask("eth_newBlockFilter", json!([]));
    for number in 4..=8 {
        add_block(&mut world, number, 9);
    }
    let counts = |id: &Value| -> Vec<usize> {
        (0..4).map(|_| changes(&world, id).as_array().unwrap().len()).collect()
    };
    assert_eq!(counts(&logs), [4, 4, 2, 0], "blocks are not divided");
    assert_eq!(counts(&blocks), [3, 2, 0, 0]);
}

#[test]
fn reading_that_costs_too_much_goes_on_with_the_next_answer() {
    let answers = |config: ApiConfig, filter: Value| {
        let mut world = world_with(config);
        let logs = world.ask("eth_newFilter", json!([filter]));
        for (number, other) in [(4, 9), (5, 9), (6, 8)] {
            add_block(&mut world, number, other);
        }
        let answers = (0..4).map(|_| places(&changes(&world, &logs)));
        answers.filter(|places| !places.is_empty()).collect::<Vec<_>>()
    };
    let some = json!({"address": [Address::repeat_byte(8), Address::repeat_byte(9)]});
    let rows = |log_rows_max| ApiConfig { log_rows_max, ..ApiConfig::default() };
    assert_eq!(answers(rows(9), some.clone()), [vec!["0x4/0x1", "0x5/0x1", "0x6/0x1"]]);
    assert_eq!(answers(rows(3), some.clone()), [vec!["0x4/0x1", "0x5/0x1"], vec!["0x6/0x1"]]);
    let one_by_one = [vec!["0x4/0x1"], vec!["0x5/0x1"], vec!["0x6/0x1"]];
    assert_eq!(answers(rows(0), some), one_by_one, "a single block is always looked into");

    let blocks = ApiConfig { log_blocks_max: 2, ..ApiConfig::default() };
    let events = ApiConfig { log_events_max: 2, ..ApiConfig::default() };
    let two = [vec!["0x4/0x0", "0x4/0x1", "0x5/0x0", "0x5/0x1"], vec!["0x6/0x0", "0x6/0x1"]];
    assert_eq!(answers(blocks, json!({})), two);
    assert_eq!(answers(events, json!({})), two);
}

#[test]
fn a_filter_is_gone_when_it_is_uninstalled() {
    let world = world();
    let id = world.ask("eth_newBlockFilter", json!([]));
    assert_not_found(&world, "eth_getFilterLogs", &id);
    assert_eq!(world.ask("eth_uninstallFilter", json!([id])), json!(true));
    assert_eq!(world.ask("eth_uninstallFilter", json!([id])), json!(false));
    assert_not_found(&world, "eth_getFilterChanges", &id);
    assert_not_found(&world, "eth_getFilterChanges", &json!("0x1"));
}

#[test]
fn a_filter_that_nobody_asks_for_is_forgotten() {
    let world = world();
    let ids = [(); 2].map(|()| world.ask("eth_newBlockFilter", json!([])));
    for _ in 0..3 {
        world.io.clock.advance(Duration::from_secs(10 * 60));
        assert_eq!(changes(&world, &ids[0]), json!([]));
    }
    assert_not_found(&world, "eth_getFilterChanges", &ids[1]);
}

#[test]
fn the_one_that_was_not_asked_for_longest_makes_room() {
    let world = world_with(ApiConfig { filters_max: 2, ..ApiConfig::default() });
    let new = || {
        world.io.clock.advance(Duration::from_secs(1));
        world.ask("eth_newBlockFilter", json!([]))
    };
    let [first, second] = [new(), new()];
    world.io.clock.advance(Duration::from_secs(1));
    changes(&world, &first);
    let third = new();
    assert_not_found(&world, "eth_getFilterChanges", &second);
    assert_eq!((changes(&world, &first), changes(&world, &third)), (json!([]), json!([])));
}

#[test]
fn after_a_rollback_a_filter_tells_of_what_is_there_instead() {
    let mut world = world();
    let blocks = world.ask("eth_newBlockFilter", json!([]));
    let later = world.ask("eth_newFilter", json!([{"fromBlock": "0x6"}]));
    let third = legacy_block_hash(L2BlockNumber(3));
    add_block(&mut world, 4, 9);
    add_block(&mut world, 5, 9);
    changes(&world, &blocks);
    world.roll_back(L1BatchNumber(1));
    assert_eq!(changes(&world, &blocks), json!([]));
    let [new_third, new_fourth] = [3, 4].map(|number| add_block(&mut world, number, 7));
    assert_ne!(new_third, third);
    assert_eq!(changes(&world, &blocks), json!([new_third.0, new_fourth.0]));
    assert_eq!(changes(&world, &later), json!([]), "it begins with block 6");
    add_block(&mut world, 5, 7);
    add_block(&mut world, 6, 7);
    assert_eq!(places(&changes(&world, &later)), ["0x6/0x0", "0x6/0x1"]);
}

/// Place of each log, and a minus before those that are told of as removed.
fn signed_places(logs: &Value) -> Vec<String> {
    let signs = logs.as_array().unwrap().iter().map(|log| log["removed"].as_bool().unwrap());
    let places = places(logs).into_iter().zip(signs);
    places.map(|(place, is_gone)| if is_gone { format!("-{place}") } else { place }).collect()
}

#[test]
fn logs_that_went_with_a_rollback_are_told_of_as_removed_before_those_that_came() {
    let mut world = world();
    let all = world.ask("eth_newFilter", json!([{}]));
    let of_nine = world.ask("eth_newFilter", json!([{"address": Address::repeat_byte(9)}]));
    let unasked = world.ask("eth_newFilter", json!([{"address": Address::repeat_byte(9)}]));
    add_to_batch(&mut world, (4, 9), 2, Some(&batch(2, [3, 4], &[])));
    assert_eq!(signed_places(&changes(&world, &all)), ["0x4/0x0", "0x4/0x1"]);
    add_to_batch(&mut world, (5, 9), 3, None);
    add_to_batch(&mut world, (6, 8), 3, None);
    let told = changes(&world, &all);
    assert_eq!(signed_places(&told), ["0x5/0x0", "0x5/0x1", "0x6/0x0", "0x6/0x1"]);
    assert_eq!(places(&changes(&world, &of_nine)), ["0x4/0x1", "0x5/0x1"]);

    world.roll_back(L1BatchNumber(2));
    add_to_batch(&mut world, (5, 7), 3, None);
    let news = changes(&world, &all);
    let gone = ["-0x6/0x1", "-0x6/0x0", "-0x5/0x1", "-0x5/0x0"];
    assert_eq!(signed_places(&news), [&gone[..], &["0x5/0x0", "0x5/0x1"]].concat());
    let mut last = told[3].clone();
    last["removed"] = json!(true);
    assert_eq!(news[0], last, "everything else is as it was told");
    // It told of blocks 4 to 6 at once, and block 4 is still there.
    assert_eq!(signed_places(&changes(&world, &of_nine)), ["-0x5/0x1"]);
    assert_eq!(signed_places(&changes(&world, &unasked)), ["0x4/0x1"]);
    for id in [&all, &of_nine, &unasked] {
        assert_eq!(changes(&world, id), json!([]));
    }
    // A second rollback, to before all that was told of, and to another block 3.
    world.roll_back(L1BatchNumber(1));
    add_block(&mut world, 3, 6);
    let gone = ["-0x5/0x1", "-0x5/0x0", "-0x4/0x1", "-0x4/0x0"];
    let news = signed_places(&changes(&world, &all));
    assert_eq!(news, [&gone[..], &["0x3/0x0", "0x3/0x1"]].concat());
    assert_eq!(signed_places(&changes(&world, &of_nine)), ["-0x4/0x1"]);
}

#[test]
fn what_a_filter_cannot_remember_goes_without_a_word() {
    // Room for one log of each filter: a sixteenth is some 1000 bytes.
    let mut world = world_with(ApiConfig { told_bytes_max: 16_000, ..ApiConfig::default() });
    let all = world.ask("eth_newFilter", json!([{}]));
    let others = [(); 3].map(|()| world.ask("eth_newFilter", json!([{}])));
    add_block(&mut world, 4, 9);
    add_block(&mut world, 5, 9);
    for id in [&all].into_iter().chain(&others) {
        assert_eq!(changes(&world, id).as_array().unwrap().len(), 4);
    }
    world.roll_back(L1BatchNumber(1));
    add_block(&mut world, 3, 7);
    let news = signed_places(&changes(&world, &all));
    assert_eq!(news, ["-0x5/0x1", "0x3/0x0", "0x3/0x1"]);
}
