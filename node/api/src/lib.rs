//! JSON-RPC methods over views of the store, one module a method group; no sockets.
//!
//! Each request takes one view and is answered from it alone, so its parts always belong to one
//! moment. All reading runs as a job of [`Tasks::disk`]: a panic in it is an internal error of that
//! request and of no other.

#![warn(missing_docs)]

mod call;
mod config;
mod debug;
mod error;
mod eth;
mod net;
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

use self::call::Methods;
pub use self::config::ApiConfig;

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

/// All methods, to be mounted on a server or called by
/// [`raw_json_request`](jsonrpsee::core::server::Methods::raw_json_request).
pub fn rpc_module(context: ApiContext) -> RpcModule<()> {
    let mut methods = Methods::new(context);
    eth::register(&mut methods);
    zks::register(&mut methods);
    debug::register(&mut methods);
    net::register(&mut methods);
    web3::register(&mut methods);
    methods.into_module()
}
