//! Steps in a row: what a step is, the bounded queues between them, and the shell that runs,
//! retries and stops them.
//!
//! A step waits in `ready` or `next` and works in `process`, never both in one, so only waiting is
//! ever retried and only whole items are ever handled.

#![warn(missing_docs)]

mod error;
mod shell;
mod stage;
#[cfg(test)]
mod tests;

pub use self::{
    error::{Peer, Reaction, StageError},
    shell::{Ending, Pipeline, RetryPolicy},
    stage::{Source, Stage},
};
