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
mod kept;
mod net;
mod snapshots;
mod trace;
mod txpool;
mod unstable;
mod web3;
mod zks;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jsonrpsee::RpcModule;
use lockstep_io::Tasks;
use lockstep_store::Views;
use lockstep_types::L2BlockNumber;
pub use lockstep_wire::Announced;
use tokio::sync::watch;

use self::{call::Methods, execution::Engine};
pub use self::{
    config::ApiConfig,
    eth::FilterSeams,
    execution::{CurrentFees, Execution},
};

/// What the methods are answered from.
#[derive(Clone, Debug)]
pub struct ApiContext {
    /// The chain.
    pub views: Views,
    /// Where reading runs.
    pub tasks: Arc<dyn Tasks>,
    /// Limits.
    pub config: ApiConfig,
    /// How far the main node is.
    pub sync: SyncStatus,
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
}

impl Default for Sources {
    fn default() -> Self {
        let (_nobody, announced) = watch::channel(Announced::default());
        Self { announced, execution: None, filters: None }
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
    let Sources { announced, execution, filters } = sources;
    eth::register(methods);
    zks::register(methods, &announced);
    en::register(methods, &announced);
    debug::register(methods);
    net::register(methods);
    web3::register(methods);
    txpool::register(methods);
    snapshots::register(methods);
    unstable::register(methods);
    if let Some(execution) = execution {
        let engine = Arc::new(Engine::new(Arc::clone(&methods.context), execution));
        execution::register(methods, &engine);
        trace::register(methods, &engine);
    }
    if let Some(seams) = filters {
        eth::register_filters(methods, seams);
    }
}
