//! The seams between the node and the world: time, chance, tasks, disk, network, objects.
//!
//! Plain traits and plain data, no logic. Implementations have no policy, no retries and no cache;
//! what may be relied on is written here and tested by `io/conformance` against each of them.

#![warn(missing_docs)]

pub mod clock;
pub mod entropy;
pub mod http;
pub mod objects;
pub mod store;
pub mod tasks;

use std::sync::Arc;

pub use self::{
    clock::{Clock, Mono, UnixTime},
    entropy::{DetRng, Entropy},
    http::{BodyStream, EndpointId, Http, HttpRequest, HttpResponse, NetError},
    objects::{ByteRange, ObjectError, ObjectMeta, Objects},
    store::{
        Dir, Durability, KeyRange, ReadStore, Scan, Schema, Seq, StoreError, StoreName, Stores,
        Table, Value, View, WriteSet, WriteStore,
    },
    tasks::{Par, Stop, TaskEnd, TaskHandle, Tasks},
};

/// A boxed future without borrowed state.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;

/// Everything the replica gets from outside. Production and simulation differ here, nowhere else.
#[derive(Clone, Debug)]
pub struct Io {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Work beside the current task: concurrent, on the CPU, on the disk.
    pub tasks: Arc<dyn Tasks>,
    /// The disk.
    pub stores: Arc<dyn Stores>,
    /// The network.
    pub http: Arc<dyn Http>,
    /// Where the chain keeps its snapshots.
    pub objects: Arc<dyn Objects>,
}

/// `tokio::select!` whose branches are polled in the order in which they are written.
///
/// A random order would make a simulated run depend on hidden state.
#[macro_export]
macro_rules! node_select {
    ($($body:tt)*) => {
        tokio::select! { biased; $($body)* }
    };
}
