//! What a batch has changed so far, by block.

use std::collections::BTreeMap;

use lockstep_store::StoreFault;
use lockstep_types::{B256, HashedKey, StorageSlot, StorageWrite};

use crate::state::StateAfter;

/// A slot that the batch has written.
#[derive(Clone, Copy, Debug)]
struct Written {
    before_batch: B256,
    now: B256,
}

/// Slots that the batch has written, with what they held before it and what they hold now.
#[derive(Debug)]
pub(crate) struct Changes {
    state: StateAfter,
    slots: BTreeMap<StorageSlot, Written>,
}

impl Changes {
    pub(crate) fn new(state: StateAfter) -> Self {
        Self { state, slots: BTreeMap::new() }
    }

    /// What `slot` holds now.
    pub(crate) fn value(&mut self, slot: &StorageSlot) -> Result<B256, StoreFault> {
        match self.slots.get(slot) {
            Some(written) => Ok(written.now),
            None => self.state.read(slot).map(|(_, value)| value),
        }
    }

    /// Takes the writes of a whole block and gives the slots that it changed with what they hold
    /// after it, ascending by key.
    pub(crate) fn end_block(
        &mut self,
        writes: Vec<StorageWrite>,
    ) -> Result<Vec<(HashedKey, B256)>, StoreFault> {
        let last: BTreeMap<_, _> =
            writes.into_iter().map(|write| (write.slot, write.value)).collect();
        let mut changed = Vec::new();
        for (slot, value) in last {
            let before_block = self.value(&slot)?;
            if before_block == value {
                continue;
            }
            let written = self.slots.entry(slot);
            written
                .and_modify(|written| written.now = value)
                .or_insert(Written { before_batch: before_block, now: value });
            changed.push((slot.hashed_key(), value));
        }
        changed.sort_unstable();
        Ok(changed)
    }

    /// Slots whose value after the batch is not the one before it, in canonical order, as
    /// `(slot, before, after)`.
    pub(crate) fn of_batch(&self) -> impl Iterator<Item = (StorageSlot, B256, B256)> + '_ {
        let differing =
            self.slots.iter().filter(|(_, written)| written.before_batch != written.now);
        differing.map(|(slot, written)| (*slot, written.before_batch, written.now))
    }

    /// The state that the batch is run on.
    pub(crate) fn state(&mut self) -> &mut StateAfter {
        &mut self.state
    }
}
