//! The whole replica, in memory and in virtual time, against a toy chain whose main node and L1
//! are honest, silent, behind, or lie.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "../support/mod.rs"]
mod support;

mod answer_lies;
mod block_lies;
mod commitments;
mod disk;
mod divergence;
mod follow;
mod genesis;
mod l1;
mod l1_commits;
mod reorg;
mod roots;
mod subscriptions;
mod weather;
