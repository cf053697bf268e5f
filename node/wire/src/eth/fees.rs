//! Fees of blocks, as the Ethereum API shows them.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

/// Answer of `eth_feeHistory`. Ratios and rewards are always zero on these chains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeeHistory {
    /// First block of the lists.
    pub oldest_block: U256,
    /// By block, and once more the last one for the block after.
    pub base_fee_per_gas: Vec<U256>,
    /// By block.
    pub gas_used_ratio: Vec<f64>,
    /// By block, and then by percentile.
    pub reward: Vec<Vec<U256>>,
    /// As [`base_fee_per_gas`](Self::base_fee_per_gas).
    pub base_fee_per_blob_gas: Vec<U256>,
    /// By block.
    pub blob_gas_used_ratio: Vec<f64>,
    /// Price of a byte of pubdata, by block.
    pub l2_pubdata_price: Vec<U256>,
}
