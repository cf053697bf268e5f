//! Tasks on tokio, CPU jobs with a rayon pool under their parallel loops, background jobs, disk
//! jobs.
//!
//! A CPU job has a thread of its own and only its parallel loops enter the rayon pool. Were jobs to
//! run inside the pool, a worker that waits for the parts of one job would meanwhile start another
//! job on the same stack: a short job would wait for a long one, and a lock that both take would
//! never be free again.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::FutureExt as _;
use lockstep_io::{
    BoxFuture, Par, Stop, TaskHandle, Tasks,
    tasks::{CpuJob, DiskJob},
};
use rayon::{
    ThreadPool,
    iter::{IntoParallelIterator as _, ParallelIterator as _},
};
use tokio::{runtime::Handle, sync::watch};

use crate::{
    OsConfig, OsError,
    lane::{Counted, Lane, LaneLoad, end_of},
    signals,
};

/// How busy the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLoad {
    /// Tasks that were spawned and have not ended.
    pub task_count: usize,
    /// CPU jobs.
    pub cpu: LaneLoad,
    /// Background jobs.
    pub background: LaneLoad,
    /// Disk jobs.
    pub disk: LaneLoad,
}

/// Tasks on the threads of an [`OsRuntime`](crate::OsRuntime).
#[derive(Debug)]
pub struct OsTasks {
    runtime: Handle,
    pool: Arc<ThreadPool>,
    spawned: Arc<AtomicUsize>,
    cpu: Lane,
    background: Lane,
    disk: Lane,
    stop: Arc<watch::Sender<bool>>,
}

impl OsTasks {
    pub(crate) fn new(
        runtime: Handle,
        background: Handle,
        pool: ThreadPool,
        config: OsConfig,
    ) -> Self {
        let OsConfig { cpu_threads, disk_threads_max } = config;
        Self {
            cpu: Lane::new(runtime.clone(), runtime.clone(), cpu_threads),
            background: Lane::new(runtime.clone(), background, cpu_threads),
            disk: Lane::new(runtime.clone(), runtime.clone(), disk_threads_max),
            runtime,
            pool: Arc::new(pool),
            spawned: Arc::default(),
            stop: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Asks the process to stop: every [`shutdown`](Tasks::shutdown) resolves. Asking again
    /// changes nothing.
    pub fn request_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Makes SIGTERM and SIGINT ask for a stop instead of ending the process.
    ///
    /// A second signal, of either kind, ends the process at once with exit code 130 and a line on
    /// stderr: nothing is flushed or closed, which the store survives like any other crash. A
    /// thread of its own watches for them, so this works however busy the others are.
    ///
    /// # Errors
    ///
    /// [`OsError::Signals`] if the operating system refuses.
    pub fn install_signals(&self) -> Result<(), OsError> {
        let stop = self.stop.clone();
        signals::install(move || {
            stop.send_replace(true);
        })
        .map_err(OsError::Signals)
    }

    /// How busy the process is right now: for metrics.
    pub fn load(&self) -> TaskLoad {
        TaskLoad {
            task_count: self.spawned.load(Ordering::Relaxed),
            cpu: self.cpu.load(),
            background: self.background.load(),
            disk: self.disk.load(),
        }
    }
}

impl Tasks for OsTasks {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        let (end, handle) = TaskHandle::new();
        let spawned = Counted::new(&self.spawned);
        // Detached: the task says by `end` how it ended.
        drop(self.runtime.spawn(async move {
            let outcome = end_of(name, AssertUnwindSafe(task).catch_unwind().await);
            drop(spawned);
            // Nobody may be waiting.
            drop(end.send(outcome));
        }));
        handle
    }

    fn cpu(&self, name: &'static str, job: CpuJob) -> TaskHandle {
        let par = PoolPar(self.pool.clone());
        self.cpu.run(name, move || job(&par))
    }

    fn background(&self, name: &'static str, job: CpuJob) -> TaskHandle {
        self.background.run(name, move || job(&OneByOne))
    }

    fn disk(&self, name: &'static str, job: DiskJob) -> TaskHandle {
        self.disk.run(name, job)
    }

    fn shutdown(&self) -> Stop {
        let mut asked = self.stop.subscribe();
        Stop(
            async move {
                // An error means that the tasks are gone, and with them the process.
                drop(asked.wait_for(|asked| *asked).await);
            }
            .boxed(),
        )
    }
}

/// Loops of a background job: were they to enter the pool, they would not give way there.
#[derive(Debug)]
struct OneByOne;

impl Par for OneByOne {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(f);
    }
}

/// Parallel loops on the pool.
#[derive(Debug)]
struct PoolPar(Arc<ThreadPool>);

impl Par for PoolPar {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        if count <= 1 {
            (0..count).for_each(f); // Not worth waking another thread.
        } else {
            self.0.install(|| (0..count).into_par_iter().for_each(f));
        }
    }
}
