//! Why the tree could not do what it was asked to.

use lockstep_io::{StoreError, Table};
use lockstep_types::{HashedKey, L1BatchNumber, LeafIndex};

/// Why the tree could not do what it was asked to. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row of the tree is missing, cannot be read, or is not what its parent says. Halt writes.
    #[error("table {table} is corrupt at key {key}: {detail}")]
    Corrupt {
        /// Name of the table.
        table: &'static str,
        /// Key, in hex.
        key: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// A leaf that is there has another index than the write says. Halt writes.
    #[error("leaf {key} has index {recorded} and was given {given}")]
    IndexMismatch {
        /// The leaf.
        key: HashedKey,
        /// Index in the tree.
        recorded: LeafIndex,
        /// Index in the write.
        given: LeafIndex,
    },
    /// New leaves do not continue the indices of the tree. Halt writes.
    #[error("the next new leaf has index {expected}, and {given} was given")]
    IndexGap {
        /// The index that is missing.
        expected: LeafIndex,
        /// What was there instead.
        given: LeafIndex,
    },
    /// Two writes of one batch go to the same leaf.
    #[error("leaf {0} is written twice in one batch")]
    DuplicateKey(HashedKey),
    /// Batches must come one after the other.
    #[error("the tree's next batch is {expected}, and {given} was given")]
    WrongBatch {
        /// The next batch.
        expected: L1BatchNumber,
        /// What came instead.
        given: L1BatchNumber,
    },
    /// The tree as of this batch is not stored: never was, or was pruned or truncated.
    #[error("there is no tree for batch {0}")]
    NoVersion(L1BatchNumber),
    /// The view does not show the tree that is open: it is older, or of another store.
    #[error("the view does not show the tree as of batch {0}")]
    OtherView(L1BatchNumber),
}

impl TreeError {
    pub(crate) fn corrupt(table: Table, key: &[u8], detail: &'static str) -> Self {
        Self::Corrupt { table: table.name, key: hex::encode(key), detail }
    }
}
