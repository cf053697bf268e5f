//! `eth_getLogs`.

use lockstep_types::{
    Address, B256, Event, L1BatchNumber, L2BlockNumber, TxType, block::legacy_block_hash,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    test_runner::{Config, RngSeed},
};
use serde_json::{Value, json};

use super::{
    sample::{Block, batch, event, genesis, l2_tx, receipt, world},
    world::World,
};
use crate::ApiConfig;

const INVALID_PARAMS: i64 = -32_602;

fn indices(logs: &Value) -> Vec<(String, String)> {
    let text = |log: &Value, key: &str| log[key].as_str().unwrap().to_owned();
    let logs = logs.as_array().unwrap().iter();
    logs.map(|log| (text(log, "blockNumber"), text(log, "logIndex"))).collect()
}

fn ask(world: &World, filter: Value) -> Vec<(String, String)> {
    indices(&world.ask("eth_getLogs", json!([filter])))
}

fn at(places: &[(u32, u32)]) -> Vec<(String, String)> {
    places.iter().map(|(block, log)| (format!("{block:#x}"), format!("{log:#x}"))).collect()
}

#[test]
fn a_range_is_the_newest_block_unless_it_is_given() {
    let world = world();
    let all = at(&[(1, 0), (1, 1), (1, 2), (2, 0), (3, 0)]);
    assert_eq!(ask(&world, json!({})), at(&[(3, 0)]));
    assert_eq!(ask(&world, json!({"fromBlock": "0x2"})), at(&[(2, 0), (3, 0)]));
    assert_eq!(ask(&world, json!({"fromBlock": "earliest", "toBlock": "0x1"})), all[..3]);
    assert_eq!(ask(&world, json!({"fromBlock": "0x0", "toBlock": "0xffffffffff"})), all);
    assert_eq!(ask(&world, json!({"fromBlock": "0x0", "toBlock": "pending"})), all);
    for empty in [
        json!({"fromBlock": "pending"}),
        json!({"fromBlock": "0x4", "toBlock": "0x9"}),
        json!({"fromBlock": "0x2", "toBlock": "0x1"}),
        json!({"toBlock": "0x1"}),
        json!({"toBlock": "finalized"}),
    ] {
        assert_eq!(ask(&world, empty.clone()), [], "{empty}");
    }
}

#[test]
fn a_block_hash_means_one_block() {
    let world = world();
    let hash = legacy_block_hash(L2BlockNumber(1)).0;
    assert_eq!(ask(&world, json!({"blockHash": hash})), at(&[(1, 0), (1, 1), (1, 2)]));
    for range in [json!({"fromBlock": "0x1"}), json!({"toBlock": "0x1"})] {
        let mut filter = range;
        filter["blockHash"] = json!(hash);
        let text = "invalid filter: if blockHash is supplied fromBlock and toBlock must not be";
        assert_eq!(world.error("eth_getLogs", json!([filter])), (INVALID_PARAMS, text.to_owned()));
    }
    let unknown = json!([{"blockHash": B256::repeat_byte(0x99)}]);
    let text = "Block with such an ID doesn't exist yet".to_owned();
    assert_eq!(world.error("eth_getLogs", unknown), (INVALID_PARAMS, text));
}

#[test]
fn events_of_the_fictive_block_belong_to_no_transaction() {
    let logs = world().ask("eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0x2"}]));
    let expected = json!([{
        "address": Address::repeat_byte(3),
        "topics": [B256::repeat_byte(9)],
        "data": "0xda",
        "blockHash": legacy_block_hash(L2BlockNumber(2)).0,
        "blockNumber": "0x2",
        "l1BatchNumber": "0x1",
        "transactionHash": B256::ZERO,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "transactionLogIndex": "0x0",
        "logType": null,
        "removed": false,
        "blockTimestamp": "0x3ea",
    }]);
    assert_eq!(logs, expected);
}

#[test]
fn events_of_the_fictive_block_can_be_hidden() {
    let config = ApiConfig { hides_system_logs: true, ..ApiConfig::default() };
    let world = super::sample::world_with(config);
    let rest = at(&[(1, 0), (1, 1), (1, 2), (3, 0)]);
    assert_eq!(ask(&world, json!({"fromBlock": "0x0"})), rest);
    let of_fictive = legacy_block_hash(L2BlockNumber(2)).0;
    assert_eq!(ask(&world, json!({"blockHash": of_fictive})), []);
    let id = world.ask("eth_newFilter", json!([{"fromBlock": "0x0"}]));
    assert_eq!(indices(&world.ask("eth_getFilterLogs", json!([id]))), rest);
}

#[test]
fn more_than_four_topics_are_refused() {
    let world = world();
    let four = json!([{"fromBlock": "0x0", "topics": [null, null, null, null]}]);
    assert_eq!(world.ask("eth_getLogs", four).as_array().unwrap().len(), 5);
    let five = json!([{"topics": [null, null, null, null, null]}]);
    let text = "More than four topics in filter".to_owned();
    assert_eq!(world.error("eth_getLogs", five), (INVALID_PARAMS, text));
}

/// Genesis, and then blocks with the given events, each in its own transaction.
fn world_with(config: ApiConfig, blocks: &[Vec<Event>]) -> World {
    let mut world = World::new(config);
    world.persist_genesis(&genesis(Vec::new()));
    for (number, events) in (1..).zip(blocks) {
        let tx = |(index, event): (u8, &Event)| {
            (l2_tx(index, TxType::Eip1559), receipt(vec![event.clone()]))
        };
        let transactions = (0..).zip(events).map(tx).collect();
        let block = Block { number, batch: 1, transactions, ..Block::default() };
        world.persist(&block.record(), None);
    }
    world
}

#[test]
fn too_many_logs_are_refused_with_a_range_that_fits() {
    let config = ApiConfig { logs_max: 3, ..ApiConfig::default() };
    let two = vec![event(1, &[1]), event(2, &[1])];
    let world =
        world_with(config, &[two.clone(), Vec::new(), two.clone(), [two.clone(), two].concat()]);
    let error = world.error("eth_getLogs", json!([{"fromBlock": "0x1"}]));
    let text = "Query returned more than 3 results. Try with this block range [0x1, 0x2].";
    assert_eq!(error, (INVALID_PARAMS, text.to_owned()));
    assert_eq!(ask(&world, json!({"fromBlock": "0x1", "toBlock": "0x2"})).len(), 2);
    // Numbers above the newest block do not make a range longer than it is.
    assert_eq!(ask(&world, json!({"fromBlock": "0x4", "toBlock": "0x9"})).len(), 4);
}

#[test]
fn one_block_may_have_any_number_of_logs() {
    let config = ApiConfig { logs_max: 1, log_events_max: 1, ..ApiConfig::default() };
    let world = world_with(config, &[vec![event(1, &[1]); 4]]);
    assert_eq!(ask(&world, json!({"fromBlock": "latest"})).len(), 4);
}

#[test]
fn reading_too_much_is_refused_with_a_range_that_can_be_read() {
    let none = json!({"fromBlock": "0x1", "topics": [B256::repeat_byte(8)]});
    let all = json!({"fromBlock": "0x1"});
    let blocks = vec![vec![event(1, &[1])]; 6];
    let refusal = |to: u32| {
        let text = "Query has to read more than one request may.";
        (INVALID_PARAMS, format!("{text} Try with this block range [0x1, {to:#x}]."))
    };
    let config = ApiConfig { log_blocks_max: 4, ..ApiConfig::default() };
    let world = world_with(config, &blocks);
    assert_eq!(world.error("eth_getLogs", json!([all])), refusal(4));
    assert_eq!(ask(&world, json!({"fromBlock": "0x1", "toBlock": "0x4"})).len(), 4);
    assert_eq!(ask(&world, none.clone()), [], "the index knows that there are none");

    let config = ApiConfig { log_rows_max: 4, ..ApiConfig::default() };
    let world = world_with(config, &blocks);
    let mut some = json!({"fromBlock": "0x1", "topics": [B256::repeat_byte(1)]});
    assert_eq!(world.error("eth_getLogs", json!([some])), refusal(4));
    some["toBlock"] = json!("0x4");
    assert_eq!(ask(&world, some).len(), 4);

    let config = ApiConfig { log_events_max: 3, ..ApiConfig::default() };
    let world = world_with(config, &blocks);
    assert_eq!(world.error("eth_getLogs", json!([all])), refusal(3));
    assert_eq!(ask(&world, none), [], "nothing is read where the index names nothing");
}

fn config() -> Config {
    Config {
        cases: 128,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..Config::default()
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    (0..3_u8, vec(0..3_u8, 0..=4)).prop_map(|(address, topics)| event(address, &topics))
}

/// Values to choose from: any, one, or a list.
fn any_choice() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(0..4_u8, 0..=2))
}

fn allows(choice: &Option<Vec<u8>>, value: Option<&[u8]>) -> bool {
    match choice.as_deref() {
        None | Some([]) => true,
        Some(wanted) => value.is_some_and(|value| wanted.contains(&value[0])),
    }
}

/// A single value is also written without a list.
fn written(choice: &Option<Vec<u8>>, write: impl Fn(u8) -> Value) -> Value {
    match choice.as_deref() {
        None => Value::Null,
        Some([one]) => write(*one),
        Some(many) => many.iter().map(|value| write(*value)).collect(),
    }
}

/// Indices of the logs that a naive filter finds in blocks from 1 on.
fn naive(
    blocks: &[Vec<Event>],
    range: (u32, u32),
    address: &Option<Vec<u8>>,
    topics: &[Option<Vec<u8>>],
) -> Vec<(u32, u32)> {
    (1..)
        .zip(blocks)
        .filter(|(number, _)| (range.0..=range.1).contains(number))
        .flat_map(|(number, events)| {
            (0..).zip(events).map(move |(index, event)| (number, index, event))
        })
        .filter(|(_, _, event)| {
            allows(address, Some(event.address.as_slice()))
                && topics.iter().enumerate().all(|(index, choice)| {
                    allows(choice, event.topics.get(index).map(|topic| topic.as_slice()))
                })
        })
        .map(|(number, index, _)| (number, index))
        .collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn logs_are_those_of_a_naive_filter(
        blocks in vec(vec(any_event(), 0..=4), 1..=6),
        range in (0..8_u32, 0..8_u32),
        address in any_choice(),
        topics in vec(any_choice(), 0..=4),
    ) {
        let world = world_with(ApiConfig::default(), &blocks);
        let expected = naive(&blocks, range, &address, &topics);
        let by_topic = |choice| written(choice, |topic| json!(B256::repeat_byte(topic)));
        let filter = json!({
            "fromBlock": format!("{:#x}", range.0),
            "toBlock": format!("{:#x}", range.1),
            "address": written(&address, |address| json!(Address::repeat_byte(address))),
            "topics": topics.iter().map(by_topic).collect::<Vec<_>>(),
        });
        prop_assert_eq!(ask(&world, filter), at(&expected));
    }
}

/// Genesis, and a sealed batch for each block with the given events.
fn sealed_world(blocks: &[Vec<Event>]) -> World {
    let mut world = World::new(ApiConfig::default());
    world.persist_genesis(&genesis(Vec::new()));
    extend(&mut world, 1, 0, blocks);
    world
}

/// Adds blocks from `first` on, each a batch of its own; `salt` makes their hashes.
fn extend(world: &mut World, first: u32, salt: u8, blocks: &[Vec<Event>]) {
    for (number, events) in (first..).zip(blocks) {
        let tx = |(index, event): (u8, &Event)| {
            (l2_tx(index, TxType::Eip1559), receipt(vec![event.clone()]))
        };
        let transactions = (0..).zip(events).map(tx).collect();
        let mut block = Block { number, batch: number, transactions, ..Block::default() }.record();
        block.header.hash.0[0] = salt;
        world.persist(&block, Some(&batch(number, [number, number], &[])));
    }
}

proptest! {
    #![proptest_config(config())]

    /// Answers are asked for before the rollback too, so that whatever is kept of them would show.
    #[test]
    fn logs_after_a_rollback_are_those_of_the_chain_that_is_there(
        blocks in vec(vec(any_event(), 0..=4), 1..=6),
        keep in any::<prop::sample::Index>(),
        others in vec(vec(any_event(), 0..=4), 0..=6),
        address in any_choice(),
        topics in vec(any_choice(), 0..=2),
    ) {
        let mut world = sealed_world(&blocks);
        let by_topic = |choice| written(choice, |topic| json!(B256::repeat_byte(topic)));
        let filter = json!({
            "fromBlock": "0x0",
            "address": written(&address, |address| json!(Address::repeat_byte(address))),
            "topics": topics.iter().map(by_topic).collect::<Vec<_>>(),
        });
        let all = (0, u32::MAX);
        let before = naive(&blocks, all, &address, &topics);
        prop_assert_eq!(ask(&world, filter.clone()), at(&before));

        let keep = keep.index(blocks.len());
        let kept = u32::try_from(keep).unwrap();
        world.roll_back(L1BatchNumber(kept));
        extend(&mut world, kept + 1, 9, &others);
        let blocks = [&blocks[..keep], &others].concat();
        let after = naive(&blocks, all, &address, &topics);
        prop_assert_eq!(ask(&world, filter.clone()), at(&after));
        for log in world.ask("eth_getLogs", json!([filter])).as_array().unwrap() {
            let block = world.ask("eth_getBlockByNumber", json!([log["blockNumber"], false]));
            prop_assert_eq!(&log["blockHash"], &block["hash"]);
        }
    }
}

#[test]
fn a_log_says_which_batch_it_is_in_once_that_is_sealed() {
    let mut world = World::new(ApiConfig::default());
    world.persist_genesis(&genesis(Vec::new()));
    let block = |number| {
        let transactions = vec![(l2_tx(9, TxType::Eip1559), receipt(vec![event(1, &[1])]))];
        Block { number, batch: 1, transactions, ..Block::default() }.record()
    };
    let batch_of = |world: &World| {
        let logs = world.ask("eth_getLogs", json!([{"fromBlock": "0x1", "toBlock": "0x1"}]));
        let block = world.ask("eth_getBlockByNumber", json!(["0x1", true]));
        assert_eq!(logs[0]["l1BatchNumber"], block["l1BatchNumber"]);
        logs[0]["l1BatchNumber"].clone()
    };
    world.persist(&block(1), None);
    assert_eq!(batch_of(&world), Value::Null);
    assert_eq!(batch_of(&world), Value::Null, "what is kept says the same");
    world.persist(&block(2), Some(&batch(1, [1, 2], &[])));
    assert_eq!(batch_of(&world), json!("0x1"));
    assert_eq!(batch_of(&world), json!("0x1"));
    world.roll_back(L1BatchNumber(0));
    assert_eq!(ask(&world, json!({"fromBlock": "0x0"})), []);
}
