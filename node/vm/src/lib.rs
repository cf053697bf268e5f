//! The seam between the node and what runs transactions.
//!
//! The executor opens a batch, runs its blocks transaction by transaction, and seals it. An
//! implementation computes and nothing else: it reads state through [`VmStorage`], writes nowhere,
//! and gives the same outcome for the same inputs and reads.

#![warn(missing_docs)]

mod simulate;
mod steps;
mod trace;

use std::{fmt, sync::Arc};

use lockstep_types::{
    Address, B256, BatchTip, BytecodeHash, Bytes, ChainId, FeeInput, InteropRoot, L1BatchNumber,
    L2BlockHash, L2BlockNumber, LeafIndex, ProtocolVersion, PubdataParams, SettlementLayer,
    StateRoot, StorageSlot, Transaction, TxOutcome, U256, UnixSeconds,
};

pub use self::{
    simulate::{
        EstimateRules, Estimated, GasEstimate, Simulated, SimulatedKind, SimulatedTx,
        SimulationEnd, SimulationEnv, Simulator, Stop,
    },
    steps::{Step, StepRules, SteppedTx, Steps},
    trace::{CallFrame, CallKind, TouchedSlot, Trace, TracedTx},
};

/// A bytecode with its versioned hash. The hash was checked against the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Versioned hash.
    pub hash: BytecodeHash,
    /// Code, as stored.
    pub code: Bytes,
}

/// The bytecodes that run a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseContracts {
    /// The bootloader.
    pub bootloader: Contract,
    /// Code of accounts without code.
    pub default_account: Contract,
    /// The EVM emulator, where the chain has one.
    pub evm_emulator: Option<Contract>,
}

/// What holds for a whole batch.
#[derive(Clone, Debug)]
pub struct BatchEnv {
    /// The chain.
    pub chain_id: ChainId,
    /// Rules of the batch.
    pub version: ProtocolVersion,
    /// Number of the batch.
    pub number: L1BatchNumber,
    /// When it was opened: the timestamp of its first block.
    pub timestamp: UnixSeconds,
    /// Root of the state tree after the batch before.
    pub previous_root: StateRoot,
    /// Prices of the batch.
    pub fee_input: FeeInput,
    /// Receives the fees.
    pub fee_account: Address,
    /// Bytecodes of the batch.
    pub base_contracts: Arc<BaseContracts>,
    /// How pubdata is published.
    pub pubdata_params: PubdataParams,
    /// Where the batch settles (from v31 on).
    pub settlement_layer: Option<SettlementLayer>,
    /// Fee for interop calls (from v31 on).
    pub interop_fee: U256,
}

/// What a block adds to its batch.
#[derive(Clone, Debug)]
pub struct BlockEnv {
    /// Number of the block.
    pub number: L2BlockNumber,
    /// When it was made.
    pub timestamp: UnixSeconds,
    /// Hash of the block before.
    pub parent: L2BlockHash,
    /// Virtual blocks that begin with this block.
    pub virtual_block_count: u32,
    /// Message roots that become known in this block, in order.
    pub interop_roots: Vec<InteropRoot>,
}

/// What a batch is run on: the state after the batch before, plus known bytecodes.
///
/// Nothing that the open batch writes shows here; the VM keeps that itself.
pub trait VmStorage: fmt::Debug + Send {
    /// What `slot` holds; zero if it was never written.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the store cannot be read. The batch cannot go on then.
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError>;

    /// The index of `slot`; `None` if it was never written.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError>;

    /// The bytecode with this versioned hash, as stored; `None` if it is not known.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError>;
}

/// The store could not be read while a batch ran.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state cannot be read: {0}")]
pub struct StorageError(pub String);

/// Why a batch cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VmError {
    /// This build has no VM for the version. Nothing was run.
    #[error("this build cannot run protocol version {0}")]
    UnknownVersion(ProtocolVersion),
    /// The VM refused a transaction that the main node included.
    #[error(
        "transaction {index_in_batch} of batch {batch} ({tx_hash}) cannot be in a block: {reason}"
    )]
    Halted {
        /// The batch.
        batch: L1BatchNumber,
        /// Position of the transaction in the batch.
        index_in_batch: u32,
        /// The transaction.
        tx_hash: lockstep_types::TxHash,
        /// The VM's words.
        reason: String,
    },
    /// The end of the batch failed.
    #[error("batch {batch} cannot be sealed: {reason}")]
    TipFailed {
        /// The batch.
        batch: L1BatchNumber,
        /// The VM's words.
        reason: String,
    },
    /// A bytecode or value given by the caller is unusable.
    #[error("batch {batch} has unusable input: {reason}")]
    BadInput {
        /// The batch.
        batch: L1BatchNumber,
        /// What is wrong.
        reason: String,
    },
    /// State could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Two VMs ran the batch and disagree (shadow mode).
    #[error("batch {batch}: two VMs disagree: {difference}")]
    Diverged {
        /// The batch.
        batch: L1BatchNumber,
        /// What differs, with both values.
        difference: String,
    },
}

/// Prices and limits that follow from a batch's environment by the rules of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Price of a unit of gas, wei.
    pub base_fee_per_gas: u64,
    /// Gas for a byte of pubdata, at most.
    pub gas_per_pubdata_limit: u64,
    /// Gas of a batch.
    pub gas_limit: u64,
}

/// Runs batches of some range of protocol versions.
pub trait Vm: fmt::Debug + Send + Sync {
    /// Whether this build can run batches of `version`.
    fn supports(&self, version: ProtocolVersion) -> bool;

    /// Prices and limits of a batch.
    ///
    /// # Errors
    ///
    /// [`VmError::UnknownVersion`].
    fn limits(
        &self,
        version: ProtocolVersion,
        fee_input: &FeeInput,
    ) -> Result<BatchLimits, VmError>;

    /// Opens a batch with its first block.
    ///
    /// # Errors
    ///
    /// [`VmError::UnknownVersion`], [`VmError::BadInput`] or [`VmError::Storage`].
    fn open_batch(
        &self,
        env: BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Box<dyn OpenBatch>, VmError>;
}

/// A batch that is being run.
pub trait OpenBatch: fmt::Debug + Send {
    /// Starts the next block: any but the first, the fictive block included.
    ///
    /// # Errors
    ///
    /// [`VmError`]; the batch must be dropped then.
    fn start_block(&mut self, env: BlockEnv) -> Result<(), VmError>;

    /// Runs a transaction in the current block.
    ///
    /// # Errors
    ///
    /// [`VmError`]; the batch must be dropped then.
    fn run_tx(&mut self, tx: &Transaction) -> Result<TxOutcome, VmError>;

    /// As [`run_tx`](Self::run_tx), and tells what it saw.
    ///
    /// # Errors
    ///
    /// [`VmError`]; the batch must be dropped then.
    fn run_tx_traced(&mut self, tx: &Transaction) -> Result<TracedTx, VmError>;

    /// As [`run_tx`](Self::run_tx), and tells its instructions, if this VM shows any.
    ///
    /// # Errors
    ///
    /// [`VmError`]; the batch must be dropped then.
    fn run_tx_stepped(
        &mut self,
        tx: &Transaction,
        _rules: &StepRules,
    ) -> Result<SteppedTx, VmError> {
        Ok(SteppedTx { outcome: self.run_tx(tx)?, output: Bytes::new(), steps: None })
    }

    /// What `slot` holds now, between two transactions.
    ///
    /// # Errors
    ///
    /// [`VmError::Storage`], or [`VmError::BadInput`] if the batch failed before.
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, VmError>;

    /// Ends the batch. The current block must be the fictive one.
    ///
    /// # Errors
    ///
    /// [`VmError`].
    fn seal(self: Box<Self>) -> Result<BatchTip, VmError>;
}
