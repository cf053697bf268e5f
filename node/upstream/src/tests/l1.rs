//! L1's methods.

use lockstep_types::{Address, B256, Bytes, ChainId, U256};

use super::*;
use crate::{L1, L1Log, L1Receipt, L1Tags, L1Transaction};

fn saying(say: impl Fn(&str, &Value) -> Said + Send + Sync + 'static) -> (World, L1) {
    let world = World::new();
    world.serve(move |_, request| Ok(faithful(request, &say)));
    let l1 = L1::new(world.client(1, UpstreamConfig::default()));
    (world, l1)
}

fn tags(say: impl Fn(&str) -> Said + Send + Sync + 'static) -> Result<L1Tags, UpstreamError> {
    let (world, l1) = saying(move |method, params| {
        assert_eq!((method, &params[1]), ("eth_getBlockByNumber", &json!(false)));
        say(params[0].as_str().unwrap())
    });
    world.memory.block_on(l1.tags())
}

#[test]
fn blocks_with_names_are_found_however_their_numbers_are_written() {
    let said = tags(|tag| match tag {
        "latest" => result(json!({"number": "0x64", "hash": B256::ZERO})),
        "safe" => result(json!({"number": 90})),
        _ => result(json!({"number": "0x0050"})),
    });
    assert_eq!(said, Ok(L1Tags { latest: 100, safe: Some(90), finalized: Some(80) }));
}

#[test]
fn names_that_l1_does_not_know_are_left_out() {
    let said = tags(|tag| match tag {
        "latest" => result(json!({"number": "0x64"})),
        "safe" => error(-39_001, "Unknown block"),
        _ => result(Value::Null),
    });
    assert_eq!(said, Ok(L1Tags { latest: 100, safe: None, finalized: None }));
    let said = tags(|tag| match tag {
        "safe" => error(-32_603, "Internal error"),
        _ => result(json!({"number": "0x64"})),
    });
    assert!(matches!(said, Err(UpstreamError::Unavailable { .. })), "that may pass: {said:?}");
    let said = tags(|_| result(Value::Null));
    assert!(matches!(said, Err(UpstreamError::Malformed { .. })), "{said:?}");
    let said = tags(|_| result(json!({"number": null})));
    assert!(matches!(said, Err(UpstreamError::Malformed { .. })), "{said:?}");
}

#[test]
fn a_name_that_one_provider_does_not_know_is_asked_of_the_next() {
    let tags = |down: bool| {
        let world = World::new();
        let log = world.serve(move |endpoint, request| {
            if down && endpoint == 1 {
                return Err(NetError::Connect("refused".to_owned()));
            }
            Ok(faithful(request, |_, params| match (endpoint, params[0].as_str().unwrap()) {
                (0, "finalized") => result(Value::Null),
                (0, "safe") | (1, "finalized") => error(-39_001, "Unknown block"),
                (1, "safe") => result(json!({"number": "0x62"})),
                (2, "safe") => result(json!({"number": "0x61"})),
                (2, "finalized") => result(json!({"number": "0x60"})),
                (endpoint, _) => result(json!({"number": 100 + endpoint})),
            }))
        });
        let once = UpstreamConfig { attempts_max: 1, ..UpstreamConfig::default() };
        let alone = |index| {
            let io = world.memory.io();
            RpcClient::new(&io, "test", vec![EndpointId(index)], once.clone())
        };
        let l1 = L1::new(world.client(4, UpstreamConfig::default()));
        let l1 = l1.with_providers((0..4).map(alone).collect());
        let said = world.memory.block_on(l1.tags());
        (said, endpoints(&log))
    };
    let of_each = L1Tags { latest: 100, safe: Some(98), finalized: Some(96) };
    assert_eq!(tags(false), (Ok(of_each), vec![0, 0, 1, 2]), "nobody is asked in vain");
    let without_one = L1Tags { latest: 100, safe: Some(97), finalized: Some(96) };
    assert_eq!(tags(true), (Ok(without_one), vec![0, 0, 1, 2]), "who is down is passed over");
}

#[test]
fn a_chain_id_may_be_a_plain_number() {
    let (world, l1) = saying(|_, _| result(31_337));
    assert_eq!(world.memory.block_on(l1.chain_id()), Ok(ChainId(31_337)));
}

const MINED: B256 = B256::repeat_byte(1);
const UNDONE: B256 = B256::repeat_byte(2);
const PENDING: B256 = B256::repeat_byte(3);
const UNKNOWN: B256 = B256::repeat_byte(4);

fn receipt(hash: &Value) -> Value {
    json!({
        "transactionHash": hash, "blockNumber": "0x10", "status": "0x1", "gasUsed": "0x5208",
        "logs": [
            {"address": Address::repeat_byte(7), "topics": [B256::repeat_byte(8)], "data": "0x0102"},
            {"address": Address::repeat_byte(7), "topics": [], "data": "0x", "removed": true},
            {"address": Address::repeat_byte(9), "topics": [], "data": "0x", "removed": false},
        ],
    })
}

fn with(mut receipt: Value, field: &str, value: Value) -> Value {
    receipt[field] = value;
    receipt
}

#[test]
fn receipts_come_in_order_and_only_of_what_is_in_a_block() {
    let (world, l1) = saying(|method, params| {
        assert_eq!(method, "eth_getTransactionReceipt");
        let hash = &params[0];
        if *hash == json!(MINED) {
            result(receipt(hash))
        } else if *hash == json!(UNDONE) {
            let receipt = with(receipt(hash), "status", json!("0x0"));
            result(with(with(receipt, "blockNumber", json!(17)), "logs", json!([])))
        } else if *hash == json!(PENDING) {
            result(json!({"transactionHash": hash, "blockNumber": null}))
        } else {
            result(Value::Null)
        }
    });
    let receipts = l1.receipts(&[UNKNOWN, UNDONE, PENDING, MINED]);
    let receipts = world.memory.block_on(receipts).unwrap();
    let log = |address: u8, topics: Vec<B256>, data: &'static [u8]| L1Log {
        address: Address::repeat_byte(address),
        topics,
        data: Bytes::from_static(data),
    };
    let logs = vec![log(7, vec![B256::repeat_byte(8)], &[1, 2]), log(9, vec![], &[])];
    let undone = L1Receipt { success: false, block_number: 17, logs: vec![] };
    let mined = L1Receipt { success: true, block_number: 16, logs };
    assert_eq!(receipts, [None, Some(undone), None, Some(mined)]);
}

#[test]
fn a_receipt_of_another_transaction_is_no_answer() {
    for (field, value) in [
        ("transactionHash", json!(UNDONE)),
        ("transactionHash", json!(null)),
        ("blockNumber", json!("17")),
        ("status", json!(null)),
        ("logs", json!(null)),
    ] {
        let damaged = with(receipt(&json!(MINED)), field, value);
        let (world, l1) = saying(move |_, _| result(damaged.clone()));
        let answer = world.memory.block_on(l1.receipts(&[MINED]));
        assert!(matches!(answer, Err(UpstreamError::Malformed { .. })), "{field}: {answer:?}");
    }
}

#[test]
fn transactions_come_in_order_and_only_those_in_a_block() {
    let (world, l1) = saying(|method, params| {
        assert_eq!(method, "eth_getTransactionByHash");
        let hash = &params[0];
        let tx = json!({"hash": hash, "blockNumber": "0x10", "input": "0x0102", "blobs": ["0x"]});
        if *hash == json!(MINED) {
            result(with(tx, "blobVersionedHashes", json!([B256::repeat_byte(5)])))
        } else if *hash == json!(UNDONE) {
            result(tx)
        } else if *hash == json!(PENDING) {
            result(with(tx, "blockNumber", Value::Null))
        } else {
            result(Value::Null)
        }
    });
    let asked = l1.transactions(&[UNKNOWN, UNDONE, PENDING, MINED]);
    let asked = world.memory.block_on(asked).unwrap();
    let tx = |blob_versioned_hashes| {
        let input = Bytes::from_static(&[1, 2]);
        Some(L1Transaction { block_number: 16, input, blob_versioned_hashes })
    };
    assert_eq!(asked, [None, tx(None), None, tx(Some(vec![B256::repeat_byte(5)]))]);
}

#[test]
fn another_transaction_is_no_answer() {
    for (field, value) in [
        ("hash", json!(UNDONE)),
        ("hash", json!(null)),
        ("blockNumber", json!("17")),
        ("input", json!(null)),
        ("input", json!("0x012")),
        ("blobVersionedHashes", json!([1])),
    ] {
        let honest = json!({"hash": MINED, "blockNumber": "0x10", "input": "0x"});
        let damaged = with(honest, field, value);
        let (world, l1) = saying(move |_, _| result(damaged.clone()));
        let answer = world.memory.block_on(l1.transactions(&[MINED]));
        assert!(matches!(answer, Err(UpstreamError::Malformed { .. })), "{field}: {answer:?}");
    }
}

#[test]
fn the_bridgehub_names_the_contract_of_a_chain() {
    let (hub, contract) = (Address::repeat_byte(7), Address::repeat_byte(8));
    let ask = |said: Value| {
        let (world, l1) = saying(move |method, params| {
            let data = format!("0xe680c4c1{:064x}", U256::from(271));
            assert_eq!((method, &params[0]), ("eth_call", &json!({"to": hub, "data": data})));
            result(said.clone())
        });
        world.memory.block_on(l1.contract_of(hub, ChainId(271)))
    };
    assert_eq!(ask(json!(contract.into_word())), Ok(contract));
    let answer = ask(json!(B256::repeat_byte(1)));
    assert!(matches!(answer, Err(UpstreamError::Malformed { .. })), "{answer:?}");
    assert!(matches!(ask(json!("0x")), Err(UpstreamError::Malformed { .. })));
}
