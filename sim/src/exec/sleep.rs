//! Sleeping, and the clock of a process life.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use lockstep_io::{BoxFuture, Clock, Mono, UnixTime};

use super::Executor;

/// Wall time when the world begins: 2024-01-01, a Monday. Milliseconds since the Unix epoch.
const WALL_START_MS: i64 = 1_704_067_200_000;

impl Executor {
    /// Resolves at `until` or soon after.
    pub fn sleep_until(&self, until: Duration) -> Sleep {
        Sleep { executor: self.clone(), until, place: None }
    }

    /// Resolves after `time` or soon after.
    pub fn sleep(&self, time: Duration) -> Sleep {
        self.sleep_until(self.now().saturating_add(time))
    }
}

/// A sleeper: woken once polled, and forgotten when dropped.
#[derive(Debug)]
pub struct Sleep {
    executor: Executor,
    until: Duration,
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.until {
            return Poll::Ready(());
        }
        let place = self.executor.add_sleeper(self.until, self.place, cx.waker().clone());
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.executor.remove_sleeper(self.until, place);
        }
    }
}

/// Wall time of the machine: world time plus what it has jumped by. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Wall(Arc<AtomicI64>);

impl Wall {
    /// Jumps by `ms`, either way.
    pub fn jump(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    fn at(&self, now: Duration) -> UnixTime {
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let jumped = self.0.load(Ordering::SeqCst);
        let wall = WALL_START_MS.saturating_add(now_ms).saturating_add(jumped);
        UnixTime(u64::try_from(wall).unwrap_or(0))
    }
}

/// The clock of one life.
#[derive(Clone, Debug)]
pub struct SimClock {
    executor: Executor,
    /// When the life began.
    begin: Duration,
    wall: Wall,
}

impl SimClock {
    /// The clock of a life that begins now.
    pub fn new(executor: Executor, wall: Wall) -> Self {
        Self { begin: executor.now(), executor, wall }
    }
}

impl Clock for SimClock {
    fn mono(&self) -> Mono {
        let nanos = self.executor.now().saturating_sub(self.begin).as_nanos();
        Mono(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn wall(&self) -> UnixTime {
        self.wall.at(self.executor.now())
    }

    fn sleep_until(&self, until: Mono) -> BoxFuture<'static, ()> {
        let until = self.begin.saturating_add(Duration::from_nanos(until.0));
        Box::pin(self.executor.sleep_until(until))
    }
}
