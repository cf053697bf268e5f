//! `debug_*`: signed bytes of transactions.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{B256, Bytes, TxHash};
use lockstep_wire::eth::BlockId;

use crate::{
    call::{Call, Methods},
    error::ApiResult,
    eth::BlockHashOrNumber,
};

pub(crate) fn register(methods: &mut Methods) {
    methods.add("debug_getRawTransaction", raw_transaction);
    methods.add("debug_getRawTransactions", raw_transactions);
}

fn raw_transaction(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<Bytes>> {
    let hash = TxHash(params.next::<B256>()?);
    let Some(position) = call.view.tx_position(&hash)? else { return Ok(None) };
    Ok(call.transaction(position)?.raw)
}

/// Of those transactions that have any; none of a block that is not there.
fn raw_transactions(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Vec<Bytes>> {
    let id: BlockId = params.next::<BlockHashOrNumber>()?.into();
    let Some(number) = call.find_block(id)? else { return Ok(Vec::new()) };
    let transactions = call.view.transactions(number)?;
    Ok(transactions.into_iter().filter_map(|tx| tx.raw).collect())
}
