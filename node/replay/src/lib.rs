//! Running stored batches again: to see their transactions from inside, and to check what is
//! stored of them.
//!
//! Everything comes from one view of the store: the state after the batch before, the blocks, the
//! bytecodes, and, from whom the caller names, the root before. Nothing is written. Whatever is run
//! again is compared with what is stored, and a difference is an error that names it.

#![warn(missing_docs)]

mod batch;
mod compare;
mod error;
mod rerun;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod trace;

pub use self::{
    batch::{Replayer, RootOf, StoredBatch, base_contracts},
    error::{Difference, ReplayError},
    rerun::{Rerun, RerunBlock},
    state::StateAt,
    steps::{StepWish, SteppedBlock, SteppedRun},
    trace::{
        AccountState, BatchTraces, BlockTraces, TouchedAccount, TraceWish, TxTrace, trace_bytes,
    },
};
