//! Transactions of a block, with what was seen of them.

use lockstep_replay::{BatchTraces, TxTrace};
use lockstep_types::{Address, Bytes, L2BlockNumber, Receipt, Transaction};
use lockstep_vm::CallFrame;
use lockstep_wire::eth::TracePlace;

use super::{cache::Wanted, ethereum::Asked};
use crate::{
    call::Call,
    error::{ApiError, ApiResult},
};

/// A transaction of a block, with what was seen of it.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) tx: Transaction,
    pub(crate) receipt: Receipt,
    pub(crate) trace: &'a TxTrace,
    wanted: Wanted,
    index: u32,
}

/// All transactions of the block, in order of execution.
pub(crate) fn of_block<'a>(
    call: &Call,
    wanted: &Wanted,
    traces: &'a BatchTraces,
) -> ApiResult<Vec<Seen<'a>>> {
    let block = wanted.find(traces).ok_or(ApiError::BadAnswer("the block has no traces"))?;
    let transactions = call.view.transactions(wanted.block)?;
    let receipts = call.view.receipts(wanted.block)?;
    if transactions.len() != block.txs.len() || receipts.len() < transactions.len() {
        // It was taken back while it was being traced, and another is there now.
        return Err(ApiError::NoBlock);
    }
    let parts = transactions.into_iter().zip(receipts).zip(&block.txs);
    let seen = (0..).zip(parts).map(|(index, ((tx, receipt), trace))| Seen {
        tx,
        receipt,
        trace,
        wanted: *wanted,
        index,
    });
    Ok(seen.collect())
}

impl Seen<'_> {
    /// As Ethereum would have made it.
    pub(crate) fn root(&self) -> CallFrame {
        Asked::by(&self.tx, &self.receipt).root(&self.trace.trace.calls)
    }

    /// Where it is, as `trace_*` say it.
    pub(crate) fn trace_place(&self) -> TracePlace {
        TracePlace {
            block_hash: self.wanted.hash.0,
            block_number: self.wanted.block.0,
            transaction_hash: self.trace.hash.0,
            transaction_position: self.index,
        }
    }

    /// Code of an account after the block, as it is shown.
    pub(crate) fn code_of(&self, call: &Call, account: Address) -> ApiResult<Bytes> {
        code_at(call, account, self.wanted.block)
    }
}

/// Code of an account, as it is shown; empty if there is none.
fn code_at(call: &Call, account: Address, block: L2BlockNumber) -> ApiResult<Bytes> {
    let found = call.view.code_at(account, block)?;
    Ok(found.map_or(Bytes::new(), |(hash, stored)| {
        Bytes::copy_from_slice(hash.displayed(&stored.code))
    }))
}
