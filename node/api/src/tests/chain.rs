//! Facts of the chain, blocks and batches.

use lockstep_types::{B256, L2BlockNumber, block::legacy_block_hash, log::bloom_of};
use serde_json::{Value, json};

use super::sample::{event, evm_code, world};

fn hash_of(block: u32) -> B256 {
    legacy_block_hash(L2BlockNumber(block)).0
}

#[test]
fn the_chain_says_what_and_where_it_is() {
    let world = world();
    for (method, answer) in [
        ("eth_chainId", json!("0x10e")),
        ("eth_blockNumber", json!("0x3")),
        ("eth_protocolVersion", json!("zks/0.29.0")),
        ("eth_accounts", json!([])),
        ("net_version", json!("270")),
        ("net_peerCount", json!("0x0")),
        ("net_listening", json!(false)),
        ("web3_clientVersion", json!("lockstep/v0.1.0")),
        ("zks_L1ChainId", json!("0x9")),
        ("zks_L1BatchNumber", json!("0x1")),
    ] {
        assert_eq!(world.ask(method, json!([])), answer, "{method}");
    }
}

#[test]
fn the_node_is_in_step_until_it_is_more_than_ten_blocks_behind() {
    let world = world();
    assert_eq!(world.ask("eth_syncing", json!([])), json!(false));
    world.tip.send_replace(Some(L2BlockNumber(13)));
    assert_eq!(world.ask("eth_syncing", json!([])), json!(false));
    world.tip.send_replace(Some(L2BlockNumber(14)));
    let behind = json!({"startingBlock": "0x0", "currentBlock": "0x3", "highestBlock": "0xe"});
    assert_eq!(world.ask("eth_syncing", json!([])), behind);
}

#[test]
fn a_block_of_a_sealed_batch_names_the_batch() {
    let world = world();
    let block = world.ask("eth_getBlockByNumber", json!(["0x1", false]));
    let zero = B256::ZERO;
    let hashes = [0x11, 0x12, 0x13, 0x14].map(B256::repeat_byte);
    let events = [event(1, &[1, 2]), event(2, &[1]), event(1, &[])];
    let expected = json!({
        "hash": hash_of(1),
        "parentHash": hash_of(0),
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "miner": "0x0000000000000000000000000000000000000000",
        "stateRoot": zero,
        "transactionsRoot": zero,
        "receiptsRoot": zero,
        "number": "0x1",
        "l1BatchNumber": "0x1",
        "gasUsed": format!("{:#x}", 19_000 + 3 * 9_000),
        "gasLimit": "0x4000000000000",
        "baseFeePerGas": "0x64",
        "extraData": "0x",
        "logsBloom": bloom_of(&events),
        "timestamp": "0x3e9",
        "l1BatchTimestamp": "0x3e9",
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "sealFields": [],
        "uncles": [],
        "transactions": hashes,
        "size": "0x0",
        "mixHash": zero,
        "nonce": "0x0000000000000000",
    });
    assert_eq!(block, expected);
    assert_eq!(world.ask("eth_getBlockByHash", json!([hash_of(1), false])), expected);
}

#[test]
fn a_block_of_the_open_batch_names_no_batch() {
    let world = world();
    let block = world.ask("eth_getBlockByNumber", json!(["latest", true]));
    assert_eq!(block["number"], json!("0x3"));
    assert_eq!(block["l1BatchNumber"], Value::Null);
    assert_eq!(block["l1BatchTimestamp"], Value::Null);
    let tx = block["transactions"][0].as_object().unwrap();
    assert_eq!(tx["hash"], json!(B256::repeat_byte(0x31)));
    assert!(!tx.contains_key("l1BatchNumber") && !tx.contains_key("l1BatchTxIndex"));
}

#[test]
fn genesis_has_no_parent() {
    let block = world().ask("eth_getBlockByNumber", json!(["earliest", false]));
    assert_eq!(block["number"], json!("0x0"));
    assert_eq!(block["parentHash"], json!(B256::ZERO));
    assert_eq!(block["l1BatchNumber"], json!("0x0"));
}

#[test]
fn blocks_that_are_not_there_are_null() {
    let world = world();
    for number in ["pending", "0x4", "0xffffffff", "0xffffffffffffffff"] {
        assert_eq!(world.ask("eth_getBlockByNumber", json!([number, true])), Value::Null);
        let count = world.ask("eth_getBlockTransactionCountByNumber", json!([number]));
        assert_eq!(count, Value::Null, "{number}");
        assert_eq!(world.ask("eth_getBlockReceipts", json!([number])), Value::Null);
        let at = json!([number, "0x0"]);
        assert_eq!(world.ask("eth_getTransactionByBlockNumberAndIndex", at), Value::Null);
    }
    let nowhere = B256::repeat_byte(0x99);
    assert_eq!(world.ask("eth_getBlockByHash", json!([nowhere, true])), Value::Null);
    let count = world.ask("eth_getBlockTransactionCountByHash", json!([nowhere]));
    assert_eq!(count, Value::Null);
    assert_eq!(world.ask("zks_getBlockDetails", json!([4])), Value::Null);
    assert_eq!(world.ask("zks_getRawBlockTransactions", json!([4])), json!([]));
    assert_eq!(world.ask("debug_getRawTransactions", json!(["pending"])), json!([]));
}

#[test]
fn transactions_of_a_block_are_counted() {
    let world = world();
    for (block, count) in [(0, "0x0"), (1, "0x4"), (2, "0x0"), (3, "0x1")] {
        let by_number = json!([format!("{block:#x}")]);
        assert_eq!(world.ask("eth_getBlockTransactionCountByNumber", by_number), json!(count));
        let by_hash = json!([hash_of(block)]);
        assert_eq!(world.ask("eth_getBlockTransactionCountByHash", by_hash), json!(count));
    }
}

#[test]
fn a_sealed_batch_has_a_range_of_blocks() {
    let world = world();
    assert_eq!(world.ask("zks_getL1BatchBlockRange", json!([0])), json!(["0x0", "0x0"]));
    assert_eq!(world.ask("zks_getL1BatchBlockRange", json!([1])), json!(["0x1", "0x2"]));
    assert_eq!(world.ask("zks_getL1BatchBlockRange", json!([2])), Value::Null);
}

#[test]
fn a_bytecode_is_given_as_it_is_stored() {
    let world = world();
    let (hash, code) = evm_code();
    assert_eq!(world.ask("zks_getBytecodeByHash", json!([hash.0])), json!(code.to_vec()));
    let unknown = B256::repeat_byte(0x99);
    assert_eq!(world.ask("zks_getBytecodeByHash", json!([unknown])), Value::Null);
}
