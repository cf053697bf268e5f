//! The `eth_*` methods: what our API answers with, and what an L1 node answers.
//!
//! Keys are written in the order of the reference node.

mod block;
mod bundle;
mod call;
mod fees;
mod filter;
mod parity;
mod raw_block;
mod raw_receipt;
mod receipt;
mod simulate;
mod steps;
mod tag;
mod trace;
mod transaction;
mod unsigned;

pub use self::{
    block::{Block, BlockTransactions, Header},
    bundle::{AccessListItem, AccessListResult, Bundle, BundledCall, StateContext},
    call::{
        AccountOverride, AnyBytes, BlockOverrides, CallRequest, CodeOverride, Eip712Meta,
        PaymasterParams, StateOverrides,
    },
    fees::FeeHistory,
    filter::{Filter, OneOrMany, TopicFilter},
    parity::{
        AccountDiff, Delta, TraceAction, TraceCallType, TraceFilter, TraceFilterMode, TraceItem,
        TraceItemKind, TracePlace, TraceResult, TraceResults, TraceType,
    },
    raw_receipt::RawReceipt,
    receipt::{L2ToL1Log, Log, Receipt},
    simulate::{
        BlockStateCall, CallFailure, FilledParts, FilledTransaction, SimulatePayload,
        SimulatedBlock, SimulatedCall,
    },
    steps::{Digits, StructLog, StructLogs, Words},
    tag::{BlockId, BlockNumberOrTag},
    trace::{
        CallTrace, CallTraceKind, FlatAction, FlatCall, FlatResult, OfBlock, PrestateAccount,
        PrestateAccounts, PrestateDiff, StepOptions, TraceOptions, TracerConfig,
    },
    transaction::{Signature, Transaction},
};
