//! L1 batches on their way from sealed to rooted.

use alloy_primitives::{B256, Bytes};

use crate::{
    Commitment, HashedKey, L1BatchNumber, L2BlockNumber, LeafIndex, ProtocolVersion, StateRoot,
    StorageSlot, UnixSeconds,
};

/// A batch of ours, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Number of the batch.
    pub number: L1BatchNumber,
    /// When it was opened: the timestamp of its first block.
    pub timestamp: UnixSeconds,
    /// Rules of the batch.
    pub version: ProtocolVersion,
    /// First block.
    pub first_block: L2BlockNumber,
    /// Last block: the fictive one.
    pub last_block: L2BlockNumber,
    /// Number of priority operations.
    pub l1_tx_count: u32,
    /// Number of all other transactions.
    pub l2_tx_count: u32,
    /// Index that the next initial write will get: leaves of the tree plus one.
    pub next_leaf_index: LeafIndex,
    /// Keccak-256 chain over the priority operations.
    pub priority_ops_hash: B256,
}

/// The final value of a slot that a batch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchWrite {
    /// The slot's place in the tree.
    pub hashed_key: HashedKey,
    /// The slot's index, assigned by this batch or an earlier one.
    pub leaf_index: LeafIndex,
    /// What the slot holds after the batch.
    pub value: B256,
}

/// A batch that has been executed and persisted, and is now to be put in the tree.
#[derive(Clone, Debug)]
pub struct SealedBatch {
    /// As stored.
    pub header: BatchHeader,
    /// What the tree must learn, in canonical order of slots.
    pub writes: Vec<BatchWrite>,
}

/// A batch whose root this replica computed.
#[derive(Clone, Debug)]
pub struct RootedBatch {
    /// As stored.
    pub header: BatchHeader,
    /// Root of the state tree after the batch.
    pub root: StateRoot,
}

/// What is kept of a batch for its commitment until that is computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitmentInputs {
    /// System logs, in order of emission.
    pub system_logs: Vec<crate::L2ToL1Log>,
    /// Pubdata.
    pub pubdata: Option<Bytes>,
    /// Words of the bootloader's heap that are not zero.
    pub bootloader_heap: Vec<(u32, alloy_primitives::U256)>,
    /// Slots changed by the batch with their values before it, in canonical order.
    pub changed: Vec<(StorageSlot, B256)>,
}

/// A batch's commitment as this replica computed it, with the hashes between it and the input
/// that cost time to compute again or that others ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchCommitment {
    /// The batch.
    pub number: L1BatchNumber,
    /// What L1 should hold.
    pub commitment: Commitment,
    /// Hash of what the batch leaves to the next one.
    pub pass_through_hash: B256,
    /// Hash of what ran the batch.
    pub meta_hash: B256,
    /// Hash of what the batch did.
    pub aux_hash: B256,
    /// The root over logs for L1 that L1 is told.
    pub l2_to_l1_root: B256,
    /// Parts of the auxiliary hash; absent before v18.
    pub diffs: Option<DiffHashes>,
}

/// Parts of a batch's auxiliary hash, from v18 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffHashes {
    /// Hash of the state diffs.
    pub state_diffs_hash: B256,
    /// Commitment to the bootloader's heap.
    pub heap_hash: B256,
    /// Commitment to the events.
    pub events_queue_hash: B256,
}
