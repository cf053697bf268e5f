//! The methods over a store that is filled by hand, or by running toy blocks.

mod announced;
mod calls;
mod chain;
mod en;
mod errors;
mod estimates;
mod ethereum_traces;
mod explorer;
mod fees;
mod filters;
mod fuzz;
mod golden_traces;
mod limits;
mod log_proofs;
mod logs;
mod progress;
mod raw;
mod sample;
mod sequences;
mod state;
mod tokens;
mod toy;
mod traces;
mod transactions;
mod tried_blocks;
mod world;
