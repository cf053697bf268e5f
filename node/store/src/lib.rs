//! Typed tables over io's store.
//!
//! [`ChainView`] reads, consistently; the writers write, each its own tables. All of them share
//! one store with one log, so what was written later is never there without what was written
//! before, across every table and in every crash.

#![warn(missing_docs)]

mod closed;
pub mod codec;
pub mod error;
pub mod frugal;
pub mod logs;
pub mod recent;
pub mod rollback;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod view;
pub mod writers;

pub use self::{
    codec::{ChainIdentity, LogRole, SlotInfo, StoredBytecode, TxPosition, log_rows},
    error::{StoreFault, StoreResult},
    frugal::Shortfall,
    logs::{LogCandidates, LogClause, LogStep},
    recent::{Recent, RecentLoad},
    rollback::RollbackWriter,
    view::{ChainView, Views},
    writers::{
        BatchRecord, BlockRecord, ChainWriter, ClaimsWriter, CommitmentsWriter, Genesis,
        L1ChecksWriter, SharedWriter, StepsWriter, TreeWriter, Writers, open,
    },
};

/// Number of the layouts in [`codec`]. A data directory with another one is refused.
pub const LAYOUT: u32 = 2;
