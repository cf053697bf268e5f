//! A [`Vm`], and a [`Simulator`](lockstep_vm::Simulator), of a few hundred lines, for tests and simulations that should take milliseconds.
//!
//! It keeps the promises of the seam and the shape of what the real one leaves behind: nonces,
//! known bytecodes with their events, writes that are undone by further writes, a tip that depends
//! on the root of the batch before, final writes against the state before the batch. What it runs
//! are [programs](Program) in the calldata of transactions. It knows no signatures, balances or
//! fees.
//!
//! - A transaction with a target runs the program in its calldata as the target. Calldata that is
//!   no program reverts.
//! - A transaction without target deploys its calldata as EVM code.
//! - Every transaction adds one to the nonce of its sender, reverted or not.
//! - A simulation runs by itself on the state that it is given; calls do without a nonce. Gas does
//!   not depend on how much there is, so an estimate is one run. Only simulations can be stopped.
//! - Gas: see [`gas`].

mod batch;
mod program;
mod simulator;

use lockstep_types::{FeeInput, ProtocolVersion};
use lockstep_vm::{BatchEnv, BatchLimits, BlockEnv, OpenBatch, Vm, VmError, VmStorage};

pub use self::{
    batch::{evm_account, previous_root_slot},
    program::{Op, Program},
};
use crate::batch::ToyBatch;

/// What running things costs.
pub mod gas {
    /// Every transaction.
    pub const TX: u64 = 1_000;
    /// Every operation of a program.
    pub const OP: u64 = 100;
}

/// Runs batches of toy programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToyVm {
    unknown_from: ProtocolVersion,
}

impl ToyVm {
    /// A VM for all versions below `unknown_from`.
    pub fn new(unknown_from: ProtocolVersion) -> Self {
        Self { unknown_from }
    }
}

impl Default for ToyVm {
    /// A VM for the versions that the real one can run.
    fn default() -> Self {
        Self::new(ProtocolVersion(30))
    }
}

impl Vm for ToyVm {
    fn supports(&self, version: ProtocolVersion) -> bool {
        version < self.unknown_from
    }

    fn limits(&self, version: ProtocolVersion, fees: &FeeInput) -> Result<BatchLimits, VmError> {
        if !self.supports(version) {
            return Err(VmError::UnknownVersion(version));
        }
        let by_pubdata = fees.fair_pubdata_price.unwrap_or(0).div_ceil(50_000);
        Ok(BatchLimits {
            base_fee_per_gas: fees.fair_l2_gas_price.max(by_pubdata),
            gas_per_pubdata_limit: 50_000,
            gas_limit: 1 << 50,
        })
    }

    fn open_batch(
        &self,
        env: BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Box<dyn OpenBatch>, VmError> {
        if !self.supports(env.version) {
            return Err(VmError::UnknownVersion(env.version));
        }
        Ok(Box::new(ToyBatch::new(env, first_block, storage)))
    }
}
