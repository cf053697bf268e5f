//! Recorded and hand-made answers of `en_*`, both ways.

use alloy_primitives::{Address, U256, address};
use lockstep_types::{
    ChainId, DaValidator, L2BlockNumber, ProtocolVersion, PubdataParams, PubdataType,
    SettlementLayer, TxCommon,
};
use serde_json::{Value, json};

use super::*;
use crate::WireError;

const N: L2BlockNumber = L2BlockNumber(5501);

fn hash(byte: u8) -> Value {
    json!(format!("0x{}", format!("{byte:02x}").repeat(32)))
}

/// The least that a block must have.
fn bare_block() -> Value {
    json!({
        "number": 5501, "l1BatchNumber": 77, "lastInBatch": false, "timestamp": 1_750_000_001,
        "l1GasPrice": 12, "l2FairGasPrice": 45,
        "baseSystemContractsHashes": {"bootloader": hash(1), "default_aa": hash(2)},
        "operatorAddress": Address::repeat_byte(3), "protocolVersion": "Version19",
    })
}

fn with(changes: &Value) -> Value {
    let mut block = bare_block();
    for (key, value) in changes.as_object().unwrap() {
        block[key] = value.clone();
    }
    block
}

fn parts(block: &Value) -> Result<SyncBlockParts, WireError> {
    SyncBlock::from_json(N, &block.to_string())?.try_into()
}

#[test]
fn an_old_block_may_leave_much_out() {
    let parts = parts(&bare_block()).unwrap();
    assert_eq!(parts.params.pubdata_params, PubdataParams::default());
    assert_eq!(parts.params.base_system_contracts.evm_emulator, None);
    assert_eq!(parts.params.virtual_block_count, 0);
    assert_eq!((parts.claimed_hash, parts.transactions), (None, None));
}

#[test]
fn unknown_fields_are_ignored() {
    let block = with(&json!({"somethingNew": {"deep": [1, 2]}, "pubdataLimit": null}));
    assert_eq!(parts(&block), parts(&bare_block()));
}

#[test]
fn newer_versions_need_what_their_rules_need() {
    let block = with(&json!({"protocolVersion": "Version20"}));
    let error = parts(&block).unwrap_err();
    assert!(error.to_string().contains("block 5501: fairPubdataPrice"), "{error}");
    let block = with(&json!({"protocolVersion": "Version26", "fairPubdataPrice": 9}));
    let error = parts(&block).unwrap_err();
    assert!(error.to_string().contains("block 5501: pubdataParams"), "{error}");
}

#[test]
fn a_block_of_v31_is_carried() {
    let block = with(&json!({
        "protocolVersion": "Version31", "fairPubdataPrice": 9,
        "pubdataParams": {
            "pubdata_validator": {"CommitmentScheme": "BlobsAndPubdataKeccak256"},
            "pubdata_type": "Rollup",
        },
        "settlementLayer": {"type": "Gateway", "chain_id": 9075}, "interopFee": "0x7",
        "interopRoots": [{"chain_id": 271, "block_number": 5, "sides": [hash(9)]}],
    }));
    let parts = parts(&block).unwrap();
    assert_eq!(parts.params.version, ProtocolVersion(31));
    assert_eq!(parts.params.pubdata_params.validator, DaValidator::Scheme(3));
    assert_eq!(parts.params.settlement_layer, Some(SettlementLayer::Gateway(ChainId(9075))));
    assert_eq!(parts.params.interop_fee, Some(U256::from(7)));
    assert_eq!(parts.params.interop_roots[0].chain_id, 271);
    let written = serde_json::to_value(parts.to_json()).unwrap();
    for (key, value) in block.as_object().unwrap() {
        if key != "baseSystemContractsHashes" {
            assert_eq!(&written[key], value, "{key}");
        }
    }
}

#[test]
fn an_address_as_validator_is_said_twice_from_v31_on() {
    let validator = address!("95ad61b0a150d79219dcf64e1e6cc01f0b64c4ce");
    let both = json!({
        "pubdata_validator": {"Address": validator}, "l2_da_validator_address": validator,
        "pubdata_type": "NoDA",
    });
    let block = with(
        &json!({"protocolVersion": "Version31", "fairPubdataPrice": 9, "pubdataParams": both}),
    );
    let parts = parts(&block).unwrap();
    let expected = PubdataParams {
        validator: DaValidator::Address(validator),
        pubdata_type: PubdataType::NoDa,
    };
    assert_eq!(parts.params.pubdata_params, expected);
    assert_eq!(serde_json::to_value(parts.to_json()).unwrap()["pubdataParams"], both);
}

#[test]
fn validators_that_contradict_each_other_are_refused() {
    let params = json!({
        "pubdata_validator": {"Address": Address::repeat_byte(1)},
        "l2_da_validator_address": Address::repeat_byte(2), "pubdata_type": "Rollup",
    });
    assert!(parts(&with(&json!({"pubdataParams": params}))).is_err());
    for params in [
        json!({"pubdata_type": "Pigeons"}),
        json!({"pubdata_type": "Rollup", "pubdata_validator": {"CommitmentScheme": "Pigeons"}}),
        json!({"pubdata_type": "Rollup", "pubdata_validator": {"Oracle": 1}}),
    ] {
        let error = parts(&with(&json!({"pubdataParams": params}))).unwrap_err();
        assert!(error.to_string().starts_with("block 5501: p"), "{error}");
    }
}

#[test]
fn an_error_names_block_and_field() {
    for (changes, field) in [
        (json!({"timestamp": "0x5"}), "timestamp"),
        (json!({"number": null}), "number"),
        (json!({"l1GasPrice": -1}), "l1GasPrice"),
        (json!({"protocolVersion": "v29"}), "protocolVersion"),
        (json!({"operatorAddress": "0x12"}), "operatorAddress"),
        (json!({"transactions": [{"common_data": {"L3": {}}}]}), "common_data"),
    ] {
        let error = parts(&with(&changes)).unwrap_err();
        assert!(
            matches!(&error, WireError::Block { block: N, field: it, .. } if it == field),
            "{field}: {error:?}"
        );
    }
    let mut block = bare_block();
    block.as_object_mut().unwrap().remove("timestamp");
    let error = parts(&block).unwrap_err();
    assert!(error.to_string().contains("missing field `timestamp`"), "{error}");
    for not_a_block in ["", "[]", "<html>", "7", "{\"number\":", "\u{e9}\":"] {
        SyncBlock::from_json(N, not_a_block).unwrap_err();
    }
}

#[test]
fn a_priority_operation_may_leave_obsolete_fields_out() {
    let tx = json!({
        "common_data": {"L1": {
            "sender": Address::ZERO, "serialId": 4, "maxFeePerGas": "0x1", "gasLimit": "0x2",
            "gasPerPubdataLimit": "0x3", "canonicalTxHash": hash(7), "toMint": "0x4",
            "refundRecipient": Address::ZERO,
        }},
        "execute": {"calldata": "0x", "value": "0x0", "factoryDeps": null},
    });
    let parts = parts(&with(&json!({"transactions": [tx]}))).unwrap();
    let tx = &parts.transactions.unwrap()[0];
    assert!(matches!(&tx.common, TxCommon::Priority(common) if common.serial_id == 4));
    assert_eq!(tx.execute.to, None);
    assert!(tx.execute.factory_deps.is_empty());
}

#[test]
fn a_transaction_without_a_hash_is_refused() {
    let tx = json!({
        "common_data": {"L2": {
            "nonce": 1, "initiatorAddress": Address::ZERO, "signature": [],
            "fee": {"gas_limit": "0x1", "max_fee_per_gas": "0x1",
                "max_priority_fee_per_gas": "0x1", "gas_per_pubdata_limit": "0x1"},
            "transactionType": "LegacyTransaction", "input": null,
        }},
        "execute": {"contractAddress": Address::ZERO, "calldata": "0x", "value": "0x0"},
    });
    let error = parts(&with(&json!({"transactions": [tx]}))).unwrap_err();
    assert!(error.to_string().contains("transactions[0]"), "{error}");
}
