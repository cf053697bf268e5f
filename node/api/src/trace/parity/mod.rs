//! `trace_*`: flat lists of calls, and what runs changed, in the shapes of OpenEthereum.
//!
//! Calls are shown as Ethereum would have made them (see [`ethereum`](super::ethereum)). There is
//! no `vmTrace`: its readers rebuild a stack from what each instruction is said to push, and find
//! the instruction in the code by counting bytes. The machine here has registers beside its stack,
//! instructions of eight bytes, and calls where they expect instructions, so whatever stood there
//! would be misread. Tracer `structLog` ([`steps`](super::steps)) shows instructions as they are.

mod filter;
mod items;
mod simulated;
mod state_diff;

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{B256, TxHash};
use lockstep_wire::{
    eth::{BlockId, TraceItem, TraceResults, TraceType},
    quantity,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use self::items::items;
use super::{
    cache::Wanted,
    seen::{Seen, of_block},
};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    eth::BlockHashOrNumber,
    execution::Engine,
};

pub(crate) use self::simulated::{Traced, results_of_call};

/// Why there is no `vmTrace`.
const NO_VM_TRACE: &str = "vmTrace is not available: it would show instructions of Ethereum's \
     machine, which this chain does not run; use trace or stateDiff, or debug_traceTransaction and \
     debug_traceCall with tracer structLog, which show those that it runs";

pub(crate) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    add(methods, engine, "trace_transaction", |call, params| {
        of_tx(call, params.next()?, What::Items)
    });
    add(methods, engine, "trace_get", |call, params| {
        let (hash, at): (B256, Vec<Index>) = (params.next()?, params.next()?);
        of_tx(call, hash, What::At(at.into_iter().map(|Index(index)| index).collect()))
    });
    add(methods, engine, "trace_block", |call, params| of_all(call, params.next()?, What::Items));
    add(methods, engine, "trace_replayTransaction", |call, params| {
        let hash = params.next()?;
        of_tx(call, hash, What::Results(Sides::of(params.next()?)?))
    });
    add(methods, engine, "trace_replayBlockTransactions", |call, params| {
        let id = params.next()?;
        of_all(call, id, What::Results(Sides::of(params.next()?)?))
    });
    filter::register(methods, engine);
}

/// An index as a client writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Index(#[serde(with = "quantity::lenient")] u64);

/// Sides of a run that are to be shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sides {
    pub(crate) has_trace: bool,
    pub(crate) has_state_diff: bool,
}

impl Sides {
    pub(crate) fn of(types: Vec<TraceType>) -> ApiResult<Self> {
        if types.contains(&TraceType::VmTrace) {
            return Err(ApiError::BadRequest(NO_VM_TRACE.to_owned()));
        }
        Ok(Self {
            has_trace: types.contains(&TraceType::Trace),
            has_state_diff: types.contains(&TraceType::StateDiff),
        })
    }
}

/// What is to be shown of a transaction or block.
#[derive(Clone, Debug)]
enum What {
    Items,
    At(Vec<u64>),
    Results(Sides),
}

/// What is to be looked up, or what is known without looking.
#[derive(Debug)]
enum Plan {
    Known(Box<RawValue>),
    Traced { wanted: Wanted, index: Option<u32>, what: What },
}

fn of_tx(call: &Call, hash: B256, what: What) -> ApiResult<Plan> {
    let Some(position) = call.view.tx_position(&TxHash(hash))? else {
        return Ok(Plan::Known(RawValue::NULL.to_owned()));
    };
    let header = call.header(position.block)?;
    Ok(Plan::Traced { wanted: Wanted::of(&header), index: Some(position.index), what })
}

fn of_all(call: &Call, id: BlockHashOrNumber, what: What) -> ApiResult<Plan> {
    let Some(number) = call.find_block(BlockId::from(id))? else {
        return Ok(Plan::Known(RawValue::NULL.to_owned()));
    };
    let header = call.header(number)?;
    if header.tx_count() == 0 {
        return Ok(Plan::Known(to_raw_value::<[(); 0]>(&[])?));
    }
    Ok(Plan::Traced { wanted: Wanted::of(&header), index: None, what })
}

fn add(
    methods: &mut Methods,
    engine: &Arc<Engine>,
    name: &'static str,
    plan: impl Fn(&Call, &mut ParamsSequence<'_>) -> ApiResult<Plan> + Copy + Send + Sync + 'static,
) {
    let engine = Arc::clone(engine);
    methods.add_async(name, move |params, view| {
        let engine = Arc::clone(&engine);
        async move {
            let job = move |call: &Call| plan(call, &mut params.sequence());
            let answer = async {
                match engine.read(name, &view, job).await? {
                    Plan::Known(known) => Ok(known),
                    Plan::Traced { wanted, index, what } => {
                        let traces = engine.traces(&wanted).await?;
                        let job = move |call: &Call| {
                            show(call, &of_block(call, &wanted, &traces)?, index, &what)
                        };
                        engine.read(name, &view, job).await
                    }
                }
            };
            answer.await.map_err(|error: ApiError| error.into_object(name))
        }
    });
}

fn show(
    call: &Call,
    block: &[Seen<'_>],
    index: Option<u32>,
    what: &What,
) -> ApiResult<Box<RawValue>> {
    let Some(index) = index else {
        return match what {
            What::Results(sides) => {
                let all = block.iter().map(|seen| results(call, seen, *sides, true));
                written(&all.collect::<ApiResult<Vec<_>>>()?)
            }
            What::Items | What::At(_) => {
                let mut all = Vec::new();
                for seen in block {
                    all.extend(of_seen(call, seen)?);
                }
                written(&all)
            }
        };
    };
    let at = usize::try_from(index).ok().and_then(|index| block.get(index));
    let seen = at.ok_or(ApiError::BadAnswer("the transaction has no trace"))?;
    match what {
        What::Items => written(&of_seen(call, seen)?),
        What::Results(sides) => written(&results(call, seen, *sides, false)?),
        What::At(wanted) => {
            let is_meant = |item: &TraceItem| {
                let address = item.trace_address.iter();
                address.map(|index| u64::try_from(*index)).eq(wanted.iter().map(|at| Ok(*at)))
            };
            written(&of_seen(call, seen)?.into_iter().find(is_meant))
        }
    }
}

fn written<T: Serialize>(value: &T) -> ApiResult<Box<RawValue>> {
    Ok(to_raw_value(value)?)
}

/// All calls of a transaction of a block.
fn of_seen(call: &Call, seen: &Seen<'_>) -> ApiResult<Vec<TraceItem>> {
    items(&seen.root(), Some(seen.trace_place()), &|account| seen.code_of(call, account))
}

fn results(call: &Call, seen: &Seen<'_>, sides: Sides, names_tx: bool) -> ApiResult<TraceResults> {
    let root = seen.root();
    let state_diff = || state_diff::of(call, &seen.trace.trace, &seen.trace.accounts, &|_| None);
    Ok(TraceResults {
        output: root.output.clone(),
        state_diff: sides.has_state_diff.then(state_diff).transpose()?,
        trace: if sides.has_trace {
            items(&root, None, &|account| seen.code_of(call, account))?
        } else {
            Vec::new()
        },
        vm_trace: None,
        transaction_hash: names_tx.then_some(seen.trace.hash.0),
    })
}
