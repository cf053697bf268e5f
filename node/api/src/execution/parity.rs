//! `trace_call` and `trace_callMany`.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_wire::eth::{BlockId, CallRequest, TraceResults, TraceType};

use super::{Engine, Simulation, bundles::check_count, sequence::Sequence};
use crate::{
    call::Methods,
    error::ApiResult,
    trace::parity::{Sides, Traced, results_of_call},
};

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    methods.add_simulation(engine, "trace_call", trace_call);
    methods.add_simulation(engine, "trace_callMany", trace_call_many);
}

fn trace_call(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<TraceResults> {
    let request: CallRequest = params.next()?;
    let sides = Sides::of(params.next()?)?;
    let id: Option<BlockId> = params.optional_next()?;
    let overrides = params.optional_next()?;
    let mut sequence = Sequence::at(simulation, id, overrides)?;
    traced(simulation, &mut sequence, request, sides)
}

/// Each call sees what those before it changed.
fn trace_call_many(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Vec<TraceResults>> {
    let calls: Vec<(CallRequest, Vec<TraceType>)> = params.next()?;
    let id: Option<BlockId> = params.optional_next()?;
    check_count(calls.len())?;
    let mut sequence = Sequence::at(simulation, id, None)?;
    let mut all = Vec::with_capacity(calls.len());
    for (request, types) in calls {
        all.push(traced(simulation, &mut sequence, request, Sides::of(types)?)?);
    }
    Ok(all)
}

fn traced(
    simulation: &Simulation<'_>,
    sequence: &mut Sequence<'_>,
    request: CallRequest,
    sides: Sides,
) -> ApiResult<TraceResults> {
    let run = sequence.call(request, None, true)?;
    sequence.spend(run.simulated.trace.as_ref())?;
    let gas_limit = run.tx.gas_limit.unwrap_or(sequence.gas_max);
    let traced = Traced { tx: &run.tx, simulated: &run.simulated, gas_limit };
    let results = results_of_call(simulation.call, traced, sides, &mut sequence.state)?;
    sequence.keep(&run);
    Ok(results)
}
