//! Signed transactions that are in no block: run as the next block would run them.
//!
//! The sender's account looks at the signature and pays, with what it has. Two things are made to
//! fit, as the reference node does: the nonce is the sender's next, because those before it may be
//! on their way; and prices are no higher than what is offered, because the main node may wait until
//! they are. What an account may look at while it validates is left to the main node.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Bytes, FeeInput, Transaction, TxCommon, U256};
use lockstep_vm::{Simulated, SimulatedTx, SimulationEnd, VmError};
use lockstep_wire::{
    eth::TraceResults,
    tx_hash::{DecodeError, decode_raw},
};

use super::{Engine, Overridden, Simulation, request::GAS_PER_PUBDATA};
use crate::{
    call::Methods,
    error::{ApiError, ApiResult},
    trace::parity::{Sides, Traced, results_of_call},
};

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    methods.add_simulation(engine, "trace_rawTransaction", trace_raw);
}

/// Signed bytes that are no transaction of this chain.
pub(crate) fn unreadable(reason: &DecodeError) -> ApiError {
    ApiError::run(&format!("Failed to serialize transaction: {reason}"))
}

/// What `trace_call` shows, of a transaction that is signed.
fn trace_raw(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<TraceResults> {
    let raw: Bytes = params.next()?;
    let sides = Sides::of(params.next()?)?;
    let chain_id = simulation.call.identity()?.l2_chain_id;
    let tx = decode_raw(&raw, chain_id).map_err(|error| unreadable(&error))?;
    let (simulated, mut state) = run(simulation, &tx, true)?;
    let asked = SimulatedTx {
        from: tx.initiator(),
        to: tx.execute.to,
        value: tx.execute.value,
        input: tx.execute.calldata.clone(),
        ..SimulatedTx::default()
    };
    let gas_limit = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
    let traced = Traced { tx: &asked, simulated: &simulated, gas_limit };
    results_of_call(simulation.call, traced, sides, &mut state)
}

/// Runs `tx` to find out whether a block could include it. A transaction that is undone could be.
///
/// # Errors
///
/// [`ApiError::Run`], with code 3: why none could.
pub(crate) fn check(simulation: &Simulation<'_>, tx: &Transaction) -> ApiResult<()> {
    let call = simulation.call;
    let version = call.header(call.head()?)?.params.version;
    if !simulation.execution.simulator.can_simulate(version) {
        return Ok(()); // The main node will tell.
    }
    match run(simulation, tx, false) {
        Ok((simulated, _)) => match simulated.end {
            SimulationEnd::Success { .. } | SimulationEnd::Reverted { .. } => Ok(()),
            SimulationEnd::Refused { message } => Err(ApiError::run(&message)),
            SimulationEnd::Stopped => Err(ApiError::TimedOut(call.config.call_time_max)),
        },
        Err(ApiError::Vm(VmError::BadInput { batch: _, reason })) => {
            let text = format!("failed to include transaction in the system. reason: {reason}");
            Err(ApiError::run(&text))
        }
        Err(other) => Err(other),
    }
}

/// Runs `tx` on the newest block; gives what that came to, and the state that it was run on.
fn run(
    simulation: &Simulation<'_>,
    tx: &Transaction,
    with_trace: bool,
) -> ApiResult<(Simulated, Overridden)> {
    let place = simulation.place(None)?;
    let mut env = simulation.env(&place, None)?;
    let limits = simulation.execution.vm.limits(env.version, &env.fee_input)?;
    if tx.gas_limit() > U256::from(limits.gas_limit) {
        return Err(ApiError::run("exceeds block gas limit"));
    }
    let mut state = Overridden::new(simulation.state(&place), None)?;
    if let TxCommon::L2(common) = &tx.common {
        let gas_per_pubdata = common.fee.gas_per_pubdata_limit.saturating_to();
        env.fee_input = offered(env.fee_input, tx.max_fee_per_gas(), gas_per_pubdata);
        state.set_nonce(common.initiator, U256::from(common.nonce))?;
    }
    let Simulation { execution, stop, .. } = simulation;
    let storage = Box::new(state.fresh());
    let simulated = execution.simulator.check(&env, tx, storage, with_trace, stop)?;
    Ok((simulated, state))
}

/// The highest prices up to `prices` at which a unit of gas costs no more than `max_fee`, and a
/// byte of pubdata no more than `gas_per_pubdata` units of gas.
fn offered(prices: FeeInput, max_fee: U256, gas_per_pubdata: u64) -> FeeInput {
    let max_fee: u64 = max_fee.saturating_to();
    let for_pubdata = max_fee.saturating_mul(gas_per_pubdata.min(GAS_PER_PUBDATA));
    FeeInput {
        fair_l2_gas_price: prices.fair_l2_gas_price.min(max_fee),
        fair_pubdata_price: prices.fair_pubdata_price.map(|price| price.min(for_pubdata)),
        ..prices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_lowered_to_what_is_offered_and_never_raised() {
        let prices = FeeInput {
            l1_gas_price: 7,
            fair_l2_gas_price: 100,
            fair_pubdata_price: Some(4_000_000),
        };
        let offer = |max_fee: u64, limit| offered(prices, U256::from(max_fee), limit);
        assert_eq!(offer(1_000, GAS_PER_PUBDATA), prices);
        let lower = FeeInput { fair_l2_gas_price: 50, fair_pubdata_price: Some(500), ..prices };
        assert_eq!(offer(50, 10), lower);
        // A base fee that pubdata makes higher is lowered as well.
        let at_most =
            FeeInput { fair_pubdata_price: Some(3_000_000), fair_l2_gas_price: 60, ..prices };
        assert_eq!(offer(60, u64::MAX), at_most);
        assert_eq!(offered(prices, U256::MAX, u64::MAX), prices);
    }
}
