//! Prices.

use lockstep_types::FeeInput;
use serde_json::json;

use super::toy::{Probe, Setup, Toy};
use crate::{ApiConfig, CurrentFees};

#[test]
fn prices_follow_from_what_the_main_node_says() {
    let mut toy = Toy::new(Setup::default());
    for (method, answer) in [
        ("eth_gasPrice", json!("0x8")),
        ("zks_gasPerPubdata", json!("0x2")),
        ("zks_getL1GasPrice", json!("0x7")),
        ("eth_maxPriorityFeePerGas", json!("0x0")),
    ] {
        assert_eq!(toy.world.ask(method, json!([])), answer, "{method}");
    }
    toy.end();
    let input =
        FeeInput { l1_gas_price: 50, fair_l2_gas_price: 100, fair_pubdata_price: Some(9_150) };
    toy.fees.send_replace(Some(CurrentFees { input, params: None }));
    assert_eq!(toy.world.ask("eth_gasPrice", json!([])), json!("0x64"));
    assert_eq!(toy.world.ask("zks_gasPerPubdata", json!([])), json!("0x5c"));
    assert_eq!(toy.world.ask("zks_getL1GasPrice", json!([])), json!("0x32"));
    let expected =
        json!({"fair_l2_gas_price": 100, "fair_pubdata_price": 9_150, "l1_gas_price": 50});
    assert_eq!(toy.world.ask("zks_getBatchFeeInput", json!([])), expected);
    let derived = toy.world.ask("zks_getFeeParams", json!([]));
    assert_eq!(derived["V2"]["config"]["minimal_l2_gas_price"], json!(100));
    assert_eq!(derived["V2"]["l1_pubdata_price"], json!(9_150));
    let params = json!({"V2": {"said": "by the main node"}});
    toy.fees.send_replace(Some(CurrentFees { input, params: Some(params.clone()) }));
    assert_eq!(toy.world.ask("zks_getFeeParams", json!([])), params);
}

#[test]
fn prices_do_not_wait_for_calls() {
    let toy = Probe::new().toy();
    assert_eq!(toy.world.ask("eth_gasPrice", json!([])), json!("0x8"));
}

#[test]
fn a_fee_history_ends_with_the_block_after() {
    let config = ApiConfig { fee_history_blocks_max: 3, ..ApiConfig::default() };
    let toy = Toy::new(Setup { config, ..Setup::default() });
    let expected = json!({
        "oldestBlock": "0x3",
        "baseFeePerGas": ["0x8", "0x8", "0x8"],
        "gasUsedRatio": [0.0, 0.0],
        "reward": [[], []],
        "baseFeePerBlobGas": ["0x0", "0x0", "0x0"],
        "blobGasUsedRatio": [0.0, 0.0],
        "l2PubdataPrice": ["0x9", "0x9"],
    });
    assert_eq!(toy.world.ask("eth_feeHistory", json!(["0x2", "0x4", []])), expected);
    assert_eq!(toy.world.ask("eth_feeHistory", json!([2, "0x4"])), expected);
    let rewards = toy.world.ask("eth_feeHistory", json!([1, "latest", [5.0, 95.0]]));
    assert_eq!(rewards["reward"], json!([["0x0", "0x0"]]));
    let many = toy.world.ask("eth_feeHistory", json!(["0xffff", "pending"]));
    assert_eq!(many["oldestBlock"], json!("0x4"), "at most three");
    let none = toy.world.ask("eth_feeHistory", json!([0, "0x1"]));
    assert_eq!(none["oldestBlock"], json!("0x1"), "at least one");
    let all = toy.world.ask("eth_feeHistory", json!([9, "0x1"]));
    assert_eq!(all["oldestBlock"], json!("0x0"), "genesis is the first");
    let text = "Block with such an ID doesn't exist yet".to_owned();
    assert_eq!(toy.world.error("eth_feeHistory", json!([1, "0x9"])), (-32_602, text));
}
