//! JSON-RPC methods over views of the store, one module a method group; no sockets.
//!
//! Each request takes one view and is answered from it alone, so its parts always belong to one
//! moment. What is run for a request (calls, estimates, traces) has limits of its own: how many at
//! once, how long they wait for their turn, how long they run.
//!
//! Reading that may wait for the disk runs as a job of [`Tasks::disk`]. A request whose answer is in
//! memory and takes little to read is answered where it came in, without that detour: it is tried
//! there first, with a bound on what it may read, and becomes a job when that is not enough. A
//! panic, here or there, is an internal error of that request and of no other.

#![warn(missing_docs)]

mod call;
mod config;
mod debug;
mod en;
mod error;
mod eth;
mod execution;
mod forward;
mod gate;
mod kept;
mod net;
mod one_view;
mod ots;
mod pubsub;
mod serving;
mod snapshots;
mod stats;
mod trace;
mod unstable;
mod web3;
mod zks;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jsonrpsee::RpcModule;
use lockstep_io::{Clock, Io, Tasks};
use lockstep_store::Views;
use lockstep_types::L2BlockNumber;
pub use lockstep_wire::Announced;
use tokio::sync::watch;

use self::{call::Methods, execution::Engine, forward::PendingTxs};
pub use self::{
    config::ApiConfig,
    eth::FilterSeams,
    execution::{CurrentFees, Execution},
    forward::Forwarding,
    one_view::{BatchLayer, BatchService, for_one_batch},
    pubsub::SubscriptionSeams,
    serving::{Namespaces, Serving, UnknownNamespace},
    stats::{ApiStats, MethodCount, TIME_BUCKETS_S},
};

/// What the methods are answered from.
#[derive(Clone, Debug)]
pub struct ApiContext {
    /// The chain.
    pub views: Views,
    /// Where reading runs.
    pub tasks: Arc<dyn Tasks>,
    /// How long requests take.
    pub clock: Arc<dyn Clock>,
    /// Limits of single methods.
    pub config: ApiConfig,
    /// Which methods there are, and limits of their answers.
    pub serving: Serving,
    /// How far the main node is.
    pub sync: SyncStatus,
    /// What is counted.
    pub stats: ApiStats,
}

impl ApiContext {
    /// With limits as they are where nobody says otherwise.
    pub fn new(views: Views, io: &Io, sync: SyncStatus) -> Self {
        Self {
            views,
            tasks: io.tasks.clone(),
            clock: io.clock.clone(),
            config: ApiConfig::default(),
            serving: Serving::default(),
            sync,
            stats: ApiStats::default(),
        }
    }
}

/// The tip: the newest block that the main node is known to have, for `eth_syncing`. Holds `None`
/// until it has said so for the first time; whoever follows the main node keeps the other end.
#[derive(Clone, Debug)]
pub struct SyncStatus(pub watch::Receiver<Option<L2BlockNumber>>);

impl SyncStatus {
    /// The newest block of the main node, as far as known.
    fn tip(&self) -> Option<L2BlockNumber> {
        *self.0.borrow()
    }
}

/// What methods are answered from beside the store. The default has none of it.
#[derive(Debug)]
pub struct Sources {
    /// What only the main node can say; whoever asks it keeps the other end.
    pub announced: watch::Receiver<Announced>,
    /// What runs calls, estimates and traces; without it those methods are not there.
    pub execution: Option<Execution>,
    /// What filters need; without it there are none.
    pub filters: Option<FilterSeams>,
    /// What subscriptions need; without it there are none.
    pub subscriptions: Option<SubscriptionSeams>,
    /// Where transactions are handed on to; without it, or without execution, they are not.
    pub forwarding: Option<Forwarding>,
}

impl Default for Sources {
    fn default() -> Self {
        let (_nobody, announced) = watch::channel(Announced::default());
        Self { announced, execution: None, filters: None, subscriptions: None, forwarding: None }
    }
}

/// All methods that `sources` suffice for, to be mounted on a server or called by
/// [`raw_json_request`](jsonrpsee::core::server::Methods::raw_json_request).
///
/// Calls and traces wait for their turn, each kind for its own: see [`ApiConfig`].
pub fn rpc_module_with(context: ApiContext, sources: Sources) -> RpcModule<()> {
    let mut methods = Methods::new(context);
    register(&mut methods, sources);
    methods.into_module()
}

/// The methods that are answered from what is stored: [`rpc_module_with`] without sources.
pub fn rpc_module(context: ApiContext) -> RpcModule<()> {
    rpc_module_with(context, Sources::default())
}

/// The methods of [`rpc_module`], and those that run something or need current prices.
pub fn rpc_module_with_execution(context: ApiContext, execution: Execution) -> RpcModule<()> {
    rpc_module_with(context, Sources { execution: Some(execution), ..Sources::default() })
}

fn register(methods: &mut Methods, sources: Sources) {
    let Sources { announced, execution, filters, subscriptions, forwarding } = sources;
    let ApiConfig { pending_txs_max, pending_bytes_max, .. } = methods.context.config;
    let pending = Arc::new(PendingTxs::new(pending_txs_max, pending_bytes_max));
    eth::register(methods, &pending);
    zks::register(methods, &announced, &pending);
    en::register(methods, &announced);
    debug::register(methods);
    net::register(methods);
    web3::register(methods);
    ots::register(methods);
    forward::register_txpool(methods, &pending);
    snapshots::register(methods);
    unstable::register(methods);
    if let Some(execution) = execution {
        let engine = Arc::new(Engine::new(Arc::clone(&methods.context), execution));
        execution::register(methods, &engine);
        trace::register(methods, &engine);
        ots::register_traces(methods, &engine);
        if let Some(forwarding) = forwarding {
            forward::register(methods, &engine, forwarding, &pending);
        }
    }
    if let Some(seams) = filters {
        eth::register_filters(methods, seams);
    }
    if let Some(seams) = subscriptions {
        pubsub::register(methods, seams, &pending);
    }
}
