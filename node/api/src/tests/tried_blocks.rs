//! `eth_simulateV1`.

use lockstep_types::{
    Address, B256, L2BlockHash, L2BlockNumber, ProtocolVersion, StorageSlot, TxHash, U256,
    UnixSeconds,
    block::{BlockHashInput, block_hash},
};
use lockstep_vm_toy::{Op, Program, evm_account};
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT},
    toy::{Probe, Setup, Toy, read_five, word},
};

const INVALID_PARAMS: i64 = -32_602;

fn run(ops: &[Op]) -> Value {
    json!({"from": ALICE, "to": CONTRACT, "data": Program(ops.to_vec()).encode()})
}

fn add() -> Value {
    run(&[Op::Add { key: 5, amount: 1 }, Op::Return { key: 5 }])
}

fn simulate(toy: &Toy, blocks: Value) -> Value {
    toy.world.ask("eth_simulateV1", json!([{"blockStateCalls": blocks}, "latest"]))
}

fn hash(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn blocks_follow_the_one_that_is_named_and_each_other() {
    let toy = Toy::new(Setup::default());
    let blocks = simulate(&toy, json!([{"calls": [add(), add()]}, {"calls": [read_five()]}, {}]));
    let blocks = blocks.as_array().unwrap();
    let numbers: Vec<_> = blocks.iter().map(|block| block["number"].clone()).collect();
    assert_eq!(numbers, ["0x7", "0x8", "0x9"]);
    let times: Vec<_> = blocks.iter().map(|block| block["timestamp"].clone()).collect();
    assert_eq!(times, [1_007, 1_008, 1_009].map(|time| json!(format!("{time:#x}"))));
    let outputs = |block: &Value| {
        let calls = block["calls"].as_array().unwrap();
        calls.iter().map(|call| call["returnData"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(outputs(&blocks[0]), [14, 15].map(|value| json!(word(value))));
    assert_eq!(outputs(&blocks[1]), [json!(word(15))]);
    let mut parent = toy.hash(6);
    for block in blocks {
        assert_eq!(hash(&block["parentHash"]), parent);
        let tx_hashes: Vec<_> =
            block["transactions"].as_array().unwrap().iter().map(hash).collect();
        let distinct: std::collections::BTreeSet<_> = tx_hashes.iter().collect();
        assert_eq!(distinct.len(), tx_hashes.len());
        let number = U256::from_str_radix(&block["number"].as_str().unwrap()[2..], 16).unwrap();
        let tx_hashes: Vec<_> = tx_hashes.into_iter().map(TxHash).collect();
        let expected = BlockHashInput {
            number: L2BlockNumber(number.to()),
            timestamp: UnixSeconds(1_000 + number.to::<u64>()),
            parent: L2BlockHash(parent),
            tx_hashes: &tx_hashes,
        };
        parent = hash(&block["hash"]);
        assert_eq!(parent, block_hash(&expected, ProtocolVersion(29)).0);
    }
}

#[test]
fn contracts_are_told_the_block_that_they_are_in() {
    let probe = Probe::new();
    let toy = probe.toy();
    let overrides = json!({"number": "0x9", "time": "0x1000", "baseFeePerGas": "0x3"});
    let blocks = simulate(&toy, json!([{"blockOverrides": overrides, "calls": [{}]}]));
    let env = probe.with(|probed| probed.env.take().unwrap());
    assert_eq!((env.block, env.block_timestamp), (L2BlockNumber(9), UnixSeconds(0x1000)));
    assert_eq!((env.base_fee_per_gas, env.block_info_before), (Some(3), None));
    // The blocks in between are there, and empty.
    assert_eq!(blocks.as_array().unwrap().len(), 3);
    assert_eq!(json!(env.parent.0), blocks[1]["hash"]);
    assert_eq!(blocks[2]["baseFeePerGas"], json!("0x3"));
    assert_eq!(blocks[1]["calls"], json!([]));
    // The system context knows the block before, as if it had been made.
    let context = StorageSlot::balance(ALICE).address;
    let context =
        Address::from_word((U256::from_be_bytes(context.into_word().0) + U256::from(1)).into());
    let slots = [9, 10, 11 + 7, 268].map(|key| StorageSlot::new(context, word(key)));
    probe.with(|probed| probed.slots = slots.to_vec());
    let blocks = simulate(&toy, json!([{"calls": [{}]}, {"calls": [{}]}]));
    let values = probe.with(|probed| std::mem::take(&mut probed.values));
    let info: U256 = (U256::from(7) << 128) | U256::from(1_007);
    assert_eq!(values[0], B256::from(info));
    assert_eq!(values[3], B256::from(info));
    assert_ne!(values[1], B256::ZERO);
    // Block 7 told the hash of block 6.
    let slot = StorageSlot::new(context, word(11 + 6));
    probe.with(|probed| probed.slots = vec![slot]);
    simulate(&toy, json!([{"calls": [{}]}, {"calls": [{}]}]));
    assert_eq!(probe.with(|probed| probed.values[0]), toy.hash(6));
    let env = probe.with(|probed| probed.env.take().unwrap());
    assert_eq!(json!(env.parent.0), blocks[0]["hash"]);
}

#[test]
fn a_call_that_fails_is_told_and_the_others_go_on() {
    let toy = Toy::new(Setup::default());
    let undone = run(&[Op::Write { key: 5, value: 99 }, Op::Revert]);
    let halted = run(&[Op::Halt]);
    let blocks = simulate(&toy, json!([{"calls": [undone, halted, read_five()]}]));
    let calls = &blocks[0]["calls"];
    let message = "execution reverted: the program reverts";
    let data = calls[0]["returnData"].clone();
    assert_eq!(calls[0]["error"], json!({"code": 3, "message": message, "data": data}));
    assert_eq!(calls[1]["error"], json!({"code": -32_015, "message": "the program halts"}));
    let states = [0, 1, 2].map(|index| calls[index]["status"].clone());
    assert_eq!(states, ["0x0", "0x0", "0x1"]);
    assert_eq!(calls[2]["returnData"], json!(word(13)));
}

#[test]
fn what_is_overridden_stays_so_in_later_blocks() {
    let toy = Toy::new(Setup::default());
    let slots = json!({word(5).to_string(): word(50)});
    let overrides = json!({CONTRACT.to_string(): {"stateDiff": slots}});
    let blocks = json!([
        {"calls": [add()]},
        {"stateOverrides": overrides, "calls": [add()]},
        {"calls": [add()]},
    ]);
    let blocks = simulate(&toy, blocks);
    let outputs = [0, 1, 2].map(|block| blocks[block]["calls"][0]["returnData"].clone());
    assert_eq!(outputs, [14, 51, 52].map(|value| json!(word(value))));
}

#[test]
fn code_that_a_call_deploys_is_there_for_the_next_one() {
    let toy = Toy::new(Setup::default());
    let deploy = json!({"from": ALICE, "data": "0x60016002"});
    let blocks = simulate(&toy, json!([{"calls": [deploy, deploy]}, {"calls": [read_five()]}]));
    assert_eq!(blocks[0]["calls"][0]["status"], json!("0x1"));
    // The toy makes the account from the nonce, and a call has none: it is the same both times.
    let account = evm_account(ALICE, U256::ZERO);
    let diff = json!([[[{"from": ALICE, "data": "0x60016002"}, ["stateDiff"]]]]);
    let results = toy.world.ask("trace_callMany", diff);
    let key = account.to_string().to_lowercase();
    let code = &results[0]["stateDiff"][&key]["code"];
    assert_eq!(*code, json!({"+": "0x60016002"}), "{results}");
}

#[test]
fn logs_are_numbered_in_their_block() {
    let toy = Toy::new(Setup::default());
    let emit = run(&[Op::Emit { topic: 1, data: 2 }, Op::Emit { topic: 3, data: 4 }]);
    let blocks = simulate(&toy, json!([{"calls": [emit, emit]}, {"calls": [emit]}]));
    let log = &blocks[0]["calls"][1]["logs"][1];
    assert_eq!(log["logIndex"], json!("0x3"));
    assert_eq!(log["transactionIndex"], json!("0x1"));
    assert_eq!(log["transactionHash"], blocks[0]["transactions"][1]);
    assert_eq!([&log["blockHash"], &log["blockNumber"]], [&blocks[0]["hash"], &json!("0x7")]);
    assert_eq!(blocks[1]["calls"][0]["logs"][0]["logIndex"], json!("0x0"));
    assert_ne!(blocks[0]["logsBloom"], blocks[1]["parentHash"]);
}

#[test]
fn whole_transactions_are_shown_on_demand() {
    let toy = Toy::new(Setup::default());
    let payload = json!({"blockStateCalls": [{"calls": [add()]}], "returnFullTransactions": true});
    let blocks = toy.world.ask("eth_simulateV1", json!([payload]));
    let tx = &blocks[0]["transactions"][0];
    assert_eq!((&tx["from"], &tx["to"]), (&json!(ALICE), &json!(CONTRACT)));
    assert_eq!([&tx["blockHash"], &tx["transactionIndex"]], [&blocks[0]["hash"], &json!("0x0")]);
    assert_eq!(tx["input"], add()["data"]);
}

#[test]
fn validated_transactions_have_the_right_nonce_and_can_pay() {
    let toy = Toy::new(Setup::default());
    let ask = |calls: Value| {
        let overrides = json!({ALICE.to_string(): {"balance": "0x1000000000000", "nonce": "0x5"}});
        let block = json!({"stateOverrides": overrides, "calls": calls});
        toy.world.call("eth_simulateV1", &json!([{"blockStateCalls": [block], "validation": true}]))
    };
    let call = |field: &str, value: Value| {
        let mut call = add();
        call["gas"] = json!("0x10000");
        call[field] = value;
        call
    };
    let done = ask(json!([call("nonce", json!("0x5")), call("nonce", json!("0x6"))]));
    let calls = &done["result"][0]["calls"];
    assert_eq!([&calls[0]["status"], &calls[1]["status"]], ["0x1", "0x1"], "{done}");
    assert_eq!(calls[1]["returnData"], json!(word(15)));
    for (wrong, code) in [
        (call("nonce", json!("0x4")), -38_010),
        (call("nonce", json!("0x7")), -38_011),
        (call("gasPrice", json!("0x1")), -38_012),
        (call("value", json!("0x1000000000000")), -38_014),
    ] {
        let answer = ask(json!([wrong]));
        assert_eq!(answer["error"]["code"], json!(code), "{answer}");
    }
}

#[test]
fn blocks_that_cannot_follow_are_refused() {
    let toy = Toy::new(Setup::default());
    let block = |overrides: Value| json!([{"blockOverrides": overrides}]);
    let twice = json!([{}, {"blockOverrides": {"number": "0x7"}}]);
    for (blocks, code) in [
        (block(json!({"number": "0x6"})), -38_020),
        (twice, -38_020),
        (block(json!({"time": "0x1"})), -38_021),
        (block(json!({"number": "0x107"})), -38_026),
        (block(json!({"number": "0x100000000"})), INVALID_PARAMS),
        (block(json!({"feeRecipient": ALICE})), INVALID_PARAMS),
        (json!([]), INVALID_PARAMS),
        (json!([{"unknown": 1}]), INVALID_PARAMS),
    ] {
        let request = json!([{"blockStateCalls": blocks}, "latest"]);
        let (found, message) = toy.world.error("eth_simulateV1", request);
        assert_eq!(found, code, "{message}");
    }
    let most = simulate(&toy, block(json!({"number": "0x106"})));
    assert_eq!(most.as_array().unwrap().len(), 256);
}
