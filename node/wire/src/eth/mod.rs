//! The `eth_*` methods: what our API answers with, and what an L1 node answers.
//!
//! Keys are written in the order of the reference node.

mod block;
mod call;
mod fees;
mod filter;
mod raw_receipt;
mod receipt;
mod tag;
mod trace;
mod transaction;

pub use self::{
    block::{Block, BlockTransactions, Header},
    call::{
        AccountOverride, AnyBytes, BlockOverrides, CallRequest, CodeOverride, Eip712Meta,
        PaymasterParams, StateOverrides,
    },
    fees::FeeHistory,
    filter::{Filter, OneOrMany, TopicFilter},
    raw_receipt::RawReceipt,
    receipt::{L2ToL1Log, Log, Receipt},
    tag::{BlockId, BlockNumberOrTag},
    trace::{
        CallTrace, CallTraceKind, FlatAction, FlatCall, FlatResult, OfBlock, PrestateAccount,
        PrestateAccounts, PrestateDiff, TraceOptions, TracerConfig,
    },
    transaction::{Signature, Transaction},
};
