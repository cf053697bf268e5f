//! The `zks_*` methods: what our API answers with, and what a main node answers.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::en::{BaseSystemContractsHashes, VersionName};

/// Answer of `zks_getBlockDetails`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDetails {
    /// Number of the block.
    pub number: u32,
    /// Its batch; last sealed plus one for blocks of the open batch.
    pub l1_batch_number: u32,
    /// What blocks and batches have in common. `root_hash` is the block's hash.
    #[serde(flatten)]
    pub base: DetailsBase,
    /// Receives the fees of the batch.
    pub operator_address: Address,
    /// Rules of the batch.
    #[serde(default)]
    pub protocol_version: Option<VersionName>,
}

/// Answer of `zks_getL1BatchDetails`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1BatchDetails {
    /// Number of the batch.
    pub number: u32,
    /// What L1 holds for it; absent until it is computed.
    #[serde(default)]
    pub commitment: Option<B256>,
    /// What blocks and batches have in common. `root_hash` is the state root.
    #[serde(flatten)]
    pub base: DetailsBase,
}

/// What is used of a main node's answer to `zks_getL1BatchDetails`. What else it says, or leaves
/// out, does not matter: it may be of an older or newer release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFacts {
    /// Number of the batch.
    pub number: u32,
    /// State root after it; absent until it is computed.
    #[serde(default)]
    pub root_hash: Option<B256>,
    /// What L1 holds for it; absent until it is computed.
    #[serde(default)]
    pub commitment: Option<B256>,
    /// Commit transaction.
    #[serde(default)]
    pub commit_tx_hash: Option<B256>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub committed_at: Option<String>,
    /// Chain it is on; absent if the main node knows of one only.
    #[serde(default)]
    pub commit_chain_id: Option<u64>,
    /// Prove transaction.
    #[serde(default)]
    pub prove_tx_hash: Option<B256>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub proven_at: Option<String>,
    /// Chain it is on.
    #[serde(default)]
    pub prove_chain_id: Option<u64>,
    /// Execute transaction.
    #[serde(default)]
    pub execute_tx_hash: Option<B256>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub executed_at: Option<String>,
    /// Chain it is on.
    #[serde(default)]
    pub execute_chain_id: Option<u64>,
}

/// What is used of a main node's answer to `zks_getBlockDetails`, as [`BatchFacts`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockFacts {
    /// Number of the block.
    pub number: u32,
    /// Hash of the block.
    #[serde(default)]
    pub root_hash: Option<B256>,
    /// Precommit transaction.
    #[serde(default)]
    pub precommit_tx_hash: Option<B256>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub precommitted_at: Option<String>,
    /// Chain it is on.
    #[serde(default)]
    pub precommit_chain_id: Option<u64>,
}

/// What block details and batch details have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailsBase {
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Number of priority operations.
    pub l1_tx_count: u64,
    /// Number of all other transactions.
    pub l2_tx_count: u64,
    /// Hash of the block, or root of the batch; absent until it is computed.
    #[serde(default)]
    pub root_hash: Option<B256>,
    /// How far it has come.
    pub status: BlockStatus,
    /// Commit transaction.
    #[serde(default)]
    pub commit_tx_hash: Option<B256>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub committed_at: Option<String>,
    /// How sure it is.
    #[serde(default)]
    pub commit_tx_finality: Option<TxFinality>,
    /// Chain it is on.
    #[serde(default)]
    pub commit_chain_id: Option<u64>,
    /// Prove transaction.
    #[serde(default)]
    pub prove_tx_hash: Option<B256>,
    /// How sure it is.
    #[serde(default)]
    pub prove_tx_finality: Option<TxFinality>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub proven_at: Option<String>,
    /// Chain it is on.
    #[serde(default)]
    pub prove_chain_id: Option<u64>,
    /// Execute transaction.
    #[serde(default)]
    pub execute_tx_hash: Option<B256>,
    /// How sure it is.
    #[serde(default)]
    pub execute_tx_finality: Option<TxFinality>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub executed_at: Option<String>,
    /// Chain it is on.
    #[serde(default)]
    pub execute_chain_id: Option<u64>,
    /// Precommit transaction.
    #[serde(default)]
    pub precommit_tx_hash: Option<B256>,
    /// How sure it is.
    #[serde(default)]
    pub precommit_tx_finality: Option<TxFinality>,
    /// When it was made, RFC 3339.
    #[serde(default)]
    pub precommitted_at: Option<String>,
    /// Chain it is on.
    #[serde(default)]
    pub precommit_chain_id: Option<u64>,
    /// Price of a unit of gas on L1.
    pub l1_gas_price: u64,
    /// Lowest price of a unit of gas on L2.
    pub l2_fair_gas_price: u64,
    /// Price of a byte of pubdata.
    #[serde(default)]
    pub fair_pubdata_price: Option<u64>,
    /// Bytecodes of the batch.
    pub base_system_contracts_hashes: BaseSystemContractsHashes,
}

/// How far a block or batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockStatus {
    /// Not executed on L1, or not yet for sure.
    Sealed,
    /// Executed at or below L1's `safe` block.
    FastFinalized,
    /// Executed for good.
    Verified,
}

/// How sure a transaction on the settlement layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TxFinality {
    /// May still vanish.
    Pending,
    /// At or below the `safe` block.
    FastFinalized,
    /// At or below the `finalized` block.
    Finalized,
}

/// Answer of `zks_getProof`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Contract that owns the slots.
    pub address: Address,
    /// In the order of the keys.
    pub storage_proof: Vec<StorageProof>,
}

/// Proof of one slot against a batch's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageProof {
    /// Key inside the contract.
    pub key: B256,
    /// Siblings from the root's side; empty subtrees at the leaf's end are left out.
    pub proof: Vec<B256>,
    /// What the slot holds.
    pub value: B256,
    /// Leaf index; 0 if the slot was never written.
    pub index: u64,
}

/// Answer of `zks_getTransactionDetails`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionDetails {
    /// Whether it came from L1.
    pub is_l1_originated: bool,
    /// How far it has come.
    pub status: TransactionStatus,
    /// What was paid.
    pub fee: U256,
    /// Gas for a byte of pubdata.
    pub gas_per_pubdata: U256,
    /// Who sent it.
    pub initiator_address: Address,
    /// When it was first seen, RFC 3339.
    pub received_at: String,
    /// Commit transaction of its batch.
    #[serde(default)]
    pub eth_commit_tx_hash: Option<B256>,
    /// Prove transaction of its batch.
    #[serde(default)]
    pub eth_prove_tx_hash: Option<B256>,
    /// Execute transaction of its batch.
    #[serde(default)]
    pub eth_execute_tx_hash: Option<B256>,
    /// Precommit transaction of its block.
    #[serde(default)]
    pub eth_precommit_tx_hash: Option<B256>,
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TransactionStatus {
    /// Not in a block.
    Pending,
    /// In a block.
    Included,
    /// Its batch is executed at or below L1's `safe` block.
    FastFinalized,
    /// Its batch is executed for good.
    Verified,
    /// It was undone. Wins over the others.
    Failed,
}

/// Answer of `zks_getL2ToL1LogProof`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L2ToL1LogProof {
    /// Siblings from the leaf's side, with metadata first from v26 on.
    pub proof: Vec<B256>,
    /// Position of the leaf.
    pub id: u32,
    /// Root that the proof leads to.
    pub root: B256,
    /// The batch.
    pub batch_number: u64,
}

/// Which root a proof of a log is to lead to; a parameter of `zks_getL2ToL1LogProof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InteropMode {
    /// The message root of the gateway that the chain settles on.
    #[serde(rename = "proof_based_gw")]
    ProofBasedGateway,
}

/// Answer of `snapshots_getAllSnapshots`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllSnapshots {
    /// Batches with a snapshot, newest first.
    pub snapshots_l1_batch_numbers: Vec<u32>,
}

/// Answer of `unstable_l1ToL2TxsStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1ToL2TxsStatus {
    /// Priority operations that wait for a block.
    pub l1_to_l2_txs_in_mempool: u64,
    /// Whether they are held back.
    pub l1_to_l2_txs_paused: bool,
}

/// Answer of `zks_getBatchFeeInput`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFeeInput {
    /// Lowest price of a unit of gas on L2.
    pub fair_l2_gas_price: u64,
    /// Price of a byte of pubdata.
    pub fair_pubdata_price: u64,
    /// Price of a unit of gas on L1.
    pub l1_gas_price: u64,
}

/// Answer of `zks_estimateFee`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// Gas it needs.
    pub gas_limit: U256,
    /// Price of a unit of gas.
    pub max_fee_per_gas: U256,
    /// Always zero.
    pub max_priority_fee_per_gas: U256,
    /// Highest gas for a byte of pubdata.
    pub gas_per_pubdata_limit: U256,
}
