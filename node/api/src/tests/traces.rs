//! Traces of stored transactions and of calls.

use lockstep_types::{Address, B256, StorageSlot, address::BOOTLOADER};
use lockstep_vm::SimulationEnd;
use lockstep_vm_toy::{Op, Program, gas};
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT},
    toy::{Probe, Setup, Toy, read_five, word},
};

const GAS: u64 = 10_000;

fn hex(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

/// What the toy shows of a transaction of its chain.
fn expected_tree(ops: &[Op], failed: bool) -> Value {
    let ran: u64 = u64::try_from(ops.len()).unwrap() * gas::OP + gas::TX;
    let used = if failed { hex(0) } else { hex(ran) };
    let reason = if failed { json!("the program reverts") } else { Value::Null };
    let input = Program(ops.to_vec()).encode();
    json!({
        "type": "call",
        "from": Address::ZERO,
        "to": BOOTLOADER,
        "gas": hex(GAS),
        "gasUsed": used,
        "value": "0x11",
        "output": "0x",
        "input": input,
        "error": if failed { json!("Bootloader-based tx failed") } else { Value::Null },
        "revertReason": reason,
        "calls": [{
            "type": "call",
            "from": ALICE,
            "to": CONTRACT,
            "gas": hex(GAS),
            "gasUsed": used,
            "value": "0x11",
            "output": "0x",
            "input": input,
            "error": null,
            "revertReason": reason,
            "calls": [],
        }],
    })
}

const ADD: [Op; 1] = [Op::Add { key: 5, amount: 1 }];
const UNDONE: [Op; 2] = [Op::Write { key: 5, value: 99 }, Op::Revert];

#[test]
fn calls_of_a_transaction_are_shown_as_a_tree() {
    let toy = Toy::new(Setup::default());
    let used = toy.world.ask("eth_getTransactionReceipt", json!([toy.tx_hash(2, 1)]));
    let mut undone = expected_tree(&UNDONE, true);
    undone["gasUsed"] = used["gasUsed"].clone();
    undone["calls"][0]["gasUsed"] = used["gasUsed"].clone();
    for (index, mut expected) in [(0, expected_tree(&ADD, false)), (1, undone)] {
        let hash = toy.tx_hash(2, index);
        for options in [json!(null), json!({}), json!({"tracer": "callTracer"})] {
            let shown = toy.world.ask("debug_traceTransaction", json!([hash, options]));
            assert_eq!(shown, expected);
        }
        let only = json!({"tracer": "callTracer", "tracerConfig": {"onlyTopCall": true}});
        expected["calls"] = json!([]);
        assert_eq!(toy.world.ask("debug_traceTransaction", json!([hash, only])), expected);
    }
}

#[test]
fn a_transaction_of_the_open_batch_is_traced_too() {
    let toy = Toy::new(Setup::default());
    let shown = toy.world.ask("debug_traceTransaction", json!([toy.tx_hash(6, 0)]));
    assert_eq!(shown, expected_tree(&ADD, false));
    let unknown = json!([B256::repeat_byte(0x99)]);
    assert_eq!(toy.world.ask("debug_traceTransaction", unknown), Value::Null);
}

#[test]
fn calls_of_a_transaction_are_shown_as_a_list() {
    let toy = Toy::new(Setup::default());
    let hash = toy.tx_hash(2, 1);
    let options = json!({"tracer": "flatCallTracer"});
    let shown = toy.world.ask("debug_traceTransaction", json!([hash, options]));
    let call = |from: Address, to: Address, subtraces: usize, path: Value| {
        json!({
            "action": {
                "callType": "call", "from": from, "to": to, "gas": hex(GAS), "value": "0x11",
                "input": Program(UNDONE.to_vec()).encode(),
            },
            "result": null,
            "subtraces": subtraces,
            "error": "the program reverts",
            "traceAddress": path,
            "transactionPosition": 1,
            "transactionHash": hash,
            "blockNumber": 2,
            "blockHash": toy.hash(2),
            "type": "call",
        })
    };
    let root = call(Address::ZERO, BOOTLOADER, 1, json!([1]));
    assert_eq!(shown, json!([root, call(ALICE, CONTRACT, 0, json!([1, 0]))]));
    let done = toy.world.ask("debug_traceTransaction", json!([toy.tx_hash(2, 0), options]));
    let result = json!({"output": "0x", "gasUsed": hex(gas::TX + gas::OP)});
    assert_eq!((&done[0]["result"], &done[0]["error"]), (&result, &Value::Null));
    let only = json!({"tracer": "flatCallTracer", "tracerConfig": {"onlyTopCall": true}});
    let shown = toy.world.ask("debug_traceTransaction", json!([hash, only]));
    assert_eq!(shown, json!([root]));
}

#[test]
fn a_block_shows_all_its_transactions() {
    let toy = Toy::new(Setup::default());
    let one = |index, options: &Value| {
        toy.world.ask("debug_traceTransaction", json!([toy.tx_hash(2, index), options]))
    };
    let tree = json!({"tracer": "callTracer"});
    let expected = json!([{"result": one(0, &tree)}, {"result": one(1, &tree)}]);
    assert_eq!(toy.world.ask("debug_traceBlockByNumber", json!(["0x2", tree])), expected);
    assert_eq!(toy.world.ask("debug_traceBlockByHash", json!([toy.hash(2), tree])), expected);
    for tracer in ["flatCallTracer", "prestateTracer"] {
        let options = json!({"tracer": tracer});
        let expected = json!([
            {"txHash": toy.tx_hash(2, 0), "result": one(0, &options)},
            {"txHash": toy.tx_hash(2, 1), "result": one(1, &options)},
        ]);
        assert_eq!(toy.world.ask("debug_traceBlockByNumber", json!(["0x2", options])), expected);
    }
    for empty in ["0x0", "0x3", "0x5", "pending", "earliest"] {
        assert_eq!(toy.world.ask("debug_traceBlockByNumber", json!([empty])), json!([]));
    }
    let text = "Block with such an ID doesn't exist yet".to_owned();
    let error = toy.world.error("debug_traceBlockByNumber", json!(["0x7"]));
    assert_eq!(error, (-32_602, text.clone()));
    let error = toy.world.error("debug_traceBlockByHash", json!([B256::repeat_byte(9)]));
    assert_eq!(error, (-32_602, text));
}

#[test]
fn accounts_are_shown_as_they_were_before() {
    let toy = Toy::new(Setup::default());
    let options = json!({"tracer": "prestateTracer"});
    let shown = toy.world.ask("debug_traceTransaction", json!([toy.tx_hash(2, 0), options]));
    let (alice, contract) = (ALICE.to_string().to_lowercase(), CONTRACT.to_string().to_lowercase());
    assert_eq!(shown[&alice], json!({"balance": "0x64", "nonce": 1}));
    let storage = json!({word(5).to_string(): word(10)});
    assert_eq!(shown[&contract], json!({"balance": "0x0", "storage": storage}));
    let nonces = StorageSlot::nonces(ALICE);
    let holder = &shown[nonces.address.to_string().to_lowercase()];
    assert_eq!(holder["storage"], json!({nonces.key.to_string(): word(1)}));
    let config = json!({"disableStorage": true, "disableCode": true});
    let options = json!({"tracer": "prestateTracer", "tracerConfig": config});
    let shown = toy.world.ask("debug_traceTransaction", json!([toy.tx_hash(2, 0), options]));
    assert_eq!(shown[&contract], json!({"balance": "0x0"}));
}

#[test]
fn what_changed_is_shown_before_and_after() {
    let toy = Toy::new(Setup::default());
    let options = json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}});
    let ask = |block, index| {
        toy.world.ask("debug_traceTransaction", json!([toy.tx_hash(block, index), options]))
    };
    let (alice, contract) = (ALICE.to_string().to_lowercase(), CONTRACT.to_string().to_lowercase());
    let five = |value| json!({word(5).to_string(): word(value)});
    let done = ask(2, 0);
    assert_eq!(done["pre"][&alice], json!({"balance": "0x64", "nonce": 1}));
    assert_eq!(done["post"][&alice], json!({"nonce": 2}));
    assert_eq!(done["pre"][&contract], json!({"balance": "0x0", "storage": five(10)}));
    assert_eq!(done["post"][&contract], json!({"storage": five(11)}));
    // The slot was empty before, and so was the account.
    let first = ask(1, 0);
    assert_eq!(first["pre"].get(&contract), None);
    assert_eq!(first["post"][&contract], json!({"storage": five(10)}));
    // What was undone did not change.
    let undone = ask(2, 1);
    assert_eq!((undone["pre"].get(&contract), undone["post"].get(&contract)), (None, None));
    assert_eq!(undone["post"][&alice], json!({"nonce": 3}));
}

#[test]
fn tracers_that_nobody_knows_are_refused() {
    let toy = Toy::new(Setup::default());
    let options = json!({"tracer": "4byteTracer"});
    let text = "tracer `4byteTracer` is not known: use callTracer, flatCallTracer, \
                prestateTracer or structLog";
    for (method, params) in [
        ("debug_traceTransaction", json!([toy.tx_hash(1, 0), options])),
        ("debug_traceBlockByNumber", json!(["0x1", options])),
        ("debug_traceCall", json!([read_five(), "0x1", options])),
    ] {
        assert_eq!(toy.world.error(method, params), (-32_602, text.to_owned()), "{method}");
    }
}

#[test]
fn a_call_is_shown_as_the_bootloader_makes_it() {
    let toy = Toy::new(Setup::default());
    let mut request = read_five();
    request["from"] = json!(ALICE);
    let shown = toy.world.ask("debug_traceCall", json!([request, "0x1"]));
    let gas_used = hex(gas::TX + gas::OP);
    let all = hex(1 << 50);
    let call = |from: Address, to: Address, calls: Value| {
        json!({
            "type": "call", "from": from, "to": to, "gas": all, "gasUsed": gas_used,
            "value": "0x0", "output": word(10), "input": request["data"], "error": null,
            "revertReason": null, "calls": calls,
        })
    };
    let inner = call(ALICE, CONTRACT, json!([]));
    assert_eq!(shown, call(Address::ZERO, BOOTLOADER, json!([inner])));
    let overrides = json!({CONTRACT.to_string(): {"stateDiff": {word(5).to_string(): word(77)}}});
    let options = json!({"tracer": "flatCallTracer", "stateOverrides": overrides});
    let flat = toy.world.ask("debug_traceCall", json!([request, null, options]));
    assert_eq!(flat[1]["traceAddress"], json!([0, 0]));
    assert_eq!(flat[0]["result"]["output"], json!(word(77)));
    let write = Program(vec![Op::Write { key: 5, value: 3 }]).encode();
    let request = json!({"from": ALICE, "to": CONTRACT, "data": write});
    let options = json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}});
    let diff = toy.world.ask("debug_traceCall", json!([request, "0x1", options]));
    let contract = CONTRACT.to_string().to_lowercase();
    assert_eq!(diff["post"][&contract]["storage"], json!({word(5).to_string(): word(3)}));
    assert_eq!(diff["pre"][&contract]["storage"], json!({word(5).to_string(): word(10)}));
}

#[test]
fn a_call_that_reverts_shows_why_and_one_that_cannot_run_is_an_error() {
    let probe = Probe::new();
    let toy = probe.toy();
    let ask = |end| {
        probe.with(|probed| probed.end = Some(end));
        toy.world.call("debug_traceCall", &json!([{"gas": "0x64"}, "latest"]))
    };
    let data = lockstep_types::Bytes::from_static(&[1, 2, 3, 4, 5]);
    let unknown = &ask(SimulationEnd::Reverted { reason: None, data: data.clone() })["result"];
    let text = "Error function_selector = 0x01020304, data = 0x0102030405";
    assert_eq!((&unknown["revertReason"], &unknown["output"]), (&json!(text), &json!("0x")));
    assert_eq!((&unknown["gas"], &unknown["gasUsed"]), (&json!("0x64"), &json!("0x4d")));
    let known = ask(SimulationEnd::Reverted { reason: Some("plain reason".to_owned()), data });
    assert_eq!(known["result"]["revertReason"], json!("plain reason"));
    assert_eq!(known["result"]["error"], Value::Null);
    let refused = ask(SimulationEnd::Refused { message: "no".to_owned() });
    assert_eq!(refused["error"], json!({"code": 3, "message": "no", "data": "0x"}));
}
