//! The methods over a store that is filled by hand, or by running toy blocks.

mod calls;
mod chain;
mod errors;
mod estimates;
mod fees;
mod golden_traces;
mod limits;
mod logs;
mod progress;
mod sample;
mod state;
mod toy;
mod traces;
mod transactions;
mod world;
