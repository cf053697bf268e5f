//! One process: it opens the replica, runs it, serves its API, and ends.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use futures::channel::oneshot;
use jsonrpsee::RpcModule;
use lockstep_io::{BoxFuture, Tasks};
use lockstep_pipeline::StageError;
use lockstep_replica::{OpenError, Replica, Status};
use tokio::sync::watch;

use super::{World, director::Signal, lock};
use crate::{
    exec::{Life, SimClock, SimTasks},
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
        let rpc = lock(&self.open).as_ref().map(|open| open.rpc.clone());
        let Some(rpc) = rpc else { return Box::pin(async { None }) };
        let (give, given) = oneshot::channel();
        let task: BoxFuture<'static, ()> = Box::pin(async move {
            let answer = rpc.raw_json_request(&request, 1).await;
            if let Ok((answer, _subscription)) = answer {
                // Perhaps nobody waits any more.
                drop(give.send(answer.get().to_owned()));
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
