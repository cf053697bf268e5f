//! A stored batch, and what it was run with.

use std::{fmt, sync::Arc};

use lockstep_store::{ChainIdentity, ChainView, StoreFault, tables};
use lockstep_types::{
    BaseSystemContracts, BlockHeader, BytecodeHash, L1BatchNumber, L2BlockNumber, StateRoot, U256,
};
use lockstep_vm::{BaseContracts, BatchEnv, BlockEnv, Contract, OpenBatch, Vm};

use crate::{error::ReplayError, state::StateAt};

/// Tells the root of the state tree after a batch; `None` if the tree does not have it.
pub type RootOf =
    dyn Fn(&ChainView, L1BatchNumber) -> Result<Option<StateRoot>, String> + Send + Sync;

/// Runs stored batches again.
#[derive(Clone)]
pub struct Replayer {
    pub(crate) vm: Arc<dyn Vm>,
    roots: Arc<RootOf>,
}

impl fmt::Debug for Replayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer").field("vm", &self.vm).finish_non_exhaustive()
    }
}

/// Which blocks a stored batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Number of the batch.
    pub number: L1BatchNumber,
    /// First block.
    pub first_block: L2BlockNumber,
    /// Last block that is stored; in a sealed batch the fictive one.
    pub last_block: L2BlockNumber,
    /// Whether it is sealed.
    pub is_sealed: bool,
}

impl StoredBatch {
    /// The batch `number`, sealed or open; `None` if no block of it is stored.
    ///
    /// # Errors
    ///
    /// [`StoreFault`] if the store cannot be read.
    pub fn find(view: &ChainView, number: L1BatchNumber) -> Result<Option<Self>, StoreFault> {
        if let Some(header) = view.batch(number)? {
            let (first_block, last_block) = (header.first_block, header.last_block);
            return Ok(Some(Self { number, first_block, last_block, is_sealed: true }));
        }
        let (Some(before), Some(head)) = (number.prev(), view.head()?) else { return Ok(None) };
        let Some(before) = view.batch(before)? else { return Ok(None) };
        let first_block = before.last_block.next();
        Ok((first_block <= head).then_some(Self {
            number,
            first_block,
            last_block: head,
            is_sealed: false,
        }))
    }

    /// Its blocks, in order.
    pub fn blocks(&self) -> impl Iterator<Item = L2BlockNumber> + use<> {
        (self.first_block.0..=self.last_block.0).map(L2BlockNumber)
    }
}

/// The header of a block that must be there.
pub(crate) fn header_of(
    view: &ChainView,
    number: L2BlockNumber,
) -> Result<BlockHeader, StoreFault> {
    view.block(number)?.ok_or_else(|| {
        StoreFault::corrupt(tables::BLOCKS, &number.0.to_be_bytes(), "it is missing")
    })
}

/// The bytecodes of `hashes`, which the store must have.
///
/// # Errors
///
/// [`StoreFault`] if the store cannot be read or lacks one of them.
pub fn base_contracts(
    view: &ChainView,
    hashes: &BaseSystemContracts,
) -> Result<BaseContracts, StoreFault> {
    let load = |hash: BytecodeHash| match view.bytecode(&hash)? {
        Some(stored) => Ok(Contract { hash, code: stored.code }),
        None => {
            let detail = "the code of a base system contract is missing";
            Err(StoreFault::corrupt(tables::BYTECODES, hash.bytes(), detail))
        }
    };
    Ok(BaseContracts {
        bootloader: load(hashes.bootloader)?,
        default_account: load(hashes.default_account)?,
        evm_emulator: hashes.evm_emulator.map(load).transpose()?,
    })
}

/// What `header` adds to its batch.
pub(crate) fn block_env(header: &BlockHeader) -> BlockEnv {
    BlockEnv {
        number: header.params.number,
        timestamp: header.params.timestamp,
        parent: header.parent,
        virtual_block_count: header.params.virtual_block_count,
        interop_roots: header.params.interop_roots.clone(),
    }
}

impl Replayer {
    /// Runs batches in `vm`; `roots` is asked for the root before a batch.
    pub fn new(vm: Arc<dyn Vm>, roots: Arc<RootOf>) -> Self {
        Self { vm, roots }
    }

    /// The environment of a stored batch other than genesis, sealed or open.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]: what is missing.
    pub fn batch_env(
        &self,
        view: &ChainView,
        batch: &StoredBatch,
    ) -> Result<BatchEnv, ReplayError> {
        let number = batch.number;
        let before = number.prev().ok_or(ReplayError::NoBatch(number))?;
        let root = (self.roots)(view, before)
            .map_err(|reason| ReplayError::BadRoot { batch: before, reason })?;
        let params = header_of(view, batch.first_block)?.params;
        Ok(BatchEnv {
            chain_id: identity(view)?.l2_chain_id,
            version: params.version,
            number,
            timestamp: params.timestamp,
            previous_root: root.ok_or(ReplayError::NoRoot(before))?,
            fee_input: params.fee_input,
            fee_account: params.fee_account,
            base_contracts: Arc::new(base_contracts(view, &params.base_system_contracts)?),
            pubdata_params: params.pubdata_params,
            settlement_layer: params.settlement_layer,
            interop_fee: params.interop_fee.unwrap_or(U256::ZERO),
        })
    }

    /// Opens a stored batch with its first block, on the state after the batch before.
    pub(crate) fn open(
        &self,
        view: &Arc<ChainView>,
        batch: &StoredBatch,
    ) -> Result<Box<dyn OpenBatch>, ReplayError> {
        let env = self.batch_env(view, batch)?;
        let first = header_of(view, batch.first_block)?;
        let storage = Box::new(state_before(view, batch)?);
        Ok(self.vm.open_batch(env, block_env(&first), storage)?)
    }
}

/// The state that `batch` is run on.
pub(crate) fn state_before(
    view: &Arc<ChainView>,
    batch: &StoredBatch,
) -> Result<StateAt, ReplayError> {
    let before = batch.first_block.prev().ok_or(ReplayError::NoBatch(batch.number))?;
    Ok(StateAt::new(view.clone(), before, batch.number))
}

fn identity(view: &ChainView) -> Result<ChainIdentity, StoreFault> {
    view.identity()?
        .ok_or_else(|| StoreFault::corrupt(tables::META, b"chain", "there is no genesis yet"))
}
