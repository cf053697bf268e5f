//! One process: it opens the replica, runs it, serves its API, and ends.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::channel::oneshot;
use jsonrpsee::RpcModule;
use lockstep_api::for_one_batch;
use lockstep_io::{BoxFuture, Tasks};
use lockstep_pipeline::StageError;
use lockstep_replica::{OpenError, Replica, Status};
use serde_json::value::RawValue;
use tokio::sync::{mpsc::Receiver, watch};

use super::{World, director::Signal, lock};
use crate::{
    exec::{Executor, Life, SimClock, SimTasks},
    judge::{LifeEnd, Observation},
};

/// A process that was begun.
#[derive(Clone)]
pub(super) struct LifeHandle {
    pub(super) life: Life,
    tasks: SimTasks,
    open: Arc<Mutex<Option<Open>>>,
    end: Arc<Mutex<Option<LifeEnd>>>,
}

/// What a replica that is open shows.
#[derive(Clone)]
struct Open {
    rpc: RpcModule<()>,
    status: watch::Receiver<Status>,
}

impl World {
    /// Begins process `life`.
    pub(super) fn begin_life(&self, life: Life) -> LifeHandle {
        let clock = SimClock::new(self.executor.clone(), self.wall.clone());
        let tasks = SimTasks::new(self.executor.clone(), life, self.costs.clone());
        let handle =
            LifeHandle { life, tasks: tasks.clone(), open: Arc::default(), end: Arc::default() };
        self.trace.note(self.executor.now(), &format!("life {life} begins"));
        self.see(&Observation::LifeBegins { life });
        let main = Box::pin(self.clone().main(handle.clone(), self.io(clock, tasks, life)));
        drop(self.executor.spawn(life, "main", main));
        *lock(&self.current) = Some(handle.clone());
        handle
    }

    /// Begins process `life` beside the one that runs: it must be refused.
    pub(super) fn begin_second(&self, life: Life) {
        let clock = SimClock::new(self.executor.clone(), self.wall.clone());
        let tasks = SimTasks::new(self.executor.clone(), life, self.costs.clone());
        self.trace.note(self.executor.now(), &format!("life {life} begins beside another"));
        let io = self.io(clock, tasks, life);
        let world = self.clone();
        let second: BoxFuture<'static, ()> = Box::pin(async move {
            let stop = io.tasks.shutdown();
            let (vm, simulator) = world.vm();
            let told = match Replica::open(world.replica_config(), io, vm, simulator).await {
                Err(refused) => refused.to_string(),
                Ok(replica) => match Box::pin(replica.run(stop)).await {
                    Ok(()) => "stopped".to_owned(),
                    Err(halted) => halted.to_string(),
                },
            };
            world.trace.note(world.executor.now(), &format!("life {life} was refused: {told}"));
        });
        drop(self.executor.spawn(life, "main", second));
    }

    /// What the process does.
    async fn main(self, handle: LifeHandle, io: lockstep_io::Io) {
        let stop = io.tasks.shutdown();
        let (vm, simulator) = self.vm();
        let opened = Replica::open(self.replica_config(), io, vm, simulator).await;
        let end = match opened {
            Err(OpenError::Stage(StageError::Stopped)) => LifeEnd::Stopped,
            Err(refused) => LifeEnd::Refused(refused.to_string()),
            Ok(replica) => {
                let open = Open { rpc: replica.rpc(), status: replica.status() };
                self.watch_status(handle.life, open.status.clone());
                *lock(&handle.open) = Some(open);
                self.trace.note(self.executor.now(), &format!("life {} is open", handle.life));
                self.see(&Observation::Opened { life: handle.life });
                match Box::pin(replica.run(stop)).await {
                    Ok(()) => LifeEnd::Stopped,
                    Err(halted) => LifeEnd::Halted(halted.to_string()),
                }
            }
        };
        *lock(&handle.end) = Some(end);
        self.signal(Signal::Ended(handle.life));
    }

    /// Tells the judge what the replica says of itself.
    fn watch_status(&self, life: Life, mut status: watch::Receiver<Status>) {
        let world = self.clone();
        let watch: BoxFuture<'static, ()> = Box::pin(async move {
            loop {
                let now = status.borrow_and_update().clone();
                world.trace.note(world.executor.now(), &format!("status {now:?}"));
                world.see(&Observation::Status { status: &now });
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
        drop(self.executor.spawn(life, "status", watch));
    }

    pub(super) fn see(&self, what: &Observation<'_>) {
        self.court.see(self.executor.now(), what);
    }

    pub(super) fn signal(&self, signal: Signal) {
        // Nobody listens when the run is over.
        self.signals.unbounded_send(signal).unwrap_or(());
    }
}

impl LifeHandle {
    /// Asks the process to stop.
    pub(super) fn ask_to_stop(&self) {
        self.tasks.ask_to_stop();
    }

    /// How the process ended by itself, if it has.
    pub(super) fn end(&self) -> Option<LifeEnd> {
        lock(&self.end).clone()
    }

    /// What the replica says of itself; `None` while it is not open.
    pub(super) fn status(&self) -> Option<Status> {
        let open = lock(&self.open);
        open.as_ref().map(|open| open.status.borrow().clone())
    }

    /// Sends `request` to the API, as part of the process.
    pub(super) fn ask(&self, request: String) -> BoxFuture<'static, Option<String>> {
        let answer = self.subscribe(request);
        Box::pin(async move { Some(answer.await?.0) })
    }

    /// As [`ask`](Self::ask), with the messages of the subscription that is asked for, if one is.
    pub(super) fn subscribe(
        &self,
        request: String,
    ) -> BoxFuture<'static, Option<(String, Receiver<Box<RawValue>>)>> {
        self.run(move |rpc| async move {
            let (answer, messages) = rpc.raw_json_request(&request, 1).await.ok()?;
            Some((answer.get().to_owned(), messages))
        })
    }

    /// Sends `requests`, which are a batch, with `pause` between two.
    pub(super) fn ask_batch(
        &self,
        executor: Executor,
        requests: Vec<String>,
        pause: Duration,
    ) -> BoxFuture<'static, Option<Vec<String>>> {
        self.run(move |rpc| async move {
            let rpc = for_one_batch(&rpc);
            let mut answers = Vec::new();
            for request in requests {
                if !answers.is_empty() {
                    executor.sleep(pause).await;
                }
                let (answer, _none) = rpc.raw_json_request(&request, 1).await.ok()?;
                answers.push(answer.get().to_owned());
            }
            Some(answers)
        })
    }

    /// Runs `ask` as part of the process, if it is open; `None` also if it dies meanwhile.
    fn run<T: Send + 'static, F: Future<Output = Option<T>> + Send>(
        &self,
        ask: impl FnOnce(RpcModule<()>) -> F + Send + 'static,
    ) -> BoxFuture<'static, Option<T>> {
        let rpc = lock(&self.open).as_ref().map(|open| open.rpc.clone());
        let Some(rpc) = rpc else { return Box::pin(async { None }) };
        let (give, given) = oneshot::channel();
        let task: BoxFuture<'static, ()> = Box::pin(async move {
            if let Some(answer) = ask(rpc).await {
                // Perhaps nobody waits any more.
                drop(give.send(answer));
            }
        });
        drop(self.tasks.spawn("api request", task));
        Box::pin(async move { given.await.ok() })
    }
}

impl fmt::Debug for LifeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifeHandle").field("life", &self.life).finish_non_exhaustive()
    }
}
