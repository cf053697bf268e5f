//! Checking what is stored again: without a network, and against L1.

mod blocks;
mod commitments;
mod l1;
mod tree;

use lockstep_commitment::CommitmentError;
use lockstep_store::StoreFault;
use lockstep_tree::TreeError;
use lockstep_types::L1BatchNumber;

pub(crate) use self::commitments::Stored;
pub use self::{
    blocks::{check_blocks, check_numbers},
    commitments::{CommitmentCheck, check_commitment},
    l1::{L1Check, L1Verifier, L1VerifierConfig},
    tree::check_tree,
};

/// Why a batch could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store cannot be read or lacks a row.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What is stored gives no commitment.
    #[error("batch {batch}: {source}")]
    Commitment {
        /// The batch.
        batch: L1BatchNumber,
        /// What is wrong.
        source: CommitmentError,
    },
}

/// Something stored that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The batch.
    pub batch: L1BatchNumber,
    /// What is wrong, in a sentence with both values where there are two.
    pub what: String,
}

fn needed<T>(row: Option<T>, table: lockstep_io::Table, key: &[u8]) -> Result<T, StoreFault> {
    row.ok_or_else(|| StoreFault::corrupt(table, key, "it is missing"))
}
