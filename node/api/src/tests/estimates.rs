//! Estimates.

use lockstep_types::L2BlockNumber;
use lockstep_vm::{EstimateRules, GasEstimate, SimulatedKind};
use lockstep_vm_toy::{Op, Program, gas};
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT},
    toy::{Probe, Setup, Toy},
};

#[test]
fn an_estimate_is_what_a_transaction_needs_scaled() {
    let toy = Toy::new(Setup::default());
    let data = Program(vec![Op::Burn { gas: 5_000 }]).encode();
    let request = json!({"from": ALICE, "to": CONTRACT, "data": data});
    let needed = (gas::TX + gas::OP + 5_000) * 13 / 10;
    let expected = json!(format!("{needed:#x}"));
    for params in [json!([request]), json!([request, "0x1"]), json!([request, null, {}])] {
        assert_eq!(toy.world.ask("eth_estimateGas", params), expected);
    }
    assert_eq!(toy.world.ask("zks_estimateGasL1ToL2", json!([request])), expected);
}

#[test]
fn an_estimate_is_for_the_pending_block() {
    let probe = Probe::new();
    let toy = probe.toy();
    toy.world.ask("eth_estimateGas", json!([{"from": ALICE}, "0x1"]));
    let (env, rules) =
        probe.with(|probed| (probed.env.take().unwrap(), probed.rules.take().unwrap()));
    assert_eq!((env.block, env.base_fee_per_gas), (L2BlockNumber(7), None));
    let expected = EstimateRules { acceptable_overestimation: 1_000, scale_per_mille: 1_300 };
    assert_eq!(rules, expected);
}

#[test]
fn a_fee_says_what_gas_and_pubdata_cost() {
    let probe = Probe::new();
    let toy = probe.toy();
    let estimate = |gas_per_pubdata| {
        let estimate = GasEstimate { gas_limit: 500, base_fee_per_gas: 7, gas_per_pubdata };
        probe.with(|probed| probed.estimate = estimate);
        toy.world.ask("zks_estimateFee", json!([{"eip712Meta": {"gasPerPubdata": "0x1"}}]))
    };
    let expected = json!({
        "gas_limit": "0x1f4",
        "max_fee_per_gas": "0x7",
        "max_priority_fee_per_gas": "0x0",
        "gas_per_pubdata_limit": "0x77",
    });
    assert_eq!(estimate(92), expected);
    assert_eq!(estimate(49_000)["gas_per_pubdata_limit"], json!("0xc350"));
    let tx = probe.with(|probed| probed.tx.take().unwrap());
    assert_eq!((tx.gas_per_pubdata_limit, tx.kind), (50_000, SimulatedKind::Eip712));
}

#[test]
fn what_is_requested_on_l1_has_no_nonce_and_other_defaults() {
    let probe = Probe::new();
    let toy = probe.toy();
    let mut request = json!({"from": CONTRACT, "nonce": "0x5", "value": "0xfff"});
    let parts = |request: &Value| {
        toy.world.ask("zks_estimateGasL1ToL2", json!([request]));
        let tx = probe.with(|probed| probed.tx.take().unwrap());
        (tx.kind, tx.nonce, tx.gas_per_pubdata_limit)
    };
    assert_eq!(parts(&request), (SimulatedKind::Priority, None, 50_000));
    request["eip712Meta"] = json!({"gasPerPubdata": "0x0"});
    assert_eq!(parts(&request), (SimulatedKind::Priority, None, 800));
}

#[test]
fn who_sends_more_than_there_is_has_insufficient_funds() {
    let toy = Probe::new().toy();
    let ask = |value: &str, overrides: Value| {
        let params = json!([{"from": ALICE, "value": value}, null, overrides]);
        toy.world.call("eth_estimateGas", &params)
    };
    assert_eq!(ask("0x64", json!({}))["result"], json!("0x1"));
    let text = "insufficient funds for gas + value. balance: 100, fee: 0, value: 101";
    let expected = json!({"code": 3, "message": text, "data": "0x"});
    assert_eq!(ask("0x65", json!({}))["error"], expected);
    let rich = json!({ALICE.to_string(): {"balance": "0x65"}});
    assert_eq!(ask("0x65", rich)["result"], json!("0x1"));
    let with_code = json!({ALICE.to_string(): {"code": "0x6001"}});
    assert_eq!(ask("0x65", with_code)["result"], json!("0x1"));
}
