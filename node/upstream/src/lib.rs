//! The main node and L1 as typed calls over [`Http`](lockstep_io::Http).
//!
//! Here is the one place where a call is retried: choice of endpoint, backoff, rate limit,
//! concurrency, splitting of batches, deadlines and size limits. An answer is either whole and of
//! the shape that its method promises, or the call has failed; what can be checked without the
//! chain's state is checked as well. No sockets here, and no memory of what was answered.

#![warn(missing_docs)]

mod check;
mod config;
mod error;
mod l1;
mod main_node;
mod rpc;
mod settlement;

#[cfg(test)]
mod tests;

pub use self::{
    check::{BlockLie, check_block},
    config::UpstreamConfig,
    error::UpstreamError,
    l1::{L1, L1Log, L1Receipt, L1Tags, L1Transaction},
    main_node::MainNode,
    rpc::RpcClient,
    settlement::{ContractSource, SettlementClient},
};
