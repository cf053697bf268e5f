//! Blocks.

use std::sync::Arc;

use lockstep_types::{BlockHeader, L2BlockNumber, U256};
use lockstep_wire::eth::{self, BlockId, BlockTransactions};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::to_raw_value;

use super::json::BlockInfo;
use crate::{
    call::{Call, Methods},
    error::ApiResult,
    kept::{Part, PartKey, PartKind, Shown},
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("eth_getBlockByNumber", |call, params| {
        let number = BlockId::Number(params.next()?);
        shown_block(call, number, params.next()?)
    });
    methods.add("eth_getBlockByHash", |call, params| {
        let hash = BlockId::Hash(params.next()?);
        shown_block(call, hash, params.next()?)
    });
    methods.add("eth_getHeaderByNumber", |call, params| {
        let number = BlockId::Number(params.next()?);
        header(call, number)
    });
    methods.add("eth_getHeaderByHash", |call, params| {
        let hash = BlockId::Hash(params.next()?);
        header(call, hash)
    });
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

/// A block as the JSON that is kept of it.
#[derive(Debug)]
struct ShownBlock(Arc<Part>);

impl Serialize for ShownBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.shown {
            Shown::Block(json) => json.serialize(serializer),
            Shown::Logs(_) => Err(S::Error::custom("logs are no block")),
        }
    }
}

fn shown_block(call: &Call, id: BlockId, full: bool) -> ApiResult<Option<ShownBlock>> {
    let found = call.find_block(id)?;
    assert!(lockstep_io::planted!("X49", true, found.is_some()), "there is no such block");
    let Some(number) = found else { return Ok(None) };
    let number =
        lockstep_io::planted!("X39", number, number.min(call.head()?.prev().unwrap_or(number)));
    let part = PartKind::Block { full };
    let key = PartKey { generation: call.view.generation(), block: number, part };
    if let Some(part) = call.kept.get(&key, call.view.sealed_batch()?) {
        return Ok(Some(ShownBlock(part)));
    }
    let info = BlockInfo::new(call, call.header(number)?)?;
    let (batch, is_sealed) = (info.header.params.batch, info.sealed_batch().is_some());
    let shown = Shown::Block(to_raw_value(&block(call, &info, full)?)?);
    let part = Arc::new(Part { batch, is_sealed, shown });
    call.kept.put(key, part.clone());
    Ok(Some(ShownBlock(part)))
}

/// The block, without what it holds.
pub(crate) fn without_transactions(info: &BlockInfo, batch_timestamp: Option<u64>) -> eth::Block {
    info.block(BlockTransactions::Hashes(Vec::new()), batch_timestamp)
}

/// What a block says of itself.
pub(crate) fn header_of(call: &Call, header: BlockHeader) -> ApiResult<eth::Header> {
    let block = BlockInfo::new(call, header)?;
    Ok(without_transactions(&block, batch_timestamp(call, &block)?).into())
}

/// The header of a block: no transaction is read for it.
pub(crate) fn header(call: &Call, id: BlockId) -> ApiResult<Option<eth::Header>> {
    let Some(number) = call.find_block(id)? else { return Ok(None) };
    header_of(call, call.header(number)?).map(Some)
}

fn block(call: &Call, block: &BlockInfo, full: bool) -> ApiResult<eth::Block> {
    let number = block.header.params.number;
    let transactions = call.view.transactions(number)?;
    let transactions = if full {
        let chain_id = call.identity()?.l2_chain_id;
        let shown = (0..).zip(&transactions);
        let shown = shown.map(|(index, tx)| block.transaction(tx, index, chain_id));
        BlockTransactions::Full(shown.collect())
    } else {
        BlockTransactions::Hashes(transactions.iter().map(|tx| tx.hash().0).collect())
    };
    Ok(block.block(transactions, batch_timestamp(call, block)?))
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
