//! Headers, raw forms, and methods whose answers do not depend on the chain.

use lockstep_types::{
    B256, L2BlockNumber, U256, alloy_primitives::hex, block::legacy_block_hash, keccak256,
};
use serde_json::{Value, json};

use super::sample::world;

#[test]
fn a_header_is_a_block_without_its_parts() {
    let world = world();
    for (number, tag) in [(1, "0x1"), (3, "latest")] {
        let block = world.ask("eth_getBlockByNumber", json!([tag, false]));
        let header = world.ask("eth_getHeaderByNumber", json!([tag]));
        let of_block = block.as_object().unwrap().clone();
        let parts = ["transactions", "uncles", "size", "sealFields", "totalDifficulty"];
        let expected: serde_json::Map<_, _> =
            of_block.into_iter().filter(|(key, _)| !parts.contains(&key.as_str())).collect();
        assert_eq!(header, Value::Object(expected));
        let hash = legacy_block_hash(L2BlockNumber(number)).0;
        assert_eq!(world.ask("eth_getHeaderByHash", json!([hash])), header);
    }
    assert_eq!(world.ask("eth_getHeaderByNumber", json!(["pending"])), Value::Null);
    assert_eq!(world.ask("eth_getHeaderByNumber", json!(["0x4"])), Value::Null);
    assert_eq!(world.ask("eth_getHeaderByHash", json!([B256::ZERO])), Value::Null);
}

#[test]
fn signed_bytes_are_found_by_hash_and_by_place() {
    let world = world();
    let block = legacy_block_hash(L2BlockNumber(1)).0;
    for (index, expected) in [
        (0, Value::Null), // From L1.
        (1, json!("0x121212")),
        (3, json!("0x141414")),
    ] {
        let hash = B256::repeat_byte(0x11 + index);
        let index = format!("{index:#x}");
        let by_hash = world.ask("eth_getRawTransactionByHash", json!([hash]));
        assert_eq!(by_hash, expected);
        let by_place = "eth_getRawTransactionByBlockNumberAndIndex";
        assert_eq!(world.ask(by_place, json!(["0x1", index])), expected);
        let by_place = "eth_getRawTransactionByBlockHashAndIndex";
        assert_eq!(world.ask(by_place, json!([block, index])), expected);
    }
    let nowhere = world.ask("eth_getRawTransactionByHash", json!([B256::ZERO]));
    assert_eq!(nowhere, Value::Null);
    for place in [["0x1", "0x4"], ["0x4", "0x0"], ["pending", "0x0"]] {
        let found = world.ask("eth_getRawTransactionByBlockNumberAndIndex", json!(place));
        assert_eq!(found, Value::Null, "{place:?}");
    }
}

#[test]
fn raw_receipts_count_gas_and_begin_with_the_type() {
    let world = world();
    let raw = world.ask("debug_getRawReceipts", json!(["0x1"]));
    let raw: Vec<Vec<u8>> = raw
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| hex::decode(receipt.as_str().unwrap()).unwrap())
        .collect();
    // A priority operation, a legacy one whose list has no type before it, and two more.
    let kinds: Vec<u8> = raw.iter().map(|receipt| receipt[0]).collect();
    assert_eq!(kinds, [0xff, 0xf9, 0x02, 0x71]);
    // The status and the gas follow the list's head of three bytes.
    let status: Vec<u8> = raw.iter().zip([1, 0, 1, 1]).map(|(it, from)| it[from + 3]).collect();
    assert_eq!(status, [1, 1, 0x80, 1]);
    let gas = |receipt: &[u8], from: usize| {
        let length = usize::from(receipt[from] - 0x80);
        U256::from_be_slice(&receipt[from + 1..=from + length])
    };
    let gas: Vec<_> = raw.iter().zip([5, 4, 5, 5]).map(|(it, from)| gas(it, from)).collect();
    assert_eq!(gas, [19_000, 28_000, 37_000, 46_000].map(U256::from));
    assert_eq!(world.ask("debug_getRawReceipts", json!(["0x2"])), json!([]));
    assert_eq!(world.ask("debug_getRawReceipts", json!(["0x4"])), Value::Null);
    let hash = legacy_block_hash(L2BlockNumber(1)).0;
    assert_eq!(world.ask("debug_getRawReceipts", json!([hash])).as_array().unwrap().len(), 4);
}

#[test]
fn what_has_no_meaning_here_says_what_to_use_instead() {
    let (code, message) = world().error("eth_getProof", json!(["0x1"]));
    assert_eq!(code, -32_601);
    assert!(message.starts_with("eth_getProof") && message.contains("zks_getProof"), "{message}");
}

#[test]
fn raw_blocks_hold_the_raw_header_and_raw_transactions() {
    let world = world();
    let bytes = |value: Value| hex::decode(value.as_str().unwrap()).unwrap();
    let header = bytes(world.ask("debug_getRawHeader", json!(["0x1"])));
    let block =
        bytes(world.ask("debug_getRawBlock", json!([legacy_block_hash(L2BlockNumber(1)).0])));
    // After the head of the block's list comes the header as it is.
    assert_eq!(header[0], 0xf9);
    assert_eq!(block[3..3 + header.len()], header);
    for raw in [[0x12; 3], [0x13; 3], [0x14; 3]] {
        let as_string = [&[0x83], raw.as_slice()].concat();
        assert!(block.windows(4).any(|window| window == as_string), "{raw:?}");
    }
    // What L1 requested begins with its type, in a string of its own.
    let after_header = &block[3 + header.len()..];
    assert!(after_header.windows(2).any(|window| window[0] == 0xff && window[1] == 0));
    for nowhere in [json!(["0x9"]), json!(["pending"])] {
        assert_eq!(world.ask("debug_getRawHeader", nowhere.clone()), Value::Null);
        assert_eq!(world.ask("debug_getRawBlock", nowhere), Value::Null);
    }
}

#[test]
fn answers_that_are_always_the_same_are_the_reference_nodes() {
    let world = world();
    let hash = B256::repeat_byte(1);
    for (method, params, answer) in [
        ("eth_getUncleCountByBlockNumber", json!(["0x1"]), json!("0x0")),
        ("eth_getUncleCountByBlockHash", json!([hash]), json!("0x0")),
        ("eth_getCompilers", json!([]), json!([])),
        ("eth_coinbase", json!([]), json!("0x0000000000000000000000000000000000000000")),
        ("eth_hashrate", json!([]), json!("0x0")),
        ("eth_mining", json!([]), json!(false)),
        ("en_consensusGlobalConfig", json!([]), Value::Null),
        ("snapshots_getAllSnapshots", json!([]), json!({"snapshotsL1BatchNumbers": []})),
        ("snapshots_getSnapshot", json!([1]), Value::Null),
        ("txpool_status", json!([]), json!({"pending": "0x0", "queued": "0x0"})),
        ("txpool_content", json!([]), json!({"pending": {}, "queued": {}})),
        (
            "txpool_contentFrom",
            json!([lockstep_types::Address::ZERO]),
            json!({"pending": {}, "queued": {}}),
        ),
        ("txpool_inspect", json!([]), json!({"pending": {}, "queued": {}})),
        ("unstable_unconfirmedTxsCount", json!([]), json!(0)),
        ("unstable_supportsUnsafeDepositFilter", json!([]), json!(true)),
        ("unstable_getTeeProofs", json!([1]), json!([])),
        ("unstable_getDataAvailabilityDetails", json!([1]), Value::Null),
        ("unstable_getDataAvailabilityDetails", json!([9]), Value::Null),
        (
            "unstable_l1ToL2TxsStatus",
            json!([]),
            json!({"l1ToL2TxsInMempool": 0, "l1ToL2TxsPaused": false}),
        ),
    ] {
        assert_eq!(world.ask(method, params), answer, "{method}");
    }
}

#[test]
fn the_hash_of_bytes_is_theirs() {
    let world = world();
    assert_eq!(world.ask("web3_sha3", json!(["0x68656c6c6f"])), json!(keccak256("hello")));
    assert_eq!(world.ask("web3_sha3", json!(["0x"])), json!(keccak256("")));
    assert_eq!(world.error("web3_sha3", json!(["hello"])).0, -32_602);
}
