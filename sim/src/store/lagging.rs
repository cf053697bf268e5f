//! The durable part of the disk: a second store, which every write set reaches when it is synced.

use std::collections::BTreeMap;

use lockstep_io::{
    Durability, Schema, Seq, StoreError, StoreName, Stores, WriteSet, store::OpenStore,
};
use lockstep_io_memory::MemoryStores;

/// What would be left if the power were lost now, and what would not for sure.
#[derive(Debug, Default)]
pub(super) struct Lagging {
    stores: MemoryStores,
    schemas: BTreeMap<StoreName, Schema>,
    open: BTreeMap<StoreName, OpenStore>,
    /// Written and not synced, oldest first.
    pending: Vec<(StoreName, WriteSet)>,
    seq: Seq,
}

impl Lagging {
    /// Everything on `live` is durable.
    pub(super) fn reset(&mut self, live: &MemoryStores) {
        self.pending.clear();
        self.open.clear();
        self.stores = live.image();
    }

    /// The store called `name` has been opened: its tables are durable.
    pub(super) fn opened(&mut self, name: &StoreName, schema: &Schema) -> Result<(), StoreError> {
        if self.schemas.insert(name.clone(), schema.clone()).as_ref() != Some(schema) {
            self.sync()?;
            self.open.remove(name);
        }
        self.open(name).map(|_| ())
    }

    /// `set` was written.
    pub(super) fn push(&mut self, name: &StoreName, set: WriteSet) {
        self.pending.push((name.clone(), set));
    }

    /// Everything written is durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        let pending = std::mem::take(&mut self.pending);
        pending.into_iter().try_for_each(|(name, set)| self.apply(&name, set))
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Forgets what is not durable, except for the first `kept`. Gives what is left and the number
    /// of the newest write set.
    pub(super) fn cut(&mut self, kept: usize) -> Result<(MemoryStores, Seq), StoreError> {
        self.pending.truncate(kept);
        self.sync()?;
        Ok((self.stores.image(), self.seq))
    }

    fn open(&mut self, name: &StoreName) -> Result<&mut OpenStore, StoreError> {
        if !self.open.contains_key(name) {
            let schema = self.schemas.get(name).cloned().unwrap_or(Schema { tables: Vec::new() });
            let opened = self.stores.open(name, &schema)?;
            self.seq = opened.0.view().seq();
            self.open.insert(name.clone(), opened);
        }
        self.open.get_mut(name).ok_or(StoreError::Poisoned)
    }

    fn apply(&mut self, name: &StoreName, set: WriteSet) -> Result<(), StoreError> {
        self.seq = self.open(name)?.1.write(set, Durability::Synced)?;
        Ok(())
    }
}
