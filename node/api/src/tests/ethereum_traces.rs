//! `trace_*`: transactions as Ethereum would have made them.

use lockstep_types::{Address, B256, address::BOOTLOADER};
use lockstep_vm_toy::{Op, Program, evm_account};
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT},
    toy::{Setup, Toy, word},
};
use crate::ApiConfig;

const INVALID_PARAMS: i64 = -32_602;
const ADD: [Op; 1] = [Op::Add { key: 5, amount: 1 }];
const UNDONE: [Op; 2] = [Op::Write { key: 5, value: 99 }, Op::Revert];

fn item(toy: &Toy, (block, index): (u32, usize), ops: &[Op], result: Value) -> Value {
    let mut item = json!({
        "action": {
            "callType": "call", "from": ALICE, "gas": "0x2710",
            "input": Program(ops.to_vec()).encode(), "to": CONTRACT, "value": "0x11",
        },
        "blockHash": toy.hash(block),
        "blockNumber": block,
        "result": result,
        "subtraces": 0,
        "traceAddress": [],
        "transactionHash": toy.tx_hash(block, index),
        "transactionPosition": index,
        "type": "call",
    });
    if result.is_null() {
        item["error"] = json!("Reverted");
    }
    item
}

/// All items of block 2.
fn of_block_two(toy: &Toy) -> Value {
    let used = toy.world.ask("eth_getTransactionReceipt", json!([toy.tx_hash(2, 0)]));
    let result = json!({"gasUsed": used["gasUsed"], "output": "0x"});
    json!([item(toy, (2, 0), &ADD, result), item(toy, (2, 1), &UNDONE, Value::Null)])
}

#[test]
fn a_transaction_begins_with_its_own_call() {
    let toy = Toy::new(Setup::default());
    let expected = of_block_two(&toy);
    assert_eq!(toy.world.ask("trace_block", json!(["0x2"])), expected);
    assert_eq!(toy.world.ask("trace_block", json!([toy.hash(2)])), expected);
    for index in [0, 1] {
        let hash = toy.tx_hash(2, index);
        let shown = toy.world.ask("trace_transaction", json!([hash]));
        assert_eq!(shown, json!([expected[index]]));
        assert_eq!(toy.world.ask("trace_get", json!([hash, []])), expected[index]);
        assert_eq!(toy.world.ask("trace_get", json!([hash, ["0x0"]])), Value::Null);
    }
    assert_eq!(toy.world.ask("trace_block", json!(["0x3"])), json!([]));
    for unknown in [("trace_block", json!(["0x9"])), ("trace_transaction", json!([B256::ZERO]))] {
        assert_eq!(toy.world.ask(unknown.0, unknown.1), Value::Null);
    }
}

#[test]
fn a_replay_shows_the_sides_that_are_asked_for() {
    let toy = Toy::new(Setup::default());
    let hash = toy.tx_hash(2, 0);
    let both = json!(["trace", "stateDiff"]);
    let shown = toy.world.ask("trace_replayTransaction", json!([hash, both]));
    let contract = CONTRACT.to_string().to_lowercase();
    let slot = &shown["stateDiff"][&contract]["storage"][word(5).to_string()];
    assert_eq!(*slot, json!({"*": {"from": word(10), "to": word(11)}}));
    assert_eq!(shown["stateDiff"][&contract]["balance"], json!("="));
    let alice = ALICE.to_string().to_lowercase();
    let nonce = &shown["stateDiff"][&alice]["nonce"]["*"];
    assert!(nonce["from"].is_string() && nonce["to"].is_string(), "{shown}");
    assert_eq!(shown["trace"][0]["traceAddress"], json!([]));
    assert!(shown["trace"][0].get("blockHash").is_none() && shown["vmTrace"].is_null());
    let all = toy.world.ask("trace_replayBlockTransactions", json!(["0x2", ["trace"]]));
    assert_eq!(all[0]["trace"], shown["trace"]);
    assert_eq!(all[0]["transactionHash"], json!(hash));
    assert!(all[0]["stateDiff"].is_null());
    assert_eq!(all[1]["trace"][0]["error"], json!("Reverted"));
    let (code, message) = toy.world.error("trace_replayTransaction", json!([hash, ["vmTrace"]]));
    assert_eq!((code, message.contains("stateDiff")), (INVALID_PARAMS, true), "{message}");
    assert_eq!(
        toy.world.error("trace_replayTransaction", json!([hash, ["steps"]])).0,
        INVALID_PARAMS
    );
}

#[test]
fn calls_are_traced_alone_and_one_after_the_other() {
    let toy = Toy::new(Setup::default());
    let data = Program(vec![ADD[0], Op::Return { key: 5 }]).encode();
    let call = json!({"from": ALICE, "to": CONTRACT, "data": data});
    let one = toy.world.ask("trace_call", json!([call, ["trace", "stateDiff"], "0x1"]));
    assert_eq!(one["output"], json!(word(11)));
    assert_eq!(one["trace"][0]["result"]["output"], json!(word(11)));
    assert_eq!(one["trace"].as_array().unwrap().len(), 1);
    let many = json!([[[call, ["trace"]], [call, []]], "0x1"]);
    let many = toy.world.ask("trace_callMany", many);
    assert_eq!([&many[0]["output"], &many[1]["output"]], [&json!(word(11)), &json!(word(12))]);
    assert_eq!(many[1]["trace"], json!([]));
    let deploy = json!({"from": ALICE, "data": "0x6001"});
    let shown = toy.world.ask("trace_call", json!([deploy, ["stateDiff"]]));
    let account = evm_account(ALICE, lockstep_types::U256::ZERO).to_string().to_lowercase();
    assert_eq!(shown["stateDiff"][&account]["code"], json!({"+": "0x6001"}), "{shown}");
}

#[test]
fn a_filter_finds_calls_of_a_range_by_their_ends() {
    let toy = Toy::new(Setup::default());
    let find = |filter: Value| toy.world.ask("trace_filter", json!([filter]));
    let all = find(json!({"fromBlock": "0x1", "toBlock": "latest"}));
    let places = |found: &Value| {
        let place = |item: &Value| {
            [item["blockNumber"].as_u64().unwrap(), item["transactionPosition"].as_u64().unwrap()]
        };
        found.as_array().unwrap().iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(places(&all), [[1, 0], [2, 0], [2, 1], [4, 0], [6, 0]]);
    let page = json!({"fromBlock": "earliest", "after": 1, "count": 2});
    assert_eq!(places(&find(page)), [[2, 0], [2, 1]]);
    let some = json!({"fromBlock": "0x2", "toBlock": "0x3", "fromAddress": [ALICE]});
    assert_eq!(places(&find(some)), [[2, 0], [2, 1]]);
    let none = json!({"fromBlock": "0x1", "toAddress": [Address::repeat_byte(9)]});
    assert_eq!(find(none), json!([]));
    // The bootloader is not among what Ethereum would have called.
    assert_eq!(find(json!({"fromBlock": "0x1", "fromAddress": [BOOTLOADER]})), json!([]));
    assert_eq!(places(&find(json!({}))), [[6, 0]]);
    let config = ApiConfig { logs_max: 2, ..ApiConfig::default() };
    let toy = Toy::new(Setup { config, ..Setup::default() });
    let (code, message) = toy.world.error("trace_filter", json!([{"fromBlock": "0x1"}]));
    assert_eq!(
        (code, message.contains("`after` and `count`")),
        (INVALID_PARAMS, true),
        "{message}"
    );
}

#[test]
fn a_filter_of_too_many_batches_says_which_range_can_be_had() {
    let mut toy = Toy::new(Setup::default());
    toy.end();
    for _ in 0..100 {
        toy.block(&[&[Op::Add { key: 5, amount: 1 }]]);
        toy.end();
    }
    let head = toy.world.ask("eth_blockNumber", json!([]));
    assert_eq!(head, json!("0xcf"));
    let (code, message) = toy.world.error("trace_filter", json!([{"fromBlock": "0x1"}]));
    assert_eq!(code, INVALID_PARAMS);
    let hint = message.rsplit('[').next().unwrap().trim_end_matches("].").to_owned();
    let ends: Vec<&str> = hint.split(", ").collect();
    assert_eq!(ends[0], "0x1", "{message}");
    let last = u32::from_str_radix(ends[1].trim_start_matches("0x"), 16).unwrap();
    assert!((150..0xcf).contains(&last), "{message}");
    // A transaction of these has one call each.
    let count = |block: u32| {
        let asked = json!([format!("{block:#x}")]);
        let count = toy.world.ask("eth_getBlockTransactionCountByNumber", asked);
        usize::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let txs: usize = (1..=last).map(count).sum();
    let range = json!([{"fromBlock": ends[0], "toBlock": ends[1]}]);
    assert_eq!(toy.world.ask("trace_filter", range).as_array().unwrap().len(), txs);
}
