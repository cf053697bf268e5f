//! Why a batch could not be run again, or what came out differently.

use std::fmt;

use lockstep_store::StoreFault;
use lockstep_types::{L1BatchNumber, L2BlockNumber, TxHash};
use lockstep_vm::VmError;

/// Longest text of a value in a [`Difference`], characters.
const SHOWN_MAX: usize = 300;

/// Why a batch was not run to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The store cannot be read or lacks a row.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The VM cannot go on.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// There is no such batch, or it is genesis, which is made and not run.
    #[error("batch {0} is not stored, or is genesis and cannot be run")]
    NoBatch(L1BatchNumber),
    /// The batch is open still.
    #[error("batch {0} is not sealed yet")]
    Open(L1BatchNumber),
    /// The root after a batch is an input of the next one, and is not there.
    #[error("the state tree does not have batch {0} yet; wait until it has")]
    NoRoot(L1BatchNumber),
    /// The root after a batch cannot be read.
    #[error("the root of batch {batch} cannot be read: {reason}")]
    BadRoot {
        /// The batch.
        batch: L1BatchNumber,
        /// What the tree says.
        reason: String,
    },
    /// Running gave something else than what is stored.
    #[error(transparent)]
    Differs(#[from] Difference),
    /// The traces of one block take more memory than they may.
    #[error("the traces of block {block} take more than {bytes_max} bytes")]
    TooLarge {
        /// The block.
        block: L2BlockNumber,
        /// The limit.
        bytes_max: usize,
    },
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
}

/// What running gave and what is stored, where they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The block; for what belongs to the whole batch, its last one.
    pub block: L2BlockNumber,
    /// The transaction, if it belongs to one.
    pub tx: Option<TxHash>,
    /// What differs.
    pub what: &'static str,
    /// What running gave, shortened.
    pub run: String,
    /// What is stored, shortened.
    pub stored: String,
}

impl Difference {
    /// Nothing if both are equal.
    pub(crate) fn check<T: fmt::Debug + PartialEq>(
        block: L2BlockNumber,
        tx: Option<TxHash>,
        what: &'static str,
        run: &T,
        stored: &T,
    ) -> Result<(), Self> {
        if run == stored {
            return Ok(());
        }
        Err(Self { block, tx, what, run: shown(run), stored: shown(stored) })
    }

    /// Names the first item that differs instead of two whole lists.
    pub(crate) fn check_list<T: fmt::Debug + PartialEq>(
        block: L2BlockNumber,
        tx: Option<TxHash>,
        what: &'static str,
        run: &[T],
        stored: &[T],
    ) -> Result<(), Self> {
        let first = run.iter().zip(stored).position(|(run, stored)| run != stored);
        let index = match first {
            Some(index) => index,
            None if run.len() == stored.len() => return Ok(()),
            None => run.len().min(stored.len()),
        };
        let item = |list: &[T]| match list.get(index) {
            Some(item) => format!("{} at {index} of {}", shown(item), list.len()),
            None => format!("only {}", list.len()),
        };
        Err(Self { block, tx, what, run: item(run), stored: item(stored) })
    }
}

fn shown(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, tx, what, run, stored } = self;
        write!(f, "running again differs in block {block}")?;
        if let Some(tx) = tx {
            write!(f, ", transaction {tx}")?;
        }
        write!(f, ": {what}: {run} when run, {stored} stored")
    }
}

impl std::error::Error for Difference {}
