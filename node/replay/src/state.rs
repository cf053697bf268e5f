//! The state after any stored block, as a VM reads it.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_store::{ChainView, StoreFault};
use lockstep_types::{
    B256, BytecodeHash, Bytes, L1BatchNumber, L2BlockNumber, LeafIndex, StorageSlot,
};
use lockstep_vm::{StorageError, VmStorage};

/// The state after a block, with what has been read of it.
#[derive(Debug)]
pub struct StateAt {
    view: Arc<ChainView>,
    block: L2BlockNumber,
    batch: L1BatchNumber,
    values: BTreeMap<StorageSlot, B256>,
    indices: BTreeMap<StorageSlot, Option<LeafIndex>>,
}

impl StateAt {
    /// The state after `block` for something that is run as part of `batch`: slots that `batch` or
    /// a later one wrote first have no index.
    pub fn new(view: Arc<ChainView>, block: L2BlockNumber, batch: L1BatchNumber) -> Self {
        Self { view, block, batch, values: BTreeMap::new(), indices: BTreeMap::new() }
    }

    /// The same state, of which nothing has been read.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(self.view.clone(), self.block, self.batch)
    }

    /// What `slot` holds.
    ///
    /// # Errors
    ///
    /// [`StoreFault`] if the store cannot be read.
    pub fn read(&mut self, slot: &StorageSlot) -> Result<B256, StoreFault> {
        if let Some(known) = self.values.get(slot) {
            return Ok(*known);
        }
        let value = self.view.slot_at(slot, self.block)?;
        self.values.insert(*slot, value);
        Ok(value)
    }

    fn index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StoreFault> {
        if let Some(known) = self.indices.get(slot) {
            return Ok(*known);
        }
        let info = self.view.slot_info(&slot.hashed_key())?;
        let index = info.filter(|info| info.batch < self.batch).map(|info| info.leaf_index);
        self.indices.insert(*slot, index);
        Ok(index)
    }
}

impl VmStorage for StateAt {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        self.read(slot).map_err(storage_error)
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        self.index(slot).map_err(storage_error)
    }

    /// Also bytecodes of later blocks: whether one may be used is written in the state.
    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        let stored = self.view.bytecode(hash).map_err(storage_error)?;
        Ok(stored.map(|stored| stored.code))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn storage_error(fault: StoreFault) -> StorageError {
    StorageError(fault.to_string())
}
