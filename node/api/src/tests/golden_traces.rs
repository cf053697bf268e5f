//! Traces as the reference node shows them: read, made what the VM gives, and shown again.

use lockstep_testvectors::{Answer, recordings_for};
use lockstep_types::{L2BlockHash, L2BlockNumber, U256};
use lockstep_vm::{CallFrame, CallKind};
use lockstep_wire::{
    eth::{CallRequest, CallTrace, CallTraceKind, FlatCall, OfBlock},
    zks::Fee,
};
use serde_json::{Value, to_value};

use crate::trace::{FlatPlace, Root, flat, tree};

fn gas(gas: U256) -> u64 {
    u64::try_from(gas).unwrap()
}

fn kind(kind: CallTraceKind) -> CallKind {
    match kind {
        CallTraceKind::Call => CallKind::Call,
        CallTraceKind::DelegateCall => CallKind::Delegate,
        CallTraceKind::Create => CallKind::Create,
    }
}

fn frame(shown: CallTrace) -> CallFrame {
    CallFrame {
        kind: kind(shown.kind),
        from: shown.from,
        to: shown.to,
        gas: gas(shown.gas),
        gas_used: gas(shown.gas_used),
        value: shown.value,
        input: shown.input,
        output: shown.output,
        error: shown.error,
        revert_reason: shown.revert_reason,
        calls: shown.calls.into_iter().map(frame).collect(),
    }
}

/// The first call of a list, with those made during it; takes them off.
fn first(list: &mut std::slice::Iter<'_, FlatCall>) -> CallFrame {
    let shown = list.next().unwrap();
    let result = shown.result.as_ref();
    CallFrame {
        kind: kind(shown.action.call_type),
        from: shown.action.from,
        to: shown.action.to,
        gas: gas(shown.action.gas),
        gas_used: result.map_or(0, |result| gas(result.gas_used)),
        value: shown.action.value,
        input: shown.action.input.clone(),
        output: result.map(|result| result.output.clone()).unwrap_or_default(),
        error: None,
        revert_reason: shown.error.clone(),
        calls: (0..shown.subtraces).map(|_| first(list)).collect(),
    }
}

fn again(value: &Value) -> Value {
    let root = frame(serde_json::from_value(value.clone()).unwrap());
    let calls = &root.calls;
    to_value(tree(&Root { frame: root.clone(), calls }, false)).unwrap()
}

fn flat_again(value: &Value) -> Value {
    let list: Vec<FlatCall> = serde_json::from_value(value.clone()).unwrap();
    let place = FlatPlace {
        index: list[0].transaction_position,
        tx_hash: list[0].transaction_hash,
        block: L2BlockNumber(list[0].block_number),
        block_hash: L2BlockHash(list[0].block_hash),
    };
    let mut calls = list.iter();
    let root = first(&mut calls);
    assert!(calls.next().is_none(), "one call is around all others");
    let calls = &root.calls;
    to_value(flat(&Root { frame: root.clone(), calls }, &place, false)).unwrap()
}

#[test]
fn what_the_reference_node_shows_is_what_its_calls_are_shown_as() {
    for recording in recordings_for("traces") {
        let (mut trees, mut lists, mut blocks) = (0, 0, 0);
        for golden in recording.golden_api() {
            let Answer::Result(raw) = &golden.answer else { continue };
            let value: Value = serde_json::from_str(raw.get()).unwrap();
            match (golden.method.as_str(), &value) {
                ("debug_traceTransaction" | "debug_traceCall", Value::Object(_)) => {
                    assert_eq!(again(&value), value, "{}", golden.params);
                    trees += 1;
                }
                ("debug_traceTransaction", Value::Array(_)) => {
                    assert_eq!(flat_again(&value), value, "{}", golden.params);
                    lists += 1;
                }
                ("debug_traceBlockByNumber" | "debug_traceBlockByHash", Value::Array(txs)) => {
                    for tx in txs {
                        let shown: OfBlock<Value> = serde_json::from_value(tx.clone()).unwrap();
                        assert_eq!(again(&shown.result), shown.result, "{}", golden.params);
                        assert_eq!(to_value(&shown).unwrap(), *tx);
                    }
                    blocks += 1;
                }
                _ => {}
            }
        }
        let counts = format!("{}: {trees}, {lists}, {blocks}", recording.name());
        assert!(trees > 0 && lists > 0 && blocks > 0, "{counts}");
    }
}

#[test]
fn requests_and_fees_of_the_recording_are_understood() {
    for recording in recordings_for("requests that run something") {
        let (mut requests, mut fees) = (0, 0);
        for golden in recording.golden_api() {
            let runs = ["eth_call", "eth_estimateGas", "debug_traceCall", "zks_estimateFee"];
            if !runs.contains(&golden.method.as_str()) {
                continue;
            }
            let request = golden.params[0].clone();
            let request: CallRequest = serde_json::from_value(request).unwrap();
            assert!(request.to.is_some() || request.data.is_some(), "{}", golden.params);
            requests += 1;
            if let ("zks_estimateFee", Answer::Result(_)) = (&*golden.method, &golden.answer) {
                let fee: Fee = golden.answer.parse();
                assert_eq!(to_value(fee).unwrap(), golden.answer.parse::<Value>());
                fees += 1;
            }
        }
        assert!(requests > 0 && fees > 0, "{}: {requests}, {fees}", recording.name());
    }
}

#[test]
fn calls_may_be_nested_as_deeply_as_gas_allows() {
    let call = |calls| CallFrame {
        kind: CallKind::Call,
        from: lockstep_types::Address::ZERO,
        to: lockstep_types::Address::ZERO,
        gas: 1,
        gas_used: 1,
        value: U256::ZERO,
        input: lockstep_types::Bytes::new(),
        output: lockstep_types::Bytes::new(),
        error: None,
        revert_reason: None,
        calls,
    };
    // Each call gets at most 63 parts in 64 of the gas there is, of at most 32 bits.
    let depth = 2_000;
    let calls = (1..depth).fold(vec![call(Vec::new())], |calls, _| vec![call(calls)]);
    let root = Root { frame: call(Vec::new()), calls: &calls };
    let text = serde_json::to_string(&tree(&root, false)).unwrap();
    assert_eq!(text.matches("gasUsed").count(), depth + 1);
    let place = FlatPlace {
        index: 0,
        tx_hash: lockstep_types::B256::ZERO,
        block: L2BlockNumber(0),
        block_hash: L2BlockHash::default(),
    };
    assert_eq!(flat(&root, &place, false).last().unwrap().trace_address.len(), depth + 1);
}
