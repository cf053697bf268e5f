//! The disk: ordered tables, atomic write sets, frozen views.
//!
//! What may be relied on, and nothing else:
//!
//! | | Clause |
//! |---|---|
//! | C1 | A write set is atomic across tables, in every crash. |
//! | C2 | After any crash the store is the state after a prefix of the write sets, in order. |
//! | C3 | What [`Durability::Synced`] or [`WriteStore::sync`] acknowledged survives power loss. |
//! | C4 | What [`Durability::Buffered`] acknowledged survives process death; power loss may take it, as a suffix. |
//! | C5 | After a failed write the write set may or may not be there, and the writer is poisoned until the store is opened again. |
//! | C6 | Views and scans are frozen: they never see later writes and never fail because of them. |
//! | C7 | Unlogged write sets may be lost after a crash, per table, until [`WriteStore::flush_unlogged`]. |
//! | C8 | A checkpoint is a complete image of one moment at or after the call, durable when it returns. |
//! | C9 | A second `open` of the same store, also from another process, is [`StoreError::Locked`]. |
//! | C10 | Detected corruption is [`StoreError::Corrupt`], never a wrong value. |

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// A value as read.
pub type Value = Bytes;

/// Number of a write set, rising by at least one with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// Name of a store: a folder below the data directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreName(pub String);

/// A table of a store, by its place in the [`Schema`], its name, and how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// Position in the schema, from 0.
    pub index: usize,
    /// Name on disk: never reused for something else.
    pub name: &'static str,
    /// If keys of this table are looked up by scans that stay inside one prefix of this many
    /// bytes, its length: an implementation may keep a filter over prefixes.
    pub prefix_bytes: Option<usize>,
}

/// The tables of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// In order of their indices, without gaps.
    pub tables: Vec<Table>,
}

/// Whether a write has reached stable storage when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives process death (C4).
    Buffered,
    /// Survives power loss (C3).
    Synced,
}

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dir {
    /// Ascending keys.
    Up,
    /// Descending keys.
    Down,
}

/// Keys `start..end` in byte order; `None` as the end means no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key of the range.
    pub start: Vec<u8>,
    /// First key after the range.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self { start: Vec::new(), end: None }
    }

    /// `start..end`.
    pub fn new(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// `start..`.
    pub fn from(start: impl Into<Vec<u8>>) -> Self {
        Self { start: start.into(), end: None }
    }

    /// Keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while let Some(last) = end.last_mut() {
            if *last < u8::MAX {
                *last += 1;
                return Self { start: prefix.to_vec(), end: Some(end) };
            }
            end.pop();
        }
        Self::from(prefix)
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && self.end.as_ref().is_none_or(|end| key < end.as_slice())
    }
}

/// One change of a [`WriteSet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `key` holds `value` afterwards.
    Put {
        /// The table.
        table: Table,
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// `key` holds nothing afterwards.
    Delete {
        /// The table.
        table: Table,
        /// The key.
        key: Vec<u8>,
    },
    /// No key of `range` holds anything afterwards.
    DeleteRange {
        /// The table.
        table: Table,
        /// The keys.
        range: KeyRange,
    },
}

/// What is persisted atomically. Changes apply in order: a later one wins over an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet {
    /// In order.
    pub changes: Vec<Change>,
}

impl WriteSet {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `key` hold `value`.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push(Change::Put { table, key: key.into(), value: value.into() });
    }

    /// Makes `key` hold nothing.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push(Change::Delete { table, key: key.into() });
    }

    /// Makes every key of `range` hold nothing.
    pub fn delete_range(&mut self, table: Table, range: KeyRange) {
        self.changes.push(Change::DeleteRange { table, range });
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Appends the changes of `other`.
    pub fn append(&mut self, other: Self) {
        self.changes.extend(other.changes);
    }
}

/// Why the store did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space is left.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Reading or writing failed.
    #[error("the disk failed: {0}")]
    Io(String),
    /// What is on disk is damaged.
    #[error("table {table} is damaged: {detail}")]
    Corrupt {
        /// Name of the table, or of what is damaged.
        table: String,
        /// What was found.
        detail: String,
    },
    /// An earlier write failed; open the store again.
    #[error("an earlier write failed; the store must be opened again")]
    Poisoned,
    /// The process life that held this handle is over (simulation only).
    #[error("this handle belongs to a process that is gone")]
    Fenced,
    /// Somebody else has the store open.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// It is not in memory, and the caller does not want to wait for the disk; see
    /// [`View::in_memory`].
    #[error("the disk would have to be read")]
    NotInMemory,
    /// The tables on disk are not those that were asked for.
    #[error("the tables on disk do not fit this build: {0}")]
    Schema(String),
}

/// What the disk holds and how much more it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes of all stores, by table name, in order of name.
    pub table_bytes: Vec<(String, u64)>,
    /// Bytes free for more, if known.
    pub free_bytes: Option<u64>,
}

/// Description of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// The write set up to which it is complete.
    pub seq: Seq,
}

/// The two halves of an open store.
pub type OpenStore = (Arc<dyn ReadStore>, Box<dyn WriteStore>);

/// The disk.
pub trait Stores: fmt::Debug + Send + Sync {
    /// Opens the store called `name`, or makes it, with the tables of `schema`. Tables that are
    /// not on disk yet are added, empty.
    ///
    /// The store is closed when both halves and all views are dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if it is open elsewhere (C9), [`StoreError::Schema`] if the disk has
    /// tables that `schema` does not know, otherwise what the disk said.
    fn open(&self, name: &StoreName, schema: &Schema) -> Result<OpenStore, StoreError>;

    /// Puts the checkpoint at `from` in the place of the store called `name`, atomically. The
    /// store must not be open.
    ///
    /// # Errors
    ///
    /// What the disk said; the old store is still there then.
    fn adopt_checkpoint(&self, from: &StoreName, name: &StoreName) -> Result<(), StoreError>;

    /// Removes the store called `name`, which must not be open. Nothing happens if there is none.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn wipe(&self, name: &StoreName) -> Result<(), StoreError>;

    /// What the disk holds.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn usage(&self) -> Result<DiskUsage, StoreError>;
}

/// The read half of a store.
pub trait ReadStore: fmt::Debug + Send + Sync {
    /// The store as it is now, frozen (C6).
    fn view(&self) -> Box<dyn View>;

    /// Approximate bytes on disk by table, in the order of the schema.
    fn table_bytes(&self) -> Vec<(Table, u64)>;
}

/// A consistent read of a store (C6).
pub trait View: fmt::Debug + Send + Sync {
    /// The last write set that is visible.
    fn seq(&self) -> Seq;

    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] (C10) or [`StoreError::Io`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError>;

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError>;

    /// The keys of `range` with their values, in byte order or against it.
    fn scan(&self, table: Table, range: KeyRange, dir: Dir) -> Scan<'_>;

    /// The same moment, for who must not wait: what cannot be answered without reading the disk is
    /// [`StoreError::NotInMemory`]. `None` if the store cannot tell.
    fn in_memory(&self) -> Option<Box<dyn View>> {
        None
    }
}

/// Keys with their values, in order. An error ends it.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Value), StoreError>> + Send + 'a>;

/// The write half of a store. There is one; who holds it is the writer.
pub trait WriteStore: fmt::Debug + Send {
    /// Persists `set`: all of it or nothing (C1), after everything persisted before (C2).
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; C5 says what holds then.
    fn write(&mut self, set: WriteSet, durability: Durability) -> Result<Seq, StoreError>;

    /// Makes everything persisted so far durable.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write). A failed sync is never repeated.
    fn sync(&mut self) -> Result<Seq, StoreError>;

    /// Persists `set` without a log: only while importing (C7).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn write_unlogged(&mut self, set: WriteSet) -> Result<(), StoreError>;

    /// Makes everything persisted without a log durable.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn flush_unlogged(&mut self) -> Result<Seq, StoreError>;

    /// Makes an image of the store as a store called `to` (C8).
    ///
    /// # Errors
    ///
    /// What the disk said; `to` is not there then.
    fn checkpoint(&mut self, to: &StoreName) -> Result<CheckpointInfo, StoreError>;
}
