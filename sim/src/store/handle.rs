//! What a process holds of an open store: both halves and views, each of one life.

use std::{collections::BTreeSet, fmt, sync::Arc};

use lockstep_io::{
    Dir, Durability, KeyRange, ReadStore, Scan, Seq, StoreError, StoreName, Table, Value, View,
    WriteSet, WriteStore,
    store::{Change, CheckpointInfo},
};
use rand_chacha::rand_core::RngCore;

use super::{Disk, is_synced};
use crate::{
    exec::Life,
    judge::Observation,
    trace::{TraceEvent, hash_words},
};

/// The read half of a life.
#[derive(Debug)]
pub(super) struct SimReader {
    disk: Disk,
    life: Life,
    inner: Arc<dyn ReadStore>,
}

impl SimReader {
    pub(super) fn new(disk: Disk, life: Life, inner: Arc<dyn ReadStore>) -> Self {
        Self { disk, life, inner }
    }
}

impl ReadStore for SimReader {
    fn view(&self) -> Box<dyn View> {
        let inner = self.inner.view();
        let words = [inner.seq().0];
        self.disk.trace(&TraceEvent::Call { kind: "view", words: &words, bytes: &[] });
        Box::new(SimView::new(self.disk.clone(), self.life, inner, false))
    }

    fn table_bytes(&self) -> Vec<(Table, u64)> {
        self.inner.table_bytes()
    }
}

/// A view of a life.
struct SimView {
    disk: Disk,
    life: Life,
    inner: Box<dyn View>,
    /// Shows only what is in memory: by chance, three rows in four.
    cached: bool,
}

impl fmt::Debug for SimView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimView").field("life", &self.life).finish_non_exhaustive()
    }
}

impl SimView {
    fn new(disk: Disk, life: Life, inner: Box<dyn View>, cached: bool) -> Self {
        disk.view_opens(life);
        Self { disk, life, inner, cached }
    }

    fn before_read(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        if self.cached && self.disk.state().rng.next_u32().is_multiple_of(4) {
            return Err(StoreError::NotInMemory);
        }
        self.disk.read_fault(self.life, table, key)
    }

    fn trace(&self, kind: &'static str, table: Table, key: &[u8], value: Option<&Value>) {
        let index = u64::try_from(table.index).unwrap_or(u64::MAX);
        let content = value.map_or(0, |value| hash_words(&[1], value));
        self.disk.trace(&TraceEvent::Call { kind, words: &[index, content], bytes: key });
    }
}

impl View for SimView {
    fn seq(&self) -> Seq {
        self.inner.seq()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.before_read(table, key)?;
        let value = self.inner.get(table, key)?;
        self.trace("get", table, key, value.as_ref());
        Ok(value)
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError> {
        for key in keys {
            self.before_read(table, key)?;
        }
        let values = self.inner.multi_get(table, keys)?;
        for (key, value) in keys.iter().zip(&values) {
            self.trace("get", table, key, value.as_ref());
        }
        Ok(values)
    }

    fn scan(&self, table: Table, range: KeyRange, dir: Dir) -> Scan<'_> {
        let mut is_over = false;
        Box::new(self.inner.scan(table, range, dir).map_while(move |row| {
            // Nothing follows an error.
            if is_over {
                return None;
            }
            let row = row.and_then(|(key, value)| {
                self.before_read(table, &key)?;
                self.trace("scan", table, &key, Some(&value));
                Ok((key, value))
            });
            is_over = row.is_err();
            Some(row)
        }))
    }

    fn in_memory(&self) -> Option<Box<dyn View>> {
        let inner = self.inner.in_memory()?;
        let (disk, life) = (self.disk.clone(), self.life);
        Some(Box::new(Self::new(disk, life, inner, true)))
    }
}

impl Drop for SimView {
    fn drop(&mut self) {
        self.disk.view_closes(self.life);
    }
}

/// The write half of a life.
#[derive(Debug)]
pub(super) struct SimWriter {
    disk: Disk,
    life: Life,
    name: StoreName,
    inner: Box<dyn WriteStore>,
    /// An earlier write failed (C5).
    poisoned: bool,
}

impl SimWriter {
    pub(super) fn new(disk: Disk, life: Life, name: StoreName, inner: Box<dyn WriteStore>) -> Self {
        Self { disk, life, name, inner, poisoned: false }
    }

    /// Writes `set`, or fails by a fault; then it is there or not by chance (C5).
    fn write_now(&mut self, set: &WriteSet, durable: bool) -> Result<Seq, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let now = self.disk.now();
        let (fault, is_there) = {
            let mut state = self.disk.state();
            let fault = state.faults.on_write(now).err();
            let is_there = fault.is_none() || state.rng.next_u32().is_multiple_of(2);
            (fault, is_there)
        };
        self.poisoned = fault.is_some();
        if is_there {
            let written = self.inner.write(set.clone(), Durability::Buffered);
            self.poisoned |= written.is_err();
            let seq = written?;
            let mut state = self.disk.state();
            state.lagging.push(&self.name, set.clone());
            if durable && fault.is_none() {
                state.lagging.sync()?;
            }
            return fault.map_or(Ok(seq), Err);
        }
        Err(fault.unwrap_or(StoreError::Poisoned))
    }

    fn sync_now(&mut self) -> Result<Seq, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let now = self.disk.now();
        let seq = self.inner.sync()?;
        let mut state = self.disk.state();
        if let Err(fault) = state.faults.on_write(now) {
            drop(state);
            self.poisoned = true;
            return Err(fault);
        }
        state.lagging.sync()?;
        Ok(seq)
    }

    fn sync_call(&mut self, kind: &'static str) -> Result<Seq, StoreError> {
        let nth = self.disk.before_call(self.life, kind)?;
        let result = self.sync_now();
        self.disk.trace_write(kind, &WriteSet::new(), &result);
        self.disk.see(&Observation::Synced { result: &result });
        self.disk.after_call(self.life, kind, nth);
        result
    }
}

impl WriteStore for SimWriter {
    fn write(&mut self, set: WriteSet, durability: Durability) -> Result<Seq, StoreError> {
        let durable = is_synced(durability);
        let site = super::site(what(&set, durable));
        let nth = self.disk.before_call(self.life, &site)?;
        self.disk.hold(self.life, false);
        let result = self.write_now(&set, durable);
        self.disk.trace_write(if durable { "write synced" } else { "write" }, &set, &result);
        self.disk.see(&Observation::Written { set: &set, durability, result: &result });
        self.disk.after_call(self.life, &site, nth);
        result
    }

    fn sync(&mut self) -> Result<Seq, StoreError> {
        self.sync_call("sync")
    }

    fn write_unlogged(&mut self, set: WriteSet) -> Result<(), StoreError> {
        self.write(set, Durability::Buffered).map(|_| ())
    }

    fn flush_unlogged(&mut self) -> Result<Seq, StoreError> {
        self.sync_call("flush unlogged")
    }

    fn checkpoint(&mut self, to: &StoreName) -> Result<CheckpointInfo, StoreError> {
        let nth = self.disk.before_call(self.life, "checkpoint")?;
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let info = self.inner.checkpoint(to)?;
        {
            let mut guard = self.disk.state();
            let state = &mut *guard;
            state.lagging.reset(&state.live);
        }
        self.disk.after_call(self.life, "checkpoint", nth);
        Ok(info)
    }
}

/// What a write of `set` does: the tables, in order.
fn what(set: &WriteSet, durable: bool) -> String {
    let mut tables = BTreeSet::new();
    for change in &set.changes {
        let (verb, table) = match change {
            Change::Put { table, .. } => ("", table),
            Change::Delete { table, .. } => ("-", table),
            Change::DeleteRange { table, .. } => ("--", table),
        };
        tables.insert(format!("{verb}{}", table.name));
    }
    let tables: Vec<_> = tables.into_iter().collect();
    format!("{} {}", if durable { "write synced" } else { "write" }, tables.join(" "))
}
