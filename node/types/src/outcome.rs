//! What running transactions gives.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

use crate::{Event, L2ToL1Log, StorageSlot, StorageWrite, TxHash};

/// How a transaction that is part of a block ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxStatus {
    /// It did what it was asked to.
    Success,
    /// It was undone, and paid for the attempt.
    Reverted {
        /// Why, in the reference node's words.
        reason: String,
    },
}

/// Adds a transaction to the chain of hashes over how the transactions of a batch ended, which
/// begins with zero. From v29 on, precommits and a system log tell it.
pub fn status_hash(before: B256, tx: TxHash, status: &TxStatus) -> B256 {
    let succeeded = match status {
        TxStatus::Success => 1,
        TxStatus::Reverted { .. } => 0,
    };
    let ended = keccak256([&tx.0[..], &[succeeded]].concat());
    keccak256([before.0, ended.0].concat())
}

/// What a transaction left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    /// How it ended.
    pub status: TxStatus,
    /// Gas given back; used gas is the limit minus this.
    pub gas_refunded: u64,
    /// Events, in order of emission.
    pub events: Vec<Event>,
    /// Logs of users for L1, in order of emission.
    pub l2_to_l1_logs: Vec<L2ToL1Log>,
    /// Writes in order of execution. A write that was undone is followed by one that puts the old
    /// value back, so the last write of a slot says what it holds.
    pub writes: Vec<StorageWrite>,
    /// Bytecodes that the VM made (EVM deployments), as stored, by versioned hash.
    pub made_bytecodes: Vec<(B256, Bytes)>,
}

/// What is kept of a transaction's run, or of the fictive block's own share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How it ended.
    pub status: TxStatus,
    /// Gas given back; used gas is the limit minus this.
    pub gas_refunded: u64,
    /// Contract that the transaction was to deploy, by the reference node's rule; also when it
    /// failed.
    pub contract_address: Option<Address>,
    /// Index in the block of the first event.
    pub first_event_index: u32,
    /// Events, in order of emission.
    pub events: Vec<Event>,
    /// Index in the block of the first L2→L1 log.
    pub first_l2_to_l1_log_index: u32,
    /// Logs of users for L1, in order of emission.
    pub l2_to_l1_logs: Vec<L2ToL1Log>,
}

/// What ending a batch adds: the fictive block's share, and what is known of the batch as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchTip {
    /// Events of the fictive block.
    pub events: Vec<Event>,
    /// Logs of users for L1 in the fictive block.
    pub l2_to_l1_logs: Vec<L2ToL1Log>,
    /// Writes of the fictive block, as in [`TxOutcome::writes`].
    pub writes: Vec<StorageWrite>,
    /// System logs of the batch, in order of emission (from v18 on).
    pub system_logs: Vec<L2ToL1Log>,
    /// Final values of the slots that the batch changed, in canonical order: the VM's own account,
    /// to be compared with the one kept by block.
    pub final_writes: Vec<(StorageSlot, B256)>,
    /// Pubdata of the batch (from v18 on).
    pub pubdata: Option<Bytes>,
    /// Words of the bootloader's heap that are not zero, by word index in ascending order.
    pub bootloader_heap: Vec<(u32, U256)>,
}
