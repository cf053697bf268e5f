//! Typed tables over io's store.
//!
//! [`ChainView`] reads, consistently; the writers write, each its own tables. All of them share
//! one store with one log, so what was written later is never there without what was written
//! before, across every table and in every crash.

#![warn(missing_docs)]

mod closed;
pub mod codec;
pub mod error;
pub mod rollback;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod view;
pub mod writers;

pub use self::{
    codec::{ChainIdentity, SlotInfo, StoredBytecode, TxPosition},
    error::{StoreFault, StoreResult},
    rollback::RollbackWriter,
    view::{ChainView, Views},
    writers::{
        BatchRecord, BlockRecord, ChainWriter, ClaimsWriter, CommitmentsWriter, Genesis,
        L1ChecksWriter, SharedWriter, StepsWriter, TreeWriter, Writers, open,
    },
};

/// Number of the layouts in [`codec`]. A data directory with another one is refused.
pub const LAYOUT: u32 = 1;
