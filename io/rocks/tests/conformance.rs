//! The store by RocksDB keeps what every implementation promises.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{path::PathBuf, sync::Arc};

use lockstep_io::Stores;
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
