//! The store by RocksDB keeps what every implementation promises.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{path::PathBuf, sync::Arc};

use lockstep_io::{
    Dir, Durability, KeyRange, Schema, StoreError, StoreName, Stores, Table, WriteSet,
};
use lockstep_io_conformance::store;
use lockstep_io_rocks::{RocksConfig, RocksStores};
use tempfile::TempDir;

struct RocksDisk {
    config: RocksConfig,
    folder: TempDir,
}

impl RocksDisk {
    fn new(config: RocksConfig) -> Self {
        Self { config, folder: tempfile::tempdir().unwrap() }
    }

    fn data_dir(&self) -> PathBuf {
        // One that is not there yet.
        self.folder.path().join("data").join("lockstep")
    }
}

impl store::Disk for RocksDisk {
    fn stores(&mut self) -> Arc<dyn Stores> {
        Arc::new(RocksStores::new(self.data_dir(), self.config.clone()))
    }
}

/// Buffers and caches so small that files are written, compacted and evicted all the time.
fn tiny() -> RocksConfig {
    RocksConfig {
        block_cache_bytes: 64 << 10,
        write_buffer_bytes: 64 << 10,
        max_open_files: 16,
        max_background_jobs: 2,
    }
}

#[test]
fn the_store_keeps_its_promises() {
    store::check(&mut RocksDisk::new(RocksConfig::default()));
}

#[test]
fn the_store_keeps_its_promises_with_tiny_buffers() {
    store::check(&mut RocksDisk::new(tiny()));
}

#[test]
fn the_store_does_what_a_plain_map_does() {
    store::check_against_model(&mut RocksDisk::new(tiny()), 24);
}

/// A view that does not wait for the disk knows what was written last, and blocks that were read
/// before; for anything else it says that the disk would have to be read.
#[test]
fn what_was_read_before_is_in_memory_and_nothing_else_of_a_file_is() {
    let mut disk = RocksDisk::new(RocksConfig::default());
    let table = Table { index: 0, name: "t", prefix_bytes: None };
    let schema = Schema { tables: vec![table] };
    let name = StoreName("s".to_owned());
    let put = |key: u32| {
        let mut set = WriteSet::new();
        set.put(table, key.to_be_bytes(), vec![7; 1_000]);
        set
    };
    let (reader, mut writer) = store::Disk::stores(&mut disk).open(&name, &schema).unwrap();
    for key in 0..1_000 {
        writer.write_unlogged(put(key)).unwrap();
    }
    writer.flush_unlogged().unwrap();
    drop((reader, writer));

    let (reader, mut writer) = store::Disk::stores(&mut disk).open(&name, &schema).unwrap();
    writer.write(put(5_000), Durability::Buffered).unwrap();
    let view = reader.view();
    let quick = view.in_memory().unwrap();
    let [first, last, new] = [0_u32, 999, 5_000].map(u32::to_be_bytes);
    assert_eq!(quick.get(table, &new).unwrap().unwrap().len(), 1_000);
    assert_eq!(quick.get(table, &first), Err(StoreError::NotInMemory));
    let mut rows = quick.scan(table, KeyRange::from(first), Dir::Up);
    assert_eq!(rows.next(), Some(Err(StoreError::NotInMemory)));
    assert_eq!(rows.next(), None);

    assert!(view.get(table, &first).unwrap().is_some());
    assert_eq!(quick.get(table, &first).unwrap().unwrap().len(), 1_000);
    assert_eq!(quick.get(table, &last), Err(StoreError::NotInMemory), "it is in another block");
}
