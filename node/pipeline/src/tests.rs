//! The shell with steps that wait, fail and panic on purpose, in virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_io::{Clock, Mono, Par, Tasks};
use lockstep_io_memory::MemoryIo;
use lockstep_types::{B256, L1BatchNumber, StateRoot};

use crate::{Ending, Peer, Pipeline, RetryPolicy, Source, Stage, StageError};

/// What goes wrong at an item, once.
#[derive(Clone, Debug)]
enum Trouble {
    Wait(Duration),
    Fail(StageError),
    Hang,
    Panic,
}

/// What a step does and did.
#[derive(Clone, Debug)]
struct Script {
    clock: Arc<dyn Clock>,
    waiting: BTreeMap<u32, VecDeque<Trouble>>,
    working: BTreeMap<u32, Trouble>,
    /// When the step was asked to wait, by item.
    asked: Arc<Mutex<Vec<(u32, Mono)>>>,
    handled: Arc<Mutex<Vec<u32>>>,
}

impl Script {
    fn new(world: &MemoryIo) -> Self {
        Self {
            clock: Arc::new(world.clock.clone()),
            waiting: BTreeMap::new(),
            working: BTreeMap::new(),
            asked: Arc::default(),
            handled: Arc::default(),
        }
    }

    fn waits(mut self, item: u32, troubles: impl IntoIterator<Item = Trouble>) -> Self {
        self.waiting.insert(item, troubles.into_iter().collect());
        self
    }

    fn works(mut self, item: u32, trouble: Trouble) -> Self {
        self.working.insert(item, trouble);
        self
    }

    fn handled(&self) -> Vec<u32> {
        self.handled.lock().unwrap().clone()
    }

    /// When `item` was asked for, in milliseconds.
    fn asked_ms(&self, item: u32) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(of, _)| *of == item).map(|(_, at)| at.0 / 1_000_000).collect()
    }

    async fn wait(&mut self, item: u32) -> Result<(), StageError> {
        self.asked.lock().unwrap().push((item, self.clock.mono()));
        match self.waiting.get_mut(&item).and_then(VecDeque::pop_front) {
            None => {}
            Some(Trouble::Wait(time)) => self.clock.sleep(time).await,
            Some(Trouble::Fail(error)) => return Err(error),
            Some(Trouble::Hang) => std::future::pending().await,
            Some(Trouble::Panic) => panic!("waiting for {item}"),
        }
        Ok(())
    }

    fn work(&mut self, item: u32) -> Result<(), StageError> {
        self.handled.lock().unwrap().push(item);
        match self.working.remove(&item) {
            None => Ok(()),
            Some(Trouble::Fail(error)) => Err(error),
            Some(trouble) => panic!("working on {item}: {trouble:?}"),
        }
    }
}

/// Gives numbers from 1, then waits forever.
struct Numbers {
    script: Script,
    next: u32,
    last: u32,
}

impl Numbers {
    fn until(last: u32, script: &Script) -> Self {
        Self { script: script.clone(), next: 1, last }
    }
}

impl Source for Numbers {
    type Output = u32;
    const NAME: &'static str = "numbers";

    async fn next(&mut self) -> Result<u32, StageError> {
        if self.next > self.last {
            std::future::pending::<()>().await;
        }
        let item = self.next;
        self.script.wait(item).await?;
        self.script.work(item)?;
        self.next += 1;
        Ok(item)
    }
}

/// Hands on what comes in; `every` n-th item alone if that is more than 1.
struct Step {
    script: Script,
    every: u32,
}

impl Step {
    fn new(script: &Script) -> Self {
        Self { script: script.clone(), every: 1 }
    }
}

impl Stage for Step {
    type Input = u32;
    type Output = u32;
    const NAME: &'static str = "step";

    async fn ready(&mut self, item: &u32) -> Result<(), StageError> {
        self.script.wait(*item).await
    }

    fn process(&mut self, item: u32, _par: &dyn Par) -> Result<Option<u32>, StageError> {
        self.script.work(item)?;
        Ok(item.is_multiple_of(self.every).then_some(item))
    }
}

fn unavailable() -> StageError {
    StageError::Unavailable { peer: Peer::MainNode, detail: "silence".to_owned() }
}

fn mismatch() -> StageError {
    let (ours, theirs) = (StateRoot(B256::ZERO), StateRoot(B256::repeat_byte(1)));
    StageError::RootMismatch { batch: L1BatchNumber(7), ours, theirs }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn begin(world: &MemoryIo, ending: &Ending, source: Numbers, ahead_max: usize) -> Pipeline<u32> {
    Pipeline::source(&world.io(), RetryPolicy::default(), ending.clone(), source, ahead_max)
}

/// Runs to the end and gives the reason with what came out; `last` stops the pipeline.
fn run(
    world: &MemoryIo,
    ending: &Ending,
    pipeline: Pipeline<u32>,
    last: u32,
) -> (StageError, Vec<u32>) {
    let mut out = Vec::new();
    let reason = world.block_on(pipeline.run(|item| {
        out.push(item);
        if item == last {
            ending.end(StageError::Stopped);
        }
    }));
    world.runtime.run_until_idle();
    assert_eq!(world.runtime.task_names(), [""; 0], "a step is still there");
    (reason, out)
}

#[test]
fn everything_arrives_once_and_in_order_whatever_waits_and_fails() {
    for seed in 0..40_u32 {
        let world = MemoryIo::new(u64::from(seed));
        let ending = Ending::new();
        let troubled = |salt: u32| {
            let mut script = Script::new(&world);
            for item in 1..=60_u32 {
                let draw = (item * 7 + seed * 13 + salt * 29) % 11;
                let troubles = match draw {
                    0..4 => vec![],
                    4..8 => vec![Trouble::Wait(ms(u64::from(draw) * 300))],
                    8 => vec![Trouble::Fail(unavailable())],
                    _ => vec![Trouble::Fail(unavailable()), Trouble::Wait(ms(50))],
                };
                script = script.waits(item, troubles);
            }
            script
        };
        let scripts = [troubled(1), troubled(2), troubled(3)];
        let ahead = 1 + usize::try_from(seed).unwrap() % 4;
        let pipeline = begin(&world, &ending, Numbers::until(60, &scripts[0]), ahead)
            .then(Step { script: scripts[1].clone(), every: 3 }, ahead)
            .then(Step::new(&scripts[2]), 1);
        let (reason, out) = run(&world, &ending, pipeline, 60);
        assert_eq!(reason, StageError::Stopped);
        let thirds: Vec<_> = (1..=20).map(|item| item * 3).collect();
        assert_eq!(out, thirds);
        assert_eq!(scripts[0].handled(), (1..=60).collect::<Vec<_>>());
        assert_eq!(scripts[1].handled(), (1..=60).collect::<Vec<_>>());
        assert_eq!(scripts[2].handled(), thirds);
    }
}

#[test]
fn the_source_is_no_further_ahead_than_allowed() {
    for ahead_max in 1..=5_u32 {
        let world = MemoryIo::new(1);
        let ending = Ending::new();
        let source = Script::new(&world);
        let step = Script::new(&world).waits(3, [Trouble::Hang]);
        let queue = usize::try_from(ahead_max).unwrap();
        let pipeline =
            begin(&world, &ending, Numbers::until(100, &source), queue).then(Step::new(&step), 50);
        world.runtime.run_until_idle();
        assert_eq!(step.handled(), [1, 2]);
        // The third is with the step, the queue is full, and one waits for room in it.
        assert_eq!(source.handled().last(), Some(&(3 + ahead_max + 1)));
        ending.end(StageError::Stopped);
        assert_eq!(run(&world, &ending, pipeline, 0).1, [0; 0], "items after the end");
    }
}

#[test]
fn the_wait_doubles_up_to_its_bound_and_begins_anew_with_the_next_item() {
    let world = MemoryIo::new(1);
    let ending = Ending::new();
    let fail = |count| vec![Trouble::Fail(unavailable()); count];
    let source = Script::new(&world).waits(1, fail(8)).waits(2, fail(2));
    let step = Script::new(&world).waits(2, fail(7));
    let pipeline = begin(&world, &ending, Numbers::until(2, &source), 1).then(Step::new(&step), 1);
    let (reason, out) = run(&world, &ending, pipeline, 2);
    assert_eq!((reason, out), (StageError::Stopped, vec![1, 2]));
    let first = [0, 500, 1_500, 3_500, 7_500, 15_500, 30_500, 45_500, 60_500];
    assert_eq!(source.asked_ms(1), first);
    assert_eq!(source.asked_ms(2), [60_500, 61_000, 62_000]);
    let then = [62_000, 62_500, 63_500, 65_500, 69_500, 77_500, 92_500, 107_500];
    assert_eq!(step.asked_ms(2), then);
    assert_eq!(step.handled(), [1, 2], "only waiting is repeated");
}

#[test]
fn an_error_that_halts_writes_ends_every_step_and_stays_the_reason() {
    for in_process in [false, true] {
        let world = MemoryIo::new(1);
        let ending = Ending::new();
        let source = Script::new(&world);
        let sick = Script::new(&world);
        let sick = if in_process {
            sick.works(4, Trouble::Fail(mismatch()))
        } else {
            sick.waits(4, [Trouble::Fail(unavailable()), Trouble::Fail(mismatch())])
        };
        let last = Script::new(&world);
        let pipeline = begin(&world, &ending, Numbers::until(100, &source), 1)
            .then(Step::new(&sick), 1)
            .then(Step::new(&last), 1);
        let (reason, out) = run(&world, &ending, pipeline, 0);
        assert_eq!(reason, mismatch());
        let expected: &[u32] = if in_process { &[1, 2, 3, 4] } else { &[1, 2, 3] };
        assert_eq!(sick.handled(), expected, "nothing is handled after the error");
        assert!(out.len() <= 3 && out.iter().eq(last.handled().iter().take(out.len())), "{out:?}");
        ending.end(StageError::Stopped);
        assert_eq!(ending.reason(), Some(mismatch()));
        assert_eq!(world.block_on(ending.over()), mismatch());
    }
}

#[test]
fn a_failing_source_is_the_reason_too() {
    let world = MemoryIo::new(1);
    let ending = Ending::new();
    let source = Script::new(&world).waits(3, [Trouble::Fail(mismatch())]);
    let step = Script::new(&world);
    let pipeline = begin(&world, &ending, Numbers::until(9, &source), 4).then(Step::new(&step), 4);
    assert_eq!(run(&world, &ending, pipeline, 0).0, mismatch());
    assert_eq!(source.handled(), [1, 2]);
}

/// The step before it waits for room in the queue, which closes when the step panics.
#[test]
fn a_panic_anywhere_ends_the_pipeline_as_a_panic() {
    let world = MemoryIo::new(1);
    let calm = || Script::new(&world);
    let reason = |source: Script, step: Script| {
        let ending = Ending::new();
        let pipeline = begin(&world, &ending, Numbers::until(100, &source), 1)
            .then(Step::new(&step), 1)
            .then(Step::new(&calm()), 1);
        run(&world, &ending, pipeline, 0).0
    };
    let panicked =
        |stage, message: &str| StageError::Panicked { stage, message: message.to_owned() };
    let in_process = reason(calm(), calm().works(2, Trouble::Panic));
    assert_eq!(in_process, panicked("step", "working on 2: Panic"));
    let pause = [Trouble::Wait(ms(5))];
    let full_then_panic = calm().waits(1, pause.clone()).waits(2, [Trouble::Panic]);
    assert_eq!(reason(calm(), full_then_panic), panicked("step", "waiting for 2"));
    let in_next = reason(calm().waits(3, [Trouble::Panic]), calm().waits(1, pause));
    assert_eq!(in_next, panicked("numbers", "waiting for 3"));
}

#[test]
fn a_stop_is_prompt_whatever_the_steps_wait_for() {
    let hour = ms(3_600_000);
    let waits = [
        Trouble::Hang,
        Trouble::Wait(hour),
        Trouble::Fail(unavailable()), // Then waits before it asks again.
    ];
    for trouble in waits {
        for in_source in [false, true] {
            let world = MemoryIo::new(1);
            let ending = Ending::new();
            let stuck = Script::new(&world).waits(2, vec![trouble.clone(); 99]);
            let calm = Script::new(&world);
            let (source, step) = if in_source { (&stuck, &calm) } else { (&calm, &stuck) };
            let pipeline =
                begin(&world, &ending, Numbers::until(50, source), 1).then(Step::new(step), 1);
            let (at, stop) = (world.clock.sleep_until(Mono(0).plus(ms(20_700))), ending.clone());
            let stopper = Box::pin(async move {
                at.await;
                stop.end(StageError::Stopped);
            });
            drop(world.runtime.spawn("stopper", stopper));
            let (reason, out) = run(&world, &ending, pipeline, 0);
            assert_eq!((reason, out), (StageError::Stopped, vec![1]));
            assert_eq!(world.clock.mono(), Mono(0).plus(ms(20_700)), "time went on");
            assert_eq!(step.handled(), [1]);
        }
    }
}
