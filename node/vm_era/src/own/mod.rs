//! Our own operator around the machine of `zksync_vm2`: batches, calls and traces of protocol
//! versions 24 to 31.
//!
//! The crate gives the machine itself; here is what drives it: the bootloader's memory, the calls
//! of the bootloader to its operator, refunds, pubdata, and programs that stay decoded from one
//! batch or call to the next.

mod batch;
mod bootloaders;
mod caller;
mod encode;
mod estimate;
mod idle;
mod instruction;
mod layout;
mod log_tree;
mod logs;
mod machine;
mod memory;
mod null_pointers;
mod observer;
mod parity;
mod precompiles;
mod programs;
mod refund;
mod refusal;
mod sealed_cell;
mod simulate;
mod static_memory;
mod stepper;
mod trials;
mod words;
mod world;

#[cfg(test)]
mod dumps;

pub(crate) use self::{
    batch::{GAS_PER_PUBDATA_MAX, OwnBatch, Shared, base_fee},
    idle::{IDLE_MAX, Idle},
    layout::{BATCH_GAS_LIMIT, Layout, NEWEST},
    log_tree::KnownMessengers,
    programs::Programs,
    simulate::Simulation,
};
pub use self::{bootloaders::Bootloaders, programs::ProgramCacheStats};
