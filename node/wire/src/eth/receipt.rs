//! Receipts and logs.

use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::quantity;

/// Answer of `eth_getTransactionReceipt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Index in the block.
    #[serde(with = "quantity")]
    pub transaction_index: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// Number of the block.
    #[serde(with = "quantity")]
    pub block_number: u64,
    /// Index in the batch; absent until the batch is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_tx_index: Option<u64>,
    /// The batch; absent until it is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_number: Option<u64>,
    /// Who sent it.
    pub from: Address,
    /// Target; absent for EVM deployments.
    pub to: Option<Address>,
    /// Always zero.
    pub cumulative_gas_used: U256,
    /// Gas used by the transaction.
    pub gas_used: U256,
    /// The contract that the transaction would have made.
    pub contract_address: Option<Address>,
    /// Events.
    pub logs: Vec<Log>,
    /// Logs for L1.
    pub l2_to_l1_logs: Vec<L2ToL1Log>,
    /// 1 for success, 0 for a revert.
    #[serde(with = "quantity")]
    pub status: u64,
    /// Bloom over this receipt's events.
    pub logs_bloom: Bloom,
    /// Type byte.
    #[serde(rename = "type", with = "quantity")]
    pub transaction_type: u64,
    /// What a unit of gas cost.
    pub effective_gas_price: U256,
}

/// An event, with where it was emitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Contract that emitted it.
    pub address: Address,
    /// At most four.
    pub topics: Vec<B256>,
    /// The rest.
    pub data: Bytes,
    /// Hash of the block.
    pub block_hash: Option<B256>,
    /// Number of the block.
    #[serde(default, with = "quantity::option")]
    pub block_number: Option<u64>,
    /// The batch; absent until it is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_number: Option<u64>,
    /// Hash of the transaction; zero for events of the fictive block.
    pub transaction_hash: Option<B256>,
    /// Index of the transaction in the block.
    #[serde(default, with = "quantity::option")]
    pub transaction_index: Option<u64>,
    /// Index in the block.
    #[serde(default, with = "quantity::option")]
    pub log_index: Option<u64>,
    /// Index in the transaction.
    #[serde(default, with = "quantity::option")]
    pub transaction_log_index: Option<u64>,
    /// Always absent.
    pub log_type: Option<String>,
    /// Always `false`.
    pub removed: Option<bool>,
    /// Timestamp of the block, seconds since the Unix epoch.
    #[serde(default, with = "quantity::option")]
    pub block_timestamp: Option<u64>,
}

/// A log for L1, with where it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L2ToL1Log {
    /// Hash of the block.
    pub block_hash: Option<B256>,
    /// Number of the block.
    #[serde(with = "quantity")]
    pub block_number: u64,
    /// The batch; absent until it is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_number: Option<u64>,
    /// Index in the block.
    #[serde(with = "quantity")]
    pub log_index: u64,
    /// Index of the transaction in the block.
    #[serde(with = "quantity")]
    pub transaction_index: u64,
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Index in the transaction.
    #[serde(with = "quantity")]
    pub transaction_log_index: u64,
    /// Index of the transaction in the batch.
    #[serde(default, with = "quantity::option", rename = "txIndexInL1Batch")]
    pub tx_index_in_l1_batch: Option<u64>,
    /// Always zero.
    #[serde(with = "quantity")]
    pub shard_id: u64,
    /// Whether it was sent on the protocol's behalf.
    pub is_service: bool,
    /// Contract that sent it.
    pub sender: Address,
    /// First word.
    pub key: B256,
    /// Second word.
    pub value: B256,
}
