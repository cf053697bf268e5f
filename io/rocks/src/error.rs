//! What RocksDB and the file system say, as [`StoreError`].

use std::{io, path::Path};

use lockstep_io::StoreError;
use rocksdb::ErrorKind;

/// `error` met in `what`: a table, or a store where no table can be told.
pub(crate) fn from_rocks(what: &str, error: rocksdb::Error) -> StoreError {
    let kind = error.kind();
    // Only who asked for what is in memory is told so.
    if kind == ErrorKind::Incomplete {
        return StoreError::NotInMemory;
    }
    let detail = error.into_string();
    if kind == ErrorKind::Corruption {
        StoreError::Corrupt { table: what.to_owned(), detail }
    } else if detail.contains("No space left on device") || detail.contains("Disk quota exceeded") {
        StoreError::Full(format!("{what}: {detail}"))
    } else {
        StoreError::Io(format!("{what}: {detail}"))
    }
}

/// `error` met while doing something (`doing`) with `path`.
pub(crate) fn from_io(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let text = format!("cannot {doing} {}: {error}", path.display());
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        StoreError::Full(text)
    } else {
        StoreError::Io(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let full = io::Error::from_raw_os_error(28);
        assert!(matches!(from_io("make", Path::new("/x"), &full), StoreError::Full(_)));
        let broken = io::Error::from_raw_os_error(5);
        assert_eq!(
            from_io("make", Path::new("/x"), &broken),
            StoreError::Io("cannot make /x: Input/output error (os error 5)".into())
        );
    }
}
