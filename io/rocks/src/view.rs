//! Consistent reads.

use std::{iter, sync::Arc};

use bytes::Bytes;
use lockstep_io::{Dir, KeyRange, Scan, Seq, StoreError, Table, Value, View};
use rocksdb::{ReadOptions, ReadTier};

use crate::{error::from_rocks, frozen::Frozen, scan::RocksScan};

/// A [`View`] over a snapshot of RocksDB.
#[derive(Debug)]
pub(crate) struct RocksView {
    frozen: Arc<Frozen>,
    /// What is read: everything, or what is in memory.
    tier: Tier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    All,
    Memory,
}

impl RocksView {
    pub(crate) fn new(frozen: Frozen) -> Self {
        Self { frozen: Arc::new(frozen), tier: Tier::All }
    }

    fn read_options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(self.frozen.snapshot());
        if self.tier == Tier::Memory {
            // What was written last, and cached blocks of files.
            options.set_read_tier(ReadTier::BlockCache);
        }
        options
    }
}

impl View for RocksView {
    fn seq(&self) -> Seq {
        Seq(self.frozen.snapshot().sequence_number())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let store = self.frozen.store();
        let family = store.family(table)?;
        let value = store
            .db()
            .get_pinned_cf_opt(family, key, &self.read_options())
            .map_err(|error| from_rocks(table.name, error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError> {
        let store = self.frozen.store();
        let family = store.family(table)?;
        store
            .db()
            .batched_multi_get_cf_opt(family, keys, false, &self.read_options())
            .into_iter()
            .map(|value| match value {
                Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(&value))),
                Err(error) => Err(from_rocks(table.name, error)),
            })
            .collect()
    }

    fn scan(&self, table: Table, range: KeyRange, dir: Dir) -> Scan<'_> {
        let store = self.frozen.store();
        match store.family(table) {
            Ok(family) => {
                Box::new(RocksScan::new(store.db(), family, table, range, dir, self.read_options()))
            }
            Err(error) => Box::new(iter::once(Err(error))),
        }
    }

    fn in_memory(&self) -> Option<Box<dyn View>> {
        Some(Box::new(Self { frozen: self.frozen.clone(), tier: Tier::Memory }))
    }
}
