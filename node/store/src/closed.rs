//! A store that is not open just now: nothing can be read and nothing written.

use lockstep_io::{
    Dir, Durability, KeyRange, ReadStore, Scan, Seq, StoreError, StoreName, Table, Value, View,
    WriteSet, WriteStore, store::CheckpointInfo,
};

/// In the place of both halves of a store, and of its views, while it is being opened again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed;

fn closed() -> StoreError {
    StoreError::Io("the store is being opened again; try again in a moment".to_owned())
}

impl ReadStore for Closed {
    fn view(&self) -> Box<dyn View> {
        Box::new(Self)
    }

    fn table_bytes(&self) -> Vec<(Table, u64)> {
        Vec::new()
    }
}

impl View for Closed {
    fn seq(&self) -> Seq {
        Seq::default()
    }

    fn get(&self, _table: Table, _key: &[u8]) -> Result<Option<Value>, StoreError> {
        Err(closed())
    }

    fn multi_get(&self, _table: Table, _keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError> {
        Err(closed())
    }

    fn scan(&self, _table: Table, _range: KeyRange, _dir: Dir) -> Scan<'_> {
        Box::new(std::iter::once(Err(closed())))
    }
}

impl WriteStore for Closed {
    fn write(&mut self, _set: WriteSet, _durability: Durability) -> Result<Seq, StoreError> {
        Err(StoreError::Poisoned)
    }

    fn sync(&mut self) -> Result<Seq, StoreError> {
        Err(StoreError::Poisoned)
    }

    fn write_unlogged(&mut self, _set: WriteSet) -> Result<(), StoreError> {
        Err(StoreError::Poisoned)
    }

    fn flush_unlogged(&mut self) -> Result<Seq, StoreError> {
        Err(StoreError::Poisoned)
    }

    fn checkpoint(&mut self, _to: &StoreName) -> Result<CheckpointInfo, StoreError> {
        Err(StoreError::Poisoned)
    }
}
