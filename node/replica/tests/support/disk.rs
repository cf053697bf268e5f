//! A disk that dies on purpose, loses power, and leaves out changes.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use lockstep_io::{
    Durability, Schema, Seq, StoreError, StoreName, Stores, WriteSet, WriteStore,
    store::{Change, CheckpointInfo, DiskUsage, OpenStore},
};
use lockstep_io_memory::MemoryStores;

type OnWrite = Arc<dyn Fn(usize) + Send + Sync>;
type IsLeftOut = Arc<dyn Fn(&Change) -> bool + Send + Sync>;

/// The disk. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stores: MemoryStores,
    /// Every write set since the beginning.
    log: Vec<(WriteSet, Durability)>,
    /// Writes of this life, whether they were made or not.
    writes: usize,
    life: u64,
    /// This write of this life is not made, and nothing after it.
    dies_at: Option<usize>,
    is_dead: bool,
    /// Told the number of each write before it is made.
    on_write: Option<OnWrite>,
    left_out: Option<IsLeftOut>,
    trouble: Option<Trouble>,
    /// As the disk says.
    free_bytes: Option<u64>,
    /// How often a store was opened.
    opened: usize,
}

/// Writes that fail, though the process lives on.
#[derive(Clone, Debug)]
struct Trouble {
    /// The first write of this life that fails.
    from: usize,
    /// How many do from there on.
    count: usize,
    error: StoreError,
    /// Whether the write sets are there all the same.
    lands: bool,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Process death: whoever held the disk writes nothing any more.
    pub(crate) fn next_life(&self) {
        let mut state = self.state();
        state.life += 1;
        (state.writes, state.dies_at, state.is_dead, state.on_write) = (0, None, false, None);
    }

    /// The process dies instead of the `nth` write from now on.
    pub(crate) fn die_at(&self, nth: usize) {
        let mut state = self.state();
        state.dies_at = Some(state.writes + nth);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// The `nth` write from now on fails with `error`, and `count` in all; `lands`: the write sets
    /// are there all the same.
    pub(crate) fn fail_at(&self, nth: usize, count: usize, error: StoreError, lands: bool) {
        let mut state = self.state();
        let from = state.writes + nth;
        state.trouble = Some(Trouble { from, count, error, lands });
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&self) {
        self.state().trouble = None;
    }

    /// What the disk says of its space.
    pub(crate) fn set_free_bytes(&self, free: Option<u64>) {
        self.state().free_bytes = free;
    }

    /// How often a store was opened.
    pub(crate) fn opened(&self) -> usize {
        self.state().opened
    }

    /// Writes of this life.
    pub(crate) fn writes(&self) -> usize {
        self.state().writes
    }

    /// Has `told` called before each write of this life, with its number.
    pub(crate) fn on_write(&self, told: impl Fn(usize) + Send + Sync + 'static) {
        self.state().on_write = Some(Arc::new(told));
    }

    /// Changes for which `is_left_out` holds are not made.
    pub(crate) fn leave_out(&self, is_left_out: impl Fn(&Change) -> bool + Send + Sync + 'static) {
        self.state().left_out = Some(Arc::new(is_left_out));
    }

    /// Power is lost: of the write sets after the last durable one, `kept` in `out_of` stay.
    pub(crate) fn lose_power(&self, kept: usize, out_of: usize) {
        let mut state = self.state();
        let is_synced = |(_, durability): &(WriteSet, Durability)| match durability {
            Durability::Synced => true,
            Durability::Buffered => false,
        };
        let durable = state.log.iter().rposition(is_synced).map_or(0, |last| last + 1);
        let length = durable + (state.log.len() - durable) * kept / out_of;
        state.log.truncate(length);
        let stores = MemoryStores::new();
        let schema = lockstep_store::tables::schema();
        let (_, mut writer) = stores.open(&StoreName("chain".to_owned()), &schema).unwrap();
        for (set, durability) in &state.log {
            writer.write(set.clone(), *durability).unwrap();
        }
        state.stores = stores;
    }
}

impl Stores for Disk {
    fn open(&self, name: &StoreName, schema: &Schema) -> Result<OpenStore, StoreError> {
        let (stores, life) = {
            let state = self.state();
            (state.stores.clone(), state.life)
        };
        let (reader, writer) = stores.open(name, schema)?;
        self.state().opened += 1;
        Ok((reader, Box::new(Writer { disk: self.clone(), life, writer, is_poisoned: false })))
    }

    fn adopt_checkpoint(&self, from: &StoreName, name: &StoreName) -> Result<(), StoreError> {
        self.state().stores.adopt_checkpoint(from, name)
    }

    fn wipe(&self, name: &StoreName) -> Result<(), StoreError> {
        self.state().stores.wipe(name)
    }

    fn usage(&self) -> Result<DiskUsage, StoreError> {
        let state = self.state();
        Ok(DiskUsage { free_bytes: state.free_bytes, ..state.stores.usage()? })
    }
}

#[derive(Debug)]
struct Writer {
    disk: Disk,
    life: u64,
    writer: Box<dyn WriteStore>,
    /// An earlier write failed (C5).
    is_poisoned: bool,
}

impl Writer {
    fn check(&self) -> Result<(), StoreError> {
        let state = self.disk.state();
        if state.is_dead || state.life != self.life {
            return Err(StoreError::Fenced);
        }
        if self.is_poisoned { Err(StoreError::Poisoned) } else { Ok(()) }
    }
}

impl WriteStore for Writer {
    fn write(&mut self, mut set: WriteSet, durability: Durability) -> Result<Seq, StoreError> {
        self.check()?;
        let (number, told) = {
            let mut state = self.disk.state();
            let number = state.writes;
            state.writes += 1;
            if state.dies_at == Some(number) {
                state.is_dead = true;
                return Err(StoreError::Fenced);
            }
            let trouble = state.trouble.clone().filter(|trouble| {
                (trouble.from..trouble.from.saturating_add(trouble.count)).contains(&number)
            });
            if let Some(trouble) = trouble {
                self.is_poisoned = true;
                if trouble.lands {
                    state.log.push((set.clone(), durability));
                    drop(state);
                    self.writer.write(set, durability)?;
                }
                return Err(trouble.error);
            }
            if let Some(is_left_out) = &state.left_out {
                set.changes.retain(|change| !is_left_out(change));
            }
            state.log.push((set.clone(), durability));
            (number, state.on_write.clone())
        };
        if let Some(told) = told {
            told(number);
        }
        self.writer.write(set, durability)
    }

    fn sync(&mut self) -> Result<Seq, StoreError> {
        self.check()?;
        self.writer.sync()
    }

    fn write_unlogged(&mut self, set: WriteSet) -> Result<(), StoreError> {
        self.check()?;
        self.writer.write_unlogged(set)
    }

    fn flush_unlogged(&mut self) -> Result<Seq, StoreError> {
        self.check()?;
        self.writer.flush_unlogged()
    }

    fn checkpoint(&mut self, to: &StoreName) -> Result<CheckpointInfo, StoreError> {
        self.check()?;
        self.writer.checkpoint(to)
    }
}
