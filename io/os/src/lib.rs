//! Clock, entropy, tasks, files of reports and memory from the operating system.
//!
//! [`OsRuntime`] owns the threads; what it gives out are handles to them. There is no policy here:
//! who is retried, what is given up and when is decided in `node/`.

mod allocator;
mod clock;
mod entropy;
mod lane;
mod reports;
mod runtime;
mod signals;
mod tasks;

pub use self::{
    allocator::return_large_pieces,
    clock::OsClock,
    entropy::OsEntropy,
    lane::LaneLoad,
    reports::FileReports,
    runtime::{OsConfig, OsError, OsRuntime},
    tasks::{OsTasks, TaskLoad},
};
