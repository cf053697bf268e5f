//! What can be wrong with the store.

use lockstep_io::{StoreError, Table};

use crate::codec::Malformed;

/// Why the store did not give or take what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// The disk said so.
    #[error(transparent)]
    Disk(#[from] StoreError),
    /// A row cannot be what was written.
    #[error("table {table} is corrupt at key {key}: {detail}")]
    Corrupt {
        /// Name of the table.
        table: &'static str,
        /// The key, in hex.
        key: String,
        /// What cannot be.
        detail: String,
    },
    /// The data directory was written by another release.
    #[error(
        "the data directory has layout {found}, this build reads layout {expected}; use the release that wrote it, or sync anew with another --datadir"
    )]
    Layout {
        /// The layout on disk.
        found: u32,
        /// The layout of this build.
        expected: u32,
    },
}

/// A result of the store.
pub type StoreResult<T> = Result<T, StoreFault>;

impl StoreFault {
    /// A row that cannot be what was written.
    pub fn corrupt(table: Table, key: &[u8], detail: impl Into<String>) -> Self {
        let key = lockstep_types::alloy_primitives::hex::encode(key);
        Self::Corrupt { table: table.name, key, detail: detail.into() }
    }

    pub(crate) fn malformed(table: Table, key: &[u8], malformed: Malformed) -> Self {
        Self::corrupt(table, key, malformed.0)
    }
}
