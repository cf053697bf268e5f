//! An open store: its two halves.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use lockstep_io::{
    Durability, ReadStore, Schema, Seq, StoreError, StoreName, Table, View, WriteSet, WriteStore,
    store::{Change, CheckpointInfo},
};
use rocksdb::{
    ColumnFamily, DB, FlushOptions, ReadOptions, WriteBatch, WriteOptions, checkpoint::Checkpoint,
};

use crate::{
    error::from_rocks,
    folder::{DataDir, FolderLock},
    frozen::Frozen,
    view::RocksView,
};

/// What both halves and all views of an open store share. The store is closed with the last.
pub(crate) struct Shared {
    // Closed before the folder is given free: fields are dropped in the order of declaration.
    db: DB,
    name: StoreName,
    schema: Schema,
    dir: Arc<DataDir>,
    _lock: FolderLock,
}

impl Shared {
    pub(crate) fn new(
        db: DB,
        name: StoreName,
        schema: Schema,
        dir: Arc<DataDir>,
        lock: FolderLock,
    ) -> Self {
        Self { db, name, schema, dir, _lock: lock }
    }

    pub(crate) fn db(&self) -> &DB {
        &self.db
    }

    /// The column family of `table`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Schema`] if the store was opened without that table.
    pub(crate) fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        let known = self.schema.tables.get(table.index).is_some_and(|t| t.name == table.name);
        let family = if known { self.db.cf_handle(table.name) } else { None };
        family.ok_or_else(|| {
            StoreError::Schema(format!("{} was opened without table {}", self.name.0, table.name))
        })
    }

    fn seq(&self) -> Seq {
        Seq(self.db.latest_sequence_number())
    }

    fn failed(&self, error: rocksdb::Error) -> StoreError {
        from_rocks(&self.name.0, error)
    }

    /// Approximate bytes of each table: its sorted files, and what is not in one yet.
    pub(crate) fn table_bytes(&self) -> Vec<(Table, u64)> {
        let bytes = |table: Table, property: &str| {
            let family = self.family(table).ok()?;
            self.db.property_int_value_cf(family, property).ok().flatten()
        };
        self.schema
            .tables
            .iter()
            .map(|&table| {
                let sorted = bytes(table, "rocksdb.total-sst-files-size").unwrap_or(0);
                let buffered = bytes(table, "rocksdb.cur-size-all-mem-tables").unwrap_or(0);
                (table, sorted.saturating_add(buffered))
            })
            .collect()
    }

    /// `set` in the form of RocksDB.
    fn batch(&self, set: &WriteSet) -> Result<WriteBatch, StoreError> {
        let mut batch = WriteBatch::default();
        for (index, change) in set.changes.iter().enumerate() {
            match change {
                Change::Put { table, key, value } => {
                    batch.put_cf(self.family(*table)?, key, value);
                }
                Change::Delete { table, key } => batch.delete_cf(self.family(*table)?, key),
                Change::DeleteRange { table, range } => {
                    let end = match &range.end {
                        Some(end) => Some(end.clone()),
                        None => self.end_of(*table, &set.changes[..index])?,
                    };
                    // RocksDB refuses a range whose end lies before its start.
                    if let Some(end) = end.filter(|end| *end > range.start) {
                        batch.delete_range_cf(self.family(*table)?, &range.start, &end);
                    }
                }
            }
        }
        if batch.is_empty() {
            // Nothing to write: take a number all the same, by a key that no table has.
            batch.delete([]);
        }
        Ok(batch)
    }

    /// The first key after all that `table` holds once `before` is written; `None` if it is empty.
    ///
    /// RocksDB has no key that is greater than every other. The writer is the only one, so what
    /// is there now is what will be there.
    fn end_of(&self, table: Table, before: &[Change]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        let mut iter = self.db.raw_iterator_cf_opt(self.family(table)?, options);
        iter.seek_to_last();
        iter.status().map_err(|error| from_rocks(table.name, error))?;
        let put = before.iter().filter_map(|change| match change {
            Change::Put { table: other, key, .. } if other.index == table.index => {
                Some(key.as_slice())
            }
            Change::Put { .. } | Change::Delete { .. } | Change::DeleteRange { .. } => None,
        });
        let greatest = put.chain(iter.key()).max();
        Ok(greatest.map(|key| [key, &[0]].concat()))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("folder", &self.db.path()).finish_non_exhaustive()
    }
}

/// The two halves of `shared`, and a way to see whether it is still open.
pub(crate) fn halves(shared: Shared) -> (Arc<Reader>, Box<Writer>, Weak<Shared>) {
    let shared = Arc::new(shared);
    let weak = Arc::downgrade(&shared);
    (Arc::new(Reader(shared.clone())), Box::new(Writer { store: shared, poisoned: false }), weak)
}

/// The read half.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Shared>);

impl ReadStore for Reader {
    fn view(&self) -> Box<dyn View> {
        Box::new(RocksView::new(Frozen::new(self.0.clone())))
    }

    fn table_bytes(&self) -> Vec<(Table, u64)> {
        self.0.table_bytes()
    }
}

/// The write half.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<Shared>,
    /// An earlier write failed (C5).
    poisoned: bool,
}

impl Writer {
    /// Does `write`, which changes the store; if it fails, it was the last one.
    fn guard<T>(
        &mut self,
        write: impl FnOnce(&Shared) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let done = write(&self.store);
        self.poisoned = done.is_err();
        done
    }
}

impl WriteStore for Writer {
    fn write(&mut self, set: WriteSet, durability: Durability) -> Result<Seq, StoreError> {
        self.guard(|store| {
            let mut options = WriteOptions::default();
            options.set_sync(durability == Durability::Synced);
            let batch = store.batch(&set)?;
            store.db.write_opt(batch, &options).map_err(|error| store.failed(error))?;
            Ok(store.seq())
        })
    }

    fn sync(&mut self) -> Result<Seq, StoreError> {
        self.guard(|store| {
            store.db.flush_wal(true).map_err(|error| store.failed(error))?;
            Ok(store.seq())
        })
    }

    fn write_unlogged(&mut self, set: WriteSet) -> Result<(), StoreError> {
        self.guard(|store| {
            let mut options = WriteOptions::default();
            options.disable_wal(true);
            let batch = store.batch(&set)?;
            store.db.write_opt(batch, &options).map_err(|error| store.failed(error))
        })
    }

    fn flush_unlogged(&mut self) -> Result<Seq, StoreError> {
        self.guard(|store| {
            let tables = store.schema.tables.iter();
            let families =
                tables.map(|&table| store.family(table)).collect::<Result<Vec<_>, _>>()?;
            let mut options = FlushOptions::default();
            options.set_wait(true);
            store.db.flush_cfs_opt(&families, &options).map_err(|error| store.failed(error))?;
            // What was written with a log before is durable then too.
            store.db.flush_wal(true).map_err(|error| store.failed(error))?;
            Ok(store.seq())
        })
    }

    fn checkpoint(&mut self, to: &StoreName) -> Result<CheckpointInfo, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let store = &self.store;
        let _claim = store.dir.claim(to)?;
        let folder = store.dir.folder(to);
        if folder.exists() {
            return Err(StoreError::Io(format!("{} is there already", folder.display())));
        }
        // Nobody else writes, so this is what the image holds.
        let seq = store.seq();
        let made = Checkpoint::new(&store.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(&folder))
            .map_err(|error| store.failed(error))
            .and_then(|()| store.dir.sync_folder(to));
        if let Err(error) = made {
            store.dir.remove(to)?;
            return Err(error);
        }
        Ok(CheckpointInfo { seq })
    }
}
