//! `ots_*`, over blocks that were filled by hand and over blocks that were run.

use lockstep_types::{Address, B256, L2BlockNumber, block::legacy_block_hash};
use lockstep_vm_toy::{Op, Program};
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT, world},
    toy::{Setup, Toy},
};

const INVALID_PARAMS: i64 = -32_602;

#[test]
fn the_level_is_that_of_otterscan() {
    assert_eq!(world().ask("ots_getApiLevel", json!([])), json!(8));
}

#[test]
fn blocks_are_shown_with_their_fees_and_without_their_transactions() {
    let world = world();
    let details = world.ask("ots_getBlockDetails", json!([1]));
    let block = world.ask("eth_getBlockByNumber", json!(["0x1", false]));
    let count = block["transactions"].as_array().unwrap().len();
    assert_eq!(details["block"]["hash"], block["hash"]);
    assert_eq!(details["block"]["transactionCount"], json!(format!("{count:#x}")));
    assert!(details["block"].get("transactions").is_none());
    let receipts = world.ask("eth_getBlockReceipts", json!(["0x1"]));
    let number = |value: &Value| u64::from_str_radix(&value.as_str().unwrap()[2..], 16).unwrap();
    let fee = |receipt: &Value| number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"]);
    let fees: u64 = receipts.as_array().unwrap().iter().map(fee).sum();
    assert_eq!(details["totalFees"], json!(format!("{fees:#x}")));
    let by_hash = legacy_block_hash(L2BlockNumber(1)).0;
    assert_eq!(world.ask("ots_getBlockDetailsByHash", json!([by_hash])), details);
    assert_eq!(world.ask("ots_getBlockDetails", json!(["0x9"])), Value::Null);
    let header = world.ask("eth_getHeaderByNumber", json!(["0x1"]));
    for method in ["ots_getHeaderByNumber", "erigon_getHeaderByNumber"] {
        assert_eq!(world.ask(method, json!([1])), header);
    }
}

#[test]
fn pages_of_a_block_count_from_its_end() {
    let world = world();
    let block = world.ask("eth_getBlockByNumber", json!(["0x1", false]));
    let hashes = block["transactions"].as_array().unwrap();
    let page = |page: u64, size: u64| {
        let page = world.ask("ots_getBlockTransactions", json!([1, page, size]));
        let txs = page["fullblock"]["transactions"].as_array().unwrap().clone();
        let receipts = page["receipts"].as_array().unwrap();
        for (tx, receipt) in txs.iter().zip(receipts) {
            assert_eq!(tx["hash"], receipt["transactionHash"]);
            assert_eq!(receipt["timestamp"], json!(1_001));
            assert!(tx["input"].as_str().unwrap().len() <= 10);
        }
        txs.iter().map(|tx| tx["hash"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 3), hashes[1..]);
    assert_eq!(page(1, 3), hashes[..1]);
    assert_eq!(page(2, 3), [] as [Value; 0]);
    assert_eq!(page(0, 100), hashes[..]);
    for size in [0, 1_001] {
        let error = world.error("ots_getBlockTransactions", json!([1, 0, size]));
        assert_eq!(error.0, INVALID_PARAMS);
    }
}

#[test]
fn transactions_of_an_account_are_found_from_both_sides() {
    let toy = Toy::new(Setup::default());
    let search = |method: &str, account: Address, block: u32, size: u64| {
        let page = toy.world.ask(method, json!([account, block, size]));
        let blocks: Vec<_> =
            page["txs"].as_array().unwrap().iter().map(|tx| tx["blockNumber"].clone()).collect();
        assert_eq!(page["receipts"].as_array().unwrap().len(), blocks.len());
        (blocks, [page["firstPage"].clone(), page["lastPage"].clone()])
    };
    let before = "ots_searchTransactionsBefore";
    let (blocks, ends) = search(before, ALICE, 0, 25);
    assert_eq!(blocks, ["0x6", "0x4", "0x2", "0x2", "0x1"]);
    assert_eq!(ends, [true, true]);
    // In whole blocks.
    let (blocks, ends) = search(before, CONTRACT, 0, 3);
    assert_eq!(
        (blocks, ends),
        (vec![json!("0x6"), json!("0x4"), json!("0x2"), json!("0x2")], [json!(true), json!(false)])
    );
    let (blocks, ends) = search(before, CONTRACT, 2, 3);
    assert_eq!((blocks, ends), (vec![json!("0x1")], [json!(false), json!(true)]));
    let after = "ots_searchTransactionsAfter";
    let (blocks, ends) = search(after, ALICE, 1, 2);
    assert_eq!((blocks, ends), (vec![json!("0x2"), json!("0x2")], [json!(false), json!(false)]));
    let (blocks, ends) = search(after, ALICE, 2, 25);
    assert_eq!((blocks, ends), (vec![json!("0x6"), json!("0x4")], [json!(true), json!(false)]));
    let (blocks, _) = search(before, Address::repeat_byte(9), 0, 25);
    assert_eq!(blocks, [] as [Value; 0]);
}

#[test]
fn a_transaction_is_found_by_its_sender_and_nonce() {
    let world = world();
    let find =
        |nonce: Value| world.ask("ots_getTransactionBySenderAndNonce", json!([ALICE, nonce]));
    // Above the sender's nonce, and one that no transaction has.
    assert_eq!([find(json!(99)), find(json!("0x0"))], [Value::Null, Value::Null]);
}

#[test]
fn code_and_its_maker_are_told() {
    let mut toy = Toy::new(Setup::default());
    assert_eq!(toy.world.ask("ots_hasCode", json!([CONTRACT])), json!(false));
    assert_eq!(toy.world.ask("ots_getContractCreator", json!([CONTRACT])), Value::Null);
    toy.block(&[&[Op::Burn { gas: 1 }]]);
    assert_eq!(toy.world.ask("ots_hasCode", json!([CONTRACT, 7])), json!(false));
    let block = json!({"blockHash": toy.hash(7)});
    assert_eq!(toy.world.ask("ots_hasCode", json!([CONTRACT, block])), json!(false));
}

#[test]
fn what_happened_inside_a_transaction_is_told() {
    let toy = Toy::new(Setup::default());
    let (done, undone) = (toy.tx_hash(2, 0), toy.tx_hash(2, 1));
    let trace = toy.world.ask("ots_traceTransaction", json!([done]));
    let input = Program(vec![Op::Add { key: 5, amount: 1 }]).encode();
    let expected = json!([{
        "type": "CALL", "depth": 0, "from": ALICE, "to": CONTRACT, "value": "0x11",
        "input": input, "output": "0x",
    }]);
    assert_eq!(trace, expected);
    assert_eq!(toy.world.ask("ots_getInternalOperations", json!([done])), json!([]));
    assert_eq!(toy.world.ask("ots_getTransactionError", json!([done])), json!("0x"));
    let error = toy.world.ask("ots_getTransactionError", json!([undone]));
    assert!(error.as_str().unwrap().starts_with("0x08c379a0"), "{error}");
    for method in ["ots_traceTransaction", "ots_getTransactionError"] {
        assert_eq!(toy.world.ask(method, json!([B256::ZERO])), Value::Null);
    }
}
