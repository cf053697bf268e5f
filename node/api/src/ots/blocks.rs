//! Blocks by page.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Bytes, L2BlockNumber, U256};
use lockstep_wire::{
    eth::{BlockId, BlockNumberOrTag, Header},
    ots::{BlockDetails, BlockSummary, BlockTransactionsPage, FullBlock, Issuance, PageReceipt},
    quantity,
};
use serde::Deserialize;

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    eth::{BlockInfo, batch_timestamp, without_transactions},
};

/// Most transactions of a page.
pub(super) const PAGE_MAX: usize = 1_000;
/// Bytes of a transaction's input that lists show: the selector.
const INPUT_SHOWN: usize = 4;

/// A block number as Otterscan writes it: a plain number, a hex number or a tag.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum BlockNumber {
    Plain(u64),
    Named(BlockNumberOrTag),
}

impl From<BlockNumber> for BlockId {
    fn from(number: BlockNumber) -> Self {
        match number {
            BlockNumber::Plain(number) => Self::Number(BlockNumberOrTag::Number(number)),
            BlockNumber::Named(named) => Self::Number(named),
        }
    }
}

/// A count as a client writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Count(#[serde(with = "quantity::lenient")] pub(super) u64);

pub(super) fn register(methods: &mut Methods) {
    for name in ["ots_getHeaderByNumber", "erigon_getHeaderByNumber"] {
        methods.add(name, |call, params| {
            let number: BlockNumber = params.next()?;
            let Some(number) = call.find_block(number.into())? else { return Ok(None) };
            let info = BlockInfo::new(call, call.header(number)?)?;
            Ok(Some(header(call, &info)?))
        });
    }
    methods.add("ots_getBlockDetails", |call, params| {
        let number: BlockNumber = params.next()?;
        details(call, number.into())
    });
    methods.add("ots_getBlockDetailsByHash", |call, params| {
        details(call, BlockId::Hash(params.next()?))
    });
    methods.add("ots_getBlockTransactions", page);
}

fn header(call: &Call, info: &BlockInfo) -> ApiResult<Header> {
    Ok(without_transactions(info, batch_timestamp(call, info)?).into())
}

fn summary(call: &Call, info: &BlockInfo) -> ApiResult<BlockSummary> {
    Ok(BlockSummary {
        header: header(call, info)?,
        transaction_count: info.header.tx_count(),
        size: U256::ZERO,
        total_difficulty: U256::ZERO,
        uncles: Vec::new(),
    })
}

fn details(call: &Call, id: BlockId) -> ApiResult<Option<BlockDetails>> {
    let Some(number) = call.find_block(id)? else { return Ok(None) };
    let info = BlockInfo::new(call, call.header(number)?)?;
    let transactions = call.view.transactions(number)?;
    let receipts = call.view.receipts(number)?;
    let base_fee = info.header.base_fee_per_gas;
    let total_fees = transactions.iter().zip(&receipts).fold(U256::ZERO, |sum, (tx, receipt)| {
        let used = tx.gas_limit().saturating_sub(U256::from(receipt.gas_refunded));
        sum.saturating_add(used.saturating_mul(tx.effective_gas_price(base_fee)))
    });
    let block = summary(call, &info)?;
    Ok(Some(BlockDetails { block, total_fees, issuance: Issuance::default() }))
}

/// Pages count from the end of the block, as Otterscan shows them: page 0 has the newest
/// transactions. Within a page they are in order of execution.
fn page(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<BlockTransactionsPage>> {
    let number: BlockNumber = params.next()?;
    let (Count(page), Count(size)): (Count, Count) = (params.next()?, params.next()?);
    let size = page_size(size)?;
    let Some(number) = call.find_block(number.into())? else { return Ok(None) };
    let info = BlockInfo::new(call, call.header(number)?)?;
    let transactions = call.view.transactions(number)?;
    let receipts = call.view.receipts(number)?;
    let skipped = usize::try_from(page).unwrap_or(usize::MAX).saturating_mul(size);
    let end = transactions.len().saturating_sub(skipped);
    let range = end.saturating_sub(size)..end;
    let chain_id = call.identity()?.l2_chain_id;
    let (mut shown, mut shown_receipts) = (Vec::new(), Vec::new());
    for at in range {
        let missing = || ApiError::Missing { what: "a receipt", block: number };
        let (tx, receipt) = (&transactions[at], receipts.get(at).ok_or_else(missing)?);
        let index = u32::try_from(at).map_err(|_too_many| missing())?;
        let mut json = info.transaction(tx, index, chain_id);
        json.input = Bytes::copy_from_slice(&json.input[..json.input.len().min(INPUT_SHOWN)]);
        shown.push(json);
        shown_receipts.push(page_receipt(&info, tx, receipt, index));
    }
    let fullblock = FullBlock { summary: summary(call, &info)?, transactions: shown };
    Ok(Some(BlockTransactionsPage { fullblock, receipts: shown_receipts }))
}

/// A receipt in a list.
pub(super) fn page_receipt(
    info: &BlockInfo,
    tx: &lockstep_types::Transaction,
    receipt: &lockstep_types::Receipt,
    index: u32,
) -> PageReceipt {
    let timestamp = info.header.params.timestamp.0;
    PageReceipt { receipt: info.receipt(tx, receipt, index), timestamp }
}

/// The size of a page, if there may be one of that size.
pub(super) fn page_size(size: u64) -> ApiResult<usize> {
    let size = usize::try_from(size).ok().filter(|size| (1..=PAGE_MAX).contains(size));
    size.ok_or_else(|| ApiError::BadRequest(format!("a page has 1 to {PAGE_MAX} transactions")))
}

/// The block of `number`, for lists.
pub(super) fn info_of(call: &Call, number: L2BlockNumber) -> ApiResult<BlockInfo> {
    BlockInfo::new(call, call.header(number)?)
}
