//! JSON-RPC 2.0 over several endpoints: batches, retries, limits.

mod endpoints;
mod exchange;
mod group;
mod message;
mod pace;
mod retry_after;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use lockstep_io::{BoxFuture, Clock, EndpointId, Http, Io, Tasks};
use serde_json::{Value, value::RawValue};

pub(crate) use self::exchange::Blame;
use self::{
    endpoints::Endpoints,
    exchange::Outcome,
    group::{Asked, Group},
    message::Call,
    pace::{Chance, Rate, Window},
};
use crate::{UpstreamConfig, UpstreamError};

/// Calls to one upstream that has one or several endpoints. Clones share limits and what is known
/// of the endpoints.
#[derive(Clone)]
pub struct RpcClient(Arc<Inner>);

struct Inner {
    label: &'static str,
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    http: Arc<dyn Http>,
    config: UpstreamConfig,
    endpoints: Endpoints,
    window: Window,
    rate: Rate,
    next_id: AtomicU64,
}

impl fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClient").field("label", &self.0.label).finish_non_exhaustive()
    }
}

/// A call, and how its answer is read.
pub(crate) struct Ask<T> {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    pub(crate) read: Reader<T>,
}

/// Reads the JSON of a result.
pub(crate) type Reader<T> = Box<dyn Fn(&RawValue) -> Result<T, BadAnswer> + Send + Sync>;

/// An answer that is not to be used.
#[derive(Debug)]
pub(crate) struct BadAnswer {
    pub(crate) blame: Blame,
    pub(crate) detail: String,
}

impl RpcClient {
    /// Calls to the upstream at `endpoints`, the preferred one first; `label` names it in logs.
    pub fn new(
        io: &Io,
        label: &'static str,
        endpoints: Vec<EndpointId>,
        config: UpstreamConfig,
    ) -> Self {
        let chance = Chance::new(io.entropy.stream("upstream.backoff"));
        let clock = io.clock.clone();
        Self(Arc::new(Inner {
            label,
            tasks: io.tasks.clone(),
            http: io.http.clone(),
            window: Window::new(config.in_flight_max),
            rate: Rate::new(config.requests_per_second_max),
            endpoints: Endpoints::new(label, clock.clone(), chance, endpoints, config.clone()),
            clock,
            config,
            next_id: AtomicU64::new(1),
        }))
    }

    /// What was answered last was found to be wrong: another endpoint is asked for a while, if
    /// there is one.
    pub fn distrust(&self) {
        self.0.endpoints.distrust();
    }

    /// Calls `method`. The result is JSON that nobody has looked into.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] as its variants say.
    pub async fn call(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Box<RawValue>, UpstreamError> {
        self.ask(Ask { method, params, read: Box::new(|result| Ok(result.to_owned())) }).await
    }

    /// As [`call`](Self::call), for several calls at once; the results are in their order.
    pub async fn call_many(
        &self,
        calls: Vec<(&'static str, Value)>,
    ) -> Vec<Result<Box<RawValue>, UpstreamError>> {
        let asks = calls.into_iter().map(|(method, params)| Ask {
            method,
            params,
            read: Box::new(|result: &RawValue| Ok(result.to_owned())) as Reader<Box<RawValue>>,
        });
        self.ask_many(asks.collect()).await
    }

    /// Asks one thing.
    pub(crate) async fn ask<T: Send>(&self, ask: Ask<T>) -> Result<T, UpstreamError> {
        let mut answers = self.ask_many(vec![ask]).await;
        answers.pop().expect("one call has one answer")
    }

    /// Asks several things; the answers are in their order.
    pub(crate) async fn ask_many<T: Send>(
        &self,
        asks: Vec<Ask<T>>,
    ) -> Vec<Result<T, UpstreamError>> {
        let count = asks.len();
        let (calls, readers): (Vec<_>, Vec<_>) = asks
            .into_iter()
            .map(|Ask { method, params, read }| (Call { method, params }, read))
            .unzip();
        let calls: Arc<[Call]> = calls.into();
        let mut asked = Asked::new(readers);
        let mut running = FuturesUnordered::new();
        let everything = Group::new((0..count).collect());
        for group in everything.chunks(self.0.config.batch_entries_max.max(1)) {
            running.push(self.run(calls.clone(), group));
        }
        while let Some((group, outcome)) = running.next().await {
            for next in self.settle(group, outcome, &mut asked) {
                running.push(self.run(calls.clone(), next));
            }
        }
        asked.answers()
    }

    /// Asks `group` once.
    fn run(&self, calls: Arc<[Call]>, group: Group) -> BoxFuture<'static, (Group, Outcome)> {
        let client = self.clone();
        Box::pin(async move {
            if group.pause > Duration::ZERO {
                client.0.clock.sleep(group.pause).await;
            }
            if client.0.endpoints.is_empty() {
                return (group, Outcome::NoEndpoint);
            }
            let outcome = client.exchange(calls, group.members.clone(), group.avoid).await;
            (group, outcome)
        })
    }

    /// The first of `count` ids that no other call has.
    fn next_ids(&self, count: usize) -> u64 {
        self.0.next_id.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed)
    }
}
