//! Every seam of `io` in memory, faithful and dull: tests use it, the simulator adds faults.
//!
//! Nothing here looks at the world. Time moves when it is told to, chance follows from a seed,
//! tasks take turns on the thread that runs them, and the disk is a value that outlives the
//! "process" that used it. [`MemoryIo`] holds one of each; its [`restart`](MemoryIo::restart) is
//! what a process that dies and starts again sees.

#![warn(missing_docs)]

pub mod clock;
pub mod entropy;
pub mod http;
pub mod objects;
pub mod reports;
pub mod runtime;
pub mod store;

use std::sync::Arc;

use lockstep_io::Io;

pub use self::{
    clock::ManualClock,
    entropy::SeededEntropy,
    http::{Answer, ScriptedHttp},
    objects::MemoryObjects,
    reports::MemoryReports,
    runtime::MemoryRuntime,
    store::MemoryStores,
};

/// One of each seam, in memory.
#[derive(Clone, Debug)]
pub struct MemoryIo {
    /// Time, which [`runtime`](Self::runtime) moves on when every task waits.
    pub clock: ManualClock,
    /// Chance, from a seed.
    pub entropy: SeededEntropy,
    /// Tasks, and what runs them.
    pub runtime: MemoryRuntime,
    /// The disk.
    pub stores: MemoryStores,
    /// The network: refuses to connect until it is given a script.
    pub http: ScriptedHttp,
    /// Snapshots: none until some are put there.
    pub objects: MemoryObjects,
    /// What was written down for people.
    pub reports: MemoryReports,
}

impl MemoryIo {
    /// An empty disk, a silent network, and chance from `seed`.
    pub fn new(seed: u64) -> Self {
        let clock = ManualClock::new();
        Self {
            runtime: MemoryRuntime::new(clock.clone()),
            clock,
            entropy: SeededEntropy::new(seed),
            stores: MemoryStores::new(),
            http: ScriptedHttp::refusing(),
            objects: MemoryObjects::new(),
            reports: MemoryReports::new(),
        }
    }

    /// The bundle that the replica takes.
    pub fn io(&self) -> Io {
        Io {
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(self.entropy.clone()),
            tasks: Arc::new(self.runtime.clone()),
            stores: Arc::new(self.stores.clone()),
            http: Arc::new(self.http.clone()),
            objects: Arc::new(self.objects.clone()),
            reports: Arc::new(self.reports.clone()),
        }
    }

    /// Ends every task, as process death does, and gives the world of the next process: the same
    /// disk, network and objects, fresh tasks, monotonic time from zero and wall time going on.
    ///
    /// What tests themselves hold of the store (views, halves) must be dropped before it is opened
    /// again.
    #[must_use]
    pub fn restart(&self) -> Self {
        self.runtime.kill();
        let clock = self.clock.next_life();
        Self {
            runtime: MemoryRuntime::new(clock.clone()),
            clock,
            entropy: self.entropy.clone(),
            stores: self.stores.clone(),
            http: self.http.clone(),
            objects: self.objects.clone(),
            reports: self.reports.clone(),
        }
    }

    /// Runs `future` to its end, and spawned tasks meanwhile; see [`MemoryRuntime::block_on`].
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
