//! A lane: jobs that block a thread, so many at once and no more.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lockstep_io::{TaskEnd, TaskHandle};
use tokio::{runtime::Handle, sync::Semaphore};
use tracing::error;

/// How busy a lane is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneLoad {
    /// Jobs that wait for a thread.
    pub waiting_count: usize,
    /// Jobs that run.
    pub running_count: usize,
}

/// Runs jobs on tokio's blocking threads, at most a given number of them at once.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// Where jobs wait for a permit.
    runtime: Handle,
    /// Whose blocking threads run them.
    threads: Handle,
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

impl Lane {
    pub(crate) fn new(runtime: Handle, threads: Handle, threads_max: usize) -> Self {
        Self {
            runtime,
            threads,
            permits: Arc::new(Semaphore::new(threads_max)),
            waiting: Arc::default(),
            running: Arc::default(),
        }
    }

    pub(crate) fn load(&self) -> LaneLoad {
        LaneLoad {
            waiting_count: self.waiting.load(Ordering::Relaxed),
            running_count: self.running.load(Ordering::Relaxed),
        }
    }

    /// Runs `job` when a thread is free. It runs to its end, whoever stops waiting for it.
    pub(crate) fn run(
        &self,
        name: &'static str,
        job: impl FnOnce() + Send + 'static,
    ) -> TaskHandle {
        let (end, handle) = TaskHandle::new();
        let waiting = Counted::new(&self.waiting);
        let lane = self.clone();
        self.runtime.spawn(async move {
            let Ok(permit) = lane.permits.acquire_owned().await else {
                return; // Never: the semaphore is not closed.
            };
            let running = lane.running;
            // Detached: the job says by `end` how it ended.
            drop(lane.threads.spawn_blocking(move || {
                drop(waiting);
                let running = Counted::new(&running);
                let outcome = end_of(name, catch_unwind(AssertUnwindSafe(job)));
                drop((running, permit));
                // Nobody may be waiting.
                drop(end.send(outcome));
            }));
        });
        handle
    }
}

/// One more while it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a task ended whose panic, if any, was caught; a panic is logged here, once.
pub(crate) fn end_of(name: &'static str, caught: Result<(), Box<dyn Any + Send>>) -> TaskEnd {
    match caught {
        Ok(()) => TaskEnd::Done,
        Err(payload) => {
            let message = panic_message(payload.as_ref());
            error!(task = name, message, "task panicked");
            TaskEnd::Panicked(message)
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(message) = payload.downcast_ref::<&'static str>() {
        (*message).to_owned()
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
