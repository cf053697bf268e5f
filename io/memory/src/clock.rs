//! Time that moves only when it is told to.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use lockstep_io::{BoxFuture, Clock, Mono, UnixTime};

/// Wall time at the start: 2024-01-01, a Monday.
const WALL_START: UnixTime = UnixTime(1_704_067_200_000);

/// Time that moves only when it is told to. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    now: Mono,
    /// Wall time when monotonic time was zero; jumps with [`ManualClock::set_wall`].
    wall_at_zero: i128,
    /// Sleepers that have been polled, by when they wake, then by age.
    sleepers: BTreeMap<(Mono, u64), Waker>,
    sleeper_count: u64,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// Monotonic time zero, on the first of January 2024.
    pub fn new() -> Self {
        Self::starting_at(WALL_START)
    }

    /// Monotonic time zero, at `wall`.
    pub fn starting_at(wall: UnixTime) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            now: Mono(0),
            wall_at_zero: i128::from(wall.0),
            sleepers: BTreeMap::new(),
            sleeper_count: 0,
        })))
    }

    /// The clock of a process that starts now: monotonic time from zero, wall time going on.
    #[must_use]
    pub fn next_life(&self) -> Self {
        Self::starting_at(self.wall())
    }

    /// Moves time on and wakes, in the order of their times, all who slept until then.
    pub fn advance(&self, by: Duration) {
        let to = self.inner().now.plus(by);
        self.advance_to(to);
    }

    /// As [`advance`](Self::advance), to a point in time; nothing happens if that is past.
    pub fn advance_to(&self, to: Mono) {
        let mut inner = self.inner();
        inner.now = inner.now.max(to);
        let asleep = inner.sleepers.split_off(&(Mono(to.0.saturating_add(1)), 0));
        let awake = std::mem::replace(&mut inner.sleepers, asleep);
        drop(inner);
        awake.into_values().for_each(Waker::wake);
    }

    /// Moves time to when the next sleeper wakes, and wakes those of that time. False if nobody
    /// sleeps.
    pub fn advance_to_next_sleeper(&self) -> bool {
        let next = self.inner().sleepers.keys().next().map(|(until, _)| *until);
        match next {
            Some(until) => {
                self.advance_to(until);
                true
            }
            None => false,
        }
    }

    /// Makes wall time jump. Monotonic time and sleepers do not notice.
    pub fn set_wall(&self, wall: UnixTime) {
        let mut inner = self.inner();
        inner.wall_at_zero = i128::from(wall.0) - millis(inner.now);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(mono: Mono) -> i128 {
    i128::from(mono.0 / 1_000_000)
}

impl Clock for ManualClock {
    fn mono(&self) -> Mono {
        self.inner().now
    }

    fn wall(&self) -> UnixTime {
        let inner = self.inner();
        let wall = (inner.wall_at_zero + millis(inner.now)).max(0);
        UnixTime(u64::try_from(wall).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, until: Mono) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { clock: self.clone(), until, place: None })
    }
}

/// A sleeper. It is woken once polled, and forgotten when dropped.
struct Sleep {
    clock: ManualClock,
    until: Mono,
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut inner = clock.inner();
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        let place = *self.place.get_or_insert_with(|| {
            inner.sleeper_count += 1;
            inner.sleeper_count
        });
        inner.sleepers.insert((self.until, place), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.inner().sleepers.remove(&(self.until, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn time_stands_still_until_it_is_moved() {
        let clock = ManualClock::new();
        assert_eq!((clock.mono(), clock.wall()), (Mono(0), WALL_START));
        let mut sleep = clock.sleep_until(Mono(2_000_000));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert!((&mut sleep).now_or_never().is_none());
        assert!(clock.advance_to_next_sleeper());
        assert!(sleep.now_or_never().is_some());
        assert!(!clock.advance_to_next_sleeper(), "nobody sleeps any more");
        assert_eq!(clock.mono(), Mono(2_000_000));
        assert_eq!(clock.wall(), UnixTime(WALL_START.0 + 2));
    }

    #[test]
    fn wall_time_jumps_alone_and_goes_on_in_the_next_life() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(5));
        clock.set_wall(UnixTime(7_000));
        assert_eq!((clock.mono(), clock.wall()), (Mono(5_000_000_000), UnixTime(7_000)));
        let next = clock.next_life();
        assert_eq!((next.mono(), next.wall()), (Mono(0), UnixTime(7_000)));
    }
}
