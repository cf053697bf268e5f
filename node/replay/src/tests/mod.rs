//! Toy chains, run again.

mod chain;
mod rerun;
mod trace;
