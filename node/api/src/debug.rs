//! `debug_*`: blocks, transactions and receipts as bytes.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Bytes, TxStatus, U256, log::bloom_of};
use lockstep_wire::{
    eth::{BlockId, RawReceipt},
    tx_hash::requested_bytes,
};

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    eth::{BlockHashOrNumber, header, raw_by_hash},
};

pub(crate) fn register(methods: &mut Methods) {
    methods.add("debug_getRawTransaction", raw_by_hash);
    methods.add("debug_getRawTransactions", raw_transactions);
    methods.add("debug_getRawReceipts", raw_receipts);
    methods.add("debug_getRawHeader", raw_header);
    methods.add("debug_getRawBlock", raw_block);
}

/// Of the header as it is shown; its hash is not that of the block.
fn raw_header(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<Bytes>> {
    let id: BlockId = params.next::<BlockHashOrNumber>()?.into();
    Ok(header(call, id)?.map(|header| header.encode()))
}

/// Transactions that nobody signed are there as what L1 requested: the byte of their type and what
/// their hash is made of.
fn raw_block(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<Bytes>> {
    let id: BlockId = params.next::<BlockHashOrNumber>()?.into();
    let (Some(header), Some(number)) = (header(call, id)?, call.find_block(id)?) else {
        return Ok(None);
    };
    let transactions = call.view.transactions(number)?;
    let raw = transactions.into_iter().map(|tx| {
        let requested = requested_bytes(&tx);
        tx.raw.or(requested).unwrap_or_default()
    });
    Ok(Some(header.encode_block(&raw.collect::<Vec<_>>())))
}

/// In Ethereum's encoding, with the gas used so far in the block; what a fictive block leaves
/// behind belongs to no transaction and is not shown.
fn raw_receipts(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<Vec<Bytes>>> {
    let id: BlockId = params.next::<BlockHashOrNumber>()?.into();
    let Some(number) = call.find_block(id)? else { return Ok(None) };
    let transactions = call.view.transactions(number)?;
    let receipts = call.view.receipts(number)?;
    if receipts.len() < transactions.len() {
        return Err(ApiError::Missing { what: "a receipt", block: number });
    }
    let mut cumulative_gas_used = 0_u64;
    let mut shown = Vec::new();
    for (tx, receipt) in transactions.iter().zip(&receipts) {
        let used = tx.gas_limit().saturating_sub(U256::from(receipt.gas_refunded));
        cumulative_gas_used = cumulative_gas_used.saturating_add(used.saturating_to());
        let raw = RawReceipt {
            tx_type: tx.type_byte(),
            is_success: receipt.status == TxStatus::Success,
            cumulative_gas_used,
            logs_bloom: bloom_of(&receipt.events),
            events: &receipt.events,
        };
        shown.push(raw.encode());
    }
    Ok(Some(shown))
}

/// Of those transactions that have any; none of a block that is not there.
fn raw_transactions(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Vec<Bytes>> {
    let id: BlockId = params.next::<BlockHashOrNumber>()?.into();
    let Some(number) = call.find_block(id)? else { return Ok(Vec::new()) };
    let transactions = call.view.transactions(number)?;
    Ok(transactions.into_iter().filter_map(|tx| tx.raw).collect())
}
