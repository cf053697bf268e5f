//! `debug_*`: transactions and receipts as bytes.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Bytes, TxStatus, U256, log::bloom_of};
use lockstep_wire::eth::{BlockId, RawReceipt};

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    eth::{BlockHashOrNumber, raw_by_hash},
};

/// Why there is no `debug_getRawHeader`.
const NO_RAW_HEADER: &str = "debug_getRawHeader is not available: headers of this chain are not \
     encoded, and no encoding hashes to the hash of the block; use eth_getHeaderByNumber";

/// Why there is no `debug_getRawBlock`.
const NO_RAW_BLOCK: &str = "debug_getRawBlock is not available: blocks of this chain are not \
     encoded; use eth_getBlockByNumber and debug_getRawTransactions";

pub(crate) fn register(methods: &mut Methods) {
    methods.add("debug_getRawTransaction", raw_by_hash);
    methods.add("debug_getRawTransactions", raw_transactions);
    methods.add("debug_getRawReceipts", raw_receipts);
    methods.add("debug_getRawHeader", |_, _| Err::<(), _>(ApiError::Instead(NO_RAW_HEADER)));
    methods.add("debug_getRawBlock", |_, _| Err::<(), _>(ApiError::Instead(NO_RAW_BLOCK)));
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
