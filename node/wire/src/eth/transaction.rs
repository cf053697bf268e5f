//! Transactions as the Ethereum API shows them.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::quantity;

/// Answer of `eth_getTransactionByHash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Hash of the transaction.
    pub hash: B256,
    /// The sender's nonce; zero for transactions from L1.
    pub nonce: U256,
    /// Hash of the block; absent while the transaction waits.
    pub block_hash: Option<B256>,
    /// Number of the block.
    #[serde(default, with = "quantity::option")]
    pub block_number: Option<u64>,
    /// Index in the block.
    #[serde(default, with = "quantity::option")]
    pub transaction_index: Option<u64>,
    /// Who sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Target; absent for EVM deployments.
    pub to: Option<Address>,
    /// Base token sent along.
    pub value: U256,
    /// What a unit of gas cost, or the most it may.
    pub gas_price: Option<U256>,
    /// Gas the transaction may use.
    pub gas: U256,
    /// Input of the call.
    pub input: Bytes,
    /// Signature; absent for transactions from L1.
    #[serde(flatten)]
    pub signature: Signature,
    /// Type byte.
    #[serde(rename = "type", default, with = "quantity::option")]
    pub transaction_type: Option<u64>,
    /// Highest price of a unit of gas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fee_per_gas: Option<U256>,
    /// Highest tip for a unit of gas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_priority_fee_per_gas: Option<U256>,
    /// Chain id.
    pub chain_id: U256,
    /// The batch; absent until it is sealed.
    #[serde(default, with = "quantity::option", skip_serializing_if = "Option::is_none")]
    pub l1_batch_number: Option<u64>,
    /// Index in the batch; absent until it is sealed.
    #[serde(default, with = "quantity::option", skip_serializing_if = "Option::is_none")]
    pub l1_batch_tx_index: Option<u64>,
}

/// A signature in parts; a part that does not apply is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Signature {
    /// Parity of the y-value; absent for legacy transactions.
    #[serde(with = "quantity::option", skip_serializing_if = "Option::is_none")]
    pub y_parity: Option<u64>,
    /// Parity, with the chain id in it for legacy transactions.
    #[serde(with = "quantity::option", skip_serializing_if = "Option::is_none")]
    pub v: Option<u64>,
    /// First part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<U256>,
    /// Second part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s: Option<U256>,
}
