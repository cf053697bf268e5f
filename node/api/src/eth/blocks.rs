//! Blocks.

use lockstep_types::{BlockHeader, L2BlockNumber, U256};
use lockstep_wire::eth::{self, BlockId, BlockTransactions};

use super::json::BlockInfo;
use crate::{
    call::{Call, Methods},
    error::ApiResult,
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("eth_getBlockByNumber", |call, params| {
        let number = BlockId::Number(params.next()?);
        block(call, number, params.next()?)
    });
    methods.add("eth_getBlockByHash", |call, params| {
        let hash = BlockId::Hash(params.next()?);
        block(call, hash, params.next()?)
    });
    methods
        .add("eth_getHeaderByNumber", |call, params| header(call, BlockId::Number(params.next()?)));
    methods.add("eth_getHeaderByHash", |call, params| header(call, BlockId::Hash(params.next()?)));
    // There are none, whatever block is asked for.
    methods.add_constant("eth_getUncleCountByBlockNumber", U256::ZERO);
    methods.add_constant("eth_getUncleCountByBlockHash", U256::ZERO);
    methods.add("eth_getBlockTransactionCountByNumber", |call, params| {
        transaction_count(call, BlockId::Number(params.next()?))
    });
    methods.add("eth_getBlockTransactionCountByHash", |call, params| {
        transaction_count(call, BlockId::Hash(params.next()?))
    });
}

fn block(call: &Call, id: BlockId, full: bool) -> ApiResult<Option<eth::Block>> {
    let Some(number) = call.find_block(id)? else { return Ok(None) };
    let block = BlockInfo::new(call, call.header(number)?)?;
    let transactions = call.view.transactions(number)?;
    let transactions = if full {
        let chain_id = call.identity()?.l2_chain_id;
        let shown = (0..).zip(&transactions);
        let shown = shown.map(|(index, tx)| block.transaction(tx, index, chain_id));
        BlockTransactions::Full(shown.collect())
    } else {
        BlockTransactions::Hashes(transactions.iter().map(|tx| tx.hash().0).collect())
    };
    Ok(Some(block.block(transactions, batch_timestamp(call, &block)?)))
}

/// The block, without what it holds.
pub(crate) fn without_transactions(info: &BlockInfo, batch_timestamp: Option<u64>) -> eth::Block {
    info.block(BlockTransactions::Hashes(Vec::new()), batch_timestamp)
}

/// The header of a block: no transaction is read for it.
pub(crate) fn header(call: &Call, id: BlockId) -> ApiResult<Option<eth::Header>> {
    let Some(number) = call.find_block(id)? else { return Ok(None) };
    let block = BlockInfo::new(call, call.header(number)?)?;
    Ok(Some(without_transactions(&block, batch_timestamp(call, &block)?).into()))
}

/// When the batch of `block` was opened; shown once it is sealed.
pub(crate) fn batch_timestamp(call: &Call, block: &BlockInfo) -> ApiResult<Option<u64>> {
    let Some(batch) = block.sealed_batch() else { return Ok(None) };
    Ok(call.view.batch(batch)?.map(|batch| batch.timestamp.0))
}

fn transaction_count(call: &Call, id: BlockId) -> ApiResult<Option<U256>> {
    let count = |header: BlockHeader| U256::from(header.tx_count());
    let number: Option<L2BlockNumber> = call.find_block(id)?;
    number.map(|number| call.header(number).map(count)).transpose()
}
