//! Blocks as the Ethereum API shows them.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::Transaction;
use crate::quantity;

/// Answer of `eth_getBlockByNumber` and `eth_getBlockByHash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Hash of the block.
    pub hash: B256,
    /// Hash of the block before; zero if that is not there.
    pub parent_hash: B256,
    /// Hash of the empty list.
    pub sha3_uncles: B256,
    /// Zero.
    pub miner: Address,
    /// Zero.
    pub state_root: B256,
    /// Zero.
    pub transactions_root: B256,
    /// Zero.
    pub receipts_root: B256,
    /// Number of the block.
    #[serde(with = "quantity")]
    pub number: u64,
    /// The batch; absent until it is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_number: Option<u64>,
    /// Gas used by the block's transactions.
    pub gas_used: U256,
    /// Gas of a batch.
    pub gas_limit: U256,
    /// Price of a unit of gas.
    pub base_fee_per_gas: U256,
    /// Empty.
    pub extra_data: Bytes,
    /// Bloom over the block's events.
    pub logs_bloom: Bloom,
    /// Seconds since the Unix epoch.
    #[serde(with = "quantity")]
    pub timestamp: u64,
    /// When the batch was opened; absent until it is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_timestamp: Option<u64>,
    /// Zero.
    pub difficulty: U256,
    /// Zero.
    pub total_difficulty: U256,
    /// Empty.
    pub seal_fields: Vec<Bytes>,
    /// Empty.
    pub uncles: Vec<B256>,
    /// In execution order.
    pub transactions: BlockTransactions,
    /// Zero.
    pub size: U256,
    /// Zero.
    pub mix_hash: B256,
    /// Zero.
    pub nonce: B64,
}

/// Transactions of a block, as they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BlockTransactions {
    /// Their hashes.
    Hashes(Vec<B256>),
    /// All of them. An empty list is read as [`Hashes`](Self::Hashes).
    Full(Vec<Transaction>),
}

impl Block {
    /// Keccak-256 of the RLP of an empty list: what [`sha3_uncles`](Self::sha3_uncles) always is.
    pub const NO_UNCLES: B256 =
        alloy_primitives::b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
}

/// Answer of `eth_getHeaderByNumber` and `eth_getHeaderByHash`: what a [`Block`] says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Hash of the block.
    pub hash: B256,
    /// Hash of the block before; zero if that is not there.
    pub parent_hash: B256,
    /// Hash of the empty list.
    pub sha3_uncles: B256,
    /// Zero.
    pub miner: Address,
    /// Zero.
    pub state_root: B256,
    /// Zero.
    pub transactions_root: B256,
    /// Zero.
    pub receipts_root: B256,
    /// Number of the block.
    #[serde(with = "quantity")]
    pub number: u64,
    /// The batch; absent until it is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_number: Option<u64>,
    /// Gas used by the block's transactions.
    pub gas_used: U256,
    /// Gas of a batch.
    pub gas_limit: U256,
    /// Price of a unit of gas.
    pub base_fee_per_gas: U256,
    /// Empty.
    pub extra_data: Bytes,
    /// Bloom over the block's events.
    pub logs_bloom: Bloom,
    /// Seconds since the Unix epoch.
    #[serde(with = "quantity")]
    pub timestamp: u64,
    /// When the batch was opened; absent until it is sealed.
    #[serde(default, with = "quantity::option")]
    pub l1_batch_timestamp: Option<u64>,
    /// Zero.
    pub difficulty: U256,
    /// Zero.
    pub mix_hash: B256,
    /// Zero.
    pub nonce: B64,
}

impl From<Block> for Header {
    fn from(block: Block) -> Self {
        Self {
            hash: block.hash,
            parent_hash: block.parent_hash,
            sha3_uncles: block.sha3_uncles,
            miner: block.miner,
            state_root: block.state_root,
            transactions_root: block.transactions_root,
            receipts_root: block.receipts_root,
            number: block.number,
            l1_batch_number: block.l1_batch_number,
            gas_used: block.gas_used,
            gas_limit: block.gas_limit,
            base_fee_per_gas: block.base_fee_per_gas,
            extra_data: block.extra_data,
            logs_bloom: block.logs_bloom,
            timestamp: block.timestamp,
            l1_batch_timestamp: block.l1_batch_timestamp,
            difficulty: block.difficulty,
            mix_hash: block.mix_hash,
            nonce: block.nonce,
        }
    }
}
