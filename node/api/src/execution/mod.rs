//! What runs calls, estimates and traces, and how many of them at once.

mod blocks;
mod bundles;
mod ending;
mod env;
mod fees;
mod overrides;
mod parity;
mod request;
mod sequence;
mod signed;
mod simulate;
mod unsigned;

use std::{fmt, sync::Arc, time::Duration};

use jsonrpsee::types::{ErrorObjectOwned, Params, params::ParamsSequence};
use lockstep_io::{Clock, First, race};
use lockstep_replay::Replayer;
use lockstep_types::{FeeInput, L1BatchNumber};
use lockstep_vm::{Simulator, Stop, Vm};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::watch;

pub(crate) use self::{
    blocks::SimulateError,
    ending::data_reason,
    fees::pubdata_price,
    overrides::Overridden,
    signed::{check as check_by_run, unreadable},
};
use crate::{
    call::{Call, Context, Methods},
    error::{ApiError, ApiResult},
    gate::Gate,
    one_view::OneView,
    trace::TraceCache,
};

/// What runs calls, estimates and traces.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Time limits, and the time that pending blocks have.
    pub clock: Arc<dyn Clock>,
    /// Runs stored batches again, for traces.
    pub vm: Arc<dyn Vm>,
    /// Runs calls.
    pub simulator: Arc<dyn Simulator>,
    /// Prices as the main node says them now. While it holds `None`, those of the newest block are
    /// taken; whoever asks the main node keeps the other end.
    pub fees: watch::Receiver<Option<CurrentFees>>,
}

/// Prices as the main node says them now.
#[derive(Clone, Debug, PartialEq)]
pub struct CurrentFees {
    /// Its answer to `zks_getBatchFeeInput`.
    pub input: FeeInput,
    /// Its answer to `zks_getFeeParams`, handed on as it is. Where it is not known, parameters are
    /// shown from which the prices follow.
    pub params: Option<serde_json::Value>,
}

/// Runs what requests ask for.
pub(crate) struct Engine {
    pub(crate) context: Arc<Context>,
    pub(crate) execution: Execution,
    pub(crate) replayer: Replayer,
    pub(crate) calls: Gate,
    pub(crate) replays: Gate,
    pub(crate) traces: TraceCache,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("execution", &self.execution).finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(context: Arc<Context>, execution: Execution) -> Self {
        let root = |view: &lockstep_store::ChainView, batch: L1BatchNumber| {
            let row = lockstep_tree::root_of(view.raw(), batch);
            row.map(|row| row.map(|row| row.root)).map_err(|error| error.to_string())
        };
        let config = &context.config;
        Self {
            replayer: Replayer::new(execution.vm.clone(), Arc::new(root)),
            calls: Gate::new(config.calls_max, config.call_wait_max),
            replays: Gate::new(config.replays_max, config.replay_wait_max),
            traces: TraceCache::new(config.trace_cache_bytes_max),
            context,
            execution,
        }
    }

    /// Runs `job`, for at most `time_max` and until the process is asked to stop; then it is told
    /// to stop and no longer waited for. It is told to stop as well if nobody waits for the answer
    /// any more.
    pub(crate) async fn limited<T: Send + 'static>(
        &self,
        name: &'static str,
        time_max: Duration,
        job: impl FnOnce(&Stop) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let stop = Stop::default();
        let _guard = StopOnDrop(stop.clone());
        let tasks = &self.context.tasks;
        let running = tasks.blocking(name, move || job(&stop));
        let too_late = race(self.execution.clock.sleep(time_max), tasks.shutdown());
        match race(running, too_late).await {
            First::Left(Ok(result)) => result,
            First::Left(Err(end)) => {
                tracing::error!(method = name, ?end, "request did not come to an end");
                Err(ApiError::Died)
            }
            First::Right(First::Left(())) => Err(ApiError::TimedOut(time_max)),
            First::Right(First::Right(())) => Err(ApiError::ShuttingDown),
        }
    }
}

/// Tells a job to stop when nobody waits for it any more.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.now();
    }
}

/// A request that something is run for.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    /// The chain.
    pub(crate) call: &'a Call,
    /// What runs it.
    pub(crate) execution: &'a Execution,
    /// Whether it must end.
    pub(crate) stop: &'a Stop,
    /// Bytes of the longest answer.
    pub(crate) answer_bytes_max: usize,
}

impl Methods {
    /// Adds a method that runs something; it waits for its turn.
    pub(crate) fn add_simulation<T, F>(
        &mut self,
        engine: &Arc<Engine>,
        name: &'static str,
        method: F,
    ) where
        T: Serialize,
        F: Fn(&Simulation<'_>, &mut ParamsSequence<'_>) -> ApiResult<T>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let engine = Arc::clone(engine);
        self.add_async(name, move |params, view| {
            let (engine, method) = (Arc::clone(&engine), method.clone());
            async move { simulated(name, engine, (params, view), method).await }
        });
    }
}

async fn simulated<T, F>(
    name: &'static str,
    engine: Arc<Engine>,
    (params, view): (Params<'static>, OneView),
    method: F,
) -> Result<Box<RawValue>, ErrorObjectOwned>
where
    T: Serialize,
    F: Fn(&Simulation<'_>, &mut ParamsSequence<'_>) -> ApiResult<T> + Send + 'static,
{
    let entered = engine.calls.enter(&*engine.execution.clock).await;
    let permit = entered.map_err(|error| error.into_object(name))?;
    let (context, execution) = (Arc::clone(&engine.context), engine.execution.clone());
    let job = move |stop: &Stop| {
        // Others wait until the job has ended, whether somebody waits for it or not.
        let _permit = permit;
        let call = Call::new(&context, &view);
        let answer_bytes_max = context.serving.response_bytes_max(name);
        let simulation = Simulation { call: &call, execution: &execution, stop, answer_bytes_max };
        let result = method(&simulation, &mut params.sequence())?;
        Ok(to_raw_value(&result)?)
    };
    let answer = engine.limited(name, engine.context.config.call_time_max, job).await;
    answer.map_err(|error| error.into_object(name))
}

pub(crate) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    fees::register(methods, engine);
    simulate::register(methods, engine);
    bundles::register(methods, engine);
    blocks::register(methods, engine);
    parity::register(methods, engine);
    signed::register(methods, engine);
    unsigned::register(methods, engine);
}
