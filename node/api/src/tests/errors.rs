//! What clients are told when there is no answer.

use lockstep_io::WriteSet;
use lockstep_store::tables;
use lockstep_types::B256;
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT, genesis, world},
    world::World,
};
use crate::ApiConfig;

const INVALID_PARAMS: i64 = -32_602;
const METHOD_NOT_FOUND: i64 = -32_601;
const INTERNAL: i64 = -32_603;

#[test]
fn methods_that_do_not_exist_are_not_found() {
    let error = world().error("eth_nope", json!([]));
    assert_eq!(error, (METHOD_NOT_FOUND, "Method not found".to_owned()));
}

#[test]
fn parameters_that_cannot_be_read_are_invalid() {
    let world = world();
    let hash = B256::repeat_byte(1);
    for (method, params) in [
        ("eth_getBalance", json!([])),
        ("eth_getBalance", json!(["0x12"])),
        ("eth_getBalance", json!([ALICE, "newest"])),
        ("eth_getBalance", json!([ALICE, "16"])),
        ("eth_getBalance", json!([ALICE, {}])),
        ("eth_getBalance", json!([ALICE, {"blockNumber": "0x1", "blockHash": hash}])),
        ("eth_getBalance", json!({"address": ALICE})),
        ("eth_getBlockByNumber", json!(["0x1"])),
        ("eth_getBlockByNumber", json!([hash, false])),
        ("eth_getBlockByHash", json!(["0x1", false])),
        ("eth_getBlockReceipts", json!([{"blockNumber": "0x1"}])),
        ("eth_getStorageAt", json!([CONTRACT, "five"])),
        ("eth_getTransactionByHash", json!(["0x1"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "-1"])),
        ("eth_getLogs", json!([{"address": "0x1"}])),
        ("zks_getBlockDetails", json!(["0x1"])),
        ("zks_getL1BatchDetails", json!([-1])),
        ("zks_getProof", json!([CONTRACT, hash, 1])),
    ] {
        let error = world.error(method, params.clone());
        assert_eq!(error, (INVALID_PARAMS, "Invalid params".to_owned()), "{method} {params}");
    }
}

#[test]
fn state_of_a_block_that_does_not_exist_is_an_error() {
    let world = world();
    let nowhere = json!({"blockHash": B256::repeat_byte(0x99)});
    for block in [json!("0x4"), json!("0xffffffffffffffff"), nowhere] {
        for (method, params) in [
            ("eth_getBalance", json!([ALICE, block])),
            ("eth_getTransactionCount", json!([ALICE, block])),
            ("eth_getCode", json!([ALICE, block])),
            ("eth_getStorageAt", json!([ALICE, "0x0", block])),
        ] {
            let text = "Block with such an ID doesn't exist yet".to_owned();
            assert_eq!(world.error(method, params), (INVALID_PARAMS, text), "{method} {block}");
        }
    }
}

#[test]
fn too_many_keys_are_refused() {
    let mut world = World::new(ApiConfig { proof_keys_max: 1, ..ApiConfig::default() });
    world.persist_genesis(&genesis(Vec::new()));
    let key = B256::ZERO;
    assert!(world.ask("zks_getProof", json!([ALICE, [key], 0])).is_object());
    let error = world.error("zks_getProof", json!([ALICE, [key, key], 0]));
    assert_eq!(error, (INVALID_PARAMS, "At most 1 keys can be proved at once".to_owned()));
}

#[test]
fn before_genesis_there_is_nothing() {
    let world = World::new(ApiConfig::default());
    let no_block = (INVALID_PARAMS, "Block with such an ID doesn't exist yet".to_owned());
    assert_eq!(world.error("eth_blockNumber", json!([])), no_block);
    assert_eq!(world.error("eth_getBalance", json!([ALICE])), no_block);
    assert_eq!(world.error("eth_getLogs", json!([{}])), no_block);
    assert_eq!(world.ask("eth_getBlockByNumber", json!(["latest", false])), Value::Null);
    assert_eq!(world.ask("eth_getTransactionByHash", json!([B256::ZERO])), Value::Null);
    assert_eq!(world.ask("zks_getL1BatchDetails", json!([0])), Value::Null);
    assert_eq!(world.error("eth_chainId", json!([])).0, INTERNAL);
    assert_eq!(world.error("zks_L1BatchNumber", json!([])).0, INTERNAL);
}

#[test]
fn a_panic_is_an_error_of_its_own_request_only() {
    let mut world = World::with_method("test_panic", |call| {
        assert!(call.head().is_err(), "the chain is not empty");
        Ok(1)
    });
    assert_eq!(world.ask("test_panic", json!([])), json!(1));
    world.persist_genesis(&genesis(Vec::new()));
    for _ in 0..2 {
        let error = world.error("test_panic", json!([]));
        assert_eq!(error, (INTERNAL, "Internal error".to_owned()));
        assert_eq!(world.ask("eth_blockNumber", json!([])), json!("0x0"));
    }
}

#[test]
fn what_is_wrong_with_the_store_is_not_told() {
    let mut world = world();
    let mut damage = WriteSet::new();
    damage.put(tables::BLOCKS, 1_u32.to_be_bytes(), b"no header");
    world.writers.tree.persist(damage).unwrap();
    let answer = world.call("eth_getBlockByNumber", &json!(["0x1", false]));
    assert_eq!(answer["error"], json!({"code": INTERNAL, "message": "Internal error"}));
    assert!(world.ask("eth_getBlockByNumber", json!(["0x2", false])).is_object());
}
