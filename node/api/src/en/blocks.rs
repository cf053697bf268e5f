//! `en_syncL2Block`.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::L2BlockNumber;
use lockstep_wire::SyncBlock;

use crate::{
    call::{Call, Methods},
    error::ApiResult,
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("en_syncL2Block", block);
}

/// A block as a main node hands it on, with its transactions if they are asked for.
fn block(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<SyncBlock>> {
    let number = L2BlockNumber(params.next()?);
    let with_transactions: bool = params.next()?;
    let Some(header) = call.view.block(number)? else { return Ok(None) };
    let transactions = with_transactions.then(|| call.view.transactions(number)).transpose()?;
    let mut block = SyncBlock::new(&header.params, Some(header.hash), transactions.as_deref());
    // The fictive block, and genesis.
    block.last_in_batch = header.tx_count() == 0;
    Ok(Some(block))
}
