//! `Tasks` of a process life: tasks are the executor's, jobs take simulated time.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, channel::oneshot, future};
use lockstep_io::{
    BoxFuture, Par, Stop, TaskEnd, TaskHandle, Tasks,
    tasks::{CpuJob, DiskJob},
};

use super::{
    Executor, Life,
    executor::{KilledInside, message},
};

/// How long jobs take; shared by all lives, changed by events.
#[derive(Clone, Debug, Default)]
pub struct TaskCosts(Arc<Mutex<Costs>>);

#[derive(Clone, Copy, Debug)]
struct Costs {
    cpu_ms_max: u64,
    disk_ms_max: u64,
    cpu_factor: u64,
}

impl Default for Costs {
    fn default() -> Self {
        Self { cpu_ms_max: 0, disk_ms_max: 0, cpu_factor: 1 }
    }
}

impl TaskCosts {
    /// A CPU job takes up to `cpu_ms_max`, a disk job up to `disk_ms_max`, by chance.
    pub fn new(cpu_ms_max: u64, disk_ms_max: u64) -> Self {
        Self(Arc::new(Mutex::new(Costs { cpu_ms_max, disk_ms_max, cpu_factor: 1 })))
    }

    /// From now on disk jobs take up to `ms`.
    pub fn set_disk_ms(&self, ms: u64) {
        lock(&self.0).disk_ms_max = ms;
    }

    /// From now on CPU jobs take `factor` times as long; 1 is as in the beginning.
    pub fn set_cpu_factor(&self, factor: u32) {
        lock(&self.0).cpu_factor = u64::from(factor);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tasks of one life.
#[derive(Clone)]
pub struct SimTasks {
    executor: Executor,
    life: Life,
    costs: TaskCosts,
    stop: Arc<Mutex<StopState>>,
}

#[derive(Default)]
struct StopState {
    is_asked: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl SimTasks {
    /// Tasks of `life`.
    pub fn new(executor: Executor, life: Life, costs: TaskCosts) -> Self {
        Self { executor, life, costs, stop: Arc::default() }
    }

    /// Asks for a stop, as SIGTERM does.
    pub fn ask_to_stop(&self) {
        let mut stop = lock(&self.stop);
        stop.is_asked = true;
        let waiting = std::mem::take(&mut stop.waiting);
        drop(stop);
        for waiter in waiting {
            // An error says that nobody waits any more: then nobody needs to know.
            waiter.send(()).unwrap_or(());
        }
    }

    /// Runs `job` as a task that first waits for its turn, and tells its end a little later. The
    /// job itself runs at once and whole.
    fn run_job(
        &self,
        name: &'static str,
        time_max: Duration,
        job: impl FnOnce() + Send + 'static,
    ) -> TaskHandle {
        let (end, handle) = TaskHandle::new();
        let (executor, life) = (self.executor.clone(), self.life);
        let time_max = u64::try_from(time_max.as_micros()).unwrap_or(u64::MAX);
        let task: BoxFuture<'static, ()> = Box::pin(async move {
            let before = executor.draw(time_max + 1);
            if before > 0 {
                executor.sleep(Duration::from_micros(before)).await;
            }
            let ended = match catch_unwind(AssertUnwindSafe(job)) {
                Ok(()) => TaskEnd::Done,
                Err(panic) if panic.is::<KilledInside>() => std::panic::resume_unwind(panic),
                Err(panic) => {
                    executor.tell_panic(name, life, message(panic.as_ref()));
                    TaskEnd::Panicked(message(panic.as_ref()))
                }
            };
            let after = executor.draw(time_max / 4 + 1);
            if after > 0 {
                executor.sleep(Duration::from_micros(after)).await;
            }
            // Nobody looks at the handle: nobody needs to know.
            drop(end.send(ended));
        });
        drop(self.executor.spawn(self.life, name, task));
        handle
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        self.executor.spawn(self.life, name, task)
    }

    fn cpu(&self, name: &'static str, job: CpuJob) -> TaskHandle {
        let costs = *lock(&self.costs.0);
        let time_max = Duration::from_millis(costs.cpu_ms_max.saturating_mul(costs.cpu_factor));
        let par = AnyOrder(self.executor.clone());
        self.run_job(name, time_max, move || job(&par))
    }

    fn disk(&self, name: &'static str, job: DiskJob) -> TaskHandle {
        let time_max = Duration::from_millis(lock(&self.costs.0).disk_ms_max);
        self.run_job(name, time_max, job)
    }

    fn shutdown(&self) -> Stop {
        let mut stop = lock(&self.stop);
        if stop.is_asked {
            return Stop(future::ready(()).boxed());
        }
        let (ask, asked) = oneshot::channel();
        stop.waiting.push(ask);
        Stop(Box::pin(async move {
            if asked.await.is_err() {
                // The process is gone without having been asked.
                future::pending::<()>().await;
            }
        }))
    }
}

impl fmt::Debug for SimTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTasks").field("life", &self.life).finish_non_exhaustive()
    }
}

/// A loop over indices in an order by chance, so that who depends on the order is found out.
struct AnyOrder(Executor);

impl Par for AnyOrder {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        let mut order: Vec<usize> = (0..count).collect();
        for left in (1..count).rev() {
            let bound = u64::try_from(left).unwrap_or(u64::MAX) + 1;
            let other = usize::try_from(self.0.draw(bound)).unwrap_or(0);
            order.swap(left, other);
        }
        order.into_iter().for_each(f);
    }
}
