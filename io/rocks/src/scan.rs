//! Scans over a range of keys, both ways.

use std::fmt;

use bytes::Bytes;
use lockstep_io::{Dir, KeyRange, StoreError, Table, Value};
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions};

use crate::error::from_rocks;

/// The keys of a range with their values, in order.
pub(crate) struct RocksScan<'a> {
    iter: DBRawIterator<'a>,
    table: Table,
    range: KeyRange,
    dir: Dir,
    at: At,
}

/// Where a scan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before its first key.
    Start,
    /// On the key that was given out last.
    Given,
    /// Past its last key, or at an error.
    End,
}

impl<'a> RocksScan<'a> {
    /// A scan of what `options` (which hold the snapshot) show of `range`.
    pub(crate) fn new(
        db: &'a DB,
        family: &ColumnFamily,
        table: Table,
        range: KeyRange,
        dir: Dir,
        mut options: ReadOptions,
    ) -> Self {
        if stays_in_prefix(table, &range) {
            // The filter over prefixes may be asked: files without the prefix are not read.
            options.set_prefix_same_as_start(true);
        } else {
            options.set_total_order_seek(true);
        }
        // Lets RocksDB stop early, at a run of deleted keys too. The bound on the side where the
        // scan starts is kept by where it seeks.
        match dir {
            Dir::Up => {
                if let Some(end) = &range.end {
                    options.set_iterate_upper_bound(end.as_slice());
                }
            }
            Dir::Down => options.set_iterate_lower_bound(range.start.as_slice()),
        }
        // RocksDB wants its bounds in order.
        let empty = range.end.as_ref().is_some_and(|end| *end <= range.start);
        let at = if empty { At::End } else { At::Start };
        Self { iter: db.raw_iterator_cf_opt(family, options), table, range, dir, at }
    }

    fn step(&mut self) {
        match (self.at, self.dir) {
            (At::End, _) => {}
            (At::Given, Dir::Up) => self.iter.next(),
            (At::Given, Dir::Down) => self.iter.prev(),
            (At::Start, Dir::Up) => self.iter.seek(&self.range.start),
            (At::Start, Dir::Down) => match &self.range.end {
                None => self.iter.seek_to_last(),
                Some(end) => {
                    self.iter.seek_for_prev(end);
                    if self.iter.key() == Some(end) {
                        self.iter.prev();
                    }
                }
            },
        }
    }
}

/// Whether every key of `range`, and the key where a scan of it starts, have the prefix of
/// `range.start`: only then may the filter over prefixes be asked.
fn stays_in_prefix(table: Table, range: &KeyRange) -> bool {
    let Some(prefix_bytes) = table.prefix_bytes else { return false };
    let Some(prefix) = range.start.get(..prefix_bytes) else { return false };
    range.end.as_ref().is_some_and(|end| end.starts_with(prefix))
}

impl Iterator for RocksScan<'_> {
    type Item = Result<(Vec<u8>, Value), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == At::End {
            return None;
        }
        self.step();
        match self.iter.item() {
            Some((key, value)) if self.range.contains(key) => {
                self.at = At::Given;
                Some(Ok((key.to_vec(), Bytes::copy_from_slice(value))))
            }
            Some(_) => {
                self.at = At::End;
                None
            }
            None => {
                self.at = At::End;
                // Not valid means the end, or an error.
                self.iter.status().err().map(|error| Err(from_rocks(self.table.name, error)))
            }
        }
    }
}

impl fmt::Debug for RocksScan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksScan")
            .field("table", &self.table.name)
            .field("range", &self.range)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table { index: 0, name: "t", prefix_bytes: Some(2) };

    #[test]
    fn the_filter_over_prefixes_is_asked_only_inside_one() {
        let inside = |start: &[u8], end: &[u8]| stays_in_prefix(TABLE, &KeyRange::new(start, end));
        assert!(inside(b"ab", b"abz"));
        assert!(inside(b"abc", b"abd"));
        assert!(!inside(b"a", b"ab"), "the start is shorter than a prefix");
        assert!(!inside(b"ab", b"ac"), "the end has another prefix");
        assert!(!inside(b"ab", b"b"));
        assert!(!stays_in_prefix(TABLE, &KeyRange::from(b"ab")), "there is no end");
        let plain = Table { prefix_bytes: None, ..TABLE };
        assert!(!stays_in_prefix(plain, &KeyRange::new(b"ab", b"abz")));
    }
}
