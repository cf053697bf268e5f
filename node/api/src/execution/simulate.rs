//! `eth_call`, estimates, and traces of calls.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Bytes, StorageSlot, U256};
use lockstep_vm::{EstimateRules, Estimated, GasEstimate, Simulated, SimulatedTx, SimulationEnv};
use lockstep_wire::{
    eth::{BlockId, BlockOverrides, CallRequest, StateOverrides, TraceOptions},
    zks,
};
use serde::Deserialize;

use super::{
    Engine, Overridden, Simulation, ending,
    env::Place,
    request::{self, GAS_PER_PUBDATA, Origin, narrow},
};
use crate::{
    call::Methods,
    error::{ApiError, ApiResult},
    trace::{self, Shown, Tracer, steps_of_call},
};

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    methods.add_simulation(engine, "eth_call", call);
    methods.add_simulation(engine, "eth_estimateGas", |simulation, params| {
        let request = params.next()?;
        // Estimates are for the pending block, whichever is named.
        let _block: Option<BlockId> = params.optional_next()?;
        let overrides = params.optional_next()?;
        let gas = estimate(simulation, request, overrides, Origin::L2)?;
        Ok(U256::from(gas.gas_limit))
    });
    methods.add_simulation(engine, "zks_estimateFee", estimate_fee);
    methods.add_simulation(engine, "zks_estimateGasL1ToL2", |simulation, params| {
        let (request, overrides) = (params.next()?, params.optional_next()?);
        let gas = estimate(simulation, request, overrides, Origin::L1)?;
        Ok(U256::from(gas.gas_limit))
    });
    methods.add_simulation(engine, "debug_traceCall", trace_call);
}

/// What is run, and where.
#[derive(Debug)]
struct Prepared {
    env: SimulationEnv,
    tx: SimulatedTx,
    state: Overridden,
    /// Gas of a call that names none.
    gas_max: u64,
}

fn call(simulation: &Simulation<'_>, params: &mut ParamsSequence<'_>) -> ApiResult<Bytes> {
    let request = params.next()?;
    let place = simulation.place(params.optional_next()?)?;
    let (state, block) = (params.optional_next()?, params.optional_next()?);
    let prepared = prepare_call(simulation, &place, request, state, block)?;
    let run = run(simulation, &prepared, false)?;
    ending::output(run.end, simulation.call.config.call_time_max)
}

/// As geth's: a call may be traced in a world of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TraceCallOptions {
    #[serde(flatten)]
    trace: TraceOptions,
    state_overrides: Option<StateOverrides>,
    block_overrides: Option<BlockOverrides>,
}

fn trace_call(simulation: &Simulation<'_>, params: &mut ParamsSequence<'_>) -> ApiResult<Shown> {
    let request = params.next()?;
    let place = simulation.place(params.optional_next()?)?;
    let options: Option<TraceCallOptions> = params.optional_next()?;
    let TraceCallOptions { trace, state_overrides, block_overrides } = options.unwrap_or_default();
    let tracer = Tracer::of(Some(trace))?;
    let mut prepared = prepare_call(simulation, &place, request, state_overrides, block_overrides)?;
    let gas_limit = *prepared.tx.gas_limit.get_or_insert(prepared.gas_max);
    if let Some(options) = tracer.steps() {
        let Prepared { env, tx, state, .. } = prepared;
        let bytes_max = simulation.answer_bytes_max;
        let rules = trace::rules_of(options, bytes_max);
        let simulator = &simulation.execution.simulator;
        let (run, steps) =
            simulator.call_stepped(&env, &tx, Box::new(state), &rules, simulation.stop)?;
        return Ok(Shown::Steps(steps_of_call(simulation.call, run, steps, bytes_max)?));
    }
    let run = run(simulation, &prepared, true)?;
    let time_max = simulation.call.config.call_time_max;
    let Prepared { env, tx, mut state, .. } = prepared;
    trace::of_call(simulation.call, &tracer, (&env, &tx, gas_limit), run, &mut state, time_max)
}

fn run(simulation: &Simulation<'_>, prepared: &Prepared, with_trace: bool) -> ApiResult<Simulated> {
    let Prepared { env, tx, state, .. } = prepared;
    let storage = Box::new(state.fresh());
    let simulator = &simulation.execution.simulator;
    Ok(simulator.call(env, tx, storage, with_trace, simulation.stop)?)
}

fn prepare_call(
    simulation: &Simulation<'_>,
    place: &Place,
    request: CallRequest,
    state: Option<StateOverrides>,
    block: Option<BlockOverrides>,
) -> ApiResult<Prepared> {
    let mut env = simulation.env(place, block)?;
    let limits = simulation.execution.vm.limits(env.version, &env.fee_input)?;
    let gas_max = simulation.call.config.call_gas_max.unwrap_or(u64::MAX).min(limits.gas_limit);
    let mut tx = request::transaction(request, Origin::L2, gas_max)?;
    if simulation.call.config.call_gas_max.is_some() {
        tx.gas_limit.get_or_insert(gas_max);
    }
    // A call that names a price sees it as the base fee.
    if let (None, Some(price)) = (env.base_fee_per_gas, tx.gas_price) {
        env.base_fee_per_gas = Some(narrow(price, "gasPrice")?);
    }
    let state = Overridden::new(simulation.state(place), state)?;
    Ok(Prepared { env, tx, state, gas_max })
}

fn estimate_fee(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<zks::Fee> {
    let mut request: CallRequest = params.next()?;
    let overrides = params.optional_next()?;
    if let Some(meta) = &mut request.eip712_meta {
        meta.gas_per_pubdata = None;
    }
    let gas = estimate(simulation, request, overrides, Origin::L2)?;
    let scale = simulation.call.config.estimate_scale_per_mille;
    let scaled = gas.gas_per_pubdata.saturating_mul(scale) / 1_000;
    Ok(zks::Fee {
        gas_limit: U256::from(gas.gas_limit),
        max_fee_per_gas: U256::from(gas.base_fee_per_gas),
        max_priority_fee_per_gas: U256::ZERO,
        gas_per_pubdata_limit: U256::from(scaled.min(GAS_PER_PUBDATA)),
    })
}

pub(super) fn estimate(
    simulation: &Simulation<'_>,
    request: CallRequest,
    overrides: Option<StateOverrides>,
    origin: Origin,
) -> ApiResult<GasEstimate> {
    let config = &simulation.call.config;
    let place = simulation.place(None)?;
    let env = simulation.env(&place, None)?;
    let gas_max = simulation.execution.vm.limits(env.version, &env.fee_input)?.gas_limit;
    let tx = request::transaction(request, origin, gas_max)?;
    let mut state = Overridden::new(simulation.state(&place), overrides)?;
    if origin == Origin::L2 {
        check_funds(&tx, &mut state)?;
    }
    let rules = EstimateRules {
        acceptable_overestimation: config.estimate_overestimation_max,
        scale_per_mille: config.estimate_scale_per_mille,
    };
    let simulator = &simulation.execution.simulator;
    match simulator.estimate(&env, &tx, Box::new(state), &rules, simulation.stop)? {
        Estimated::Gas(gas) => Ok(gas),
        Estimated::Fails(end) => {
            ending::output(end, config.call_time_max)?;
            Err(ApiError::BadAnswer("an estimate failed with a run that did not"))
        }
    }
}

/// An account without code must have what it sends. Fees are not asked for.
fn check_funds(tx: &SimulatedTx, state: &mut Overridden) -> ApiResult<()> {
    if !state.read(&StorageSlot::code_hash(tx.from))?.is_zero() {
        return Ok(());
    }
    let balance: U256 = state.read(&StorageSlot::balance(tx.from))?.into();
    if tx.value <= balance {
        return Ok(());
    }
    let text = format!(
        "insufficient funds for gas + value. balance: {balance}, fee: 0, value: {}",
        tx.value
    );
    Err(ApiError::Run { message: text, data: Bytes::new() })
}
