//! Everything learned from the main node: blocks, genesis, which L1 steps batches have
//! made, and whether it still has the chain that was followed.

#![warn(missing_docs)]

mod error;
mod fetcher;
mod genesis;
mod l1_steps;
mod reorg;

pub use self::{
    error::stage_error,
    fetcher::{FetchConfig, Fetcher},
    genesis::{GenesisParts, GenesisState, fetch_genesis},
    l1_steps::{L1StepsConfig, L1StepsWatcher, StepsRecheck, recheck_steps},
    reorg::{Finding, ReorgConfig, ReorgDetector},
};
