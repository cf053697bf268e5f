//! Fees of blocks.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{L2BlockNumber, U256};
use lockstep_wire::{
    eth::{BlockId, BlockNumberOrTag, FeeHistory},
    quantity,
};
use serde::Deserialize;

use crate::{
    call::{Call, Methods},
    error::ApiResult,
    execution::pubdata_price,
};

pub(super) fn register(methods: &mut Methods) {
    methods.add_constant("eth_maxPriorityFeePerGas", U256::ZERO);
    methods.add("eth_feeHistory", fee_history);
}

/// A number as a client writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Count(#[serde(with = "quantity::lenient")] u64);

/// Blocks up to one, as many as there are and may be. Nothing is paid beyond the base fee, and how
/// full a block is has no influence on it, so the rest is zero.
fn fee_history(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<FeeHistory> {
    let Count(count) = params.next()?;
    let newest: BlockNumberOrTag = params.next()?;
    let percentiles: Option<Vec<f64>> = params.optional_next()?;
    let newest = call.state_block(Some(BlockId::Number(newest)))?;
    let count_max = newest.0.saturating_add(1).min(call.config.fee_history_blocks_max).max(1);
    let count = u32::try_from(count).unwrap_or(u32::MAX).clamp(1, count_max);
    let oldest = newest.0 - (count - 1);
    let (mut base_fees, mut pubdata_prices) = (Vec::new(), Vec::new());
    for number in oldest..=newest.0 {
        let header = call.header(L2BlockNumber(number))?;
        base_fees.push(U256::from(header.base_fee_per_gas));
        let price = pubdata_price(header.params.version, &header.params.fee_input);
        pubdata_prices.push(U256::from(price));
    }
    let length = base_fees.len();
    base_fees.extend(base_fees.last().copied());
    let percentile_count = percentiles.map_or(0, |percentiles| percentiles.len());
    Ok(FeeHistory {
        oldest_block: U256::from(oldest),
        base_fee_per_blob_gas: vec![U256::ZERO; base_fees.len()],
        base_fee_per_gas: base_fees,
        gas_used_ratio: vec![0.0; length],
        reward: vec![vec![U256::ZERO; percentile_count]; length],
        blob_gas_used_ratio: vec![0.0; length],
        l2_pubdata_price: pubdata_prices,
    })
}
