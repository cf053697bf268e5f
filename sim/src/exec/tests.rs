//! What the simulator relies on in its own executor and in the libraries that run on it. A library
//! that is updated and breaks one of these is noticed here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use lockstep_io::{BoxFuture, TaskEnd, Tasks, race};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    scenario::Schedule,
    trace::{Trace, TraceSum},
};

const LIMITS: Limits = Limits { polls_max: 100_000 };

fn executor(seed: u64) -> Executor {
    Executor::new(seed, Schedule::Random, LIMITS, Trace::default())
}

/// Runs `story` on a simulated thread and gives its trace.
fn trace_of(seed: u64, story: fn(Executor) -> BoxFuture<'static, ()>) -> TraceSum {
    on_simulated_thread(seed, move || {
        let executor = executor(seed);
        executor.block_on(story(executor.clone())).unwrap();
        executor.trace().sum()
    })
    .unwrap()
}

/// Two processes talk; one is killed in between and another takes its place.
fn echo(executor: Executor) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (ask, mut asked) = mpsc::channel::<u64>(2);
        let (answer, mut answers) = mpsc::channel::<u64>(2);
        let server = executor.clone();
        let serve = Box::pin(async move {
            while let Some(question) = asked.recv().await {
                server.sleep(Duration::from_millis(question % 7)).await;
                if answer.send(question + 1).await.is_err() {
                    return;
                }
            }
        });
        drop(executor.spawn(1, "server", serve));
        let client = executor.clone();
        let talk = Box::pin(async move {
            for question in 0..50 {
                if ask.send(question).await.is_err() {
                    return;
                }
                client.sleep(Duration::from_millis(3)).await;
            }
        });
        drop(executor.spawn(2, "client", talk));
        for _ in 0..20 {
            answers.recv().await.unwrap();
        }
        executor.kill(2);
        drop(executor.spawn(3, "late", Box::pin(executor.sleep(Duration::from_secs(1)))));
        executor.sleep(Duration::from_secs(2)).await;
    })
}

#[test]
fn the_same_seed_has_the_same_trace_and_another_has_another() {
    assert_eq!(trace_of(1, echo), trace_of(1, echo));
    assert_ne!(trace_of(1, echo).hash, trace_of(2, echo).hash);
}

#[test]
#[expect(unsafe_code, reason = "the clock is asked as foreign code might")]
fn a_task_that_reads_the_real_clock_is_found_out() {
    fn leak(executor: Executor) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the pointer is valid for a write.
            unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut time) };
            let nanos = u64::try_from(time.tv_nsec).unwrap();
            let sleep = executor.sleep(Duration::from_nanos(nanos));
            // What a task does is in the trace; what the story itself does is not.
            drop(executor.spawn(1, "leak", Box::pin(sleep)).await);
        })
    }
    assert_ne!(trace_of(1, leak), trace_of(1, leak));
}

#[test]
fn an_order_by_addresses_is_found_out() {
    fn leak(executor: Executor) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Boxes of many sizes, so that addresses differ from one run in a process to the next.
            let mut kept = Vec::new();
            for size in 0..64_usize {
                kept.push(vec![0_u8; size * 100 + 1]);
            }
            let mut order: Vec<_> =
                kept.iter().enumerate().map(|(n, bytes)| (bytes.as_ptr().addr(), n)).collect();
            order.sort_unstable();
            for (address, n) in order {
                let nanos = u64::try_from(address % 1_000_003).unwrap();
                executor.sleep(Duration::from_nanos(nanos)).await;
                drop(executor.spawn(1, "by address", Box::pin(async move { assert!(n < 64) })));
            }
            std::mem::forget(kept);
        })
    }
    assert_ne!(trace_of(1, leak), trace_of(1, leak));
}

#[test]
fn time_moves_to_the_next_sleeper_when_everything_waits() {
    let executor = executor(1);
    let late = executor.sleep(Duration::from_secs(3_600));
    executor.block_on(late).unwrap();
    let now = executor.now();
    assert!(now >= Duration::from_secs(3_600) && now < Duration::from_secs(3_601), "{now:?}");
}

#[test]
fn a_sleeper_is_woken_to_the_nanosecond_or_little_later() {
    let executor = executor(1);
    let until = Duration::from_nanos(12_345);
    executor.block_on(executor.sleep_until(until)).unwrap();
    assert!(executor.now() >= until && executor.now() < until + Duration::from_micros(1));
}

#[test]
fn waiting_for_nothing_is_told_instead_of_hanging() {
    let executor = executor(1);
    drop(executor.spawn(1, "stuck", Box::pin(std::future::pending())));
    let end = executor.block_on(std::future::pending::<()>());
    assert_eq!(end, Err(Stuck::Deadlock(vec!["stuck"])));
}

#[test]
fn a_task_that_never_waits_is_told_instead_of_spinning() {
    let executor = executor(1);
    let spin = std::future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    });
    drop(executor.spawn(1, "spinner", Box::pin(spin)));
    let Err(Stuck::Busy(busy)) = executor.block_on(std::future::pending::<()>()) else {
        panic!("it did not spin");
    };
    assert_eq!(busy[0].0, "spinner");
}

#[test]
fn killing_a_life_runs_destructors_and_leaves_others_alone() {
    let executor = executor(1);
    let (mine, other) = (Arc::new(()), Arc::new(()));
    for (life, held) in [(1, mine.clone()), (2, other.clone())] {
        let sleep = executor.sleep(Duration::from_secs(60));
        let hold = Box::pin(async move {
            sleep.await;
            drop(held);
        });
        drop(executor.spawn(life, "holder", hold));
    }
    executor.block_on(executor.sleep(Duration::from_secs(1))).unwrap();
    executor.kill(1);
    assert_eq!((Arc::strong_count(&mine), Arc::strong_count(&other)), (1, 2));
    let refused = executor.spawn(1, "after death", Box::pin(async {}));
    assert_eq!(executor.block_on(refused), Ok(TaskEnd::Dropped));
}

#[test]
fn a_paused_life_stands_still_and_goes_on() {
    let executor = executor(1);
    let count = Arc::new(Mutex::new(0));
    let (counted, clock) = (count.clone(), executor.clone());
    let tick = Box::pin(async move {
        loop {
            clock.sleep(Duration::from_millis(100)).await;
            *counted.lock().unwrap() += 1;
        }
    });
    drop(executor.spawn(1, "ticker", tick));
    let second = Duration::from_secs(1);
    executor.block_on(executor.sleep(second)).unwrap();
    executor.pause(1);
    let before = *count.lock().unwrap();
    executor.block_on(executor.sleep(second)).unwrap();
    assert_eq!(*count.lock().unwrap(), before);
    executor.resume(1);
    executor.block_on(executor.sleep(second)).unwrap();
    assert!(*count.lock().unwrap() > before + 5);
}

#[test]
fn a_panic_ends_its_task_alone_and_is_told() {
    let executor = executor(1);
    let handle = executor.spawn(1, "bad", Box::pin(async { panic!("as planned") }));
    let end = executor.block_on(handle);
    assert_eq!(end, Ok(TaskEnd::Panicked("as planned".to_owned())));
    assert_eq!(executor.take_panics(), [("bad", 1, "as planned".to_owned())]);
}

#[test]
fn dying_inside_of_a_call_ends_the_task_and_is_no_panic() {
    let executor = executor(1);
    let dying = executor.clone();
    let handle = executor.spawn(1, "dies", Box::pin(async move { dying.die_here(1) }));
    assert_eq!(executor.block_on(handle), Ok(TaskEnd::Dropped));
    assert!(executor.is_dead(1) && executor.take_panics().is_empty());
}

#[test]
fn a_parallel_loop_runs_in_an_order_by_the_seed() {
    let order = |seed| {
        let executor = executor(seed);
        let tasks = SimTasks::new(executor.clone(), 1, TaskCosts::default());
        let tasks: &dyn Tasks = &tasks;
        let job = tasks.compute("loop", |par| {
            let seen = Mutex::new(Vec::new());
            par.for_each(16, &|index| seen.lock().unwrap().push(index));
            seen.into_inner().unwrap()
        });
        executor.block_on(job).unwrap().unwrap()
    };
    let (one, other) = (order(1), order(2));
    assert_eq!(one, order(1));
    assert_ne!(one, other);
    let mut sorted = other;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..16).collect::<Vec<_>>());
}

#[test]
fn channels_of_tokio_and_race_work_without_its_runtime() {
    let executor = executor(1);
    let (tell, mut told) = watch::channel(0);
    let clock = executor.clone();
    let teller = Box::pin(async move {
        clock.sleep(Duration::from_millis(5)).await;
        tell.send_replace(7);
        clock.sleep(Duration::from_secs(5)).await;
    });
    drop(executor.spawn(1, "teller", teller));
    let late = executor.sleep(Duration::from_secs(1));
    let heard = executor.block_on(race(
        async move {
            told.changed().await.unwrap();
            *told.borrow()
        },
        late,
    ));
    assert!(matches!(heard, Ok(lockstep_io::First::Left(7))));
}

#[test]
fn time_and_hash_maps_of_the_standard_library_belong_to_the_world() {
    let look = |seed| {
        on_simulated_thread(seed, move || {
            let executor = executor(seed);
            let before = Instant::now();
            executor.block_on(executor.sleep(Duration::from_secs(90))).unwrap();
            let map: HashMap<u32, ()> = (0..32).map(|n| (n, ())).collect();
            (before.elapsed().as_secs(), map.into_keys().collect::<Vec<_>>())
        })
        .unwrap()
    };
    assert_eq!(look(1).0, 90);
    assert_eq!(look(1), look(1));
    assert_ne!(look(1).1, look(2).1);
}

#[test]
fn first_woken_is_first_run_if_asked_for() {
    let order = |schedule| {
        let executor = Executor::new(9, schedule, LIMITS, Trace::default());
        let told = Arc::new(Mutex::new(Vec::new()));
        for id in 0..8 {
            let told = told.clone();
            let tell = Box::pin(async move { told.lock().unwrap().push(id) });
            drop(executor.spawn(1, "teller", tell));
        }
        executor.block_on(executor.sleep(Duration::from_millis(1))).unwrap();
        told.lock().unwrap().clone()
    };
    assert_eq!(order(Schedule::Fifo), (0..8).collect::<Vec<_>>());
    assert_ne!(order(Schedule::Random), (0..8).collect::<Vec<_>>());
}
