//! Calls as a flat list.

use lockstep_types::{Address, Bytes, U256};
use lockstep_vm::{CallFrame, CallKind};
use lockstep_wire::eth::{
    TraceAction, TraceCallType, TraceItem, TraceItemKind, TracePlace, TraceResult,
};

use crate::{error::ApiResult, trace::ethereum::failure};

/// Tells the code of an account that was made.
type CodeOf<'a> = dyn Fn(Address) -> ApiResult<Bytes> + 'a;

/// `root` and then the calls made during it, each before those made during itself.
pub(super) fn items(
    root: &CallFrame,
    place: Option<TracePlace>,
    code_of: &CodeOf<'_>,
) -> ApiResult<Vec<TraceItem>> {
    let mut list = Vec::new();
    add(root, place, code_of, &mut Vec::new(), &mut list)?;
    Ok(list)
}

fn add(
    call: &CallFrame,
    place: Option<TracePlace>,
    code_of: &CodeOf<'_>,
    path: &mut Vec<usize>,
    list: &mut Vec<TraceItem>,
) -> ApiResult<()> {
    list.push(item(call, place, code_of, path)?);
    for (index, inner) in call.calls.iter().enumerate() {
        path.push(index);
        add(inner, place, code_of, path, list)?;
        path.pop();
    }
    Ok(())
}

fn item(
    call: &CallFrame,
    place: Option<TracePlace>,
    code_of: &CodeOf<'_>,
    path: &[usize],
) -> ApiResult<TraceItem> {
    let (from, gas, value) = (call.from, U256::from(call.gas), call.value);
    let gas_used = U256::from(call.gas_used);
    let error = failure(call);
    let is_done = error.is_none();
    let (kind, action, result) = match call.kind {
        CallKind::Create => {
            let action = TraceAction::Create { from, gas, init: call.input.clone(), value };
            let code = if is_done { code_of(call.to)? } else { Bytes::new() };
            let result = TraceResult::Create { address: call.to, code, gas_used };
            (TraceItemKind::Create, action, result)
        }
        CallKind::Call | CallKind::Mimic | CallKind::Delegate => {
            let call_type = match call.kind {
                CallKind::Delegate => TraceCallType::DelegateCall,
                CallKind::Call | CallKind::Mimic | CallKind::Create => TraceCallType::Call,
            };
            let (input, to) = (call.input.clone(), call.to);
            let action = TraceAction::Call { call_type, from, gas, input, to, value };
            let result = TraceResult::Call { gas_used, output: call.output.clone() };
            (TraceItemKind::Call, action, result)
        }
    };
    Ok(TraceItem {
        action,
        place,
        error,
        result: is_done.then_some(result),
        subtraces: call.calls.len(),
        trace_address: path.to_vec(),
        kind,
    })
}
