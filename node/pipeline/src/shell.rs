//! The shell that runs steps: one task a step, a bounded queue between two.

use std::{future::Future, sync::Arc, time::Duration};

use lockstep_io::{Clock, Io, TaskEnd, Tasks, node_select};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::{Reaction, Source, Stage, StageError};

/// How long to wait before asking again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// After the first failure.
    pub wait_min: Duration,
    /// After many: each wait is twice the one before, up to this.
    pub wait_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { wait_min: Duration::from_millis(500), wait_max: Duration::from_secs(15) }
    }
}

/// The first reason to end, shared by all steps and by whoever else may end them.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<watch::Sender<Option<StageError>>>);

impl Ending {
    /// Nothing has ended yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records `error`, unless there is a reason already.
    pub fn end(&self, error: StageError) {
        self.0.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(error);
            }
            first
        });
    }

    /// The reason, if there is one.
    pub fn reason(&self) -> Option<StageError> {
        self.0.borrow().clone()
    }

    /// Resolves to the reason when there is one.
    pub async fn over(&self) -> StageError {
        let mut reasons = self.0.subscribe();
        let reason = reasons.wait_for(Option::is_some).await;
        // The sender lives in `self`, so the wait ends with a reason.
        reason.ok().and_then(|reason| reason.clone()).unwrap_or(StageError::Stopped)
    }
}

/// What all steps share.
#[derive(Clone, Debug)]
struct Shell {
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    retry: RetryPolicy,
    ending: Ending,
}

/// A pipeline under construction whose last step gives out `T`.
#[derive(Debug)]
pub struct Pipeline<T> {
    shell: Shell,
    output: mpsc::Receiver<T>,
}

impl<T: Send + Sync + 'static> Pipeline<T> {
    /// Begins with a source that may be `ahead_max` items ahead of the next step. The source runs
    /// at once, until `ending` has a reason.
    pub fn source<S: Source<Output = T>>(
        io: &Io,
        retry: RetryPolicy,
        ending: Ending,
        mut source: S,
        ahead_max: usize,
    ) -> Self {
        let shell = Shell { clock: io.clock.clone(), tasks: io.tasks.clone(), retry, ending };
        let (out, output) = mpsc::channel(ahead_max.max(1));
        let inner = shell.clone();
        shell.spawn(S::NAME, async move {
            loop {
                let mut retries = Retries::new(&inner, S::NAME);
                let item = loop {
                    let attempt = node_select! {
                        error = inner.ending.over() => Err(error),
                        attempt = source.next() => attempt,
                    };
                    match attempt {
                        Ok(item) => break item,
                        Err(error) => retries.wait_after(error).await?,
                    }
                };
                inner.send(&out, item).await?;
            }
        });
        Self { shell, output }
    }

    /// Adds a step that may be `ahead_max` items ahead of the next one. It runs at once.
    pub fn then<S: Stage<Input = T>>(self, mut stage: S, ahead_max: usize) -> Pipeline<S::Output> {
        let Self { shell, output: mut input } = self;
        let (out, output) = mpsc::channel(ahead_max.max(1));
        let inner = shell.clone();
        shell.spawn(S::NAME, async move {
            while let Some(item) = inner.receive(&mut input).await? {
                let mut retries = Retries::new(&inner, S::NAME);
                loop {
                    let attempt = node_select! {
                        error = inner.ending.over() => Err(error),
                        attempt = stage.ready(&item) => attempt,
                    };
                    match attempt {
                        Ok(()) => break,
                        Err(error) => retries.wait_after(error).await?,
                    }
                }
                let job = inner.tasks.compute(S::NAME, move |par| {
                    let done = stage.process(item, par);
                    (stage, done)
                });
                let (returned, done) = job.await.map_err(|end| panicked(S::NAME, end))?;
                stage = returned;
                if let Some(item) = done? {
                    inner.send(&out, item).await?;
                }
            }
            Ok(())
        });
        Pipeline { shell, output }
    }

    /// Takes the items that come out until something ends the pipeline, and says what. Returns
    /// after every step has let go of its part.
    pub async fn run(self, mut done: impl FnMut(T)) -> StageError {
        let Self { shell, mut output } = self;
        while let Ok(Some(item)) = shell.receive(&mut output).await {
            done(item);
        }
        // The queue closes when the last step has ended, which ends when the one before has.
        while output.recv().await.is_some() {}
        // A step lets go of its queues before its error is recorded, or its panic noticed.
        shell.ending.over().await
    }
}

impl Shell {
    /// Runs a step as a task. Its error, or its panic, ends the whole pipeline.
    fn spawn(
        &self,
        name: &'static str,
        step: impl Future<Output = Result<(), StageError>> + Send + 'static,
    ) {
        let ending = self.ending.clone();
        let task = Box::pin(async move {
            if let Err(error) = step.await {
                ending.end(error);
            }
        });
        let handle = self.tasks.spawn(name, task);
        let ending = self.ending.clone();
        let supervisor = async move {
            match handle.await {
                // Its error is recorded; if it ended without one, that is the neighbour's.
                TaskEnd::Done => {}
                end @ (TaskEnd::Panicked(_) | TaskEnd::Dropped) => ending.end(panicked(name, end)),
            }
        };
        // Nobody waits for the supervisor: it ends with its step.
        drop(self.tasks.spawn("supervisor", Box::pin(supervisor)));
    }

    async fn receive<T>(&self, input: &mut mpsc::Receiver<T>) -> Result<Option<T>, StageError> {
        node_select! {
            error = self.ending.over() => Err(error),
            item = input.recv() => Ok(item),
        }
    }

    async fn send<T>(&self, out: &mpsc::Sender<T>, item: T) -> Result<(), StageError> {
        node_select! {
            error = self.ending.over() => Err(error),
            sent = out.send(item) => match sent {
                Ok(()) => Ok(()),
                // The next step has ended, and why is about to be recorded: that is the reason,
                // not that it is gone.
                Err(_closed) => Err(self.ending.over().await),
            },
        }
    }
}

/// Waits between attempts at one item, longer each time.
struct Retries<'a> {
    shell: &'a Shell,
    name: &'static str,
    wait: Duration,
}

impl<'a> Retries<'a> {
    fn new(shell: &'a Shell, name: &'static str) -> Self {
        Self { shell, name, wait: shell.retry.wait_min }
    }

    /// Waits if asking again can help.
    ///
    /// # Errors
    ///
    /// `error` itself if it cannot, and the pipeline's reason if that ends meanwhile.
    async fn wait_after(&mut self, error: StageError) -> Result<(), StageError> {
        if error.reaction() != Reaction::AskAgain {
            return Err(error);
        }
        let wait_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
        warn!(stage = self.name, %error, wait_ms, "asking again");
        node_select! {
            error = self.shell.ending.over() => return Err(error),
            () = self.shell.clock.sleep(self.wait) => {}
        }
        self.wait = (self.wait * 2).min(self.shell.retry.wait_max);
        Ok(())
    }
}

fn panicked(stage: &'static str, end: TaskEnd) -> StageError {
    match end {
        TaskEnd::Panicked(message) => StageError::Panicked { stage, message },
        TaskEnd::Done | TaskEnd::Dropped => StageError::Stopped,
    }
}
