//! Tasks on one thread, in an order that is always the same.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::{FutureExt, channel::oneshot, future};
use lockstep_io::{
    BoxFuture, Par, Stop, TaskEnd, TaskHandle, Tasks,
    tasks::{CpuJob, DiskJob},
};

use crate::ManualClock;

/// Runs tasks on the thread that calls [`block_on`](Self::block_on), first woken first run, and
/// moves time on when all of them wait. Jobs run at once, inside the call that asks for them.
///
/// Clones are the same runtime.
#[derive(Clone)]
pub struct MemoryRuntime {
    clock: ManualClock,
    shared: Arc<Shared>,
}

/// The future that `block_on` was given.
const ROOT: u64 = 0;

#[derive(Default)]
struct Shared {
    ready: Ready,
    tasks: Mutex<BTreeMap<u64, Task>>,
    task_count: Mutex<u64>,
    stop: Mutex<StopState>,
}

/// Tasks to be polled, in order of being woken.
#[derive(Default)]
struct Ready(Arc<Mutex<VecDeque<Arc<TaskWaker>>>>);

struct Task {
    name: &'static str,
    future: BoxFuture<'static, ()>,
    waker: Arc<TaskWaker>,
    end: oneshot::Sender<TaskEnd>,
}

struct TaskWaker {
    id: u64,
    is_queued: AtomicBool,
    queue: Arc<Mutex<VecDeque<Arc<TaskWaker>>>>,
}

#[derive(Default)]
struct StopState {
    is_asked: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            lock(&self.queue).push_back(self.clone());
        }
    }
}

impl Ready {
    fn waker(&self, id: u64) -> Arc<TaskWaker> {
        Arc::new(TaskWaker { id, is_queued: AtomicBool::new(false), queue: self.0.clone() })
    }

    fn next(&self) -> Option<Arc<TaskWaker>> {
        let next = lock(&self.0).pop_front();
        if let Some(waker) = &next {
            waker.is_queued.store(false, Ordering::SeqCst);
        }
        next
    }
}

impl MemoryRuntime {
    /// A runtime that moves `clock` on.
    pub fn new(clock: ManualClock) -> Self {
        Self { clock, shared: Arc::default() }
    }

    /// Runs `future` to its end, and spawned tasks meanwhile; those that are not done then stay
    /// for the next call.
    ///
    /// # Panics
    ///
    /// If everything waits and nobody sleeps: no time that passes would change that.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let root = self.shared.ready.waker(ROOT);
        root.clone().wake();
        let root_waker = Waker::from(root.clone());
        loop {
            match self.shared.ready.next() {
                // A waker of an earlier root may be left in the queue.
                Some(woken) if Arc::ptr_eq(&woken, &root) => {
                    let polled = future.as_mut().poll(&mut Context::from_waker(&root_waker));
                    if let Poll::Ready(value) = polled {
                        return value;
                    }
                }
                Some(woken) => self.poll_task(woken.id),
                None => assert!(
                    self.clock.advance_to_next_sleeper(),
                    "everything waits and nobody sleeps; tasks: {:?}",
                    self.task_names()
                ),
            }
        }
    }

    /// Runs spawned tasks until all of them wait. Time stands still.
    pub fn run_until_idle(&self) {
        while let Some(woken) = self.shared.ready.next() {
            self.poll_task(woken.id);
        }
    }

    /// Asks for a stop, as SIGTERM does.
    pub fn ask_to_stop(&self) {
        let mut stop = lock(&self.shared.stop);
        stop.is_asked = true;
        let waiting = std::mem::take(&mut stop.waiting);
        drop(stop);
        for waiter in waiting {
            // An error says that nobody waits any more: then nobody needs to know.
            waiter.send(()).unwrap_or(());
        }
    }

    /// Drops every task where it stands, as process death does. Their handles say
    /// [`TaskEnd::Dropped`].
    pub fn kill(&self) {
        // One at a time and outside the lock: what is dropped may spawn or drop others.
        loop {
            let task = lock(&self.shared.tasks).pop_last();
            match task {
                Some((_, task)) => drop(task),
                None => return,
            }
        }
    }

    /// Names of the tasks that have not ended, oldest first.
    pub fn task_names(&self) -> Vec<&'static str> {
        lock(&self.shared.tasks).values().map(|task| task.name).collect()
    }

    fn poll_task(&self, id: u64) {
        // Out of the map while it runs, so that it can spawn others.
        let Some(mut task) = lock(&self.shared.tasks).remove(&id) else { return };
        let waker = Waker::from(task.waker.clone());
        let polled = catch_unwind(AssertUnwindSafe(|| {
            task.future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        let end = match polled {
            Ok(Poll::Pending) => {
                lock(&self.shared.tasks).insert(id, task);
                return;
            }
            Ok(Poll::Ready(())) => TaskEnd::Done,
            Err(panic) => TaskEnd::Panicked(message(panic.as_ref())),
        };
        // Nobody looks at the handle: nobody needs to know.
        drop(task.end.send(end));
    }

    fn run_job(job: impl FnOnce()) -> TaskHandle {
        let (end, handle) = TaskHandle::new();
        let ended = match catch_unwind(AssertUnwindSafe(job)) {
            Ok(()) => TaskEnd::Done,
            Err(panic) => TaskEnd::Panicked(message(panic.as_ref())),
        };
        // The handle is still here, so there is somebody to tell.
        drop(end.send(ended));
        handle
    }
}

/// What was said in a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "(no message)".to_owned()
    }
}

impl fmt::Debug for MemoryRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRuntime").field("tasks", &self.task_names()).finish_non_exhaustive()
    }
}

impl Tasks for MemoryRuntime {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        let id = {
            let mut count = lock(&self.shared.task_count);
            *count += 1;
            *count
        };
        let (end, handle) = TaskHandle::new();
        let waker = self.shared.ready.waker(id);
        let task = Task { name, future: task, waker: waker.clone(), end };
        lock(&self.shared.tasks).insert(id, task);
        waker.wake();
        handle
    }

    fn cpu(&self, _name: &'static str, job: CpuJob) -> TaskHandle {
        Self::run_job(|| job(&InOrder))
    }

    fn disk(&self, _name: &'static str, job: DiskJob) -> TaskHandle {
        Self::run_job(job)
    }

    fn shutdown(&self) -> Stop {
        let mut stop = lock(&self.shared.stop);
        if stop.is_asked {
            return Stop(future::ready(()).boxed());
        }
        let (ask, asked) = oneshot::channel();
        stop.waiting.push(ask);
        Stop(Box::pin(async move {
            if asked.await.is_err() {
                // The runtime is gone without having asked.
                future::pending::<()>().await;
            }
        }))
    }
}

/// One index after another.
struct InOrder;

impl Par for InOrder {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(f);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lockstep_io::{Clock, Mono};

    use super::*;

    fn runtime() -> (MemoryRuntime, ManualClock) {
        let clock = ManualClock::new();
        (MemoryRuntime::new(clock.clone()), clock)
    }

    #[test]
    fn time_moves_to_the_next_sleeper_when_everything_waits() {
        let (runtime, clock) = runtime();
        let sleeper = clock.sleep_until(Mono(5));
        let handle = runtime.spawn("sleeper", sleeper);
        let end = runtime.block_on(async {
            clock.sleep_until(Mono(3)).await;
            assert_eq!(clock.mono(), Mono(3));
            handle.await
        });
        assert_eq!((end, clock.mono()), (TaskEnd::Done, Mono(5)));
    }

    #[test]
    fn tasks_run_in_the_order_in_which_they_are_woken() {
        let story = || {
            let (runtime, clock) = runtime();
            let told = Arc::new(Mutex::new(Vec::new()));
            for id in 0..8_u64 {
                let (told, clock) = (told.clone(), clock.clone());
                let task = async move {
                    for step in 0..4 {
                        clock.sleep_until(Mono(step * (id % 3))).await;
                        lock(&told).push((id, step));
                    }
                };
                drop(runtime.spawn("teller", Box::pin(task)));
            }
            runtime.block_on(clock.sleep_until(Mono(100)));
            let told = lock(&told).clone();
            assert_eq!(told.len(), 32);
            told
        };
        assert_eq!(story(), story());
    }

    #[test]
    fn a_stop_reaches_everyone_who_waits_for_it() {
        let (runtime, _) = runtime();
        let before = runtime.shutdown();
        let waiting = runtime.shutdown();
        let handle = runtime.spawn("waiter", Box::pin(waiting));
        runtime.run_until_idle();
        assert_eq!(runtime.task_names(), ["waiter"]);
        runtime.ask_to_stop();
        let after = runtime.shutdown();
        let end = runtime.block_on(async {
            before.await;
            after.await;
            handle.await
        });
        assert_eq!(end, TaskEnd::Done);
    }

    #[test]
    fn killing_drops_tasks_where_they_stand() {
        let (runtime, clock) = runtime();
        let held = Arc::new(());
        let kept = held.clone();
        let sleep = clock.sleep_until(Mono(0).plus(Duration::from_secs(1)));
        let handle = runtime.spawn(
            "holder",
            Box::pin(async move {
                sleep.await;
                drop(kept);
            }),
        );
        runtime.run_until_idle();
        assert_eq!(Arc::strong_count(&held), 2);
        runtime.kill();
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(runtime.block_on(handle), TaskEnd::Dropped);
        assert!(!clock.advance_to_next_sleeper(), "a dropped task still sleeps");
    }

    #[test]
    fn waiting_for_nothing_is_told_instead_of_hanging() {
        let (runtime, _) = runtime();
        drop(runtime.spawn("stuck", future::pending().boxed()));
        let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(future::pending::<()>())));
        assert!(message(panic.unwrap_err().as_ref()).contains("[\"stuck\"]"));
    }
}
