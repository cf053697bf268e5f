//! Everything learned from the main node: blocks, genesis, and which L1 steps batches have made.

#![warn(missing_docs)]

mod error;
mod fetcher;
mod genesis;
mod l1_steps;

pub use self::{
    error::stage_error,
    fetcher::{FetchConfig, Fetcher},
    genesis::{GenesisParts, GenesisState, fetch_genesis},
    l1_steps::{L1StepsConfig, L1StepsWatcher},
};
