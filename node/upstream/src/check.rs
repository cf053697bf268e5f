//! What can be checked of a block without the chain's state.

use lockstep_types::{
    ChainId, FetchedBlock, L2BlockHash, L2BlockNumber, Transaction,
    block::{BlockHashInput, block_hash},
};
use lockstep_wire::{Checked, SyncBlock, SyncBlockParts, TxMismatch, WireError, check_transaction};
use tracing::debug;

/// Why a block is not what it claims to be. Ask again, elsewhere if possible; if every endpoint
/// insists, halt writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockLie {
    /// Something cannot be read, or is missing although the block's version demands it.
    #[error(transparent)]
    Unreadable(#[from] WireError),
    /// It is another block.
    #[error("block {expected} was asked for, the answer is block {got}")]
    OtherNumber {
        /// Number that was asked for.
        expected: L2BlockNumber,
        /// Number of the answer.
        got: L2BlockNumber,
    },
    /// It came without transactions, not even an empty list.
    #[error("block {0} came without its transactions")]
    NoTransactions(L2BlockNumber),
    /// Only a fictive block has none.
    #[error("block {0} has no transactions, and is not the last of its batch")]
    Empty(L2BlockNumber),
    /// A fictive block has neither transactions nor interop roots.
    #[error("block {block} ends its batch, and has {what}")]
    NotEmpty {
        /// The block.
        block: L2BlockNumber,
        /// What it must not have.
        what: &'static str,
    },
    /// A transaction does not have the hash that it is said to have, or contradicts what was
    /// signed.
    #[error("block {block}, index {index}: {source}")]
    Transaction {
        /// The block.
        block: L2BlockNumber,
        /// Index in the block.
        index: usize,
        /// What is wrong.
        source: TxMismatch,
    },
    /// The block does not have the hash that it is said to have: something in it is wrong, or it
    /// has another parent than the block that is here.
    #[error("block {block} is said to have hash {claimed}, and has {computed} on top of {parent}")]
    Hash {
        /// The block.
        block: L2BlockNumber,
        /// The parent that was assumed.
        parent: L2BlockHash,
        /// As the main node says.
        claimed: L2BlockHash,
        /// As it follows from number, timestamp, parent and transactions.
        computed: L2BlockHash,
    },
}

/// Checks what can be checked of a block without the chain's state: its number, its form, each
/// transaction against its own hash, and the block's hash, given its parent's.
///
/// Costs a few hashes and a signature recovery for each transaction: run it as a CPU job.
///
/// # Errors
///
/// [`BlockLie`] says what is wrong. [`BlockLie::Hash`] is also what a reorg looks like.
pub fn check_block(
    block: SyncBlock,
    expected: L2BlockNumber,
    parent: L2BlockHash,
    chain_id: ChainId,
) -> Result<FetchedBlock, BlockLie> {
    let got = L2BlockNumber(block.number);
    if got != expected {
        return Err(BlockLie::OtherNumber { expected, got });
    }
    let SyncBlockParts { params, claimed_hash, transactions } = block.try_into()?;
    let transactions = transactions.ok_or(BlockLie::NoTransactions(got))?;
    match (params.is_fictive, transactions.is_empty()) {
        (false, true) => return Err(BlockLie::Empty(got)),
        (true, false) => return Err(BlockLie::NotEmpty { block: got, what: "transactions" }),
        (true, true) if !params.interop_roots.is_empty() => {
            return Err(BlockLie::NotEmpty { block: got, what: "interop roots" });
        }
        (true, true) | (false, false) => {}
    }
    for (index, tx) in transactions.iter().enumerate() {
        match check_transaction(tx, chain_id) {
            Ok(Checked::Whole) => {}
            Ok(Checked::HashOnlyTrusted) => {
                debug!(block = got.0, index, hash = %tx.hash(), "no signed bytes to check");
            }
            Err(source) => return Err(BlockLie::Transaction { block: got, index, source }),
        }
    }
    let tx_hashes: Vec<_> = transactions.iter().map(Transaction::hash).collect();
    let input = BlockHashInput {
        number: params.number,
        timestamp: params.timestamp,
        parent,
        tx_hashes: &tx_hashes,
    };
    let computed = block_hash(&input, params.version);
    let computed = lockstep_io::planted!("X16", computed, claimed_hash.unwrap_or(computed));
    // Inside of a batch.
    let last_word = || claimed_hash.filter(|_| !params.is_fictive).unwrap_or(computed);
    let computed = lockstep_io::planted!("X23", computed, last_word());
    match claimed_hash {
        Some(claimed) if lockstep_io::planted!("X21", claimed != computed, false) => {
            Err(BlockLie::Hash { block: got, parent, claimed, computed })
        }
        Some(_) | None => Ok(FetchedBlock { params, hash: computed, parent, transactions }),
    }
}
