//! `eth_call`: which state, which surroundings, which words when it fails.

use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, FeeInput, L1BatchNumber, L2BlockNumber, PaymasterParams,
    StorageSlot, U256, UnixSeconds, address::EVM_HASHES_STORAGE, block::legacy_block_hash,
    keccak256,
};
use lockstep_vm::{SimulatedKind, SimulatedTx, SimulationEnd};
use lockstep_vm_toy::{Op, Program};
use serde_json::{Value, json};

use super::{
    sample::{ALICE, CONTRACT, params},
    toy::{Probe, Setup, Toy, block_info, read_five, word},
};
use crate::CurrentFees;

const INVALID_PARAMS: i64 = -32_602;
/// The clock of tests stands at the first of January 2024.
const NOW: UnixSeconds = UnixSeconds(1_704_067_200);

#[test]
fn a_call_reads_the_state_of_the_block_that_is_named() {
    let toy = Toy::new(Setup::default());
    for (block, value) in [
        (json!("earliest"), 0),
        (json!("0x1"), 10),
        (json!("0x2"), 11),
        (json!("0x3"), 11),
        (json!("0x4"), 12),
        (json!({"blockNumber": "0x1"}), 10),
        (json!({"blockHash": toy.hash(2)}), 11),
        (json!("latest"), 13),
        (json!("committed"), 13),
        (json!("pending"), 13),
        (json!(null), 13),
        (json!("finalized"), 0),
    ] {
        let output = toy.world.ask("eth_call", json!([read_five(), block]));
        assert_eq!(output, json!(word(value)), "{block}");
    }
    assert_eq!(toy.world.ask("eth_call", json!([read_five()])), json!(word(13)));
    for block in [json!("0x7"), json!({"blockHash": B256::ZERO})] {
        let error = toy.world.error("eth_call", json!([read_five(), block]));
        let text = "Block with such an ID doesn't exist yet".to_owned();
        assert_eq!(error, (INVALID_PARAMS, text), "{block}");
    }
}

#[test]
fn what_a_contract_says_when_it_reverts_comes_with_code_3() {
    let toy = Toy::new(Setup::default());
    let data = Program(vec![Op::Revert]).encode();
    let answer = toy.world.call("eth_call", &json!([{"to": CONTRACT, "data": data}]));
    let said = Bytes::from_static(b"the program reverts");
    let text = "execution reverted: the program reverts";
    assert_eq!(answer["error"], json!({"code": 3, "message": text, "data": said}));
    let data = Program(vec![Op::Halt]).encode();
    let answer = toy.world.call("eth_call", &json!([{"to": CONTRACT, "data": data}]));
    assert_eq!(answer["error"], json!({"code": 3, "message": "the program halts", "data": "0x"}));
}

#[test]
fn every_end_of_a_run_has_its_words() {
    let probe = Probe::new();
    let toy = probe.toy();
    let data = Bytes::from_static(&[1, 2, 3, 4, 5]);
    let unknown = SimulationEnd::Reverted { reason: None, data };
    for (end, expected) in [
        (unknown, json!({"code": 3, "message": "execution reverted", "data": "0x0102030405"})),
        (
            SimulationEnd::Refused { message: "no".to_owned() },
            json!({"code": 3, "message": "no", "data": "0x"}),
        ),
        (
            SimulationEnd::Stopped,
            json!({"code": -32_000, "message": "execution aborted (timeout = 10s)"}),
        ),
    ] {
        probe.with(|probed| probed.end = Some(end));
        assert_eq!(toy.world.call("eth_call", &json!([{}]))["error"], expected);
        assert_eq!(toy.world.call("eth_estimateGas", &json!([{}]))["error"], expected);
    }
}

#[test]
fn a_panic_in_a_simulation_is_an_error_of_its_own_request_only() {
    let probe = Probe::new();
    let toy = probe.toy();
    probe.with(|probed| probed.end = None);
    for method in ["eth_call", "eth_estimateGas", "debug_traceCall"] {
        let error = toy.world.error(method, json!([{}]));
        assert_eq!(error, (-32_603, "Internal error".to_owned()), "{method}");
    }
    // The panic came while a test's lock was free, and turns were given back.
    probe.with(|probed| probed.end = Some(SimulationEnd::Success { output: Bytes::new() }));
    assert_eq!(toy.world.ask("eth_call", json!([{}])), json!("0x"));
}

#[test]
fn a_pending_block_follows_the_newest_one_now() {
    let probe = Probe::new();
    let toy = probe.toy();
    toy.world.ask("eth_call", json!([{}]));
    let env = probe.with(|probed| probed.env.take().unwrap());
    assert_eq!((env.block, env.batch), (L2BlockNumber(7), L1BatchNumber(2)));
    assert_eq!((env.block_timestamp, env.batch_timestamp), (NOW, NOW));
    assert_eq!((env.parent.0, env.block_info_before), (toy.hash(6), None));
    assert_eq!((env.base_fee_per_gas, env.fee_input), (None, params(6, 3, false).fee_input));
    assert!(env.base_contracts.evm_emulator.is_none());
}

#[test]
fn an_existing_block_is_taken_back_to_be_run_again() {
    let probe = Probe::new();
    let toy = probe.toy();
    toy.world.ask("eth_call", json!([{}, "0x5"]));
    let env = probe.with(|probed| probed.env.take().unwrap());
    assert_eq!((env.block, env.batch), (L2BlockNumber(5), L1BatchNumber(2)));
    assert_eq!(
        (env.block_timestamp, env.batch_timestamp),
        (UnixSeconds(1_005), UnixSeconds(1_004))
    );
    assert_eq!(env.parent.0, toy.hash(4));
    assert_eq!(env.block_info_before, Some(block_info(4)));
    // The open batch has no row of its own.
    toy.world.ask("eth_call", json!([{}, "latest"]));
    let env = probe.with(|probed| probed.env.take().unwrap());
    assert_eq!((env.batch, env.batch_timestamp), (L1BatchNumber(3), UnixSeconds(1_006)));
    // Genesis has no block in the system context.
    toy.world.ask("eth_call", json!([{}, "0x0"]));
    let env = probe.with(|probed| probed.env.take().unwrap());
    assert_eq!((env.block, env.block_timestamp), (L2BlockNumber(1), UnixSeconds(0)));
    assert_eq!(env.parent, legacy_block_hash(L2BlockNumber(0)));
    assert_eq!(env.block_info_before, None);
}

#[test]
fn current_prices_are_those_of_the_open_batch_then_the_main_nodes() {
    let probe = Probe::new();
    let mut toy = probe.toy();
    let said = FeeInput { l1_gas_price: 1, fair_l2_gas_price: 2, fair_pubdata_price: Some(3) };
    toy.fees.send_replace(Some(CurrentFees { input: said, params: None }));
    let prices = |toy: &Toy, block: &str| {
        toy.world.ask("eth_call", json!([{}, block]));
        probe.with(|probed| probed.env.take().unwrap().fee_input)
    };
    let stored = params(6, 3, false).fee_input;
    assert_eq!(prices(&toy, "latest"), stored);
    toy.end();
    assert_eq!([prices(&toy, "pending"), prices(&toy, "latest")], [said, said]);
    assert_eq!(prices(&toy, "0x7"), stored);
    toy.fees.send_replace(None);
    assert_eq!(prices(&toy, "latest"), stored);
}

#[test]
fn a_request_becomes_a_transaction() {
    let probe = Probe::new();
    let toy = probe.toy();
    let sent = |request: Value| {
        toy.world.ask("eth_call", json!([request]));
        probe.with(|probed| (probed.tx.take().unwrap(), probed.env.take().unwrap()))
    };
    let (tx, _) = sent(json!({}));
    assert_eq!(tx, SimulatedTx { gas_per_pubdata_limit: 50_000, ..SimulatedTx::default() });
    let (tx, env) = sent(json!({
        "from": ALICE, "to": CONTRACT, "gas": "0x64", "gasPrice": "0x9", "value": "0x5",
        "nonce": "0x7", "data": "0x01", "input": "0x02", "type": "0x1",
    }));
    let expected = SimulatedTx {
        kind: SimulatedKind::Eip2930,
        from: ALICE,
        to: Some(CONTRACT),
        nonce: Some(7),
        gas_limit: Some(100),
        gas_price: Some(U256::from(9)),
        gas_per_pubdata_limit: 50_000,
        value: U256::from(5),
        input: Bytes::from_static(&[2]),
        ..SimulatedTx::default()
    };
    assert_eq!((tx, env.base_fee_per_gas), (expected, Some(9)));
    let (tx, env) = sent(json!({
        "maxFeePerGas": "0x6",
        "eip712Meta": {
            "gasPerPubdata": "0x320", "factoryDeps": [[1], "0x02"], "customSignature": [3],
            "paymasterParams": {"paymaster": ALICE, "paymasterInput": [4]},
        },
    }));
    assert_eq!((tx.kind, tx.gas_per_pubdata_limit), (SimulatedKind::Eip712, 800));
    assert_eq!(tx.factory_deps, [[1_u8], [2]].map(Bytes::from));
    assert_eq!(tx.signature, Some(Bytes::from_static(&[3])));
    let paymaster = PaymasterParams { paymaster: ALICE, input: Bytes::from_static(&[4]) };
    assert_eq!((tx.paymaster, env.base_fee_per_gas), (paymaster, Some(6)));
    assert_eq!(sent(json!({"maxFeePerGas": "0x6"})).0.kind, SimulatedKind::Eip1559);
}

#[test]
fn a_call_cannot_have_more_gas_than_there_is() {
    let probe = Probe::new();
    let toy = probe.toy();
    let all = json!({"gas": format!("{:#x}", 1_u64 << 50)});
    toy.world.ask("eth_call", json!([all]));
    let more = json!({"gas": format!("{:#x}", (1_u64 << 50) + 1)});
    let error = toy.world.error("eth_call", json!([more]));
    assert_eq!(error, (3, "exceeds block gas limit".to_owned()));
    let config = crate::ApiConfig { call_gas_max: Some(50), ..Default::default() };
    let simulator = std::sync::Arc::new(probe.clone());
    let toy = Toy::new(Setup { config, simulator, ..Setup::default() });
    toy.world.ask("eth_call", json!([{}]));
    assert_eq!(probe.with(|probed| probed.tx.take().unwrap().gas_limit), Some(50));
    assert_eq!(toy.world.error("eth_call", json!([{"gas": "0x33"}])).0, 3);
}

#[test]
fn accounts_are_what_overrides_say() {
    let probe = Probe::new();
    let toy = probe.toy();
    let other = Address::repeat_byte(7);
    let seen = |slots: Vec<StorageSlot>, overrides: Value| {
        probe.with(|probed| probed.slots = slots);
        toy.world.ask("eth_call", json!([{}, "latest", overrides]));
        probe.with(|probed| std::mem::take(&mut probed.values))
    };
    let five = |key| StorageSlot::new(CONTRACT, word(key));
    let slots = vec![StorageSlot::balance(ALICE), StorageSlot::nonces(ALICE), five(5), five(6)];
    assert_eq!(seen(slots.clone(), json!({})), [100, 5, 13, 0].map(word));
    let simple = json!({ALICE.to_string(): {"balance": "0x1", "nonce": "0x2"}});
    assert_eq!(seen(slots.clone(), simple), [1, 2, 13, 0].map(word));
    let diff = json!({CONTRACT.to_string(): {"stateDiff": {word(6).to_string(): word(8)}}});
    assert_eq!(seen(slots.clone(), diff), [100, 5, 13, 8].map(word));
    let all = json!({CONTRACT.to_string(): {"state": {word(6).to_string(): word(8)}}});
    assert_eq!(seen(slots, all), [100, 5, 0, 8].map(word));
    let unknown = seen(vec![StorageSlot::balance(other)], json!({other.to_string(): {}}));
    assert_eq!(unknown, [B256::ZERO]);
}

#[test]
fn code_of_an_override_is_known_and_stored_as_the_chain_would() {
    let probe = Probe::new();
    let toy = probe.toy();
    let seen = |code: Value, hash: BytecodeHash| {
        probe.with(|probed| {
            probed.slots = vec![
                StorageSlot::code_hash(CONTRACT),
                StorageSlot::known_code(hash.0),
                StorageSlot::new(EVM_HASHES_STORAGE, hash.0),
            ];
            probed.codes = vec![hash];
        });
        let overrides = json!({CONTRACT.to_string(): {"code": code}});
        toy.world.ask("eth_call", json!([{}, "latest", overrides]));
        probe.with(|probed| (probed.values.clone(), probed.bytecodes[0].clone()))
    };
    let era = Bytes::from(vec![1; 96]);
    let era_hash = BytecodeHash::of_era(&era).unwrap();
    let known = (vec![era_hash.0, word(1), B256::ZERO], Some(era.clone()));
    assert_eq!(seen(json!(era), era_hash), known);
    assert_eq!(seen(json!({"eravm": era}), era_hash), known);
    let evm = Bytes::from_static(&[0x60, 0x01]);
    let mut padded = vec![0; 32];
    padded[..2].copy_from_slice(&evm);
    let evm_hash = BytecodeHash::of_padded_evm(&padded, 2).unwrap();
    let known = (vec![evm_hash.0, word(1), keccak256(&evm)], Some(Bytes::from(padded)));
    assert_eq!(seen(json!(evm), evm_hash), known);
    assert_eq!(seen(json!({"evm": evm}), evm_hash), known);
    let era_as_evm = BytecodeHash::of_padded_evm(&era, 96).unwrap();
    assert_eq!(seen(json!({"evm": era}), era_as_evm).0[0], era_as_evm.0);
    assert_eq!(seen(json!("0x"), evm_hash).0[0], B256::ZERO);
}

#[test]
fn blocks_are_what_overrides_say() {
    let probe = Probe::new();
    let toy = probe.toy();
    let seen = |overrides: Value| {
        toy.world.ask("eth_call", json!([{"gasPrice": "0x5"}, "latest", null, overrides]));
        probe.with(|probed| probed.env.take().unwrap())
    };
    let env = seen(json!({"number": "0x64", "time": "0x1f4", "baseFeePerGas": "0x9"}));
    assert_eq!((env.block, env.block_timestamp), (L2BlockNumber(100), UnixSeconds(500)));
    assert_eq!((env.batch_timestamp, env.base_fee_per_gas), (UnixSeconds(500), Some(9)));
    // It is the first block that the system context hears of.
    assert_eq!(env.parent, legacy_block_hash(L2BlockNumber(99)));
    assert_eq!(env.block_info_before, Some([B256::ZERO; 2]));
    let env = seen(json!({"baseFeePerGas": "0x9"}));
    assert_eq!((env.parent.0, env.block_info_before), (toy.hash(5), Some(block_info(5))));
}

#[test]
fn requests_that_make_no_sense_are_refused_with_the_reason() {
    let toy = Probe::new().toy();
    let contract = CONTRACT.to_string();
    let slots = json!({word(1).to_string(): word(1)});
    for (request, overrides, block, reason) in [
        (json!({"type": "0x3"}), json!({}), json!({}), "type 0x3 cannot be run"),
        (json!({"nonce": "0x100000000"}), json!({}), json!({}), "`nonce` is too large"),
        (json!({}), json!({&contract: {"code": {"eravm": "0x01"}}}), json!({}), "multiple of 32"),
        (
            json!({}),
            json!({&contract: {"state": slots, "stateDiff": slots}}),
            json!({}),
            "both `state` and `stateDiff`",
        ),
        (json!({}), json!({}), json!({"gasLimit": "0x1"}), "`gasLimit` of a block"),
        (json!({}), json!({}), json!({"number": "0x100000000"}), "`number` is too large"),
        (json!({}), json!({}), json!({"number": "0x0"}), "`number` of a block is 1 or more"),
        (json!({}), json!({}), json!({"slot": "0x1"}), "Invalid params"),
        (json!({}), json!({&contract: {"move": "0x1"}}), json!({}), "Invalid params"),
        (json!({"gas": "five"}), json!({}), json!({}), "Invalid params"),
    ] {
        let params = json!([request, "latest", overrides, block]);
        let (code, text) = toy.world.error("eth_call", params.clone());
        assert_eq!(code, INVALID_PARAMS, "{params}");
        assert!(text.contains(reason), "{params}: {text}");
    }
}
