//! What a store holds: for each key, its values by write set, as far back as some view looks.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use lockstep_io::{Dir, KeyRange, Schema, Seq, StoreError, Table, Value, WriteSet, store::Change};

/// The values of one key, oldest first; `None` says that it holds nothing.
type History = Vec<(Seq, Option<Value>)>;

/// The tables of a store, with the past that views can see.
#[derive(Debug, Default)]
pub(super) struct Versions {
    seq: Seq,
    tables: BTreeMap<&'static str, BTreeMap<Vec<u8>, History>>,
    /// How many views look at each write set.
    views: BTreeMap<Seq, usize>,
    /// Keys with values that only views older than the write set need, oldest first.
    outdated: VecDeque<(Seq, &'static str, Vec<u8>)>,
}

/// The table that `change` is about.
pub(super) fn table_of(change: &Change) -> Table {
    match change {
        Change::Put { table, .. }
        | Change::Delete { table, .. }
        | Change::DeleteRange { table, .. } => *table,
    }
}

impl Versions {
    /// The last write set.
    pub(super) fn seq(&self) -> Seq {
        self.seq
    }

    /// Adds the tables of `schema`, which must know all that are there.
    pub(super) fn set_tables(&mut self, schema: &Schema) -> Result<(), StoreError> {
        let known = |name: &&str| schema.tables.iter().any(|table| table.name == *name);
        let unknown: Vec<_> = self.tables.keys().copied().filter(|name| !known(name)).collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return Err(StoreError::Schema(format!("this build does not know {unknown}")));
        }
        for table in &schema.tables {
            self.tables.entry(table.name).or_default();
        }
        Ok(())
    }

    /// Keeps what is visible now until [`release`](Self::release).
    pub(super) fn hold(&mut self) -> Seq {
        *self.views.entry(self.seq).or_default() += 1;
        self.seq
    }

    /// One view more of `seq`, of which there is one.
    pub(super) fn hold_again(&mut self, seq: Seq) {
        *self.views.entry(seq).or_default() += 1;
    }

    /// One view of `seq` less.
    pub(super) fn release(&mut self, seq: Seq) {
        if let Some(count) = self.views.get_mut(&seq) {
            *count -= 1;
            if *count == 0 {
                self.views.remove(&seq);
            }
        }
        self.forget_outdated();
    }

    /// Applies `set` as the next write set.
    pub(super) fn apply(&mut self, set: WriteSet) -> Seq {
        self.seq.0 += 1;
        for change in set.changes {
            match change {
                Change::Put { table, key, value } => {
                    self.set(table.name, key, Some(Value::from(value)));
                }
                Change::Delete { table, key } => self.set(table.name, key, None),
                Change::DeleteRange { table, range } => self.delete_range(table.name, &range),
            }
        }
        self.forget_outdated();
        self.seq
    }

    fn delete_range(&mut self, table: &'static str, range: &KeyRange) {
        let high = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut low = Bound::Included(range.start.clone());
        loop {
            let low_key = low.as_ref().map(Vec::as_slice);
            let next = self.next(table, (low_key, high), Dir::Up, self.seq);
            let Some((key, _)) = next else { return };
            self.set(table, key.clone(), None);
            low = Bound::Excluded(key);
        }
    }

    fn set(&mut self, table: &'static str, key: Vec<u8>, value: Option<Value>) {
        let Some(keys) = self.tables.get_mut(table) else { return };
        let history = keys.entry(key.clone()).or_default();
        match history.last_mut() {
            Some((seq, last)) if *seq == self.seq => *last = value,
            Some(_) | None => history.push((self.seq, value)),
        }
        if history.len() > 1 || history.last().is_some_and(|(_, value)| value.is_none()) {
            self.outdated.push_back((self.seq, table, key));
        }
    }

    /// Drops the values that no view can see.
    fn forget_outdated(&mut self) {
        let oldest = self.views.keys().next().copied().unwrap_or(self.seq);
        while self.outdated.front().is_some_and(|(seq, ..)| *seq <= oldest) {
            let Some((_, table, key)) = self.outdated.pop_front() else { return };
            let Some(keys) = self.tables.get_mut(table) else { continue };
            let Some(history) = keys.get_mut(&key) else { continue };
            // Of those that the oldest view sees, it reads the last.
            let visible = history.partition_point(|(seq, _)| *seq <= oldest);
            history.drain(..visible.saturating_sub(1));
            if matches!(history.as_slice(), [(seq, None)] if *seq <= oldest) {
                keys.remove(&key);
            }
        }
    }

    /// The value of `key` after the write set `at`.
    pub(super) fn get(&self, table: &str, key: &[u8], at: Seq) -> Option<Value> {
        self.tables.get(table)?.get(key).and_then(|history| value_at(history, at))
    }

    /// The first key between `bounds` in direction `dir` that holds something after the write set
    /// `at`.
    pub(super) fn next(
        &self,
        table: &str,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        dir: Dir,
        at: Seq,
    ) -> Option<(Vec<u8>, Value)> {
        if is_empty(bounds) {
            return None;
        }
        let visible = |(key, history): (&Vec<u8>, &History)| {
            value_at(history, at).map(|value| (key.clone(), value))
        };
        let mut keys = self.tables.get(table)?.range::<[u8], _>(bounds);
        match dir {
            Dir::Up => keys.find_map(visible),
            Dir::Down => keys.rev().find_map(visible),
        }
    }

    /// The present alone, as a store of its own.
    pub(super) fn image(&self) -> Self {
        let tables = self.tables.iter().map(|(name, keys)| {
            let keys = keys.iter().filter_map(|(key, history)| {
                let value = value_at(history, self.seq)?;
                Some((key.clone(), vec![(self.seq, Some(value))]))
            });
            (*name, keys.collect())
        });
        Self { seq: self.seq, tables: tables.collect(), ..Self::default() }
    }

    /// Bytes of keys and present values, by table.
    pub(super) fn bytes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.tables.iter().map(|(name, keys)| {
            let bytes = keys.iter().filter_map(|(key, history)| {
                let value = value_at(history, self.seq)?;
                u64::try_from(key.len() + value.len()).ok()
            });
            (*name, bytes.sum())
        })
    }
}

fn value_at(history: &History, at: Seq) -> Option<Value> {
    history.iter().rev().find(|(seq, _)| *seq <= at).and_then(|(_, value)| value.clone())
}

/// Whether no key lies between `bounds`; the map's own ranges panic at some of those.
fn is_empty(bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table { index: 0, name: "t", prefix_bytes: None };

    fn write(versions: &mut Versions, change: impl FnOnce(&mut WriteSet)) {
        let mut set = WriteSet::new();
        change(&mut set);
        versions.apply(set);
    }

    #[test]
    fn the_past_is_kept_for_views_and_for_nobody_else() {
        let mut versions = Versions::default();
        versions.set_tables(&Schema { tables: vec![TABLE] }).unwrap();
        write(&mut versions, |set| set.put(TABLE, b"k", b"1"));
        let early = versions.hold();
        write(&mut versions, |set| set.put(TABLE, b"k", b"2"));
        let late = versions.hold();
        write(&mut versions, |set| set.delete_range(TABLE, KeyRange::all()));
        write(&mut versions, |set| set.put(TABLE, b"k", b"4"));
        write(&mut versions, |set| set.delete(TABLE, b"k"));
        assert_eq!(versions.get("t", b"k", early).as_deref(), Some(b"1".as_slice()));
        assert_eq!(versions.get("t", b"k", late).as_deref(), Some(b"2".as_slice()));
        assert_eq!(versions.get("t", b"k", versions.seq()), None);
        versions.release(early);
        assert_eq!(versions.get("t", b"k", late).as_deref(), Some(b"2".as_slice()));
        versions.release(late);
        assert!(versions.tables["t"].is_empty(), "a deleted key is still there: {versions:?}");
        assert!(versions.outdated.is_empty());
    }
}
