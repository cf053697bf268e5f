//! `debug_trace*` for what is in a block: its batch is run again, nothing is stored for it.

use std::sync::Arc;

use jsonrpsee::types::{Params, params::ParamsSequence};
use lockstep_replay::{BatchTraces, ReplayError, TraceWish, TxTrace};
use lockstep_store::TxPosition;
use lockstep_types::{B256, Execute, L2BlockNumber, Receipt, Transaction, TxHash, TxStatus};
use lockstep_wire::eth::{BlockId, BlockNumberOrTag, OfBlock};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    FlatPlace, Root, Shown, Tracer, TracerKind, bootloader_call,
    cache::{Found, Outcome, TraceFailure, Wanted},
    prestate, show_calls, steps,
};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    execution::Engine,
    one_view::OneView,
};

/// What the calls of a transaction that was undone are shown to have ended with.
const FAILED: &str = "Bootloader-based tx failed";

pub(crate) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    add(methods, engine, "debug_traceTransaction", |call, params| {
        let hash = TxHash(params.next::<B256>()?);
        let tracer = Tracer::of(params.optional_next()?)?;
        let Some(position) = call.view.tx_position(&hash)? else { return Ok(Plan::Nothing) };
        plan(call, position.block, Some(position.index), tracer)
    });
    add(methods, engine, "debug_traceBlockByNumber", |call, params| {
        let number: BlockNumberOrTag = params.next()?;
        let tracer = Tracer::of(params.optional_next()?)?;
        if number == BlockNumberOrTag::Pending {
            return Ok(Plan::EmptyBlock);
        }
        plan_block(call, BlockId::Number(number), tracer)
    });
    add(methods, engine, "debug_traceBlockByHash", |call, params| {
        let hash: B256 = params.next()?;
        let tracer = Tracer::of(params.optional_next()?)?;
        plan_block(call, BlockId::Hash(hash), tracer)
    });
}

/// What is to be shown.
#[derive(Debug)]
enum Plan {
    /// There is no such transaction.
    Nothing,
    /// There is nothing in the block.
    EmptyBlock,
    /// Traces of a block, or of the transaction at an index in it.
    Traces { wanted: Wanted, index: Option<u32>, tracer: Tracer },
}

fn plan_block(call: &Call, id: BlockId, tracer: Tracer) -> ApiResult<Plan> {
    let number = call.find_block(id)?.ok_or(ApiError::NoBlock)?;
    plan(call, number, None, tracer)
}

fn plan(call: &Call, block: L2BlockNumber, index: Option<u32>, tracer: Tracer) -> ApiResult<Plan> {
    let header = call.header(block)?;
    if header.tx_count() == 0 {
        return Ok(Plan::EmptyBlock);
    }
    let wanted = Wanted::of(&header);
    Ok(Plan::Traces { wanted, index, tracer })
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
            let answer = answer(name, engine, (params, view), plan).await;
            answer.map_err(|error| error.into_object(name))
        }
    });
}

/// Looks up what is meant, has it run, and shows it.
async fn answer(
    name: &'static str,
    engine: Arc<Engine>,
    (params, view): (Params<'static>, OneView),
    plan: impl Fn(&Call, &mut ParamsSequence<'_>) -> ApiResult<Plan> + Send + 'static,
) -> ApiResult<Box<RawValue>> {
    let job = move |call: &Call| plan(call, &mut params.sequence());
    match engine.read(name, &view, job).await? {
        Plan::Nothing => Ok(RawValue::NULL.to_owned()),
        Plan::EmptyBlock => Ok(to_raw_value::<[(); 0]>(&[])?),
        Plan::Traces { wanted, index, tracer } => {
            if let Some(options) = tracer.steps() {
                return steps::answer(&engine, name, &view, (wanted, index), options).await;
            }
            let traces = engine.traces(&wanted).await?;
            let job = move |call: &Call| show(call, &traces, &wanted, index, &tracer);
            engine.read(name, &view, job).await
        }
    }
}

fn show(
    call: &Call,
    traces: &BatchTraces,
    wanted: &Wanted,
    index: Option<u32>,
    tracer: &Tracer,
) -> ApiResult<Box<RawValue>> {
    let block = wanted.find(traces).ok_or(ApiError::BadAnswer("the block has no traces"))?;
    let shown = |index: u32, trace: &TxTrace| {
        let position = TxPosition { block: wanted.block, index };
        let missing = ApiError::Missing { what: "a receipt", block: wanted.block };
        let tx = call.transaction(position)?;
        let receipt = call.view.receipt(position)?.ok_or(missing)?;
        let place = FlatPlace {
            index,
            tx_hash: trace.hash.0,
            block: wanted.block,
            block_hash: wanted.hash,
        };
        of_tx(call, tracer, (&tx, &receipt), trace, &place)
    };
    if let Some(index) = index {
        let at = usize::try_from(index).ok().and_then(|index| block.txs.get(index));
        let trace = at.ok_or(ApiError::BadAnswer("the transaction has no trace"))?;
        return Ok(to_raw_value(&shown(index, trace)?)?);
    }
    let mut all = Vec::with_capacity(block.txs.len());
    for (index, trace) in (0..).zip(&block.txs) {
        // As the reference node does it.
        let tx_hash = (tracer.kind != TracerKind::Call).then_some(trace.hash.0);
        all.push(OfBlock { tx_hash, result: shown(index, trace)? });
    }
    Ok(to_raw_value(&all)?)
}

fn of_tx(
    call: &Call,
    tracer: &Tracer,
    (tx, receipt): (&Transaction, &Receipt),
    trace: &TxTrace,
    place: &FlatPlace,
) -> ApiResult<Shown> {
    if tracer.kind == TracerKind::Prestate {
        return prestate::show(call, &trace.trace, &trace.accounts, tracer.config);
    }
    let gas = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
    let gas_used = gas.saturating_sub(receipt.gas_refunded);
    let Execute { value, calldata, .. } = &tx.execute;
    let mut frame = bootloader_call(gas, gas_used, *value, calldata.clone());
    if let TxStatus::Reverted { reason } = &receipt.status {
        frame.error = Some(FAILED.to_owned());
        frame.revert_reason = Some(reason.clone());
    }
    Ok(show_calls(tracer, &Root { frame, calls: &trace.trace.calls }, place))
}

impl Engine {
    /// Reads the chain in a job.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        view: &OneView,
        job: impl FnOnce(&Call) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let (context, view) = (Arc::clone(&self.context), view.clone());
        let job = move || job(&Call::new(&context, &view));
        match self.context.tasks.blocking(name, job).await {
            Ok(result) => result,
            Err(end) => {
                tracing::error!(method = name, ?end, "request did not come to an end");
                Err(ApiError::Died)
            }
        }
    }

    /// Traces of a batch with those of the wanted block among them. However many ask at once, the
    /// batch is run for one of them.
    pub(crate) async fn traces(self: &Arc<Self>, wanted: &Wanted) -> ApiResult<Arc<BatchTraces>> {
        loop {
            let (mut awaited, is_ours) = match self.traces.find(wanted) {
                Found::Ready(traces) => return Ok(traces),
                Found::Running(awaited) => (awaited, false),
                Found::Missing(tell) => {
                    let awaited = tell.subscribe();
                    let engine = Arc::clone(self);
                    let wanted = *wanted;
                    // It goes on if this request is given up: others may wait for it.
                    let run = async move {
                        let outcome = engine.replay(&wanted).await;
                        engine.traces.end(wanted.batch, &outcome);
                        tell.send_replace(Some(outcome));
                    };
                    drop(self.context.tasks.spawn("trace", Box::pin(run)));
                    (awaited, true)
                }
            };
            let ended = awaited.wait_for(Option::is_some).await;
            let outcome = ended.map_or(Err(TraceFailure::Died), |outcome| {
                outcome.clone().unwrap_or(Err(TraceFailure::Died))
            });
            match outcome {
                Ok(traces) if is_ours || wanted.find(&traces).is_some() => return Ok(traces),
                // What was run was for another block, which had more, or needed too much memory.
                Ok(_) => {}
                Err(TraceFailure::Replay(ReplayError::TooLarge { block, .. }))
                    if block != wanted.block => {}
                Err(failure) => {
                    let time_max = self.context.config.replay_time_max;
                    return Err(ApiError::of_failure(failure, time_max));
                }
            }
        }
    }

    async fn replay(&self, wanted: &Wanted) -> Outcome {
        let clock = &*self.execution.clock;
        let permit = self.replays.enter(clock).await.map_err(|_busy| TraceFailure::Busy)?;
        let config = &self.context.config;
        let (batch, block) = (wanted.batch, wanted.block);
        let wish = TraceWish { batch, block, bytes_max: config.replay_bytes_max };
        let (replayer, views) = (self.replayer.clone(), self.context.views.clone());
        let ran = self.limited("trace", config.replay_time_max, move |stop| {
            let _permit = permit;
            Ok(replayer.trace(&Arc::new(views.now()), &wish, stop))
        });
        match ran.await {
            Ok(Ok(traces)) => Ok(Arc::new(traces)),
            Ok(Err(error)) => Err(TraceFailure::Replay(error)),
            Err(ApiError::TimedOut(_)) => Err(TraceFailure::TimedOut),
            Err(ApiError::ShuttingDown) => Err(TraceFailure::ShuttingDown),
            Err(_died) => Err(TraceFailure::Died),
        }
    }
}
