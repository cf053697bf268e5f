//! Calls that follow each other: `eth_callMany`, `debug_traceCallMany`; and what a call touches:
//! `eth_createAccessList`.

use std::{collections::BTreeMap, sync::Arc};

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Address, B256, Bytes, U256, address::ACCOUNT_CODE_STORAGE};
use lockstep_vm::{SimulationEnd, Steps};
use lockstep_wire::eth::{
    AccessListItem, AccessListResult, BlockId, BlockOverrides, Bundle, BundledCall, CallRequest,
    StateContext, StateOverrides, TraceOptions,
};
use serde::Deserialize;

use super::{Engine, Simulation, ending, sequence::Sequence};
use crate::{
    call::Methods,
    error::{ApiError, ApiResult},
    trace::{self, Shown, Tracer, is_reserved},
};

/// Most calls of one request.
pub(super) const CALLS_MAX: usize = 1_000;

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    methods.add_simulation(engine, "eth_callMany", call_many);
    methods.add_simulation(engine, "debug_traceCallMany", trace_call_many);
    methods.add_simulation(engine, "eth_createAccessList", access_list);
}

/// What every call of a request is made on.
fn sequence<'a>(
    simulation: &'a Simulation<'a>,
    context: StateContext,
    overrides: Option<StateOverrides>,
) -> ApiResult<Sequence<'a>> {
    let StateContext { block_number, transaction_index } = context;
    let place = simulation.place(block_number)?;
    let place = match transaction_index {
        None | Some(-1) => place,
        Some(0) => place.before_its_transactions(),
        Some(index) if u32::try_from(index) == Ok(place.header.tx_count()) => place,
        Some(index) => {
            let text = format!(
                "`transactionIndex` {index} is within the block: use 0 for the state before its \
                 transactions, or -1 for the state after them"
            );
            return Err(ApiError::BadRequest(text));
        }
    };
    let env = simulation.env(&place, None)?;
    Sequence::new(simulation, &place, env, overrides)
}

/// Refuses more calls than one request may make.
pub(super) fn check_count(count: usize) -> ApiResult<()> {
    if count > CALLS_MAX {
        let text = format!("{count} calls are too many: at most {CALLS_MAX} at once");
        return Err(ApiError::BadRequest(text));
    }
    Ok(())
}

fn check_bundles(bundles: &[Bundle]) -> ApiResult<()> {
    check_count(bundles.iter().map(|bundle| bundle.transactions.len()).sum())
}

/// A call that fails changes nothing, and those after it are made all the same.
fn call_many(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Vec<Vec<BundledCall>>> {
    let bundles: Vec<Bundle> = params.next()?;
    let context: Option<StateContext> = params.optional_next()?;
    let overrides = params.optional_next()?;
    check_bundles(&bundles)?;
    let mut sequence = sequence(simulation, context.unwrap_or_default(), overrides)?;
    let mut all = Vec::with_capacity(bundles.len());
    for Bundle { transactions, block_override } in bundles {
        let mut answers = Vec::with_capacity(transactions.len());
        for request in transactions {
            answers.push(bundled(simulation, &mut sequence, request, &block_override)?);
        }
        all.push(answers);
    }
    Ok(all)
}

fn bundled(
    simulation: &Simulation<'_>,
    sequence: &mut Sequence<'_>,
    request: CallRequest,
    block: &Option<BlockOverrides>,
) -> ApiResult<BundledCall> {
    let run = sequence.call(request, block.clone(), false)?;
    sequence.spend(&run.simulated)?;
    sequence.keep(&run);
    match ending::output(run.simulated.end, simulation.call.config.call_time_max) {
        Ok(output) => Ok(BundledCall::Value(output)),
        Err(ApiError::Run { message, data: _ }) => Ok(BundledCall::Error(message)),
        Err(other) => Err(other),
    }
}

/// As geth's options of a traced call.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ManyOptions {
    #[serde(flatten)]
    trace: TraceOptions,
    state_overrides: Option<StateOverrides>,
}

fn trace_call_many(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Vec<Vec<Shown>>> {
    let bundles: Vec<Bundle> = params.next()?;
    let context: Option<StateContext> = params.optional_next()?;
    let options: Option<ManyOptions> = params.optional_next()?;
    check_bundles(&bundles)?;
    let ManyOptions { trace, state_overrides } = options.unwrap_or_default();
    let tracer = Tracer::of(Some(trace))?;
    let mut sequence = sequence(simulation, context.unwrap_or_default(), state_overrides)?;
    let mut all = Vec::with_capacity(bundles.len());
    let mut bytes_left = simulation.answer_bytes_max;
    for Bundle { transactions, block_override } in bundles {
        let mut traces = Vec::with_capacity(transactions.len());
        for request in transactions {
            if let Some(options) = tracer.steps() {
                let rules = trace::rules_of(options, bytes_left);
                let (run, steps) =
                    sequence.call_stepped(request, block_override.clone(), &rules)?;
                bytes_left = bytes_left.saturating_sub(steps.as_ref().map_or(0, Steps::json_bytes));
                sequence.spend(&run.simulated)?;
                sequence.keep(&run);
                let (call, bytes_max) = (simulation.call, simulation.answer_bytes_max);
                let shown = trace::steps_of_call(call, run.simulated, steps, bytes_max)?;
                traces.push(Shown::Steps(shown));
                continue;
            }
            let run = sequence.call(request, block_override.clone(), true)?;
            sequence.spend(&run.simulated)?;
            let gas_limit = run.tx.gas_limit.unwrap_or(sequence.gas_max);
            let (call, time_max) = (simulation.call, simulation.call.config.call_time_max);
            let run_of = (&run.env, &run.tx, gas_limit);
            let simulated = run.simulated.clone();
            let state = &mut sequence.state;
            traces.push(trace::of_call(call, &tracer, run_of, simulated, state, time_max)?);
            sequence.keep(&run);
        }
        all.push(traces);
    }
    Ok(all)
}

/// Accounts and slots that a call touches, apart from system contracts, which every call touches.
/// An access list changes neither what a call may do here nor what it costs.
fn access_list(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<AccessListResult> {
    let request: CallRequest = params.next()?;
    let id: Option<BlockId> = params.optional_next()?;
    let overrides = params.optional_next()?;
    let sequence = Sequence::at(simulation, id, overrides)?;
    let run = sequence.call(request, None, true)?;
    let trace = run.simulated.trace.ok_or(ApiError::BadAnswer("a traced call has no trace"))?;
    let gas_used = U256::from(run.simulated.gas_used);
    let error = match ending::output(run.simulated.end, simulation.call.config.call_time_max) {
        Ok(_) => None,
        Err(ApiError::Run { message, data: _ }) => Some(message),
        Err(other) => return Err(other),
    };
    let both_ends = [Some(run.tx.from), run.tx.to];
    let mut slots: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
    for touched in &trace.touched {
        let slot = touched.slot;
        if slot.address == ACCOUNT_CODE_STORAGE {
            slots.entry(Address::from_word(slot.key)).or_default();
        } else {
            slots.entry(slot.address).or_default().push(slot.key);
        }
    }
    // Both ends of the call are touched anyway: only their slots are worth a word.
    let is_told = |address: &Address, keys: &[_]| {
        !is_reserved(*address) && (!keys.is_empty() || !both_ends.contains(&Some(*address)))
    };
    slots.retain(|address, keys| is_told(address, keys));
    let access_list = slots
        .into_iter()
        .map(|(address, storage_keys)| AccessListItem { address, storage_keys })
        .collect();
    Ok(AccessListResult { access_list, error, gas_used })
}

/// What a call is shown to have returned.
pub(super) fn returned(end: &SimulationEnd) -> Bytes {
    match end {
        SimulationEnd::Success { output } => output.clone(),
        SimulationEnd::Reverted { data, .. } => data.clone(),
        SimulationEnd::Refused { .. } | SimulationEnd::Stopped => Bytes::new(),
    }
}
