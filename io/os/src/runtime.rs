//! The process's threads, and the handles to them.

use std::{
    future::Future,
    io,
    num::NonZero,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::{OsClock, OsEntropy, OsTasks};

/// Blocking threads beside those for jobs: name resolution and reading object files.
const SPARE_BLOCKING_THREADS: usize = 16;
/// Bytes of stack of every thread. Executing contracts recurses deeply in places; memory is only
/// taken for what is used.
const STACK_BYTES: usize = 16 << 20;

/// How many threads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsConfig {
    /// CPU jobs that run at once, background jobs that do, and threads under the parallel loops of
    /// the former; at least 1.
    pub cpu_threads: usize,
    /// Disk jobs that run at once; at least 1.
    pub disk_threads_max: usize,
}

impl Default for OsConfig {
    /// As many CPU jobs as the machine has cores, and 32 disk jobs.
    fn default() -> Self {
        Self { cpu_threads: core_count(), disk_threads_max: 32 }
    }
}

/// Why the operating system does not serve.
#[derive(Debug, thiserror::Error)]
pub enum OsError {
    /// A number of threads is zero.
    #[error("{0} must be at least 1")]
    NoThreads(&'static str),
    /// The threads could not be started.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
    /// The CPU pool could not be started.
    #[error("cannot start the CPU pool: {0}")]
    CpuPool(#[source] rayon::ThreadPoolBuildError),
    /// The signals could not be caught.
    #[error("cannot catch signals: {0}")]
    Signals(#[source] io::Error),
}

/// Owns the threads. The clock, the tasks and whatever they run work as long as it lives.
///
/// Dropping it drops all tasks and waits for jobs that have begun; [`close`](Self::close) waits
/// only so long.
#[derive(Debug)]
pub struct OsRuntime {
    runtime: Runtime,
    /// Its threads give way to those of others.
    background: Runtime,
    clock: Arc<OsClock>,
    tasks: Arc<OsTasks>,
}

impl OsRuntime {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`OsError`] if a number in `config` is zero or the operating system refuses.
    pub fn new(config: OsConfig) -> Result<Self, OsError> {
        let OsConfig { cpu_threads, disk_threads_max } = config;
        for (name, count) in [("cpu_threads", cpu_threads), ("disk_threads_max", disk_threads_max)]
        {
            if count == 0 {
                return Err(OsError::NoThreads(name));
            }
        }
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .worker_threads(core_count().max(2))
            .max_blocking_threads(
                cpu_threads.saturating_add(disk_threads_max).saturating_add(SPARE_BLOCKING_THREADS),
            )
            .thread_name("tokio")
            .thread_stack_size(STACK_BYTES)
            .build()
            .map_err(OsError::Threads)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(cpu_threads)
            .thread_name(|index| format!("cpu-{index}"))
            .stack_size(STACK_BYTES)
            .build()
            .map_err(OsError::CpuPool)?;
        let background = Builder::new_current_thread()
            .max_blocking_threads(cpu_threads)
            .thread_name("background")
            .thread_stack_size(STACK_BYTES)
            .on_thread_start(give_way)
            .build()
            .map_err(OsError::Threads)?;
        let handle = runtime.handle().clone();
        let clock = Arc::new(OsClock::new(handle.clone()));
        let tasks = Arc::new(OsTasks::new(handle, background.handle().clone(), pool, config));
        Ok(Self { runtime, background, clock, tasks })
    }

    /// The clock; its monotonic time began with this value.
    pub fn clock(&self) -> Arc<OsClock> {
        self.clock.clone()
    }

    /// Chance.
    pub fn entropy(&self) -> Arc<OsEntropy> {
        Arc::new(OsEntropy)
    }

    /// The tasks, with the calls that ask for a stop.
    pub fn tasks(&self) -> Arc<OsTasks> {
        self.tasks.clone()
    }

    /// tokio's own handle, for servers that start tasks by themselves.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Runs `future` on this thread, and everything that was spawned beside it, until it resolves.
    ///
    /// # Panics
    ///
    /// If `future` panics, or if called from a task.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Drops all tasks and waits at most `patience` for jobs that have begun.
    pub fn close(self, patience: Duration) {
        let began = Instant::now();
        self.runtime.shutdown_timeout(patience);
        self.background.shutdown_timeout(patience.saturating_sub(began.elapsed()));
    }
}

/// Lets every other thread go first: this one runs where a core has nothing else to do, and now and
/// then where all are busy.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy::Idle, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };

        let (thread, idle) = (thread_native_id(), ThreadSchedulePolicy::Normal(Idle));
        // Where it is refused, the thread is one like the others.
        if let Err(error) = set_thread_priority_and_policy(thread, ThreadPriority::Min, idle) {
            tracing::debug!(%error, "background threads do not give way");
        }
    }
}

fn core_count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
