//! The promises of [`Clock`].

use std::{pin::pin, time::Duration};

use futures::{FutureExt, StreamExt, future, stream::FuturesUnordered};
use lockstep_io::{BoxFuture, Clock, Mono};

/// Longer than any test takes: a sleep until then must still be pending.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Checks every promise of a clock; takes about a tenth of a second of its time.
///
/// # Panics
///
/// Where a promise is broken.
pub async fn check(clock: &dyn Clock) {
    monotonic_time_never_decreases(clock);
    sleeping_lasts_until_the_time_asked_for(clock).await;
    sleeping_until_the_past_ends_at_once(clock).await;
    sleepers_wake_in_the_order_of_their_times(clock).await;
    a_sleeper_does_not_hold_up_others(clock).await;
    a_sleep_can_be_given_up(clock).await;
}

fn sleep(clock: &dyn Clock, duration: Duration) -> BoxFuture<'static, ()> {
    clock.sleep_until(clock.mono().plus(duration))
}

fn monotonic_time_never_decreases(clock: &dyn Clock) {
    let mut before = clock.mono();
    for _ in 0..10_000 {
        let now = clock.mono();
        assert!(now >= before, "monotonic time went from {before:?} back to {now:?}");
        before = now;
    }
}

async fn sleeping_lasts_until_the_time_asked_for(clock: &dyn Clock) {
    for millis in [0, 1, 10, 25] {
        let until = clock.mono().plus(Duration::from_millis(millis));
        clock.sleep_until(until).await;
        let now = clock.mono();
        assert!(now >= until, "a sleep until {until:?} ended at {now:?}");
    }
    let start = clock.mono();
    sleep(clock, Duration::from_millis(10)).await;
    let slept = clock.mono().since(start);
    assert!(slept >= Duration::from_millis(10), "a sleep of 10 ms ended after {slept:?}");
}

async fn sleeping_until_the_past_ends_at_once(clock: &dyn Clock) {
    let start = clock.mono();
    for _ in 0..10 {
        clock.sleep_until(Mono(0)).await;
        clock.sleep_until(start).await;
    }
    let took = clock.mono().since(start);
    assert!(took < Duration::from_secs(5), "sleeping until the past took {took:?}");
}

async fn sleepers_wake_in_the_order_of_their_times(clock: &dyn Clock) {
    let start = clock.mono();
    let mut sleepers = FuturesUnordered::new();
    for millis in [60, 20, 40] {
        let sleep = clock.sleep_until(start.plus(Duration::from_millis(millis)));
        sleepers.push(sleep.map(move |()| millis));
    }
    let mut woken = Vec::new();
    while let Some(millis) = sleepers.next().await {
        woken.push(millis);
    }
    assert_eq!(woken, [20, 40, 60], "sleepers woke in another order than their times");
}

async fn a_sleeper_does_not_hold_up_others(clock: &dyn Clock) {
    let far = sleep(clock, FAR);
    let near = sleep(clock, Duration::from_millis(5));
    match future::select(far, near).await {
        future::Either::Left(_) => panic!("a sleep of a day ended before one of 5 ms"),
        future::Either::Right(_) => {}
    }
    let mut far = pin!(sleep(clock, FAR));
    assert!((&mut far).now_or_never().is_none(), "a sleep of a day ended when first polled");
}

async fn a_sleep_can_be_given_up(clock: &dyn Clock) {
    let start = clock.mono();
    {
        let given_up = sleep(clock, Duration::from_millis(10));
        assert!(given_up.now_or_never().is_none(), "a sleep of 10 ms ended when first polled");
    }
    sleep(clock, Duration::from_millis(20)).await;
    assert!(clock.mono().since(start) >= Duration::from_millis(20));
}
