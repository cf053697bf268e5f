//! The promises of [`Tasks`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, future};
use lockstep_io::{Clock, TaskEnd, TaskHandle, Tasks};

/// Longer than any job here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks every promise of tasks. The process must not be asked to stop meanwhile.
///
/// Some of the tasks panic on purpose: their messages may be printed.
///
/// # Panics
///
/// Where a promise is broken.
pub async fn check(tasks: Arc<dyn Tasks>, clock: Arc<dyn Clock>) {
    let world = World { tasks, clock };
    a_spawned_task_runs_and_tells_when_it_is_done(&world).await;
    spawned_tasks_run_beside_each_other(&world).await;
    a_task_can_spawn_and_sleep(&world).await;
    dropping_the_handle_lets_the_task_go_on(&world).await;
    a_panic_ends_its_task_alone(&world).await;
    jobs_return_what_they_computed(&world).await;
    a_parallel_loop_calls_every_index_once(&world).await;
    dropping_the_future_does_not_stop_the_job(&world).await;
    a_panic_ends_its_job_alone(&world).await;
    more_jobs_than_threads_all_end(&world).await;
    stop_waits_until_it_is_asked_for(&world);
}

struct World {
    tasks: Arc<dyn Tasks>,
    clock: Arc<dyn Clock>,
}

impl World {
    /// What `future` resolves to, if it does within [`PATIENCE`].
    async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let future = std::pin::pin!(future);
        match future::select(future, self.clock.sleep(PATIENCE)).await {
            future::Either::Left((value, _)) => value,
            future::Either::Right(_) => panic!("{what} did not end within {PATIENCE:?}"),
        }
    }

    async fn end(&self, what: &str, handle: TaskHandle) -> TaskEnd {
        self.soon(what, handle).await
    }
}

async fn a_spawned_task_runs_and_tells_when_it_is_done(world: &World) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let handle = world.tasks.spawn(
        "count",
        Box::pin(async move {
            counted.fetch_add(1, Ordering::SeqCst);
        }),
    );
    assert_eq!(world.end("a task", handle).await, TaskEnd::Done);
    assert_eq!(count.load(Ordering::SeqCst), 1, "the task did not run once");
}

async fn spawned_tasks_run_beside_each_other(world: &World) {
    // Each waits for the other; only tasks that take turns get to the end.
    let (mut ping, mut pinged) = mpsc::channel::<u32>(1);
    let (mut pong, mut ponged) = mpsc::channel::<u32>(1);
    let one = world.tasks.spawn(
        "ping",
        Box::pin(async move {
            for n in 0..100 {
                ping.send(n).await.unwrap();
                assert_eq!(ponged.next().await, Some(n));
            }
        }),
    );
    let other = world.tasks.spawn(
        "pong",
        Box::pin(async move {
            while let Some(n) = pinged.next().await {
                pong.send(n).await.unwrap();
            }
        }),
    );
    assert_eq!(world.end("ping", one).await, TaskEnd::Done);
    assert_eq!(world.end("pong", other).await, TaskEnd::Done);
}

async fn a_task_can_spawn_and_sleep(world: &World) {
    let (tasks, clock) = (world.tasks.clone(), world.clock.clone());
    let handle = world.tasks.spawn(
        "outer",
        Box::pin(async move {
            let inner_clock = clock.clone();
            let inner = tasks.spawn(
                "inner",
                Box::pin(async move { inner_clock.sleep(Duration::from_millis(5)).await }),
            );
            clock.sleep(Duration::from_millis(1)).await;
            assert_eq!(inner.await, TaskEnd::Done);
        }),
    );
    assert_eq!(world.end("a task that spawns", handle).await, TaskEnd::Done);
}

async fn dropping_the_handle_lets_the_task_go_on(world: &World) {
    let (mut say, mut said) = mpsc::channel::<&str>(1);
    let clock = world.clock.clone();
    drop(world.tasks.spawn(
        "unwatched",
        Box::pin(async move {
            clock.sleep(Duration::from_millis(5)).await;
            say.send("still here").await.unwrap();
        }),
    ));
    assert_eq!(world.soon("an unwatched task", said.next()).await, Some("still here"));
}

async fn a_panic_ends_its_task_alone(world: &World) {
    let (mut give, mut given) = mpsc::channel::<u32>(1);
    let bystander = world.tasks.spawn(
        "bystander",
        Box::pin(async move {
            assert_eq!(given.next().await, Some(7));
        }),
    );
    let literal = world.tasks.spawn("literal", Box::pin(async { panic!("on purpose") }));
    let formatted =
        world.tasks.spawn("formatted", Box::pin(async { panic!("on purpose: {}", 1 + 1) }));
    assert_eq!(world.end("a panic", literal).await, TaskEnd::Panicked("on purpose".into()));
    assert_eq!(world.end("a panic", formatted).await, TaskEnd::Panicked("on purpose: 2".into()));
    give.send(7).await.unwrap();
    assert_eq!(world.end("a bystander", bystander).await, TaskEnd::Done);
}

async fn jobs_return_what_they_computed(world: &World) {
    let sum = world.tasks.compute("sum", |_| (0..=1000_u64).sum::<u64>());
    assert_eq!(world.soon("a CPU job", sum).await, Ok(500_500));
    let slow = world.tasks.compute_in_background("slow", |par| {
        let sum = AtomicUsize::new(0);
        par.for_each(10, &|index| {
            sum.fetch_add(index, Ordering::SeqCst);
        });
        sum.into_inner()
    });
    assert_eq!(world.soon("a background job", slow).await, Ok(45));
    let text = world.tasks.blocking("text", || "read".to_owned());
    assert_eq!(world.soon("a disk job", text).await, Ok("read".to_owned()));
    let raw = world.tasks.cpu("raw", Box::new(|_| {}));
    assert_eq!(world.end("a CPU job", raw).await, TaskEnd::Done);
    let raw = world.tasks.disk("raw", Box::new(|| {}));
    assert_eq!(world.end("a disk job", raw).await, TaskEnd::Done);
}

async fn a_parallel_loop_calls_every_index_once(world: &World) {
    for count in [0, 1, 2, 7, 1000] {
        let job = world.tasks.compute("loop", move |par| {
            let calls: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            par.for_each(count, &|index| {
                calls[index].fetch_add(1, Ordering::SeqCst);
            });
            // All calls have returned: what they did is seen here.
            calls.into_iter().map(AtomicUsize::into_inner).collect::<Vec<_>>()
        });
        let calls = world.soon("a parallel loop", job).await;
        assert_eq!(calls, Ok(vec![1; count]), "a loop over {count} indices");
    }
    let nested = world.tasks.compute("nested", |par| {
        let calls = AtomicUsize::new(0);
        par.for_each(8, &|_| {
            par.for_each(8, &|_| {
                calls.fetch_add(1, Ordering::SeqCst);
            });
        });
        calls.into_inner()
    });
    assert_eq!(world.soon("a nested loop", nested).await, Ok(64));
}

async fn dropping_the_future_does_not_stop_the_job(world: &World) {
    let (say, said) = mpsc::channel::<&str>(2);
    let mut from_cpu = say.clone();
    drop(world.tasks.compute("cpu", move |_| from_cpu.try_send("cpu").unwrap()));
    let mut from_disk = say;
    drop(world.tasks.blocking("disk", move || from_disk.try_send("disk").unwrap()));
    let mut done = world.soon("dropped jobs", said.collect::<Vec<_>>()).await;
    done.sort_unstable();
    assert_eq!(done, ["cpu", "disk"]);
}

async fn a_panic_ends_its_job_alone(world: &World) {
    let on_purpose = || TaskEnd::Panicked("on purpose".into());
    let cpu = world.tasks.compute("cpu", |_| -> u32 { panic!("on purpose") });
    assert_eq!(world.soon("a panic", cpu).await, Err(on_purpose()));
    let slow = world.tasks.compute_in_background("slow", |_| -> u32 { panic!("on purpose") });
    assert_eq!(world.soon("a panic", slow).await, Err(on_purpose()));
    let disk = world.tasks.blocking("disk", || -> u32 { panic!("on purpose") });
    assert_eq!(world.soon("a panic", disk).await, Err(on_purpose()));
    let inside = world.tasks.compute("inside", |par| {
        par.for_each(16, &|index| assert!(index != 11, "on purpose"));
    });
    assert_eq!(world.soon("a panic in a loop", inside).await, Err(on_purpose()));
    jobs_return_what_they_computed(world).await;
}

async fn more_jobs_than_threads_all_end(world: &World) {
    let computed = (0..200_usize).map(|n| world.tasks.compute("many", move |_| n));
    let computed = world.soon("many CPU jobs", future::join_all(computed)).await;
    assert_eq!(computed, (0..200).map(Ok).collect::<Vec<_>>());
    let slow = (0..200_usize).map(|n| world.tasks.compute_in_background("many", move |_| n));
    let slow = world.soon("many background jobs", future::join_all(slow)).await;
    assert_eq!(slow, (0..200).map(Ok).collect::<Vec<_>>());
    let read = (0..200_usize).map(|n| world.tasks.blocking("many", move || n));
    let read = world.soon("many disk jobs", future::join_all(read)).await;
    assert_eq!(read, (0..200).map(Ok).collect::<Vec<_>>());
}

fn stop_waits_until_it_is_asked_for(world: &World) {
    let (one, other) = (world.tasks.shutdown(), world.tasks.shutdown());
    assert!(one.now_or_never().is_none(), "nobody asked for a stop");
    assert!(other.now_or_never().is_none(), "nobody asked for a stop");
}
