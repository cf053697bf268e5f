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

/// The call that stands for a whole transaction, with those made during it, which it does not
/// hold itself: they may be many, and others may need them.
#[derive(Debug)]
pub(crate) struct Root<'a> {
    /// Without calls.
    pub(crate) frame: CallFrame,
    /// Calls made during it.
    pub(crate) calls: &'a [CallFrame],
}

/// `root` with the calls made during it, unless only itself is wanted.
pub(crate) fn tree(root: &Root<'_>, only_top_call: bool) -> CallTrace {
    let calls = if only_top_call { &[][..] } else { root.calls };
    with_calls(&root.frame, calls)
}

fn with_calls(call: &CallFrame, calls: &[CallFrame]) -> CallTrace {
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
        calls: calls.iter().map(|call| with_calls(call, &call.calls)).collect(),
    }
}

/// `root` and then the calls made during it, each before those made during itself.
pub(crate) fn flat(root: &Root<'_>, place: &FlatPlace, only_top_call: bool) -> Vec<FlatCall> {
    let mut path = vec![usize::try_from(place.index).unwrap_or(usize::MAX)];
    let mut list = vec![flat_call(&root.frame, root.calls.len(), place, &path)];
    if !only_top_call {
        add(root.calls, place, &mut path, &mut list);
    }
    list
}

fn add(calls: &[CallFrame], place: &FlatPlace, path: &mut Vec<usize>, list: &mut Vec<FlatCall>) {
    for (index, call) in calls.iter().enumerate() {
        path.push(index);
        list.push(flat_call(call, call.calls.len(), place, path));
        add(&call.calls, place, path, list);
        path.pop();
    }
}

fn flat_call(call: &CallFrame, subtraces: usize, place: &FlatPlace, path: &[usize]) -> FlatCall {
    let error = call.revert_reason.as_ref().or(call.error.as_ref()).cloned();
    let result = || FlatResult { output: call.output.clone(), gas_used: U256::from(call.gas_used) };
    FlatCall {
        action: FlatAction {
            call_type: kind(call.kind),
            from: call.from,
            to: call.to,
            gas: U256::from(call.gas),
            value: call.value,
            input: call.input.clone(),
        },
        result: error.is_none().then(result),
        subtraces,
        error,
        trace_address: path.to_vec(),
        transaction_position: place.index,
        transaction_hash: place.tx_hash,
        block_number: place.block.0,
        block_hash: place.block_hash.0,
        kind: CallTraceKind::Call,
    }
}

fn kind(kind: CallKind) -> CallTraceKind {
    match kind {
        CallKind::Call | CallKind::Mimic => CallTraceKind::Call,
        CallKind::Delegate => CallTraceKind::DelegateCall,
        CallKind::Create => CallTraceKind::Create,
    }
}
