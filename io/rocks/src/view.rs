//! Consistent reads.

use std::iter;

use bytes::Bytes;
use lockstep_io::{Dir, KeyRange, Scan, Seq, StoreError, Table, Value, View};
use rocksdb::ReadOptions;

use crate::{error::from_rocks, frozen::Frozen, scan::RocksScan};

/// A [`View`] over a snapshot of RocksDB.
#[derive(Debug)]
pub(crate) struct RocksView(Frozen);

impl RocksView {
    pub(crate) fn new(frozen: Frozen) -> Self {
        Self(frozen)
    }

    fn read_options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(self.0.snapshot());
        options
    }
}

impl View for RocksView {
    fn seq(&self) -> Seq {
        Seq(self.0.snapshot().sequence_number())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let store = self.0.store();
        let family = store.family(table)?;
        let value = store
            .db()
            .get_pinned_cf_opt(family, key, &self.read_options())
            .map_err(|error| from_rocks(table.name, error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError> {
        let store = self.0.store();
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
        let store = self.0.store();
        match store.family(table) {
            Ok(family) => {
                Box::new(RocksScan::new(store.db(), family, table, range, dir, self.read_options()))
            }
            Err(error) => Box::new(iter::once(Err(error))),
        }
    }
}
