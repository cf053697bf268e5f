//! Runs tasks on one thread, picks the next by the seed, moves time.
//!
//! Every task belongs to a process life, or to the world itself ([`WORLD`]). A life can be killed,
//! which drops its tasks where they stand, and paused. Time moves to the next sleeper when nothing
//! is ready, and by a little with each poll, so that a task that never waits is noticed.
//!
//! Nothing outside this module decides what runs when.

mod executor;
mod os;
mod sleep;
mod tasks;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::{
    executor::{Executor, Limits, Stuck},
    os::{on_simulated_thread, threads_refused},
    sleep::{SimClock, Sleep, Wall},
    tasks::{SimTasks, TaskCosts},
};

/// A process life, from 1; or [`WORLD`].
pub type Life = u32;

/// What is not part of any process: events, clients, exchanges on their way.
pub const WORLD: Life = 0;

/// Time that a poll takes.
const POLL_TIME: Duration = Duration::from_nanos(100);
