//! Batches and the blocks in them.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{L1BatchNumber, L2BlockNumber, U256};
use lockstep_wire::en::TransactionJson;

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("zks_L1BatchNumber", |call, _| batch_number(call));
    methods.add("zks_getL1BatchBlockRange", block_range);
    methods.add("zks_getRawBlockTransactions", raw_block_transactions);
}

/// The newest sealed batch.
fn batch_number(call: &Call) -> ApiResult<U256> {
    let sealed = call.view.sealed_batch()?.ok_or(ApiError::NoGenesis)?;
    Ok(U256::from(sealed.0))
}

/// First and last block of a sealed batch.
fn block_range(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<[U256; 2]>> {
    let number = L1BatchNumber(params.next()?);
    let batch = call.view.batch(number)?;
    Ok(batch.map(|batch| [U256::from(batch.first_block.0), U256::from(batch.last_block.0)]))
}

/// As a main node hands them on; none of a block that is not there.
fn raw_block_transactions(
    call: &Call,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Vec<TransactionJson>> {
    let number = L2BlockNumber(params.next()?);
    Ok(call.view.transactions(number)?.iter().map(TransactionJson::from).collect())
}
