//! The `eth_*` methods: what our API answers with, and what an L1 node answers.
//!
//! Keys are written in the order of the reference node.

mod block;
mod filter;
mod receipt;
mod tag;
mod transaction;

pub use self::{
    block::{Block, BlockTransactions},
    filter::{Filter, OneOrMany, TopicFilter},
    receipt::{L2ToL1Log, Log, Receipt},
    tag::{BlockId, BlockNumberOrTag},
    transaction::{Signature, Transaction},
};
