//! Errors by what the replica does next.

use lockstep_io::StoreError;
use lockstep_store::StoreFault;
use lockstep_types::{
    B256, Commitment, Difference, L1BatchNumber, L2BlockHash, L2BlockNumber, ProtocolVersion,
    StateRoot,
};
use lockstep_vm::VmError;

/// Somebody outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The chain's sequencer.
    MainNode,
    /// The settlement layer.
    L1,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MainNode => "the main node",
            Self::L1 => "L1",
        })
    }
}

/// Why a step could not go on. Retries and other endpoints have been tried before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// No endpoint answered.
    #[error("{peer} is unavailable: {detail}")]
    Unavailable {
        /// Who did not answer.
        peer: Peer,
        /// What the last endpoint said.
        detail: String,
    },
    /// Every endpoint insists on something that cannot be true.
    #[error("{peer} says what cannot be: {detail}")]
    Lie {
        /// Who says so.
        peer: Peer,
        /// What, with both values.
        detail: String,
    },
    /// This build has no rules for the block.
    #[error(
        "block {block} has protocol version {version}, which this build cannot run: install a \
         release that can and restart; nothing stored is lost"
    )]
    UnknownVersion {
        /// The block.
        block: L2BlockNumber,
        /// Its version.
        version: ProtocolVersion,
    },
    /// Running a batch failed where it did not fail for the main node.
    #[error("execution diverged from the main node: {0}")]
    Execution(VmError),
    /// Our own accounts of one thing differ.
    #[error("block {block}: {detail}")]
    Inconsistent {
        /// The block.
        block: L2BlockNumber,
        /// What differs, with both values.
        detail: String,
    },
    /// The root of a batch is not the one that the main node announces.
    #[error("batch {batch} has root {ours} here and {theirs} at the main node")]
    RootMismatch {
        /// The batch.
        batch: L1BatchNumber,
        /// Computed by this replica.
        ours: StateRoot,
        /// Announced by the main node.
        theirs: StateRoot,
    },
    /// The main node goes on from an earlier batch of ours in another way, for sure.
    #[error(
        "the main node has another chain after batch {last_common}: block {block} is {theirs} there and {ours} here"
    )]
    Reorg {
        /// The newest batch that both have.
        last_common: L1BatchNumber,
        /// A block that differs.
        block: L2BlockNumber,
        /// Its hash here.
        ours: L2BlockHash,
        /// Its hash at the main node.
        theirs: L2BlockHash,
    },
    /// As [`Reorg`](Self::Reorg), but a batch that would go is final on L1.
    #[error(
        "the main node has another chain after batch {last_common}, but batch {final_batch} is executed on L1 for good: block {block} is {theirs} there and {ours} here; nothing is rolled back: find out which of the two L1 holds, and correct --main-node-url if it is ours"
    )]
    ReorgBelowFinal {
        /// The newest batch that both have.
        last_common: L1BatchNumber,
        /// The newest batch that is final.
        final_batch: L1BatchNumber,
        /// A block that differs.
        block: L2BlockNumber,
        /// Its hash here.
        ours: L2BlockHash,
        /// Its hash at the main node.
        theirs: L2BlockHash,
    },
    /// A reorg cannot be followed.
    #[error("a rollback is needed and cannot be made: {0}")]
    RollBackRefused(String),
    /// The operator wants an earlier batch to be the newest.
    #[error("a rollback to batch {0} was asked for")]
    RollBackAsked(L1BatchNumber),
    /// The commitment of a batch is not the one that the main node announces.
    #[error("batch {batch} has commitment {ours} here and {theirs} at the main node")]
    CommitmentMismatch {
        /// The batch.
        batch: L1BatchNumber,
        /// Computed by this replica.
        ours: Commitment,
        /// Announced by the main node.
        theirs: Commitment,
    },
    /// What L1 was told of a batch is not what this replica computed.
    #[error("batch {batch}, commit transaction {tx} on L1: {difference}")]
    L1Mismatch {
        /// The batch.
        batch: L1BatchNumber,
        /// The commit transaction.
        tx: B256,
        /// The first field that differs.
        difference: Difference,
    },
    /// The disk failed or contradicts itself.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The tree in the store contradicts itself.
    #[error("the state tree is damaged: {0}")]
    Tree(String),
    /// A step panicked.
    #[error("{stage} panicked: {message}")]
    Panicked {
        /// Its name.
        stage: &'static str,
        /// What it said.
        message: String,
    },
    /// The process is going down.
    #[error("stopped")]
    Stopped,
}

/// What the shell, or whoever runs it, does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Waits and asks again.
    AskAgain,
    /// Finds out whether the main node has another chain now. If so, rolls back; if not, tries the
    /// same once more, and halts writes when nothing has changed.
    LookForReorg,
    /// Goes back to the end of this batch, and on from there.
    RollBack(L1BatchNumber),
    /// Stores nothing new and keeps serving what is there.
    HaltWrites,
    /// Ends.
    Stop,
}

impl StageError {
    /// What the shell does about it.
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Unavailable { .. } => Reaction::AskAgain,
            Self::Stopped => Reaction::Stop,
            Self::Reorg { last_common, .. } => Reaction::RollBack(*last_common),
            Self::RollBackAsked(to) => Reaction::RollBack(*to),
            // The disk's fault, and not the main node's.
            Self::Execution(VmError::Storage(_)) => Reaction::HaltWrites,
            Self::Lie { peer: Peer::MainNode, .. }
            | Self::UnknownVersion { .. }
            | Self::Execution(_)
            | Self::RootMismatch { .. }
            | Self::CommitmentMismatch { .. }
            | Self::L1Mismatch { .. } => Reaction::LookForReorg,
            Self::Lie { peer: Peer::L1, .. }
            | Self::Inconsistent { .. }
            | Self::ReorgBelowFinal { .. }
            | Self::RollBackRefused(_)
            | Self::Store(_)
            | Self::Tree(_)
            | Self::Panicked { .. } => Reaction::HaltWrites,
        }
    }

    /// A word for logs and for the health report: stable, one a variant, and one for a full disk.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "upstream_unavailable",
            Self::Lie { .. } => "upstream_lie",
            Self::UnknownVersion { .. } => "unknown_protocol_version",
            Self::Execution(VmError::Storage(_)) => "store_failed",
            Self::Execution(_) => "execution_diverged",
            Self::Inconsistent { .. } => "inconsistent",
            Self::RootMismatch { .. } => "root_mismatch",
            Self::Reorg { .. } => "reorg",
            Self::ReorgBelowFinal { .. } => "reorg_below_final",
            Self::RollBackRefused(_) => "rollback_refused",
            Self::RollBackAsked(_) => "roll_back_asked",
            Self::CommitmentMismatch { .. } => "commitment_mismatch",
            Self::L1Mismatch { .. } => "l1_mismatch",
            Self::Store(StoreFault::Disk(StoreError::Full(_))) => "disk_full",
            Self::Store(_) => "store_failed",
            Self::Tree(_) => "tree_damaged",
            Self::Panicked { .. } => "panicked",
            Self::Stopped => "stopped",
        }
    }
}
