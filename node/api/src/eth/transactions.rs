//! Transactions and their receipts.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_store::TxPosition;
use lockstep_types::{B256, Bytes, L2BlockNumber, TxHash};
use lockstep_wire::{
    eth::{self, BlockId},
    quantity,
};
use serde::Deserialize;

use super::{
    BlockHashOrNumber,
    json::{BlockInfo, waiting_transaction},
};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    forward::PendingTxs,
};

pub(super) fn register(methods: &mut Methods, pending: &Arc<PendingTxs>) {
    let waiting = Arc::clone(pending);
    methods.add("eth_getTransactionByHash", move |call, params| by_hash(call, params, &waiting));
    methods.add("eth_getTransactionByBlockHashAndIndex", |call, params| {
        let block = BlockId::Hash(params.next()?);
        by_position(call, block, params.next()?)
    });
    methods.add("eth_getTransactionByBlockNumberAndIndex", |call, params| {
        let block = BlockId::Number(params.next()?);
        by_position(call, block, params.next()?)
    });
    methods.add("eth_getRawTransactionByHash", raw_by_hash);
    methods.add("eth_getRawTransactionByBlockHashAndIndex", |call, params| {
        let block = BlockId::Hash(params.next()?);
        raw_by_position(call, block, params.next()?)
    });
    methods.add("eth_getRawTransactionByBlockNumberAndIndex", |call, params| {
        let block = BlockId::Number(params.next()?);
        raw_by_position(call, block, params.next()?)
    });
    methods.add("eth_getTransactionReceipt", receipt);
    methods.add("eth_getBlockReceipts", block_receipts);
}

/// Index of a transaction in its block, as a client writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Index(#[serde(with = "quantity::lenient")] u64);

fn by_hash(
    call: &Call,
    params: &mut ParamsSequence<'_>,
    pending: &PendingTxs,
) -> ApiResult<Option<eth::Transaction>> {
    let hash = TxHash(params.next::<B256>()?);
    if let Some(position) = call.view.tx_position(&hash)? {
        return shown(call, position).map(Some);
    }
    let Some(tx) = pending.get(call, &hash)? else { return Ok(None) };
    Ok(Some(waiting_transaction(&tx, call.identity()?.l2_chain_id)))
}

fn by_position(call: &Call, block: BlockId, index: Index) -> ApiResult<Option<eth::Transaction>> {
    position(call, block, index)?.map(|position| shown(call, position)).transpose()
}

/// The signed bytes; none of transactions that came from L1.
pub(crate) fn raw_by_hash(
    call: &Call,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Option<Bytes>> {
    let hash = TxHash(params.next::<B256>()?);
    let Some(position) = call.view.tx_position(&hash)? else { return Ok(None) };
    Ok(call.transaction(position)?.raw)
}

fn raw_by_position(call: &Call, block: BlockId, index: Index) -> ApiResult<Option<Bytes>> {
    let Some(position) = position(call, block, index)? else { return Ok(None) };
    Ok(call.transaction(position)?.raw)
}

/// The place of a transaction that is there.
fn position(call: &Call, block: BlockId, Index(index): Index) -> ApiResult<Option<TxPosition>> {
    let Some(block) = call.find_block(block)? else { return Ok(None) };
    let count = call.header(block)?.tx_count();
    let index = u32::try_from(index).ok().filter(|index| *index < count);
    Ok(index.map(|index| TxPosition { block, index }))
}

fn shown(call: &Call, position: TxPosition) -> ApiResult<eth::Transaction> {
    let chain_id = call.identity()?.l2_chain_id;
    let tx = call.transaction(position)?;
    let block = BlockInfo::new(call, call.header(position.block)?)?;
    Ok(block.transaction(&tx, position.index, chain_id))
}

fn receipt(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<eth::Receipt>> {
    receipt_of(call, TxHash(params.next::<B256>()?))
}

/// `None` unless the transaction is in a block.
pub(crate) fn receipt_of(call: &Call, hash: TxHash) -> ApiResult<Option<eth::Receipt>> {
    let Some(position) = call.view.tx_position(&hash)? else { return Ok(None) };
    let tx = call.transaction(position)?;
    let receipt = call.view.receipt(position)?.ok_or(missing(position.block))?;
    let block = BlockInfo::new(call, call.header(position.block)?)?;
    Ok(Some(block.receipt(&tx, &receipt, position.index)))
}

/// In execution order; the fictive block's own share belongs to no transaction and is not shown.
fn block_receipts(
    call: &Call,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Option<Vec<eth::Receipt>>> {
    let id: BlockId = params.next::<BlockHashOrNumber>()?.into();
    let Some(number) = call.find_block(id)? else { return Ok(None) };
    let block = BlockInfo::new(call, call.header(number)?)?;
    let transactions = call.view.transactions(number)?;
    let receipts = call.view.receipts(number)?;
    if receipts.len() < transactions.len() {
        return Err(missing(number));
    }
    let pairs = (0..).zip(transactions.iter().zip(&receipts));
    Ok(Some(pairs.map(|(index, (tx, receipt))| block.receipt(tx, receipt, index)).collect()))
}

fn missing(block: L2BlockNumber) -> ApiError {
    ApiError::Missing { what: "a receipt", block }
}
