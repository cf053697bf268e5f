//! What happened inside a transaction: its batch is run again.

use std::sync::Arc;

use lockstep_types::{B256, Bytes, TxHash, TxStatus, U256};
use lockstep_vm::{CallFrame, CallKind};
use lockstep_wire::ots::{InternalOperation, TraceEntry};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    call::{Call, Methods},
    error::ApiError,
    execution::Engine,
    trace::{Seen, Wanted, failure, of_block},
};

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    add(methods, engine, "ots_traceTransaction", |seen| {
        let mut entries = Vec::new();
        trace(&seen.root(), 0, &mut entries);
        entries
    });
    add(methods, engine, "ots_getInternalOperations", |seen| {
        let mut operations = Vec::new();
        let root = seen.root();
        for call in &root.calls {
            operate(call, &mut operations);
        }
        operations
    });
    // What a failing transaction returned, as it is encoded; nothing if it did not fail.
    add(methods, engine, "ots_getTransactionError", |seen| match &seen.receipt.status {
        TxStatus::Success => Bytes::new(),
        TxStatus::Reverted { reason } => revert_data(reason),
    });
}

fn add<T: Serialize>(
    methods: &mut Methods,
    engine: &Arc<Engine>,
    name: &'static str,
    show: impl Fn(&Seen<'_>) -> T + Copy + Send + Sync + 'static,
) {
    let engine = Arc::clone(engine);
    methods.add_async(name, move |params, view| {
        let engine = Arc::clone(&engine);
        async move {
            let job = move |call: &Call| {
                let hash = TxHash(params.sequence().next::<B256>()?);
                let Some(position) = call.view.tx_position(&hash)? else { return Ok(None) };
                Ok(Some((Wanted::of(&call.header(position.block)?), position.index)))
            };
            let answer = async {
                let Some((wanted, index)) = engine.read(name, &view, job).await? else {
                    return Ok(RawValue::NULL.to_owned());
                };
                let traces = engine.traces(&wanted).await?;
                let job = move |call: &Call| {
                    let block = of_block(call, &wanted, &traces)?;
                    let at = usize::try_from(index).ok().and_then(|index| block.get(index));
                    let seen = at.ok_or(ApiError::BadAnswer("the transaction has no trace"))?;
                    Ok(to_raw_value(&show(seen))?)
                };
                engine.read(name, &view, job).await
            };
            answer.await.map_err(|error: ApiError| error.into_object(name))
        }
    });
}

fn trace(call: &CallFrame, depth: u32, entries: &mut Vec<TraceEntry>) {
    let kind = match call.kind {
        CallKind::Call | CallKind::Mimic => "CALL",
        CallKind::Delegate => "DELEGATECALL",
        CallKind::Create => "CREATE",
    };
    entries.push(TraceEntry {
        kind,
        depth,
        from: call.from,
        to: call.to,
        value: (call.kind != CallKind::Delegate).then_some(call.value),
        input: call.input.clone(),
        output: call.output.clone(),
    });
    for inner in &call.calls {
        trace(inner, depth + 1, entries);
    }
}

/// Transfers and new contracts, as far as they were not undone.
fn operate(call: &CallFrame, operations: &mut Vec<InternalOperation>) {
    if failure(call).is_some() {
        return;
    }
    let CallFrame { from, to, value, .. } = *call;
    let operation = |kind| InternalOperation { kind, from, to, value };
    match call.kind {
        CallKind::Create => operations.push(operation(InternalOperation::CREATE)),
        CallKind::Call | CallKind::Mimic if value > U256::ZERO => {
            operations.push(operation(InternalOperation::TRANSFER));
        }
        CallKind::Call | CallKind::Mimic | CallKind::Delegate => {}
    }
    for inner in &call.calls {
        operate(inner, operations);
    }
}

/// What a contract returned that reverted for this reason: `Error(string)`, or the data itself
/// where the reason is all that is known of it.
fn revert_data(reason: &str) -> Bytes {
    if let Some((_, data)) = reason.rsplit_once("data = 0x")
        && let Ok(data) = lockstep_types::alloy_primitives::hex::decode(data)
    {
        return data.into();
    }
    const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
    let length = U256::from(reason.len());
    let words = [U256::from(32), length].map(|word| word.to_be_bytes::<32>()).concat();
    let mut data = [&ERROR[..], &words, reason.as_bytes()].concat();
    data.resize(4 + 64 + reason.len().next_multiple_of(32), 0);
    data.into()
}

#[cfg(test)]
mod tests {
    use lockstep_types::keccak256;

    use super::*;

    #[test]
    fn a_reason_becomes_the_data_that_it_was_read_from() {
        let data = revert_data("no");
        assert_eq!(data[..4], keccak256("Error(string)")[..4]);
        assert_eq!((data.len(), data[35], data[67], &data[68..70]), (100, 32, 2, &b"no"[..]));
        let known = revert_data("Error function_selector = 0x01020304, data = 0x0102030405");
        assert_eq!(known, Bytes::from_static(&[1, 2, 3, 4, 5]));
    }

    #[test]
    fn operations_are_transfers_and_new_contracts_that_were_not_undone() {
        let call = |kind, value: u64, is_undone: bool, calls| CallFrame {
            kind,
            from: lockstep_types::Address::repeat_byte(1),
            to: lockstep_types::Address::repeat_byte(2),
            gas: 0,
            gas_used: 0,
            value: U256::from(value),
            input: Bytes::new(),
            output: Bytes::new(),
            error: is_undone.then(|| "Panic".to_owned()),
            revert_reason: None,
            calls,
        };
        let paid = || call(CallKind::Mimic, 5, false, vec![]);
        let plain = call(CallKind::Call, 0, false, vec![paid()]);
        let undone = call(CallKind::Call, 7, true, vec![paid()]);
        let delegate = call(CallKind::Delegate, 5, false, vec![]);
        let made = call(CallKind::Create, 0, false, vec![]);
        let mut operations = Vec::new();
        for call in [plain, undone, delegate, made] {
            operate(&call, &mut operations);
        }
        let kinds: Vec<_> = operations.iter().map(|operation| operation.kind).collect();
        assert_eq!(kinds, [InternalOperation::TRANSFER, InternalOperation::CREATE]);
    }
}
