//! A request on its way: its view of the chain, which block it means, and how methods are called.

use std::{
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use jsonrpsee::{
    RpcModule,
    core::middleware::Extensions,
    types::{ErrorObjectOwned, Params, params::ParamsSequence},
};
use lockstep_io::{First, ResultSlot, race};
use lockstep_store::{ChainIdentity, ChainView, TxPosition};
use lockstep_types::{
    BatchSteps, BlockHeader, Finality, L1BatchNumber, L2BlockHash, L2BlockNumber, StepTx,
    Transaction,
};
use lockstep_wire::eth::{BlockId, BlockNumberOrTag};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    ApiConfig, ApiContext, Serving,
    error::{ApiError, ApiResult, internal_error},
    gate::Gate,
    kept::Kept,
    one_view::OneView,
    stats::MethodStats,
};

/// What a request may read on the thread of its connection, in the units of
/// [`ChainView::in_memory`]: about a thousandth of a second's worth.
const EFFORT_AT_ONCE: u32 = 512;

/// Requests with longer parameters are not answered on the thread of their connection.
const PARAMS_BYTES_AT_ONCE: usize = 4 << 10;

/// Results of at least this length get around what writes answers, where that is possible.
const SLOT_BYTES_MIN: usize = 512;

/// What all requests are answered from.
#[derive(Debug)]
pub(crate) struct Context {
    api: ApiContext,
    /// Parts of answers.
    pub(crate) kept: Arc<Kept>,
    /// How many jobs read a few rows at once.
    reads: Gate,
    /// How many jobs look through many blocks at once.
    scans: Gate,
}

impl Context {
    fn gate_of(&self, method: &str) -> &Gate {
        if is_scan(method) { &self.scans } else { &self.reads }
    }
}

/// Whether `method` may look through many blocks.
fn is_scan(method: &str) -> bool {
    matches!(
        method,
        "en_syncTokens"
            | "eth_getFilterChanges"
            | "eth_getFilterLogs"
            | "eth_getLogs"
            | "zks_getL2ToL1LogProof"
            | "zks_getProof"
    ) || method.starts_with("ots_")
        || method.starts_with("trace_")
}

impl Deref for Context {
    type Target = ApiContext;

    fn deref(&self) -> &ApiContext {
        &self.api
    }
}

/// Collects methods. Those whose namespace is not served are left out.
#[derive(Debug)]
pub(crate) struct Methods {
    module: RpcModule<()>,
    pub(crate) context: Arc<Context>,
}

impl Methods {
    pub(crate) fn new(context: ApiContext) -> Self {
        let kept = Arc::new(Kept::new(context.config.kept_bytes_max));
        let Serving { reads_max, scans_max, wait_max, .. } = context.serving;
        let (reads, scans) = (Gate::new(reads_max, wait_max), Gate::new(scans_max, wait_max));
        let context = Arc::new(Context { api: context, kept, reads, scans });
        Self { module: RpcModule::new(()), context }
    }

    pub(crate) fn into_module(self) -> RpcModule<()> {
        self.module
    }

    /// The module, for what is no method; `None` if the namespace of `name` is not served.
    pub(crate) fn module_for(&mut self, name: &str) -> Option<&mut RpcModule<()>> {
        self.context.serving.namespaces.have(name).then_some(&mut self.module)
    }

    /// Adds a method that reads its parameters and the chain.
    ///
    /// Parameters are positional; those that are left over are ignored.
    ///
    /// What `method` reads may turn out not to be in memory. Then it is called again, so it must
    /// change nothing before it has read everything, and must not hide that reading failed.
    pub(crate) fn add<T, F>(&mut self, name: &'static str, method: F)
    where
        T: Serialize,
        F: Fn(&Call, &mut ParamsSequence<'_>) -> ApiResult<T> + Clone + Send + Sync + 'static,
    {
        let context = Arc::clone(&self.context);
        self.add_async(name, move |params, view| {
            let (context, method) = (Arc::clone(&context), method.clone());
            async move {
                match at_once(name, &context, (&params, &view), &method) {
                    Some(answer) => answer,
                    None => answer(name, context, (params, view), method).await,
                }
            }
        });
    }

    /// Adds a method that is always a job of its own: it may wait for another while it reads.
    pub(crate) fn add_job<T, F>(&mut self, name: &'static str, method: F)
    where
        T: Serialize,
        F: Fn(&Call, &mut ParamsSequence<'_>) -> ApiResult<T> + Clone + Send + Sync + 'static,
    {
        let context = Arc::clone(&self.context);
        self.add_async(name, move |params, view| {
            let (context, method) = (Arc::clone(&context), method.clone());
            async move { answer(name, context, (params, view), method).await }
        });
    }

    /// Adds a method that waits for something itself. Whatever it reads, it should read from the
    /// view that it is given.
    pub(crate) fn add_async<Answer>(
        &mut self,
        name: &'static str,
        method: impl Fn(Params<'static>, OneView) -> Answer + Clone + Send + Sync + 'static,
    ) where
        Answer: Future<Output = Result<Box<RawValue>, ErrorObjectOwned>> + Send + 'static,
    {
        let (context, stats) = (Arc::clone(&self.context), self.context.stats.of(name));
        let Some(module) = self.module_for(name) else { return };
        let callback = move |params, _: Arc<()>, extensions: Extensions| {
            let (context, stats) = (Arc::clone(&context), Arc::clone(&stats));
            let answer = method(params, OneView::of(&extensions));
            let slot = extensions.get::<ResultSlot>().cloned();
            async move {
                let answer = limited(name, &context, &stats, answer).await?;
                Ok::<_, ErrorObjectOwned>(
                    match slot.filter(|_| answer.get().len() >= SLOT_BYTES_MIN) {
                        Some(slot) => {
                            slot.put(answer.into());
                            RawValue::NULL.to_owned()
                        }
                        None => answer,
                    },
                )
            }
        };
        module.register_async_method(name, callback).expect("names of methods are distinct");
    }

    /// Adds a method whose answer never changes.
    pub(crate) fn add_constant<T>(&mut self, name: &'static str, value: T)
    where
        T: Serialize + Clone + Send + Sync + 'static,
    {
        let stats = self.context.stats.of(name);
        let Some(module) = self.module_for(name) else { return };
        let callback = move |_: Params<'_>, _: &(), _: &_| {
            stats.add(Duration::ZERO, false);
            Ok::<_, ErrorObjectOwned>(value.clone())
        };
        module.register_method(name, callback).expect("names of methods are distinct");
    }
}

/// Lets `answer` take as long and be as large as answers to `name` may, and counts it.
async fn limited(
    name: &'static str,
    context: &ApiContext,
    stats: &MethodStats,
    answer: impl Future<Output = Result<Box<RawValue>, ErrorObjectOwned>>,
) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let began = context.clock.mono();
    lockstep_io::planted!("X60", (), in_step(context).await);
    let answer = match context.serving.request_time_max {
        None => answer.await,
        Some(time_max) => match race(answer, context.clock.sleep(time_max)).await {
            First::Left(answer) => answer,
            First::Right(()) => Err(ApiError::Busy.into_object(name)),
        },
    };
    let bytes_max = context.serving.response_bytes_max(name);
    let answer = answer.and_then(|result| {
        let fits = result.get().len() <= bytes_max;
        if fits { Ok(result) } else { Err(ApiError::TooLarge(bytes_max).into_object(name)) }
    });
    stats.add(context.clock.mono().since(began), answer.is_err());
    answer
}

/// Resolves when no block that the main node has is missing.
async fn in_step(context: &ApiContext) {
    while context.views.now().head().ok().flatten() < context.sync.tip() {
        context.clock.sleep(Duration::from_millis(100)).await;
    }
}

/// Answers one request here and now, if what it reads is in memory and little: going to another
/// thread and back costs more than such an answer. `None` if it has to be a job.
fn at_once<T, F>(
    name: &'static str,
    context: &Context,
    (params, view): (&Params<'_>, &OneView),
    method: &F,
) -> Option<Result<Box<RawValue>, ErrorObjectOwned>>
where
    T: Serialize,
    F: Fn(&Call, &mut ParamsSequence<'_>) -> ApiResult<T>,
{
    if params.as_str().is_some_and(|text| text.len() > PARAMS_BYTES_AT_ONCE) {
        return None;
    }
    let (view, shortfall) = view.get(&context.views).in_memory(EFFORT_AT_ONCE)?;
    let call = Call::at(context, view);
    let job = || -> ApiResult<_> { Ok(to_raw_value(&method(&call, &mut params.sequence())?)?) };
    let ended = catch_unwind(AssertUnwindSafe(job));
    lockstep_io::planted!("X48", (), call.leak_after(matches!(ended, Ok(Err(_)))));
    if shortfall.is_met() {
        return None;
    }
    Some(match ended {
        Ok(result) => result.map_err(|error| error.into_object(name)),
        // The panic hook has said where and why.
        Err(_panic) => {
            tracing::error!(method = name, "request panicked");
            Err(internal_error())
        }
    })
}

/// Answers one request in a job. The answer is also written as JSON inside it: it may be long.
async fn answer<T, F>(
    name: &'static str,
    context: Arc<Context>,
    (params, view): (Params<'static>, OneView),
    method: F,
) -> Result<Box<RawValue>, ErrorObjectOwned>
where
    T: Serialize,
    F: Fn(&Call, &mut ParamsSequence<'_>) -> ApiResult<T> + Send + 'static,
{
    let entered = context.gate_of(name).enter(&*context.clock).await;
    let permit = entered.map_err(|error| error.into_object(name))?;
    let tasks = Arc::clone(&context.tasks);
    let job = move || {
        // Others wait until the job has ended, whether somebody waits for it or not.
        let _permit = permit;
        let call = Call::new(&context, &view);
        let result = method(&call, &mut params.sequence());
        lockstep_io::planted!("X48", (), call.leak_after(result.is_err()));
        Ok(to_raw_value(&result?)?)
    };
    match tasks.blocking(name, job).await {
        Ok(result) => result.map_err(|error: ApiError| error.into_object(name)),
        Err(end) => {
            tracing::error!(method = name, ?end, "request did not come to an end");
            Err(internal_error())
        }
    }
}

/// A request: everything it reads comes from one view.
#[derive(Debug)]
pub(crate) struct Call {
    /// The chain when the request began.
    pub(crate) view: Arc<ChainView>,
    /// Limits.
    pub(crate) config: ApiConfig,
    /// The newest block of the main node, as far as known.
    pub(crate) tip: Option<L2BlockNumber>,
    /// Parts of answers.
    pub(crate) kept: Arc<Kept>,
}

impl Call {
    /// A request that is answered from the one view that it has.
    pub(crate) fn new(context: &Context, view: &OneView) -> Self {
        Self::at(context, view.get(&context.views))
    }

    /// The same request, answered from another view.
    pub(crate) fn with_view(&self, view: ChainView) -> Self {
        Self { view: Arc::new(view), config: self.config, tip: self.tip, kept: self.kept.clone() }
    }

    /// A request that is answered from `view`.
    pub(crate) fn at(context: &Context, view: ChainView) -> Self {
        let Context { api: ApiContext { config, sync, .. }, kept, .. } = context;
        let (view, kept) = (Arc::new(view), kept.clone());
        Self { view, config: *config, tip: sync.tip(), kept }
    }

    /// After an error, keeps the view for good.
    fn leak_after(&self, is_error: bool) {
        if is_error {
            std::mem::forget(Arc::clone(&self.view));
        }
    }

    /// Which chain this is.
    pub(crate) fn identity(&self) -> ApiResult<ChainIdentity> {
        self.view.identity()?.ok_or(ApiError::NoGenesis)
    }

    /// The newest block.
    pub(crate) fn head(&self) -> ApiResult<L2BlockNumber> {
        self.view.head()?.ok_or(ApiError::NoBlock)
    }

    /// Header of a block that must be there.
    pub(crate) fn header(&self, number: L2BlockNumber) -> ApiResult<BlockHeader> {
        let missing = ApiError::Missing { what: "the header", block: number };
        self.view.block(number)?.ok_or(missing)
    }

    /// The transaction at a position that an index names.
    pub(crate) fn transaction(&self, position: TxPosition) -> ApiResult<Transaction> {
        let missing = ApiError::Missing { what: "a transaction", block: position.block };
        self.view.transaction(position)?.ok_or(missing)
    }

    /// The block that is meant, if there is one. The pending block is never there.
    pub(crate) fn find_block(&self, id: BlockId) -> ApiResult<Option<L2BlockNumber>> {
        let Some(head) = self.view.head()? else { return Ok(None) };
        match id {
            BlockId::Hash(hash) => Ok(self.view.block_number(&L2BlockHash(hash))?),
            BlockId::Number(number) => {
                let number = self.resolve(number, head)?;
                Ok((number <= head).then_some(number))
            }
        }
    }

    /// The block whose state is meant; the state of the pending block is that of the newest.
    pub(crate) fn state_block(&self, id: Option<BlockId>) -> ApiResult<L2BlockNumber> {
        match id {
            None | Some(BlockId::Number(BlockNumberOrTag::Pending)) => self.head(),
            Some(id) => self.find_block(id)?.ok_or(ApiError::NoBlock),
        }
    }

    /// The number that is meant while the newest block is `head`; there may be no such block.
    pub(crate) fn resolve(
        &self,
        number: BlockNumberOrTag,
        head: L2BlockNumber,
    ) -> ApiResult<L2BlockNumber> {
        match number {
            BlockNumberOrTag::Number(number) => {
                Ok(L2BlockNumber(u32::try_from(number).unwrap_or(u32::MAX)))
            }
            BlockNumberOrTag::Earliest => Ok(L2BlockNumber(0)),
            BlockNumberOrTag::Latest | BlockNumberOrTag::Committed => Ok(head),
            BlockNumberOrTag::Pending => Ok(head.next()),
            BlockNumberOrTag::Precommitted => {
                Ok(self.l1_committed()?.max(self.view.precommitted_block()?.unwrap_or_default()))
            }
            BlockNumberOrTag::L1Committed => self.l1_committed(),
            BlockNumberOrTag::FastFinalized => {
                self.end_of_newest_batch(|steps| reached(&steps.execute, Finality::FastFinalized))
            }
            BlockNumberOrTag::Finalized => self.end_of_newest_batch(BatchSteps::is_final),
        }
    }

    fn l1_committed(&self) -> ApiResult<L2BlockNumber> {
        self.end_of_newest_batch(|steps| reached(&steps.commit, Finality::Finalized))
    }

    /// Last block of the newest sealed batch that made the steps that `made` asks for; genesis if
    /// none has.
    fn end_of_newest_batch(&self, made: impl Fn(&BatchSteps) -> bool) -> ApiResult<L2BlockNumber> {
        let batch = self.view.batch(self.newest_batch(made)?)?;
        Ok(batch.map_or(L2BlockNumber(0), |batch| batch.last_block))
    }

    /// The newest sealed batch that made the steps that `made` asks for; genesis if none has. Steps
    /// are made in the order of batches, so it is found by halving.
    pub(crate) fn newest_batch(
        &self,
        made: impl Fn(&BatchSteps) -> bool,
    ) -> ApiResult<L1BatchNumber> {
        let mut low = 0;
        let mut high = self.view.sealed_batch()?.map_or(0, |sealed| sealed.0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if made(&self.view.steps(L1BatchNumber(middle))?) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(L1BatchNumber(low))
    }
}

/// Whether a step was made and is at least this sure.
fn reached(step: &Option<StepTx>, finality: Finality) -> bool {
    step.as_ref().is_some_and(|tx| tx.finality >= finality)
}
