//! The seams between the node and the world: time, chance, tasks, disk, network, objects, reports.
//!
//! Plain traits and plain data, no logic. Implementations have no policy, no retries and no cache;
//! what may be relied on is written here and tested by `io/conformance` against each of them.

#![warn(missing_docs)]

pub mod call_site;
pub mod clock;
pub mod entropy;
pub mod http;
pub mod objects;
pub mod planted;
pub mod reports;
pub mod results;
pub mod store;
pub mod tasks;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

pub use self::{
    clock::{Clock, Mono, UnixTime},
    entropy::{DetRng, Entropy},
    http::{BodyStream, EndpointId, Http, HttpRequest, HttpResponse, NetError},
    objects::{ByteRange, ObjectError, ObjectMeta, Objects},
    reports::{ReportError, Reports, is_report_name},
    results::ResultSlot,
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
    /// What is written down for people.
    pub reports: Arc<dyn Reports>,
}

/// Waits for the first of two futures and drops the other: as `tokio::select!`, but the one that
/// is written first is always asked first, and the arms are separated by a comma.
///
/// A random order would make a simulated run depend on hidden state.
#[macro_export]
macro_rules! node_select {
    ($left:pat = $first:expr => $then:expr, $right:pat = $second:expr => $otherwise:expr $(,)?) => {{
        let first = $crate::race($first, $second).await;
        match first {
            $crate::First::Left($left) => $then,
            $crate::First::Right($right) => $otherwise,
        }
    }};
}

/// Which of two futures resolved first.
#[derive(Debug)]
pub enum First<A, B> {
    /// The one that was written first, or both at once.
    Left(A),
    /// The other.
    Right(B),
}

/// Resolves with the first of two futures; `left` is polled first each time.
pub async fn race<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}
