//! JSON-RPC methods over views of the store, one module a method group; no sockets.
//!
//! Each request takes one view and is answered from it alone, so its parts always belong to one
//! moment. What is run for a request (calls, estimates, traces) has limits of its own: how many at
//! once, how long they wait for their turn, how long they run. All reading runs as a job of [`Tasks::disk`]: a panic in it is an internal error of that
//! request and of no other.

#![warn(missing_docs)]

mod call;
mod config;
mod debug;
mod error;
mod eth;
mod execution;
mod net;
mod trace;
mod web3;
mod zks;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jsonrpsee::RpcModule;
use lockstep_io::Tasks;
use lockstep_store::Views;
use lockstep_types::L2BlockNumber;
use tokio::sync::watch;

use self::{call::Methods, execution::Engine};
pub use self::{
    config::ApiConfig,
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

/// The methods that are answered from what is stored, to be mounted on a server or called by
/// [`raw_json_request`](jsonrpsee::core::server::Methods::raw_json_request).
pub fn rpc_module(context: ApiContext) -> RpcModule<()> {
    let mut methods = Methods::new(context);
    register_stored(&mut methods);
    methods.into_module()
}

/// All methods: those of [`rpc_module`], and those that run something or need current prices.
///
/// Calls and traces wait for their turn, each kind for its own: see [`ApiConfig`].
pub fn rpc_module_with_execution(context: ApiContext, execution: Execution) -> RpcModule<()> {
    let mut methods = Methods::new(context);
    register_stored(&mut methods);
    register_execution(&mut methods, execution);
    methods.into_module()
}

fn register_execution(methods: &mut Methods, execution: Execution) {
    let engine = Arc::new(Engine::new(Arc::clone(&methods.context), execution));
    execution::register(methods, &engine);
    trace::register(methods, &engine);
}

fn register_stored(methods: &mut Methods) {
    eth::register(methods);
    zks::register(methods);
    debug::register(methods);
    net::register(methods);
    web3::register(methods);
}
