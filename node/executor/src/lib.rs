//! `FetchedBlock` to `SealedBatch`: runs blocks in the VM, persists each as soon as it is run, and
//! seals batches.
//!
//! A block is persisted with its state, receipts and cursors in one write set; the last block of a
//! batch brings the batch along. After a restart the stored blocks of the open batch are run again
//! and must give the receipts that are stored.

#![warn(missing_docs)]

mod changes;
mod contract_address;
mod open_batch;
mod seal;
mod stage;
mod state;
#[cfg(test)]
mod tests;

pub use self::{
    open_batch::{OpenRun, RunBlock},
    stage::{Executor, Progress},
};
