//! How fast an upstream is asked: exchanges at the same time, calls in a second, pauses.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::{Either, select};
use lockstep_io::{DetRng, Mono};
use rand_chacha::rand_core::RngCore;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Whichever of two futures ends first; the left one if both do.
pub(super) async fn first_of<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> Either<A, B> {
    match select(pin!(left), pin!(right)).await {
        Either::Left((left, _)) => Either::Left(left),
        Either::Right((right, _)) => Either::Right(right),
    }
}

/// Exchanges at the same time in the beginning.
const WINDOW_START: usize = 4;

/// Calls may come this much before their time, so that a short burst does not wait.
const BURST: Duration = Duration::from_millis(500);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many exchanges may run at the same time: one more after as many successes as there are
/// places, half as many when it was too much.
#[derive(Debug)]
pub(super) struct Window {
    places: Arc<Semaphore>,
    size_max: usize,
    state: Mutex<WindowState>,
}

#[derive(Debug)]
struct WindowState {
    size: usize,
    /// Places to be taken away as soon as they are free.
    owed: usize,
    /// Since the size changed.
    successes: usize,
    shrunk_at: Option<Mono>,
}

/// A place in the [`Window`]; free again when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    window: &'a Window,
    permit: Option<OwnedSemaphorePermit>,
}

impl Window {
    pub(super) fn new(size_max: usize) -> Self {
        let size_max = size_max.clamp(1, Semaphore::MAX_PERMITS);
        let size = size_max.min(WINDOW_START);
        let state = WindowState { size, owed: 0, successes: 0, shrunk_at: None };
        Self { places: Arc::new(Semaphore::new(size)), size_max, state: Mutex::new(state) }
    }

    /// Waits for a place, first come first served.
    pub(super) async fn place(&self) -> Place<'_> {
        let permit = self.places.clone().acquire_owned().await;
        Place { window: self, permit: Some(permit.expect("the semaphore is never closed")) }
    }

    /// An exchange went well.
    pub(super) fn succeeded(&self) {
        let mut state = lock(&self.state);
        state.successes += 1;
        if state.successes < state.size || state.size >= self.size_max {
            return;
        }
        state.size += 1;
        state.successes = 0;
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.places.add_permits(1);
        }
    }

    /// An exchange that began at `since` was too much. Exchanges that were already under way when
    /// the window last shrank say nothing new.
    pub(super) fn overloaded(&self, since: Mono, now: Mono) {
        let mut state = lock(&self.state);
        if state.shrunk_at.is_some_and(|at| since < at) {
            return;
        }
        let size = (state.size / 2).max(1);
        let fewer = state.size - size;
        state.size = size;
        state.successes = 0;
        state.shrunk_at = Some(now);
        state.owed += fewer - self.places.forget_permits(fewer);
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        lock(&self.state).size
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.window.state);
        if state.owed > 0 {
            state.owed -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

/// Calls in a second, on average.
#[derive(Debug)]
pub(super) struct Rate {
    per_call: Duration,
    /// When everything that was allowed so far is used up.
    used_until: Mutex<Mono>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_call: Duration::from_secs(1) / per_second.max(1),
            used_until: Mutex::new(Mono(0)),
        }
    }

    /// When `count` calls may go. They count from now on, whether they go or not.
    pub(super) fn reserve(&self, count: usize, now: Mono) -> Mono {
        let mut used_until = lock(&self.used_until);
        let begin = (*used_until).max(now);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        *used_until = begin.plus(self.per_call.saturating_mul(count));
        let burst = u64::try_from(BURST.as_nanos()).unwrap_or(u64::MAX);
        Mono(begin.0.saturating_sub(burst))
    }
}

/// Random pauses.
#[derive(Debug)]
pub(super) struct Chance(Mutex<DetRng>);

impl Chance {
    pub(super) fn new(rng: DetRng) -> Self {
        Self(Mutex::new(rng))
    }

    /// Anything from zero to `longest`.
    pub(super) fn up_to(&self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let drawn = lock(&self.0).next_u64();
        Duration::from_nanos(longest.checked_add(1).map_or(drawn, |bound| drawn % bound))
    }

    /// Anything from half of `longest` to `longest`.
    pub(super) fn around(&self, longest: Duration) -> Duration {
        longest / 2 + self.up_to(longest / 2)
    }
}

/// `first`, doubled `doublings` times, at most `bound`.
pub(super) fn doubled(first: Duration, doublings: u32, bound: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(bound)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// How many places can be taken at once.
    fn free(window: &Window) -> usize {
        let mut places = Vec::new();
        while let Some(place) = window.place().now_or_never() {
            places.push(place);
        }
        places.len()
    }

    #[test]
    fn the_window_grows_with_success_up_to_its_bound() {
        let window = Window::new(6);
        assert_eq!(free(&window), WINDOW_START);
        for _ in 0..WINDOW_START {
            window.succeeded();
        }
        assert_eq!((window.size(), free(&window)), (5, 5));
        for _ in 0..100 {
            window.succeeded();
        }
        assert_eq!((window.size(), free(&window)), (6, 6));
        assert_eq!(free(&Window::new(0)), 1);
    }

    #[test]
    fn the_window_halves_once_for_what_happened_at_the_same_time() {
        let window = Window::new(4);
        let places: Vec<_> = (0..4).filter_map(|_| window.place().now_or_never()).collect();
        assert_eq!(places.len(), 4);
        for _ in 0..4 {
            window.overloaded(Mono(1), Mono(5));
        }
        assert_eq!(window.size(), 2);
        drop(places);
        assert_eq!(free(&window), 2);
        for at in 6..12 {
            window.overloaded(Mono(at), Mono(at));
        }
        assert_eq!((window.size(), free(&window)), (1, 1));
    }

    #[test]
    fn growth_pays_back_what_is_owed_first() {
        let window = Window::new(4);
        let places: Vec<_> = (0..4).filter_map(|_| window.place().now_or_never()).collect();
        window.overloaded(Mono(1), Mono(1));
        window.succeeded();
        window.succeeded();
        assert_eq!(window.size(), 3);
        drop(places);
        assert_eq!(free(&window), 3);
    }

    #[test]
    fn the_rate_holds_on_average_and_lets_bursts_through() {
        let rate = Rate::new(10);
        let second = 1_000_000_000;
        let start = Mono(5 * second);
        let at: Vec<_> = (0..4).map(|_| rate.reserve(5, start).0.saturating_sub(start.0)).collect();
        // Ten calls are let through at once, five more each half second.
        assert_eq!(at, [0, 0, second / 2, second]);
        let later = Mono(20 * second);
        assert!(rate.reserve(1, later) <= later);
    }

    #[test]
    fn doubling_is_bounded() {
        let (first, bound) = (Duration::from_millis(250), Duration::from_secs(10));
        assert_eq!(doubled(first, 0, bound), first);
        assert_eq!(doubled(first, 3, bound), Duration::from_secs(2));
        assert_eq!(doubled(first, 1000, bound), bound);
    }
}
