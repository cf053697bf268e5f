//! Calls that are in no block, seen from the sides that were asked for.

use lockstep_replay::TouchedAccount;
use lockstep_types::{Address, Bytes};
use lockstep_vm::{Simulated, SimulatedTx, SimulationEnd};
use lockstep_wire::eth::TraceResults;

use super::{Sides, items::items, state_diff};
use crate::{
    call::Call,
    error::{ApiError, ApiResult},
    execution::Overridden,
    trace::ethereum::Asked,
};

/// A call that was made, and how much gas it could use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traced<'a> {
    pub(crate) tx: &'a SimulatedTx,
    pub(crate) simulated: &'a Simulated,
    pub(crate) gas_limit: u64,
}

/// What is shown of a call that was made on `state`.
pub(crate) fn results_of_call(
    call: &Call,
    traced: Traced<'_>,
    sides: Sides,
    state: &mut Overridden,
) -> ApiResult<TraceResults> {
    let Traced { tx, simulated, gas_limit } = traced;
    let trace = simulated.trace.as_ref();
    let trace = trace.ok_or(ApiError::BadAnswer("a traced call has no trace"))?;
    let (output, is_undone) = match &simulated.end {
        SimulationEnd::Success { output } => (output.clone(), false),
        SimulationEnd::Reverted { reason: _, data } => (data.clone(), true),
        SimulationEnd::Refused { message } => return Err(ApiError::run(message)),
        SimulationEnd::Stopped => {
            return Err(ApiError::TimedOut(call.config.call_time_max));
        }
    };
    let asked = Asked {
        from: tx.from,
        to: tx.to,
        input: tx.input.clone(),
        value: tx.value,
        gas: gas_limit,
        gas_used: simulated.gas_used,
        is_undone,
    };
    let state_diff = if sides.has_state_diff {
        let accounts = TouchedAccount::of_trace(trace, |slot| state.read(slot))?;
        let made = |hash: &_| {
            let made = simulated.made_bytecodes.iter().find(|(made, _)| made == hash);
            made.map(|(_, code)| code.clone()).or_else(|| state.added_code(hash))
        };
        Some(state_diff::of(call, trace, &accounts, &made)?)
    } else {
        None
    };
    // What a call makes is nowhere after it; its code is what it returned, if it returned any.
    let code_of = |account: Address| {
        let is_root = tx.to.is_none() && account != Address::ZERO;
        Ok(if is_root { output.clone() } else { Bytes::new() })
    };
    let root = asked.root(&trace.calls);
    let trace = if sides.has_trace { items(&root, None, &code_of)? } else { Vec::new() };
    Ok(TraceResults { output, state_diff, trace, vm_trace: None, transaction_hash: None })
}
