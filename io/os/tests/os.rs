//! What the operating system's clock, entropy and tasks promise beyond their seams.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use lockstep_io::{Clock, Entropy, Mono, TaskEnd, Tasks};
use lockstep_io_os::{OsConfig, OsError, OsRuntime};
use rand::RngCore as _;

const PATIENCE: Duration = Duration::from_secs(20);

fn os(cpu_threads: usize, disk_threads_max: usize) -> OsRuntime {
    OsRuntime::new(OsConfig { cpu_threads, disk_threads_max }).unwrap()
}

fn dyn_tasks(os: &OsRuntime) -> Arc<dyn Tasks> {
    os.tasks()
}

#[test]
fn a_pool_without_threads_is_refused_by_name() {
    for (config, name) in [
        (OsConfig { cpu_threads: 0, disk_threads_max: 1 }, "cpu_threads"),
        (OsConfig { cpu_threads: 1, disk_threads_max: 0 }, "disk_threads_max"),
    ] {
        let error = OsRuntime::new(config).unwrap_err();
        assert!(matches!(error, OsError::NoThreads(_)));
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn sleeping_takes_as_long_as_asked_on_any_executor() {
    let os = os(1, 1);
    let clock = os.clock();
    let until = clock.mono().plus(Duration::from_millis(20));
    // Not inside the runtime: the timer works all the same.
    futures::executor::block_on(clock.sleep_until(until));
    assert!(clock.mono() >= until);
}

#[test]
fn a_past_point_resolves_at_once_and_the_end_of_time_does_not() {
    let os = os(1, 1);
    let clock = os.clock();
    os.block_on(async {
        clock.sleep_until(Mono(0)).await;
        assert_eq!(clock.sleep_until(Mono(u64::MAX)).now_or_never(), None);
    });
}

#[test]
fn wall_time_is_of_this_century() {
    let os = os(1, 1);
    assert!(os.clock().wall().0 > 1_700_000_000_000);
}

#[test]
fn streams_and_secrets_never_repeat() {
    let os = os(1, 1);
    let entropy = os.entropy();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        assert!(seen.insert(entropy.stream("same").next_u64()));
        let mut secret = [0; 8];
        entropy.secret(&mut secret);
        assert!(seen.insert(u64::from_le_bytes(secret)));
    }
}

#[test]
fn a_panic_ends_its_task_alone_and_is_reported() {
    let os = os(1, 1);
    let tasks = os.tasks();
    os.block_on(async {
        let number = 7;
        let spawned = tasks.spawn("spawned", async move { panic!("number {number}") }.boxed());
        let cpu = tasks.cpu("cpu", Box::new(|_| panic!("plain")));
        let disk = tasks.disk("disk", Box::new(|| std::panic::panic_any(7_u8)));
        assert_eq!(spawned.await, TaskEnd::Panicked("number 7".to_owned()));
        assert_eq!(cpu.await, TaskEnd::Panicked("plain".to_owned()));
        assert_eq!(disk.await, TaskEnd::Panicked("a panic without a message".to_owned()));
        // The only threads of the pools are alive.
        assert_eq!(tasks.cpu("cpu", Box::new(|_| {})).await, TaskEnd::Done);
        assert_eq!(tasks.disk("disk", Box::new(|| {})).await, TaskEnd::Done);
    });
}

#[test]
fn a_panic_inside_a_parallel_loop_is_that_of_the_job() {
    let os = os(2, 1);
    let tasks = os.tasks();
    let job = |par: &dyn lockstep_io::Par| par.for_each(100, &|i| assert!(i != 57, "index {i}"));
    let end = os.block_on(tasks.cpu("cpu", Box::new(job)));
    assert_eq!(end, TaskEnd::Panicked("index 57".to_owned()));
}

#[test]
fn a_parallel_loop_calls_each_index_once_also_when_nested() {
    let os = os(2, 1);
    let tasks = dyn_tasks(&os);
    let calls = os.block_on(tasks.compute("nested", |par| {
        let calls: Vec<AtomicUsize> = (0..300).map(|_| AtomicUsize::new(0)).collect();
        par.for_each(3, &|i| {
            par.for_each(100, &|j| {
                calls[100 * i + j].fetch_add(1, Ordering::Relaxed);
            });
        });
        calls.into_iter().map(AtomicUsize::into_inner).collect::<Vec<_>>()
    }));
    assert_eq!(calls.unwrap(), vec![1; 300]);
}

#[test]
fn a_job_that_holds_a_lock_over_a_parallel_loop_does_not_start_another_that_wants_it() {
    let os = os(2, 1);
    let tasks = os.tasks();
    let lock = Arc::new(Mutex::new(0_u32));
    os.block_on(async {
        let jobs: Vec<_> = (0..16)
            .map(|_| {
                let lock = lock.clone();
                tasks.cpu(
                    "locking",
                    Box::new(move |par| {
                        let mut count = lock.lock().unwrap();
                        par.for_each(64, &|_| std::thread::yield_now());
                        *count += 1;
                    }),
                )
            })
            .collect();
        for job in jobs {
            assert_eq!(job.await, TaskEnd::Done);
        }
    });
    assert_eq!(*lock.lock().unwrap(), 16);
}

#[test]
fn no_more_jobs_run_at_once_than_there_are_threads() {
    let os = os(2, 3);
    let tasks = os.tasks();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let job = |at_once: &Arc<Barrier>| {
        let at_once = at_once.clone();
        let (running, most) = (running.clone(), most.clone());
        move || {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            at_once.wait(); // As many run at once as there are threads.
            running.fetch_sub(1, Ordering::SeqCst);
        }
    };
    os.block_on(async {
        let at_once = Arc::new(Barrier::new(2));
        let cpu: Vec<_> = (0..20)
            .map(|_| {
                let job = job(&at_once);
                tasks.cpu("cpu", Box::new(move |_| job()))
            })
            .collect();
        futures::future::join_all(cpu).await;
        assert_eq!(most.swap(0, Ordering::SeqCst), 2);
        let at_once = Arc::new(Barrier::new(3));
        let disk: Vec<_> = (0..21).map(|_| tasks.disk("disk", Box::new(job(&at_once)))).collect();
        futures::future::join_all(disk).await;
        assert_eq!(most.load(Ordering::SeqCst), 3);
    });
    assert_eq!(tasks.load(), lockstep_io_os::TaskLoad::default());
}

/// The scheduling policy of this thread: the 41st field of its `stat`, the second of which is a name
/// in brackets. 0 is the usual one, 5 is `SCHED_IDLE`.
#[cfg(target_os = "linux")]
fn policy() -> u32 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name.split_whitespace().nth(38).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn background_jobs_give_way_to_all_others() {
    let idle = std::process::Command::new("chrt").args(["--idle", "0", "true"]).status();
    if !idle.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this machine lets no thread give way, or has no chrt");
        return;
    }
    let os = os(1, 1);
    let tasks = os.tasks();
    let tasks: &dyn Tasks = &*tasks;
    os.block_on(async {
        let usual = policy();
        assert_eq!(tasks.compute_in_background("background", |_| policy()).await, Ok(5));
        assert_eq!(tasks.compute("cpu", |_| policy()).await, Ok(usual));
        assert_eq!(tasks.blocking("disk", policy).await, Ok(usual));
    });
}

#[test]
fn background_jobs_go_on_where_every_cpu_job_waits() {
    let os = os(1, 1);
    let tasks = os.tasks();
    let (go, wait) = mpsc::channel::<()>();
    let cpu = tasks.cpu("cpu", Box::new(move |_| wait.recv().unwrap()));
    let background = tasks.background("background", Box::new(|_| {}));
    assert_eq!(os.block_on(background), TaskEnd::Done);
    go.send(()).unwrap();
    assert_eq!(os.block_on(cpu), TaskEnd::Done);
}

#[test]
fn the_load_tells_what_runs_and_what_waits() {
    let os = os(1, 1);
    let tasks = os.tasks();
    let (begun_tx, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let first = tasks.disk(
        "first",
        Box::new(move || {
            begun_tx.send(()).unwrap();
            wait.recv().unwrap();
        }),
    );
    begun.recv_timeout(PATIENCE).unwrap();
    let second = tasks.disk("second", Box::new(|| {}));
    let load = tasks.load().disk;
    assert_eq!((load.running_count, load.waiting_count), (1, 1));
    go.send(()).unwrap();
    assert_eq!(os.block_on(async { (first.await, second.await) }), (TaskEnd::Done, TaskEnd::Done));
}

#[test]
fn a_job_goes_on_when_nobody_waits_for_it() {
    let os = os(1, 1);
    let (done_tx, done) = mpsc::channel();
    drop(os.tasks().disk("alone", Box::new(move || done_tx.send(()).unwrap())));
    done.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn every_stop_resolves_once_a_stop_was_asked_for_and_not_before() {
    let os = os(1, 1);
    let tasks = os.tasks();
    let early = tasks.shutdown();
    let mut unasked = tasks.shutdown();
    assert_eq!((&mut unasked).now_or_never(), None);
    tasks.request_stop();
    tasks.request_stop();
    os.block_on(async {
        early.await;
        unasked.await;
        tasks.shutdown().await;
    });
}

#[test]
fn closing_drops_tasks_and_does_not_wait_longer_than_told() {
    let os = os(1, 1);
    let tasks = os.tasks();
    let task = tasks.spawn("endless", futures::future::pending().boxed());
    let (begun_tx, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let stuck = tasks.disk(
        "stuck",
        Box::new(move || {
            begun_tx.send(()).unwrap();
            assert!(wait.recv().is_err());
        }),
    );
    let queued = tasks.disk("queued", Box::new(|| {}));
    begun.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    os.close(Duration::from_millis(50));
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(futures::executor::block_on(task), TaskEnd::Dropped);
    assert_eq!(futures::executor::block_on(queued), TaskEnd::Dropped);
    drop(go);
    assert_eq!(futures::executor::block_on(stuck), TaskEnd::Done);
    let late = tasks.spawn("late", futures::future::ready(()).boxed());
    assert_eq!(futures::executor::block_on(late), TaskEnd::Dropped);
}
