//! Options of RocksDB, and why.

use lockstep_io::Table;
use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options, SliceTransform,
};

use crate::RocksConfig;

/// Bits of filter per key: one in a hundred absent keys costs a read.
const FILTER_BITS_PER_KEY: f64 = 10.0;

/// Bytes after which the system is asked to write files out, so that no sync has much to do.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// Options of a database.
pub(crate) fn database(config: &RocksConfig) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // After a crash, the log up to its first damaged record: a prefix of the write sets (C2).
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // Each write reaches the system before it is acknowledged (C4).
    options.set_manual_wal_flush(false);
    options.set_paranoid_checks(true);
    options.set_max_open_files(config.max_open_files);
    options.set_max_background_jobs(config.max_background_jobs);
    // All tables share this; the largest is flushed when it is used up.
    options.set_db_write_buffer_size(config.write_buffer_bytes);
    // A table that is seldom written must not keep old logs alive without bound.
    options.set_max_total_wal_size(log_bytes_max(config));
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    options.set_wal_bytes_per_sync(BYTES_PER_SYNC);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(16 << 20);
    options
}

fn log_bytes_max(config: &RocksConfig) -> u64 {
    u64::try_from(config.write_buffer_bytes).unwrap_or(u64::MAX).saturating_mul(2).max(1 << 20)
}

/// Options of one table.
pub(crate) fn table(config: &RocksConfig, cache: &Cache, table: Table) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(16 << 10);
    blocks.set_bloom_filter(FILTER_BITS_PER_KEY, false);
    // Keys with a prefix are looked for inside it; a filter over whole keys would be no use.
    blocks.set_whole_key_filtering(table.prefix_bytes.is_none());
    blocks.set_optimize_filters_for_memory(true);
    // Inside the cache, they are bounded by it.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);

    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size((config.write_buffer_bytes / 4).clamp(64 << 10, 64 << 20));
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    if let Some(prefix_bytes) = table.prefix_bytes {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(prefix_bytes));
    }
    options
}
