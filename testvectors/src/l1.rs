//! A recorded L1.

use serde::Deserialize;
use serde_json::Value;

/// What an L1 held when the recording ended. Objects are as its JSON-RPC API gave them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Recording {
    /// Its chain id.
    pub chain_id: u64,
    /// L1 blocks from number 0, with whole transactions.
    pub blocks: Vec<Value>,
    /// Receipts of the transactions that matter to the chain, with their logs.
    pub receipts: Vec<Value>,
    /// Answers to `eth_call`: `{params: {to, data}, result}` or with `error` in its place.
    pub calls: Vec<Value>,
    /// Number of the newest finalized L1 block.
    pub finalized: u64,
}
