//! The disk, in memory.
//!
//! A [`MemoryStores`] value is a disk: it outlives whoever opens a store on it, and its clones are
//! the same disk. Every write is durable at once. A store is closed when both halves and all
//! views are dropped, also here.

mod versions;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use lockstep_io::{
    Dir, Durability, KeyRange, ReadStore, Scan, Schema, Seq, StoreError, StoreName, Stores, Table,
    Value, View, WriteSet, WriteStore,
    store::{CheckpointInfo, DiskUsage, OpenStore},
};

use self::versions::Versions;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStores(Arc<Mutex<BTreeMap<StoreName, Stored>>>);

/// A store on the disk, and whether it is open.
#[derive(Debug, Default)]
struct Stored {
    versions: Arc<RwLock<Versions>>,
    open: Weak<Open>,
}

/// What both halves and all views of an open store share.
#[derive(Debug)]
struct Open {
    disk: MemoryStores,
    schema: Schema,
    versions: Arc<RwLock<Versions>>,
}

impl MemoryStores {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names of the stores on the disk.
    pub fn names(&self) -> Vec<StoreName> {
        self.stores().keys().cloned().collect()
    }

    /// Another disk with what this one holds now; nothing on it is open.
    #[must_use]
    pub fn image(&self) -> Self {
        let copy = |(name, stored): (&StoreName, &Stored)| {
            let image = stored.versions.read().unwrap_or_else(PoisonError::into_inner).image();
            let stored = Stored { versions: Arc::new(RwLock::new(image)), open: Weak::new() };
            (name.clone(), stored)
        };
        Self(Arc::new(Mutex::new(self.stores().iter().map(copy).collect())))
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<StoreName, Stored>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn check_closed(&self, name: &StoreName) -> Result<(), StoreError> {
        if lockstep_io::planted!("X51", self.open.strong_count() == 0, true) {
            Ok(())
        } else {
            Err(StoreError::Locked(format!("store {} in memory", name.0)))
        }
    }
}

impl Open {
    fn read(&self) -> RwLockReadGuard<'_, Versions> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Versions> {
        self.versions.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_table(&self, table: Table) -> Result<(), StoreError> {
        if self.schema.tables.get(table.index).is_some_and(|known| known.name == table.name) {
            Ok(())
        } else {
            Err(StoreError::Schema(format!("the store was opened without table {}", table.name)))
        }
    }
}

/// Indices without gaps, names that differ.
fn check_schema(schema: &Schema) -> Result<(), StoreError> {
    for (index, table) in schema.tables.iter().enumerate() {
        if table.index != index {
            return Err(StoreError::Schema(format!("table {} is not at its index", table.name)));
        }
        if schema.tables[..index].iter().any(|other| other.name == table.name) {
            return Err(StoreError::Schema(format!("table name {} is taken", table.name)));
        }
    }
    Ok(())
}

impl Stores for MemoryStores {
    fn open(&self, name: &StoreName, schema: &Schema) -> Result<OpenStore, StoreError> {
        check_schema(schema)?;
        let mut stores = self.stores();
        if let Some(stored) = stores.get(name) {
            stored.check_closed(name)?;
        }
        let stored = stores.entry(name.clone()).or_default();
        let mut versions = stored.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.set_tables(schema)?;
        drop(versions);
        let open = Arc::new(Open {
            disk: self.clone(),
            schema: schema.clone(),
            versions: stored.versions.clone(),
        });
        stored.open = Arc::downgrade(&open);
        Ok((Arc::new(Reader(open.clone())), Box::new(Writer { open, poisoned: false })))
    }

    fn adopt_checkpoint(&self, from: &StoreName, name: &StoreName) -> Result<(), StoreError> {
        let mut stores = self.stores();
        if from == name {
            return Err(StoreError::Io(format!("{} cannot take its own place", name.0)));
        }
        if let Some(stored) = stores.get(name) {
            stored.check_closed(name)?;
        }
        match stores.get(from) {
            None => return Err(StoreError::Io(format!("there is no store {}", from.0))),
            Some(stored) => stored.check_closed(from)?,
        }
        if let Some(stored) = stores.remove(from) {
            stores.insert(name.clone(), stored);
        }
        Ok(())
    }

    fn wipe(&self, name: &StoreName) -> Result<(), StoreError> {
        let mut stores = self.stores();
        if let Some(stored) = stores.get(name) {
            stored.check_closed(name)?;
        }
        stores.remove(name);
        Ok(())
    }

    fn usage(&self) -> Result<DiskUsage, StoreError> {
        let mut rows = BTreeMap::<&str, u64>::new();
        for stored in self.stores().values() {
            let versions = stored.versions.read().unwrap_or_else(PoisonError::into_inner);
            for (table, bytes) in versions.bytes() {
                *rows.entry(table).or_default() += bytes;
            }
        }
        let table_bytes = rows.into_iter().map(|(table, bytes)| (table.to_owned(), bytes));
        Ok(DiskUsage { table_bytes: table_bytes.collect(), free_bytes: None })
    }
}

#[derive(Debug)]
struct Reader(Arc<Open>);

impl ReadStore for Reader {
    fn view(&self) -> Box<dyn View> {
        let seq = self.0.write().hold();
        Box::new(MemoryView { open: self.0.clone(), seq })
    }

    fn table_bytes(&self) -> Vec<(Table, u64)> {
        let bytes: BTreeMap<_, _> = self.0.read().bytes().collect();
        let tables = self.0.schema.tables.iter();
        tables.map(|table| (*table, bytes.get(table.name).copied().unwrap_or(0))).collect()
    }
}

#[derive(Debug)]
struct Writer {
    open: Arc<Open>,
    /// An earlier write failed (C5).
    poisoned: bool,
}

impl Writer {
    fn guard<T>(
        &mut self,
        write: impl FnOnce(&Open) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let done = write(&self.open);
        self.poisoned = done.is_err();
        done
    }
}

impl WriteStore for Writer {
    fn write(&mut self, set: WriteSet, _durability: Durability) -> Result<Seq, StoreError> {
        self.guard(|open| {
            for change in &set.changes {
                open.check_table(versions::table_of(change))?;
            }
            Ok(open.write().apply(set))
        })
    }

    fn sync(&mut self) -> Result<Seq, StoreError> {
        self.guard(|open| Ok(open.read().seq()))
    }

    fn write_unlogged(&mut self, set: WriteSet) -> Result<(), StoreError> {
        self.write(set, Durability::Buffered).map(|_| ())
    }

    fn flush_unlogged(&mut self) -> Result<Seq, StoreError> {
        self.sync()
    }

    fn checkpoint(&mut self, to: &StoreName) -> Result<CheckpointInfo, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let mut stores = self.open.disk.stores();
        if let Some(stored) = stores.get(to) {
            stored.check_closed(to)?;
            return Err(StoreError::Io(format!("{} is there already", to.0)));
        }
        let image = self.open.read().image();
        let seq = image.seq();
        let stored = Stored { versions: Arc::new(RwLock::new(image)), open: Weak::new() };
        stores.insert(to.clone(), stored);
        Ok(CheckpointInfo { seq })
    }
}

/// A store as it was at `seq`, whose versions are kept while this lives.
#[derive(Debug)]
struct MemoryView {
    open: Arc<Open>,
    seq: Seq,
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        self.open.write().release(self.seq);
    }
}

impl View for MemoryView {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.open.check_table(table)?;
        Ok(self.open.read().get(table.name, key, self.seq))
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError> {
        self.open.check_table(table)?;
        let versions = self.open.read();
        Ok(keys.iter().map(|key| versions.get(table.name, key, self.seq)).collect())
    }

    fn scan(&self, table: Table, range: KeyRange, dir: Dir) -> Scan<'_> {
        if let Err(error) = self.open.check_table(table) {
            return Box::new(std::iter::once(Err(error)));
        }
        let mut low = Bound::Included(range.start);
        let mut high = range.end.map_or(Bound::Unbounded, Bound::Excluded);
        // The lock is taken for each step alone: a scan may stay open while others write.
        Box::new(std::iter::from_fn(move || {
            let versions = self.open.read();
            let low_key = low.as_ref().map(Vec::as_slice);
            let high_key = high.as_ref().map(Vec::as_slice);
            let (key, value) = versions.next(table.name, (low_key, high_key), dir, self.seq)?;
            match dir {
                Dir::Up => low = Bound::Excluded(key.clone()),
                Dir::Down => high = Bound::Excluded(key.clone()),
            }
            Some(Ok((key, value)))
        }))
    }

    /// All of it.
    fn in_memory(&self) -> Option<Box<dyn View>> {
        self.open.write().hold_again(self.seq);
        Some(Box::new(Self { open: self.open.clone(), seq: self.seq }))
    }
}
