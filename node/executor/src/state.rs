//! The state that a batch is run on: a frozen view at the end of the batch before.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_store::{ChainView, StoreFault};
use lockstep_types::{B256, BytecodeHash, Bytes, L2BlockNumber, LeafIndex, StorageSlot};
use lockstep_vm::{StorageError, VmStorage};

/// State after `block`, which ends a batch, with what has been read of it.
#[derive(Debug)]
pub(crate) struct StateAfter {
    view: Arc<ChainView>,
    block: L2BlockNumber,
    seen: BTreeMap<StorageSlot, (Option<LeafIndex>, B256)>,
    /// Bytecodes that are not in the view.
    bytecodes: BTreeMap<BytecodeHash, Bytes>,
}

impl StateAfter {
    pub(crate) fn new(
        view: Arc<ChainView>,
        block: L2BlockNumber,
        bytecodes: BTreeMap<BytecodeHash, Bytes>,
    ) -> Self {
        Self { view, block, seen: BTreeMap::new(), bytecodes }
    }

    /// Index and value of `slot`.
    pub(crate) fn read(
        &mut self,
        slot: &StorageSlot,
    ) -> Result<(Option<LeafIndex>, B256), StoreFault> {
        if let Some(known) = self.seen.get(slot) {
            return Ok(*known);
        }
        let key = slot.hashed_key();
        // A slot without an index is zero at the end of every batch: no need to look for a value.
        let read = match self.view.slot_info(&key)? {
            Some(info) => (Some(info.leaf_index), self.view.value_at(&key, self.block)?),
            None => (None, B256::ZERO),
        };
        self.seen.insert(*slot, read);
        Ok(read)
    }
}

impl VmStorage for StateAfter {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        self.read(slot).map(|(_, value)| value).map_err(storage_error)
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        self.read(slot).map(|(index, _)| index).map_err(storage_error)
    }

    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        if let Some(code) = self.bytecodes.get(hash) {
            return Ok(Some(code.clone()));
        }
        let stored = self.view.bytecode(hash).map_err(storage_error)?;
        Ok(stored.map(|stored| stored.code))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn storage_error(fault: StoreFault) -> StorageError {
    StorageError(fault.to_string())
}
