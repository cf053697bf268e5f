//! Opening, replacing and removing stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use lockstep_io::{Schema, StoreError, StoreName, Stores, store::DiskUsage, store::OpenStore};
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME, Options};

use crate::{
    RocksConfig,
    error::{from_io, from_rocks},
    folder::DataDir,
    options,
    store::{Shared, halves},
};

/// Stores by RocksDB, each in a folder of its own below one data directory.
pub struct RocksStores {
    dir: Arc<DataDir>,
    config: RocksConfig,
    cache: Cache,
    /// Those that this value has opened, to ask them for their sizes.
    open: Mutex<BTreeMap<StoreName, Weak<Shared>>>,
}

impl RocksStores {
    /// Stores below `data_dir`, which is made when the first store is opened.
    pub fn new(data_dir: PathBuf, config: RocksConfig) -> Self {
        Self {
            dir: Arc::new(DataDir::new(data_dir)),
            cache: Cache::new_lru_cache(config.block_cache_bytes),
            config,
            open: Mutex::default(),
        }
    }

    fn open_database(&self, name: &StoreName, schema: &Schema) -> Result<DB, StoreError> {
        let folder = self.dir.folder(name);
        let options = options::database(&self.config);
        if folder.join("CURRENT").exists() {
            let on_disk = DB::list_cf(&Options::default(), &folder)
                .map_err(|error| from_rocks(&name.0, error))?;
            check_on_disk(&on_disk, schema)?;
        }
        let tables = schema.tables.iter().map(|&table| {
            let options = options::table(&self.config, &self.cache, table);
            ColumnFamilyDescriptor::new(table.name, options)
        });
        DB::open_cf_descriptors(&options, &folder, tables)
            .map_err(|error| from_rocks(&name.0, error))
    }

    fn open_store(&self, name: &StoreName) -> Option<Arc<Shared>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(name).and_then(Weak::upgrade)
    }
}

/// Indices without gaps; names that differ, and that RocksDB does not use itself.
fn check_schema(schema: &Schema) -> Result<(), StoreError> {
    let mut names = BTreeSet::from([DEFAULT_COLUMN_FAMILY_NAME]);
    for (index, table) in schema.tables.iter().enumerate() {
        if table.index != index {
            return Err(StoreError::Schema(format!("table {} is not at its index", table.name)));
        }
        if !names.insert(table.name) {
            return Err(StoreError::Schema(format!("table name {} is taken", table.name)));
        }
    }
    Ok(())
}

/// Every table that is on disk is in the schema.
fn check_on_disk(on_disk: &[String], schema: &Schema) -> Result<(), StoreError> {
    let known = |name: &String| {
        name == DEFAULT_COLUMN_FAMILY_NAME || schema.tables.iter().any(|table| table.name == name)
    };
    let mut unknown: Vec<&str> =
        on_disk.iter().filter(|name| !known(name)).map(String::as_str).collect();
    unknown.sort_unstable();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(StoreError::Schema(format!("this build does not know {}", unknown.join(", "))))
}

impl Stores for RocksStores {
    fn open(&self, name: &StoreName, schema: &Schema) -> Result<OpenStore, StoreError> {
        check_schema(schema)?;
        let lock = self.dir.claim(name)?;
        let db = self.open_database(name, schema)?;
        self.dir.sync()?;
        let shared = Shared::new(db, name.clone(), schema.clone(), self.dir.clone(), lock);
        let (reader, writer, weak) = halves(shared);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), weak);
        Ok((reader, writer))
    }

    fn adopt_checkpoint(&self, from: &StoreName, name: &StoreName) -> Result<(), StoreError> {
        if from == name {
            return Err(StoreError::Io(format!("{} cannot take its own place", name.0)));
        }
        let _lock = self.dir.claim(name)?;
        let _from_lock = self.dir.claim(from)?;
        self.dir.adopt(name, from)
    }

    fn wipe(&self, name: &StoreName) -> Result<(), StoreError> {
        let _lock = self.dir.claim(name)?;
        self.dir.remove(name)
    }

    /// Stores that this value has not opened count as one row each, called by their folder.
    fn usage(&self) -> Result<DiskUsage, StoreError> {
        let mut rows = BTreeMap::<String, u64>::new();
        for name in self.dir.stores()? {
            if let Some(store) = self.open_store(&name) {
                for (table, bytes) in store.table_bytes() {
                    *rows.entry(table.name.to_owned()).or_default() += bytes;
                }
            } else {
                rows.insert(format!("{}/", name.0), self.dir.bytes(&name)?);
            }
        }
        let root = self.dir.root();
        let free_bytes = if root.exists() {
            let disk = rustix::fs::statvfs(root)
                .map_err(|error| from_io("measure", root, &error.into()))?;
            Some(disk.f_bavail.saturating_mul(disk.f_frsize))
        } else {
            None
        };
        Ok(DiskUsage { table_bytes: rows.into_iter().collect(), free_bytes })
    }
}

impl std::fmt::Debug for RocksStores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStores")
            .field("dir", &self.dir)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
