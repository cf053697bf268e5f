//! The executor: ready tasks, sleepers, and the choice between them.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::channel::oneshot;
use lockstep_io::{BoxFuture, TaskEnd, TaskHandle};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use super::{Life, POLL_TIME, WORLD, os};
use crate::{
    scenario::Schedule,
    trace::{Trace, TraceEvent},
};

/// The future that `block_on` was given.
const ROOT: u64 = 0;

/// Of a ready task that is slow in this run, this many in 256 turns are given to another.
const SLOW_SKIPS: u32 = 224;

/// One in this many task names is slow in a run.
const SLOW_NAMES: u64 = 6;

/// How far a run may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Polls of all tasks.
    pub polls_max: u64,
}

/// Runs tasks on the thread that calls [`block_on`](Self::block_on). Clones are the same executor.
#[derive(Clone)]
pub struct Executor(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ready: Arc<Mutex<Vec<u64>>>,
    trace: Trace,
    limits: Limits,
}

struct State {
    now: Duration,
    rng: ChaCha8Rng,
    schedule: Schedule,
    /// Mixed with task names: says which are slow.
    slow_salt: u64,
    tasks: BTreeMap<u64, Task>,
    task_count: u64,
    polls: u64,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    sleeper_count: u64,
    dead: BTreeSet<Life>,
    paused: BTreeSet<Life>,
    /// Woken while their life was paused.
    held: Vec<u64>,
    panics: Vec<(&'static str, Life, String)>,
}

struct Task {
    life: Life,
    name: &'static str,
    polls: u64,
    future: BoxFuture<'static, ()>,
    waker: Arc<TaskWaker>,
    end: oneshot::Sender<TaskEnd>,
}

struct TaskWaker {
    id: u64,
    is_queued: Mutex<bool>,
    ready: Arc<Mutex<Vec<u64>>>,
}

/// Why a run cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Everything waits and nobody sleeps.
    Deadlock(Vec<&'static str>),
    /// More polls than [`Limits::polls_max`]: something never waits. The busiest tasks and their
    /// polls.
    Busy(Vec<(&'static str, u64)>),
}

/// What is thrown to end the run of a task whose life has been killed from inside.
pub(crate) struct KilledInside;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut is_queued = lock(&self.is_queued);
        if !*is_queued {
            *is_queued = true;
            lock(&self.ready).push(self.id);
        }
    }
}

/// What was chosen to run.
enum Turn {
    Root,
    Task(u64, Box<Task>),
}

impl Executor {
    /// An executor at time zero whose choices follow from `seed`.
    pub fn new(seed: u64, schedule: Schedule, limits: Limits, trace: Trace) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed_0f7a_5c5a_11ed);
        let slow_salt = rng.next_u64();
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                now: Duration::ZERO,
                rng,
                schedule,
                slow_salt,
                tasks: BTreeMap::new(),
                task_count: 0,
                polls: 0,
                sleepers: BTreeMap::new(),
                sleeper_count: 0,
                dead: BTreeSet::new(),
                paused: BTreeSet::new(),
                held: Vec::new(),
                panics: Vec::new(),
            }),
            ready: Arc::default(),
            trace,
            limits,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Time since the world began.
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// Polls so far.
    pub fn polls(&self) -> u64 {
        self.state().polls
    }

    /// Runs `future` to its end, and tasks meanwhile.
    ///
    /// # Errors
    ///
    /// [`Stuck`]; the world has to be dropped then.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut future = pin!(future);
        let root = self.waker(ROOT);
        let root_waker = Waker::from(root.clone());
        root.clone().wake();
        loop {
            match self.next_turn() {
                Some(Turn::Root) => {
                    *lock(&root.is_queued) = false;
                    let mut cx = Context::from_waker(&root_waker);
                    if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                        return Ok(value);
                    }
                }
                Some(Turn::Task(id, task)) => self.poll_task(id, *task),
                None if self.advance_to_next_sleeper() => {}
                None => return Err(Stuck::Deadlock(self.task_names())),
            }
            let mut state = self.state();
            state.now += POLL_TIME;
            state.polls += 1;
            os::set_now(state.now);
            if state.polls > self.0.limits.polls_max {
                return Err(Stuck::Busy(state.busiest()));
            }
        }
    }

    /// Takes one of the ready tasks out; those that are gone or paused are passed over.
    fn next_turn(&self) -> Option<Turn> {
        self.wake_sleepers();
        loop {
            let mut state = self.state();
            let id = {
                let mut ready = lock(&self.0.ready);
                if ready.is_empty() {
                    return None;
                }
                let at = state.choose(&ready);
                match state.schedule {
                    Schedule::Random => ready.swap_remove(at),
                    Schedule::Fifo => ready.remove(at),
                }
            };
            if id == ROOT {
                return Some(Turn::Root);
            }
            let Some(life) = state.tasks.get(&id).map(|task| task.life) else { continue };
            if state.dead.contains(&life) {
                continue;
            }
            if state.paused.contains(&life) {
                state.held.push(id);
                continue;
            }
            let Some(mut task) = state.tasks.remove(&id) else { continue };
            task.polls += 1;
            *lock(&task.waker.is_queued) = false;
            let event = TraceEvent::Poll { name: task.name, life, nth: task.polls };
            let now = state.now;
            drop(state);
            self.0.trace.push(now, &event);
            return Some(Turn::Task(id, Box::new(task)));
        }
    }

    fn poll_task(&self, id: u64, mut task: Task) {
        let waker = Waker::from(task.waker.clone());
        let polled = catch_unwind(AssertUnwindSafe(|| {
            task.future.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        let mut state = self.state();
        let is_dead = state.dead.contains(&task.life);
        let end = match polled {
            Ok(Poll::Pending) if is_dead => TaskEnd::Dropped,
            Ok(Poll::Pending) => {
                state.tasks.insert(id, task);
                return;
            }
            Ok(Poll::Ready(())) => TaskEnd::Done,
            Err(panic) if panic.is::<KilledInside>() => TaskEnd::Dropped,
            Err(panic) => {
                let message = message(panic.as_ref());
                state.panics.push((task.name, task.life, message.clone()));
                TaskEnd::Panicked(message)
            }
        };
        drop(state);
        let Task { future, end: told, .. } = task;
        drop_quietly(future);
        // Nobody looks at the handle: nobody needs to know.
        drop(told.send(end));
    }

    /// Runs `task` at the same time as others, as part of `life`.
    pub fn spawn(
        &self,
        life: Life,
        name: &'static str,
        task: BoxFuture<'static, ()>,
    ) -> TaskHandle {
        let (end, handle) = TaskHandle::new();
        let waker = {
            let mut state = self.state();
            if state.dead.contains(&life) {
                // A destructor of a dead life.
                drop(state);
                drop_quietly(task);
                return handle;
            }
            state.task_count += 1;
            let id = state.task_count;
            let waker = self.waker(id);
            let task = Task { life, name, polls: 0, future: task, waker: waker.clone(), end };
            state.tasks.insert(id, task);
            waker
        };
        waker.wake();
        handle
    }

    /// Drops every task of `life` where it stands, as process death does. Nothing of it runs any
    /// more, except for the destructors of its tasks and what is on the stack right now.
    pub fn kill(&self, life: Life) {
        debug_assert_ne!(life, WORLD, "the world does not die");
        self.state().dead.insert(life);
        // One at a time and outside the lock: what is dropped may drop or wake others.
        loop {
            let task = {
                let mut state = self.state();
                let id = state.tasks.iter().rev().find(|(_, task)| task.life == life);
                let Some(id) = id.map(|(id, _)| *id) else { return };
                state.tasks.remove(&id)
            };
            if let Some(Task { future, .. }) = task {
                drop_quietly(future);
            }
        }
    }

    /// The process `life` dies inside of the call that is being made: does not return. Whoever
    /// directs the world has to [`kill`](Self::kill) what else belongs to it.
    pub fn die_here(&self, life: Life) -> ! {
        self.state().dead.insert(life);
        std::panic::resume_unwind(Box::new(KilledInside))
    }

    /// Whether `life` has been killed.
    pub fn is_dead(&self, life: Life) -> bool {
        self.state().dead.contains(&life)
    }

    /// Nothing of `life` runs until [`resume`](Self::resume).
    pub fn pause(&self, life: Life) {
        self.state().paused.insert(life);
    }

    /// Ends a pause; timers that became due meanwhile are all due now.
    pub fn resume(&self, life: Life) {
        let mut state = self.state();
        state.paused.remove(&life);
        let held = std::mem::take(&mut state.held);
        lock(&self.0.ready).extend(held);
    }

    /// Drops every task.
    pub fn clear(&self) {
        loop {
            let task = self.state().tasks.pop_last();
            match task {
                Some((_, Task { future, .. })) => drop_quietly(future),
                None => return,
            }
        }
    }

    /// Names of the tasks of `life`, oldest first.
    pub fn task_names_of(&self, life: Life) -> Vec<&'static str> {
        let state = self.state();
        state.tasks.values().filter(|task| task.life == life).map(|task| task.name).collect()
    }

    /// How many tasks `life` has.
    pub fn task_count_of(&self, life: Life) -> usize {
        self.state().tasks.values().filter(|task| task.life == life).count()
    }

    /// Tasks that panicked since the last call: name, life, message.
    pub fn take_panics(&self) -> Vec<(&'static str, Life, String)> {
        std::mem::take(&mut self.state().panics)
    }

    /// A job of `life` panicked.
    pub(super) fn tell_panic(&self, name: &'static str, life: Life, message: String) {
        self.state().panics.push((name, life, message));
    }

    fn task_names(&self) -> Vec<&'static str> {
        self.state().tasks.values().map(|task| task.name).collect()
    }

    fn waker(&self, id: u64) -> Arc<TaskWaker> {
        Arc::new(TaskWaker { id, is_queued: Mutex::new(false), ready: self.0.ready.clone() })
    }

    /// Wakes, in order of their times, all who slept until now.
    fn wake_sleepers(&self) {
        let awake = {
            let mut state = self.state();
            let after = (state.now + Duration::from_nanos(1), 0);
            if state.sleepers.range(..after).next().is_none() {
                return;
            }
            let asleep = state.sleepers.split_off(&after);
            std::mem::replace(&mut state.sleepers, asleep)
        };
        awake.into_values().for_each(Waker::wake);
    }

    fn advance_to_next_sleeper(&self) -> bool {
        let mut state = self.state();
        let Some((until, _)) = state.sleepers.keys().next().copied() else { return false };
        state.now = state.now.max(until);
        true
    }

    /// Registers a sleeper; the number is what it is forgotten by.
    pub(super) fn add_sleeper(&self, until: Duration, place: Option<u64>, waker: Waker) -> u64 {
        let mut state = self.state();
        let place = place.unwrap_or_else(|| {
            state.sleeper_count += 1;
            state.sleeper_count
        });
        state.sleepers.insert((until, place), waker);
        place
    }

    pub(super) fn remove_sleeper(&self, until: Duration, place: u64) {
        let waker = self.state().sleepers.remove(&(until, place));
        drop(waker);
    }

    /// A number below `bound` for whoever runs tasks or jobs.
    pub(super) fn draw(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.state().rng.next_u64() % bound }
    }

    /// Where the run is written down.
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }
}

impl State {
    /// Which of the ready tasks is next.
    fn choose(&mut self, ready: &[u64]) -> usize {
        if self.schedule == Schedule::Fifo || ready.len() == 1 {
            return 0;
        }
        let first = self.pick(ready.len());
        if !self.is_slow(ready[first]) || self.rng.next_u32() % 256 >= SLOW_SKIPS {
            return first;
        }
        self.pick(ready.len())
    }

    fn pick(&mut self, count: usize) -> usize {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        usize::try_from(self.rng.next_u32() % count).unwrap_or_default()
    }

    /// Whether tasks of this name seldom get their turn in this run.
    fn is_slow(&self, id: u64) -> bool {
        self.tasks.get(&id).is_some_and(|task| {
            crate::trace::hash_words(&[self.slow_salt], task.name.as_bytes())
                .is_multiple_of(SLOW_NAMES)
        })
    }

    fn busiest(&self) -> Vec<(&'static str, u64)> {
        let mut all: Vec<_> = self.tasks.values().map(|task| (task.name, task.polls)).collect();
        all.sort_by_key(|(_, polls)| std::cmp::Reverse(*polls));
        all.truncate(5);
        all
    }
}

/// Drops what belongs to a task. Destructors may panic when their life is over; that is no news.
fn drop_quietly(future: BoxFuture<'static, ()>) {
    drop(catch_unwind(AssertUnwindSafe(|| drop(future))));
}

/// What was said in a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "(no message)".to_owned()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.task_names()).finish_non_exhaustive()
    }
}
