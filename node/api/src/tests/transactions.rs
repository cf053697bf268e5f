//! Transactions and receipts.

use lockstep_types::{Address, B256, L2BlockNumber, address, block::legacy_block_hash};
use serde_json::{Value, json};

use super::sample::{ALICE, CONTRACT, world};

fn hash(id: u8) -> B256 {
    B256::repeat_byte(id)
}

#[test]
fn a_priority_operation_is_shown_without_signature() {
    let world = world();
    let expected = json!({
        "hash": hash(0x11),
        "nonce": "0x0",
        "blockHash": legacy_block_hash(L2BlockNumber(1)).0,
        "blockNumber": "0x1",
        "transactionIndex": "0x0",
        "from": ALICE,
        "to": CONTRACT,
        "value": "0x11",
        "gasPrice": "0x12c",
        "gas": "0x4e20",
        "input": "0xca11",
        "type": "0xff",
        "maxFeePerGas": "0x12c",
        "maxPriorityFeePerGas": "0x0",
        "chainId": "0x10e",
        "l1BatchNumber": "0x1",
        "l1BatchTxIndex": "0x0",
    });
    let tx = world.ask("eth_getTransactionByHash", json!([hash(0x11)]));
    assert_eq!(lower(&tx), lower(&expected));
}

#[test]
fn a_legacy_transaction_has_the_chain_id_in_its_signature() {
    let tx = world().ask("eth_getTransactionByHash", json!([hash(0x12)]));
    assert_eq!(tx["to"], Value::Null);
    assert_eq!(tx["nonce"], json!("0x12"));
    assert_eq!(tx["type"], json!("0x0"));
    assert_eq!(tx["gasPrice"], json!("0xfa"), "what it promised");
    assert_eq!(tx["v"], json!(format!("{:#x}", 2 * 270 + 35 + 1)));
    assert_eq!(tx["r"], json!(format!("0x{}", "11".repeat(32))));
    assert_eq!(tx["s"], json!("0x22"), "a quantity, without leading zeros");
    assert!(tx.get("yParity").is_none());
}

#[test]
fn a_typed_transaction_has_the_parity_in_its_signature() {
    let tx = world().ask("eth_getTransactionByHash", json!([hash(0x13)]));
    assert_eq!(
        (&tx["type"], &tx["v"], &tx["yParity"]),
        (&json!("0x2"), &json!("0x1"), &json!("0x1"))
    );
    assert_eq!(tx["gasPrice"], json!("0x64"), "what it paid");
    assert_eq!(tx["maxPriorityFeePerGas"], json!("0x5"));
    assert_eq!(tx["l1BatchTxIndex"], json!("0x2"));
}

#[test]
fn a_signature_that_only_its_account_can_read_is_not_shown() {
    let tx = world().ask("eth_getTransactionByHash", json!([hash(0x14)]));
    assert_eq!(tx["type"], json!("0x71"));
    for part in ["v", "r", "s", "yParity"] {
        assert!(tx.get(part).is_none(), "{part}");
    }
}

#[test]
fn transactions_are_found_by_position() {
    let world = world();
    let by_hash = world.ask("eth_getTransactionByHash", json!([hash(0x13)]));
    let at = json!(["0x1", "0x2"]);
    assert_eq!(world.ask("eth_getTransactionByBlockNumberAndIndex", at), by_hash);
    let at = json!([legacy_block_hash(L2BlockNumber(1)).0, "0x2"]);
    assert_eq!(world.ask("eth_getTransactionByBlockHashAndIndex", at), by_hash);
    for nowhere in [json!(["0x1", "0x4"]), json!(["0x2", "0x0"]), json!(["0x1", "0x100000002"])] {
        let found = world.ask("eth_getTransactionByBlockNumberAndIndex", nowhere);
        assert_eq!(found, Value::Null);
    }
}

#[test]
fn unknown_transactions_are_null() {
    let world = world();
    for method in
        ["eth_getTransactionByHash", "eth_getTransactionReceipt", "debug_getRawTransaction"]
    {
        assert_eq!(world.ask(method, json!([hash(0x99)])), Value::Null, "{method}");
    }
}

#[test]
fn a_receipt_counts_its_logs_in_block_and_transaction() {
    let world = world();
    let receipt = world.ask("eth_getTransactionReceipt", json!([hash(0x12)]));
    assert_eq!(receipt["transactionIndex"], json!("0x1"));
    assert_eq!(receipt["gasUsed"], json!("0x2328"));
    assert_eq!(receipt["cumulativeGasUsed"], json!("0x0"));
    assert_eq!(receipt["effectiveGasPrice"], json!("0x64"));
    assert_eq!(receipt["status"], json!("0x1"));
    assert_eq!(receipt["to"], Value::Null);
    assert_eq!(receipt["contractAddress"], json!(Address::repeat_byte(0xde)));
    let expected = json!({
        "address": Address::repeat_byte(1),
        "topics": [],
        "data": "0xda",
        "blockHash": legacy_block_hash(L2BlockNumber(1)).0,
        "blockNumber": "0x1",
        "l1BatchNumber": "0x1",
        "transactionHash": hash(0x12),
        "transactionIndex": "0x1",
        "logIndex": "0x2",
        "transactionLogIndex": "0x1",
        "logType": null,
        "removed": false,
        "blockTimestamp": "0x3e9",
    });
    assert_eq!(receipt["logs"][1], expected);
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_receipt_shows_logs_for_l1() {
    let receipt = world().ask("eth_getTransactionReceipt", json!([hash(0x11)]));
    assert_eq!(receipt["effectiveGasPrice"], json!("0x12c"));
    assert_eq!(receipt["type"], json!("0xff"));
    let expected = json!([{
        "blockHash": legacy_block_hash(L2BlockNumber(1)).0,
        "blockNumber": "0x1",
        "l1BatchNumber": "0x1",
        "logIndex": "0x0",
        "transactionIndex": "0x0",
        "transactionHash": hash(0x11),
        "transactionLogIndex": "0x0",
        "txIndexInL1Batch": "0x0",
        "shardId": "0x0",
        "isService": true,
        "sender": address::BOOTLOADER,
        "key": hash(1),
        "value": B256::with_last_byte(1),
    }]);
    assert_eq!(receipt["l2ToL1Logs"], expected);
}

#[test]
fn a_receipt_of_the_open_batch_names_no_batch() {
    let receipt = world().ask("eth_getTransactionReceipt", json!([hash(0x31)]));
    assert_eq!(receipt["blockNumber"], json!("0x3"));
    for path in ["/l1BatchNumber", "/l1BatchTxIndex", "/logs/0/l1BatchNumber"] {
        assert_eq!(receipt.pointer(path), Some(&Value::Null), "{path}");
    }
}

#[test]
fn a_block_has_the_receipts_of_its_transactions_only() {
    let world = world();
    let receipts = world.ask("eth_getBlockReceipts", json!(["0x1"]));
    let receipts = receipts.as_array().unwrap();
    assert_eq!(receipts.len(), 4);
    for (id, receipt) in [0x11, 0x12, 0x13, 0x14].into_iter().zip(receipts) {
        assert_eq!(&world.ask("eth_getTransactionReceipt", json!([hash(id)])), receipt);
    }
    assert_eq!(receipts[2]["status"], json!("0x0"));
    let fictive = legacy_block_hash(L2BlockNumber(2)).0;
    assert_eq!(world.ask("eth_getBlockReceipts", json!([fictive])), json!([]));
}

#[test]
fn signed_bytes_are_given_where_there_are_some() {
    let world = world();
    assert_eq!(world.ask("debug_getRawTransaction", json!([hash(0x12)])), json!("0x121212"));
    assert_eq!(world.ask("debug_getRawTransaction", json!([hash(0x11)])), Value::Null);
    let of_block = json!(["0x121212", "0x131313", "0x141414"]);
    assert_eq!(world.ask("debug_getRawTransactions", json!(["0x1"])), of_block);
    let handed_on = world.ask("zks_getRawBlockTransactions", json!([1]));
    assert_eq!(handed_on[0]["common_data"]["L1"]["canonicalTxHash"], json!(hash(0x11)));
    assert_eq!(handed_on[1]["common_data"]["L2"]["input"]["hash"], json!(hash(0x12)));
    assert_eq!(handed_on.as_array().unwrap().len(), 4);
}

/// Addresses are written with and without checksum.
fn lower(value: &Value) -> String {
    value.to_string().to_lowercase()
}
