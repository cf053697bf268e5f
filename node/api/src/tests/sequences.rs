//! Calls that follow each other, and what a call touches.

use lockstep_types::{Address, StorageSlot};
use lockstep_vm_toy::{Op, Program};
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT},
    toy::{Setup, Toy, read_five, word},
};
use crate::ApiConfig;

const INVALID_PARAMS: i64 = -32_602;

fn run(ops: &[Op]) -> Value {
    json!({"from": ALICE, "to": CONTRACT, "data": Program(ops.to_vec()).encode()})
}

/// Adds to slot 5 and returns what it holds then.
fn add(amount: u64) -> Value {
    run(&[Op::Add { key: 5, amount }, Op::Return { key: 5 }])
}

fn undone() -> Value {
    run(&[Op::Write { key: 5, value: 99 }, Op::Revert])
}

#[test]
fn calls_of_bundles_see_what_those_before_them_changed() {
    let toy = Toy::new(Setup::default());
    let bundles = json!([
        {"transactions": [add(1), undone(), add(2)]},
        {"transactions": [read_five()], "blockOverride": {"number": "0x64"}},
        {},
    ]);
    let answer = toy.world.ask("eth_callMany", json!([bundles, {"blockNumber": "0x1"}]));
    let failed = json!({"error": "execution reverted: the program reverts"});
    let value = |number| json!({"value": word(number)});
    assert_eq!(answer, json!([[value(11), failed, value(13)], [value(13)], []]));
    // Nothing of it was stored.
    assert_eq!(toy.world.ask("eth_call", json!([read_five(), "0x1"])), json!(word(10)));
}

#[test]
fn bundles_begin_before_or_after_the_transactions_of_a_block() {
    let toy = Toy::new(Setup::default());
    let bundles = json!([{"transactions": [read_five()]}]);
    let at = |context: Value| {
        toy.world.call("eth_callMany", &json!([bundles, context]))["result"][0][0]["value"].clone()
    };
    assert_eq!(at(json!({"blockNumber": "0x2", "transactionIndex": 0})), json!(word(10)));
    for index in [json!(-1), json!(null), json!(2)] {
        let context = json!({"blockNumber": "0x2", "transactionIndex": index});
        assert_eq!(at(context), json!(word(11)));
    }
    assert_eq!(at(json!({"blockNumber": {"blockHash": toy.hash(4)}})), json!(word(12)));
    assert_eq!(at(json!(null)), json!(word(13)));
    let within = json!([bundles, {"blockNumber": "0x2", "transactionIndex": 1}]);
    let (code, message) = toy.world.error("eth_callMany", within);
    assert_eq!(code, INVALID_PARAMS);
    assert!(message.contains("use 0 for the state before"), "{message}");
    let slots = json!({word(5).to_string(): word(50)});
    let overrides = json!({CONTRACT.to_string(): {"stateDiff": slots}});
    let answer = toy.world.ask("eth_callMany", json!([bundles, null, overrides]));
    assert_eq!(answer[0][0]["value"], json!(word(50)));
}

#[test]
fn more_calls_than_one_request_may_make_are_refused_before_any_is_made() {
    let toy = Toy::new(Setup::default());
    let many = |count: usize| json!([[{"transactions": vec![json!({}); count]}]]);
    for method in ["eth_callMany", "debug_traceCallMany"] {
        let (code, message) = toy.world.error(method, many(1_001));
        assert_eq!((code, message.contains("at most 1000")), (INVALID_PARAMS, true), "{message}");
    }
}

#[test]
fn traces_of_bundles_follow_each_other_and_fit_in_memory_together() {
    let toy = Toy::new(Setup::default());
    let bundles = json!([{"transactions": [add(1), undone()]}, {"transactions": [add(2)]}]);
    let options = json!({"tracer": "callTracer"});
    let answer =
        toy.world.ask("debug_traceCallMany", json!([bundles, {"blockNumber": "0x1"}, options]));
    assert_eq!(answer[0][0]["output"], json!(word(11)));
    assert_eq!(answer[0][1]["revertReason"], json!("the program reverts"));
    assert_eq!(answer[1][0]["output"], json!(word(13)));
    let prestate = json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}});
    let answer =
        toy.world.ask("debug_traceCallMany", json!([bundles, {"blockNumber": "0x1"}, prestate]));
    let contract = CONTRACT.to_string().to_lowercase();
    let slot = &answer[1][0]["pre"][&contract]["storage"][word(5).to_string()];
    assert_eq!(*slot, json!(word(11)));
    let config = ApiConfig { replay_bytes_max: 500, ..ApiConfig::default() };
    let toy = Toy::new(Setup { config, ..Setup::default() });
    let (code, message) = toy.world.error("debug_traceCallMany", json!([bundles]));
    assert_eq!((code, message.contains("fewer at once")), (INVALID_PARAMS, true), "{message}");
}

#[test]
fn an_access_list_has_the_slots_that_a_call_touches() {
    let toy = Toy::new(Setup::default());
    let touching = run(&[Op::Write { key: 6, value: 1 }, Op::Add { key: 5, amount: 1 }]);
    let list = toy.world.ask("eth_createAccessList", json!([touching, "latest"]));
    let keys = json!([word(5), word(6)]);
    assert_eq!(list["accessList"], json!([{"address": CONTRACT, "storageKeys": keys}]));
    assert!(list.get("error").is_none() && list["gasUsed"] != json!("0x0"), "{list}");
    let failing = toy.world.ask("eth_createAccessList", json!([undone()]));
    assert_eq!(failing["error"], json!("execution reverted: the program reverts"));
    // What is in system contracts is touched by every call, and not worth a word.
    let balances = StorageSlot::balance(Address::ZERO).address;
    let system =
        json!({"to": balances, "data": Program(vec![Op::Write { key: 1, value: 1 }]).encode()});
    let list = toy.world.ask("eth_createAccessList", json!([system]));
    assert_eq!(list["accessList"], json!([]));
}

#[test]
fn a_transaction_is_filled_with_what_it_lacks() {
    let toy = Toy::new(Setup::default());
    let filled = toy.world.ask("eth_fillTransaction", json!([add(1)]));
    let tx = &filled["tx"];
    let nonce = toy.world.ask("eth_getTransactionCount", json!([ALICE, "latest"]));
    let price = toy.world.ask("eth_gasPrice", json!([]));
    let gas = toy.world.ask("eth_estimateGas", json!([add(1)]));
    assert_eq!([&tx["nonce"], &tx["maxFeePerGas"], &tx["gas"]], [&nonce, &price, &gas]);
    assert_eq!([&tx["type"], &tx["maxPriorityFeePerGas"]], [&json!("0x2"), &json!("0x0")]);
    assert_eq!(tx["chainId"], json!("0x10e"));
    assert!(filled["raw"].as_str().unwrap().starts_with("0x02"));
    let named = json!({
        "from": ALICE, "to": CONTRACT, "gas": "0x5208", "gasPrice": "0x7", "nonce": "0x9",
        "value": "0x1",
    });
    let filled = toy.world.ask("eth_fillTransaction", json!([named]));
    let tx = &filled["tx"];
    let shown = [&tx["type"], &tx["gasPrice"], &tx["nonce"], &tx["gas"]];
    assert_eq!(shown.map(|value| value.as_str().unwrap()), ["0x0", "0x7", "0x9", "0x5208"]);
    assert!(tx.get("maxFeePerGas").is_none());
    for (request, word) in [(json!({}), "from"), (json!({"from": ALICE, "type": "0x71"}), "0x71")] {
        let (code, message) = toy.world.error("eth_fillTransaction", json!([request]));
        assert_eq!((code, message.contains(word)), (INVALID_PARAMS, true), "{message}");
    }
}
