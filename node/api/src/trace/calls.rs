//! Calls as trees and as lists.

use lockstep_types::{L2BlockHash, L2BlockNumber, U256};
use lockstep_vm::{CallFrame, CallKind};
use lockstep_wire::eth::{CallTrace, CallTraceKind, FlatAction, FlatCall, FlatResult};

/// Where the transaction of a list of calls is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlatPlace {
    /// Index in the block.
    pub(crate) index: u32,
    /// Hash of the transaction.
    pub(crate) tx_hash: lockstep_types::B256,
    /// Number of the block.
    pub(crate) block: L2BlockNumber,
    /// Hash of the block.
    pub(crate) block_hash: L2BlockHash,
}

/// `call` with the calls made during it, unless only itself is wanted.
pub(crate) fn tree(call: &CallFrame, only_top_call: bool) -> CallTrace {
    let calls = if only_top_call { &[][..] } else { &call.calls };
    CallTrace {
        kind: kind(call.kind),
        from: call.from,
        to: call.to,
        gas: U256::from(call.gas),
        gas_used: U256::from(call.gas_used),
        value: call.value,
        output: call.output.clone(),
        input: call.input.clone(),
        error: call.error.clone(),
        revert_reason: call.revert_reason.clone(),
        calls: calls.iter().map(|call| tree(call, false)).collect(),
    }
}

/// `call` and then the calls made during it, each before those made during itself.
pub(crate) fn flat(call: &CallFrame, place: &FlatPlace, only_top_call: bool) -> Vec<FlatCall> {
    let mut list = Vec::new();
    let index = usize::try_from(place.index).unwrap_or(usize::MAX);
    add(call, place, &mut vec![index], only_top_call, &mut list);
    list
}

fn add(
    call: &CallFrame,
    place: &FlatPlace,
    path: &mut Vec<usize>,
    only_top_call: bool,
    list: &mut Vec<FlatCall>,
) {
    let error = call.revert_reason.as_ref().or(call.error.as_ref()).cloned();
    let result = || FlatResult { output: call.output.clone(), gas_used: U256::from(call.gas_used) };
    list.push(FlatCall {
        action: FlatAction {
            call_type: kind(call.kind),
            from: call.from,
            to: call.to,
            gas: U256::from(call.gas),
            value: call.value,
            input: call.input.clone(),
        },
        result: error.is_none().then(result),
        subtraces: call.calls.len(),
        error,
        trace_address: path.clone(),
        transaction_position: place.index,
        transaction_hash: place.tx_hash,
        block_number: place.block.0,
        block_hash: place.block_hash.0,
        kind: CallTraceKind::Call,
    });
    if only_top_call {
        return;
    }
    for (index, call) in call.calls.iter().enumerate() {
        path.push(index);
        add(call, place, path, false, list);
        path.pop();
    }
}

fn kind(kind: CallKind) -> CallTraceKind {
    match kind {
        CallKind::Call | CallKind::Mimic => CallTraceKind::Call,
        CallKind::Delegate => CallTraceKind::DelegateCall,
        CallKind::Create => CallTraceKind::Create,
    }
}
