//! Work beside the current task.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures::channel::oneshot;

use crate::BoxFuture;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Its future resolved.
    Done,
    /// It panicked, with this message.
    Panicked(String),
    /// It was dropped before it resolved: the process is going down.
    Dropped,
}

/// Resolves when the task has ended. Dropping the handle lets the task go on.
#[derive(Debug)]
pub struct TaskHandle(oneshot::Receiver<TaskEnd>);

impl TaskHandle {
    /// A handle, and where the implementation says how the task ended.
    pub fn new() -> (oneshot::Sender<TaskEnd>, Self) {
        let (end, ended) = oneshot::channel();
        (end, Self(ended))
    }
}

impl Future for TaskHandle {
    type Output = TaskEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TaskEnd> {
        Pin::new(&mut self.0).poll(cx).map(|end| end.unwrap_or(TaskEnd::Dropped))
    }
}

/// A parallel loop over indices, available inside a CPU job.
pub trait Par: Sync {
    /// Calls `f` once for each index below `count`, in any order, perhaps at the same time;
    /// returns when all calls have returned.
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync));
}

/// A job and what it says when it is done; see [`Tasks::cpu`].
pub type CpuJob = Box<dyn FnOnce(&dyn Par) + Send>;

/// A job that blocks on the disk; see [`Tasks::disk`].
pub type DiskJob = Box<dyn FnOnce() + Send>;

/// Work beside the current task.
///
/// A job must not wait for another task, and must not hold a lock that async code takes.
pub trait Tasks: fmt::Debug + Send + Sync {
    /// Runs `task` at the same time as others. A panic in it ends it alone; the handle tells.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle;

    /// Runs `job`, which computes, on a bounded pool. Resolves when it is done; dropping the
    /// future does not stop the job. A panic in it ends it alone; the handle tells.
    fn cpu(&self, name: &'static str, job: CpuJob) -> TaskHandle;

    /// Runs `job`, which computes for long and can wait, on a bounded pool of its own: it gives way
    /// to everything else that computes, and still goes on beside it. Otherwise as
    /// [`cpu`](Self::cpu).
    fn background(&self, name: &'static str, job: CpuJob) -> TaskHandle {
        self.cpu(name, job)
    }

    /// Runs `job`, which waits for the disk, on a bounded pool; otherwise as [`cpu`](Self::cpu).
    fn disk(&self, name: &'static str, job: DiskJob) -> TaskHandle;

    /// Resolves when the process was asked to stop. Each call gives a future of its own.
    fn shutdown(&self) -> Stop;
}

/// Resolves when a stop was asked for.
pub struct Stop(pub BoxFuture<'static, ()>);

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl dyn Tasks {
    /// Runs `job` on the CPU pool and gives back what it returned.
    ///
    /// # Errors
    ///
    /// [`TaskEnd`] if the job panicked or the process is going down.
    pub fn compute<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl FnOnce(&dyn Par) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, TaskEnd>> + Send + 'static {
        let (waiting, result) = oneshot::channel();
        given(result, self.cpu(name, Box::new(move |par| give(waiting, job(par)))))
    }

    /// Runs `job` where it gives way to everything else, and gives back what it returned.
    ///
    /// # Errors
    ///
    /// [`TaskEnd`] if the job panicked or the process is going down.
    pub fn compute_in_background<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl FnOnce(&dyn Par) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, TaskEnd>> + Send + 'static {
        let (waiting, result) = oneshot::channel();
        given(result, self.background(name, Box::new(move |par| give(waiting, job(par)))))
    }

    /// Runs `job` on the disk pool and gives back what it returned.
    ///
    /// # Errors
    ///
    /// [`TaskEnd`] if the job panicked or the process is going down.
    pub fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, TaskEnd>> + Send + 'static {
        let (waiting, result) = oneshot::channel();
        given(result, self.disk(name, Box::new(move || give(waiting, job()))))
    }
}

/// Gives a result to whoever waits for it; if nobody does any more, it is not wanted.
fn give<T>(waiting: oneshot::Sender<T>, result: T) {
    drop(waiting.send(result));
}

/// What the job behind `handle` gave, once it has ended.
async fn given<T>(mut result: oneshot::Receiver<T>, handle: TaskHandle) -> Result<T, TaskEnd> {
    let end = handle.await;
    match result.try_recv() {
        Ok(Some(value)) => Ok(value),
        Ok(None) | Err(oneshot::Canceled) => Err(end),
    }
}
