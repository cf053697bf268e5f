//! A view that is read only as far as that is quick.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use lockstep_io::{Dir, KeyRange, Scan, Seq, StoreError, Table, Value, View};

/// Bytes of a value that cost one unit of effort.
const BYTES_PER_UNIT: usize = 256;

/// Whether a view could not give what it was asked for because that is not quick. Clones are the
/// same.
#[derive(Clone, Debug, Default)]
pub struct Shortfall(Arc<AtomicBool>);

impl Shortfall {
    /// Whether it happened.
    pub fn is_met(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn meet(&self) -> StoreError {
        self.0.store(true, Ordering::Relaxed);
        StoreError::NotInMemory
    }
}

/// What is in memory of a view, as long as reading it costs little.
#[derive(Debug)]
pub(crate) struct Frugal {
    view: Box<dyn View>,
    effort: AtomicU32,
    shortfall: Shortfall,
}

impl Frugal {
    /// `view`, of which only what is in memory can be read, for `effort`.
    pub(crate) fn new(view: Box<dyn View>, effort: u32, shortfall: Shortfall) -> Self {
        Self { view, effort: AtomicU32::new(effort), shortfall }
    }

    fn spend(&self, units: usize) -> Result<(), StoreError> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let left = self.effort.load(Ordering::Relaxed).checked_sub(units);
        let left = left.ok_or_else(|| self.shortfall.meet())?;
        self.effort.store(left, Ordering::Relaxed);
        Ok(())
    }

    fn noted(&self, error: StoreError) -> StoreError {
        if error == StoreError::NotInMemory { self.shortfall.meet() } else { error }
    }
}

impl View for Frugal {
    fn seq(&self) -> Seq {
        self.view.seq()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.spend(1)?;
        let value = self.view.get(table, key).map_err(|error| self.noted(error))?;
        self.spend(value.as_ref().map_or(0, Value::len) / BYTES_PER_UNIT)?;
        Ok(value)
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError> {
        self.spend(keys.len())?;
        let values = self.view.multi_get(table, keys).map_err(|error| self.noted(error))?;
        let bytes: usize = values.iter().flatten().map(Value::len).sum();
        self.spend(bytes / BYTES_PER_UNIT)?;
        Ok(values)
    }

    fn scan(&self, table: Table, range: KeyRange, dir: Dir) -> Scan<'_> {
        if let Err(error) = self.spend(1) {
            return Box::new(iter::once(Err(error)));
        }
        let mut rows = self.view.scan(table, range, dir);
        let mut is_over = false;
        Box::new(iter::from_fn(move || {
            if is_over {
                return None;
            }
            let row = rows.next()?.map_err(|error| self.noted(error));
            let row = row.and_then(|(key, value)| {
                self.spend(1 + value.len() / BYTES_PER_UNIT)?;
                Ok((key, value))
            });
            is_over = row.is_err();
            Some(row)
        }))
    }

    fn in_memory(&self) -> Option<Box<dyn View>> {
        None // It is that already.
    }
}

#[cfg(test)]
mod tests {
    use lockstep_io::{Durability, Schema, StoreName, Stores, WriteSet};
    use lockstep_io_memory::MemoryStores;

    use super::*;

    const TABLE: Table = Table { index: 0, name: "t", prefix_bytes: None };

    fn frugal(effort: u32) -> (Frugal, Shortfall) {
        let disk = MemoryStores::new();
        let schema = Schema { tables: vec![TABLE] };
        let (reader, mut writer) = disk.open(&StoreName("s".to_owned()), &schema).unwrap();
        let mut set = WriteSet::new();
        (0..9_u8).for_each(|key| set.put(TABLE, [key], vec![key; 300]));
        writer.write(set, Durability::Buffered).unwrap();
        let view = reader.view().in_memory().unwrap();
        let shortfall = Shortfall::default();
        (Frugal::new(view, effort, shortfall.clone()), shortfall)
    }

    #[test]
    fn what_is_asked_for_is_there_until_the_effort_is_spent() {
        let (view, shortfall) = frugal(4);
        let value = Some(Value::from(vec![1; 300]));
        assert_eq!(view.get(TABLE, &[1]), Ok(value.clone()));
        assert_eq!(view.get(TABLE, &[1]), Ok(value));
        assert!(!shortfall.is_met());
        assert_eq!(view.get(TABLE, &[1]), Err(StoreError::NotInMemory));
        assert!(shortfall.is_met());
    }

    #[test]
    fn a_scan_ends_with_an_error_when_the_effort_is_spent() {
        let (view, shortfall) = frugal(8);
        let rows: Vec<_> = view.scan(TABLE, KeyRange::all(), Dir::Up).collect();
        assert_eq!(rows.len(), 4);
        assert!(rows[..3].iter().all(Result::is_ok));
        assert_eq!(rows[3], Err(StoreError::NotInMemory));
        assert!(shortfall.is_met());
    }

    #[test]
    fn many_values_at_once_cost_what_they_cost_one_by_one() {
        let (view, shortfall) = frugal(5);
        assert_eq!(view.multi_get(TABLE, &[&[1], &[2], &[99]]).unwrap().len(), 3);
        assert!(!shortfall.is_met());
        assert_eq!(view.multi_get(TABLE, &[&[1]]), Err(StoreError::NotInMemory));
        assert!(shortfall.is_met());
    }
}
