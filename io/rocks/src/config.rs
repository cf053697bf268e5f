//! What an operator may choose.

/// Bounds on what the stores of one process use together, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RocksConfig {
    /// Bytes of blocks, indices and filters kept in memory, shared by all tables and stores.
    pub block_cache_bytes: usize,
    /// Bytes of writes kept in memory before they go to sorted files; per store.
    pub write_buffer_bytes: usize,
    /// Files kept open at a time; per store.
    pub max_open_files: i32,
    /// Threads that flush and compact.
    pub max_background_jobs: i32,
}

impl Default for RocksConfig {
    /// For a machine with 24 GB of memory that also runs the VM and the tree.
    fn default() -> Self {
        Self {
            block_cache_bytes: 512 << 20,
            write_buffer_bytes: 256 << 20,
            max_open_files: 1024,
            max_background_jobs: 4,
        }
    }
}
