//! The protocol's words as plain data: numbers, hashes, blocks, batches, transactions, outcomes.
//!
//! Nothing here knows JSON, disk formats or the VM. Types whose name says how far data has come
//! ([`FetchedBlock`], [`SealedBatch`], [`RootedBatch`]) are made by one component each and say
//! what has been checked by then.

#![warn(missing_docs)]

pub mod address;
pub mod batch;
pub mod block;
pub mod bytecode;
pub mod commit_info;
pub mod hash;
pub mod l1;
pub mod log;
pub mod number;
pub mod outcome;
pub mod quirk;
pub mod storage;
pub mod transaction;
pub mod version;

pub use alloy_primitives::{self, Address, B256, Bloom, BloomInput, Bytes, U256, keccak256};

pub use self::{
    batch::{
        BatchCommitment, BatchHeader, BatchWrite, CommitmentInputs, DiffHashes, RootedBatch,
        SealedBatch,
    },
    block::{
        BaseSystemContracts, BlockHeader, BlockParams, BlockToRun, DaValidator, FeeInput,
        FetchedBlock, InteropRoot, PubdataParams, PubdataType, SettlementLayer,
    },
    commit_info::{CommitBody, CommitDiffs, CommitInfo, CommitLists, Difference},
    hash::{BytecodeHash, Commitment, HashedKey, L2BlockHash, StateRoot, TxHash},
    l1::{BatchClaim, BatchSteps, Finality, L1Check, StepKind, StepTx},
    log::{Event, L2ToL1Log},
    number::{ChainId, L1BatchNumber, L2BlockNumber, LeafIndex, UnixSeconds},
    outcome::{BatchTip, Receipt, TxOutcome, TxStatus, status_hash},
    quirk::{BadQuirk, Quirk, QuirkCheck, Quirks},
    storage::{StorageSlot, StorageWrite},
    transaction::{
        Execute, Fee, L2Common, ObsoletePriority, PaymasterParams, PriorityCommon, Transaction,
        TxCommon, TxType, UpgradeCommon,
    },
    version::ProtocolVersion,
};
