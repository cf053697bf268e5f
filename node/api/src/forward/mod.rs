//! Transactions are checked, handed on to the main node, and remembered until they are in a block.
//!
//! A transaction that is surely wrong never leaves this node: one whose fields cannot be, whose
//! sender cannot pay, or which no block could include, as running it shows. What the main node says
//! of the rest is passed on as it is, with code 3. Handing on has a client, a rate and a bound of
//! its own, so nobody who sends much keeps blocks from being asked for.

mod checks;
mod pending;
mod txpool;

use std::{sync::Arc, time::Duration};

use jsonrpsee::types::{ErrorObjectOwned, Params};
use lockstep_io::{First, race};
use lockstep_types::{B256, Bytes, Transaction, TxHash};
use lockstep_upstream::{MainNode, UpstreamError};
use lockstep_vm::Stop;
use lockstep_wire::quantity;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::watch;
use tracing::{debug, warn};

use self::checks::Bounds;
pub(crate) use self::{pending::PendingTxs, txpool::register as register_txpool};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    eth,
    execution::{self, Engine, Simulation},
    gate::Gate,
    one_view::OneView,
};

/// What the main node says when it has a transaction already.
const KNOWN: &str = "known transaction";

/// Where transactions are handed on to.
#[derive(Clone, Debug)]
pub struct Forwarding {
    /// The main node, asked by a client that nothing else uses and that tries once: a transaction
    /// whose first try was lost is known at the second.
    pub main_node: MainNode,
    /// Goes up whenever the chain in the store has changed; for who waits for a receipt.
    pub moved: watch::Receiver<u64>,
}

struct Forwarder {
    engine: Arc<Engine>,
    pending: Arc<PendingTxs>,
    forwarding: Forwarding,
    gate: Gate,
}

pub(crate) fn register(
    methods: &mut Methods,
    engine: &Arc<Engine>,
    forwarding: Forwarding,
    pending: &Arc<PendingTxs>,
) {
    let config = &methods.context.config;
    let gate = Gate::new(config.forwards_max, config.call_wait_max);
    let (engine, pending) = (Arc::clone(engine), Arc::clone(pending));
    let forwarder = Arc::new(Forwarder { engine, pending, forwarding, gate });
    add(methods, &forwarder, "eth_sendRawTransaction", |forwarder, request| async move {
        forwarder.send_plain(&request).await
    });
    add(methods, &forwarder, "eth_sendRawTransactionSync", |forwarder, request| async move {
        forwarder.send_and_wait(&request).await
    });
    let name = "unstable_sendRawTransactionWithDetailedOutput";
    add(methods, &forwarder, name, |forwarder, request| async move {
        forwarder.send_for_output(&request).await
    });
}

fn add<Answer>(
    methods: &mut Methods,
    forwarder: &Arc<Forwarder>,
    name: &'static str,
    method: impl Fn(Arc<Forwarder>, Request) -> Answer + Copy + Send + Sync + 'static,
) where
    Answer: Future<Output = ApiResult<Box<RawValue>>> + Send + 'static,
{
    let forwarder = Arc::clone(forwarder);
    methods.add_async(name, move |params, view| {
        let forwarder = Arc::clone(&forwarder);
        async move {
            let answer = async {
                let request = Request::read(name, &params, view)?;
                method(forwarder, request).await
            };
            answer.await.map_err(|error| -> ErrorObjectOwned { error.into_object(name) })
        }
    });
}

/// A transaction that a client sends.
struct Request {
    method: &'static str,
    raw: Bytes,
    wait_ms: Option<u64>,
    view: OneView,
}

/// A number of milliseconds as a client writes it.
#[derive(Debug, Deserialize)]
struct Millis(#[serde(with = "quantity::lenient")] u64);

impl Request {
    fn read(method: &'static str, params: &Params<'_>, view: OneView) -> ApiResult<Self> {
        let mut params = params.sequence();
        let raw = params.next()?;
        let wait_ms = params.optional_next()?.map(|Millis(wait_ms)| wait_ms);
        Ok(Self { method, raw, wait_ms, view })
    }
}

/// By which of the main node's methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    /// With what running it gave.
    Detailed,
}

impl Forwarder {
    /// Checks and hands on; gives the hash, and what else the main node said.
    async fn forward(
        &self,
        request: &Request,
        way: Way,
    ) -> ApiResult<(B256, Option<Box<RawValue>>)> {
        let stats = self.engine.context.stats.clone();
        let done = self.forward_uncounted(request, way).await;
        stats.add_transaction(done.is_ok());
        done
    }

    async fn forward_uncounted(
        &self,
        request: &Request,
        way: Way,
    ) -> ApiResult<(B256, Option<Box<RawValue>>)> {
        let _turn = self.gate.enter(&*self.engine.context.clock).await?;
        let tx = self.check(request).await?;
        let ours = tx.hash();
        let (theirs, output) = match way {
            Way::Plain => (self.send(&request.raw, ours).await?, None),
            Way::Detailed => {
                let sent = self.forwarding.main_node.send_for_output(&request.raw).await;
                (ours.0, Some(sent.map_err(refused)?))
            }
        };
        if theirs != ours.0 {
            warn!(%ours, %theirs, "the main node has another hash for a transaction");
            return Ok((theirs, output));
        }
        debug!(tx = %ours, "transaction handed on");
        self.pending.insert(tx);
        Ok((theirs, output))
    }

    /// Looks at the transaction, in a job: recovering its sender takes a while.
    async fn check(&self, request: &Request) -> ApiResult<Transaction> {
        let (engine, view, raw) =
            (Arc::clone(&self.engine), request.view.clone(), request.raw.clone());
        let config = &self.engine.context.config;
        let bounds =
            Bounds { bytes_max: config.tx_bytes_max, nonce_ahead_max: config.nonce_ahead_max };
        let job = move || {
            let call = Call::new(&engine.context, &view);
            let (execution, stop) = (&engine.execution, &Stop::default());
            let simulation = Simulation { call: &call, execution, stop, answer_bytes_max: 0 };
            let mut tx = checks::check(&simulation, &raw, bounds)?;
            tx.received_at_ms = engine.context.clock.wall().0;
            Ok(tx)
        };
        let tx = self.job(request.method, job).await?;
        if config.runs_before_handing_on { self.check_by_run(request, tx).await } else { Ok(tx) }
    }

    /// Runs the transaction, as one of the calls that run at once.
    async fn check_by_run(&self, request: &Request, tx: Transaction) -> ApiResult<Transaction> {
        let engine = Arc::clone(&self.engine);
        let permit = engine.calls.enter(&*engine.execution.clock).await?;
        let (context, execution) = (Arc::clone(&engine.context), engine.execution.clone());
        let view = request.view.clone();
        let job = move |stop: &Stop| {
            let _permit = permit;
            let call = Call::new(&context, &view);
            let execution = &execution;
            let simulation = Simulation { call: &call, execution, stop, answer_bytes_max: 0 };
            execution::check_by_run(&simulation, &tx)?;
            Ok(tx)
        };
        engine.limited(request.method, engine.context.config.call_time_max, job).await
    }

    async fn job<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl FnOnce() -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        match self.engine.context.tasks.blocking(name, job).await {
            Ok(done) => done,
            Err(end) => {
                tracing::error!(method = name, ?end, "request did not come to an end");
                Err(ApiError::Died)
            }
        }
    }

    /// Sends, and once more if the first try got lost: then that the main node knows it is good.
    async fn send(&self, raw: &Bytes, ours: TxHash) -> ApiResult<B256> {
        let main_node = &self.forwarding.main_node;
        let lost = match main_node.send_raw_transaction(raw).await {
            Ok(hash) => return Ok(hash),
            Err(lost @ UpstreamError::Unavailable { .. }) => lost,
            Err(error) => return Err(refused(error)),
        };
        debug!(tx = %ours, error = %lost, "a transaction may not have arrived; sending it again");
        match main_node.send_raw_transaction(raw).await {
            Ok(hash) => Ok(hash),
            Err(UpstreamError::Rejected { message, .. }) if message.contains(KNOWN) => Ok(ours.0),
            Err(error) => Err(refused(error)),
        }
    }

    async fn send_plain(&self, request: &Request) -> ApiResult<Box<RawValue>> {
        let (hash, _) = self.forward(request, Way::Plain).await?;
        Ok(to_raw_value(&hash)?)
    }

    async fn send_for_output(&self, request: &Request) -> ApiResult<Box<RawValue>> {
        let (hash, output) = self.forward(request, Way::Detailed).await?;
        match output {
            Some(output) => Ok(output),
            None => Ok(to_raw_value(&hash)?),
        }
    }

    /// Sends and waits until the transaction is in a block.
    async fn send_and_wait(&self, request: &Request) -> ApiResult<Box<RawValue>> {
        let config = &self.engine.context.config;
        let wait = match request.wait_ms.map(Duration::from_millis) {
            Some(wait) if wait > config.send_wait_max => {
                let max = config.send_wait_max.as_millis();
                let text = format!("Invalid timeout. Max timeout is {max}ms");
                return Err(ApiError::BadRequest(text));
            }
            Some(wait) => wait,
            None => config.send_wait,
        };
        let mut moved = self.forwarding.moved.clone();
        let (hash, _) = self.forward(request, Way::Plain).await?;
        let hash = TxHash(hash);
        let clock = &self.engine.context.clock;
        let too_late = clock.mono().plus(wait);
        loop {
            moved.mark_unchanged();
            if let Some(receipt) = self.receipt(request.method, hash).await? {
                return Ok(receipt);
            }
            match race(moved.changed(), clock.sleep_until(too_late)).await {
                First::Left(Ok(())) => {}
                First::Left(Err(_gone)) => return Err(ApiError::ShuttingDown),
                First::Right(()) => return Err(ApiError::NoReceipt(hash)),
            }
        }
    }

    /// Blocks that come while a client waits are what it waits for: each look has a view of its
    /// own.
    async fn receipt(&self, name: &'static str, hash: TxHash) -> ApiResult<Option<Box<RawValue>>> {
        let context = Arc::clone(&self.engine.context);
        let job = move || {
            let call = Call::new(&context, &OneView::default());
            let receipt = eth::receipt_of(&call, hash)?;
            Ok(receipt.map(|receipt| to_raw_value(&receipt)).transpose()?)
        };
        self.job(name, job).await
    }
}

/// What a client is told when the main node does not take a transaction.
fn refused(error: UpstreamError) -> ApiError {
    match error {
        UpstreamError::Rejected { message, data, .. } => {
            let data = data.and_then(|data| serde_json::from_value(data).ok());
            ApiError::Run { message, data: data.unwrap_or_default() }
        }
        UpstreamError::Unavailable { detail }
        | UpstreamError::Malformed { detail }
        | UpstreamError::Lie { detail } => {
            warn!(detail, "the main node does not take a transaction");
            ApiError::NotHandedOn(detail)
        }
    }
}
