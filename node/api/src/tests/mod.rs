//! The methods over a store that is filled by hand.

mod chain;
mod errors;
mod logs;
mod progress;
mod sample;
mod state;
mod transactions;
mod world;
