//! The disk: io/memory's store, made to lose, fail, fill up, and to be there when a process dies.
//!
//! A process can die at any call of its write half, before it or after it; from then on its
//! handles change nothing. What was written and not synced is lost with the power, as a suffix
//! (C2 to C4 of the contract).

mod fault;
mod handle;
mod lagging;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lockstep_io::{
    Durability, Schema, Seq, StoreError, StoreName, Stores, Table, WriteSet, call_site,
    store::{DiskUsage, OpenStore},
};
use lockstep_io_memory::MemoryStores;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

pub use self::fault::Faults;
use self::{handle::SimReader, handle::SimWriter, lagging::Lagging};
use crate::{
    court::Court,
    exec::{Executor, Life},
    judge::{Observation, Violation},
    scenario::{DiskFault, Keep},
    trace::{TraceEvent, hash_words},
    triggers::{CallPoint, Triggers},
};

/// Views of a process at most at any time.
const VIEWS_MAX: usize = 120;

/// The disk of the machine: it outlives processes. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    executor: Executor,
    court: Court,
    triggers: Triggers,
    state: Mutex<State>,
}

struct State {
    live: MemoryStores,
    lagging: Lagging,
    faults: Faults,
    rng: ChaCha8Rng,
    /// Calls of the write half, of all lives.
    calls: u64,
    /// Views that are open, by life.
    views: BTreeMap<Life, usize>,
    /// The life that opened the store last.
    holder: Option<Life>,
    /// Which place made each call.
    callers: Vec<String>,
    sites: BTreeMap<String, Site>,
}

/// A place of the node that calls the disk, told by what it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Calls.
    pub calls: u64,
    /// Deaths at it.
    pub crashes: u64,
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, executor: Executor, court: Court, triggers: Triggers) -> Self {
        let state = State {
            live: MemoryStores::new(),
            lagging: Lagging::default(),
            faults: Faults::default(),
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0xd15c_0000_d15c),
            calls: 0,
            views: BTreeMap::new(),
            holder: None,
            callers: Vec::new(),
            sites: BTreeMap::new(),
        };
        Self(Arc::new(Inner { executor, court, triggers, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as process `life` sees it.
    pub fn of_life(&self, life: Life) -> SimStores {
        SimStores { disk: self.clone(), life }
    }

    /// A copy of what is there.
    pub fn image(&self) -> MemoryStores {
        self.state().live.image()
    }

    /// Calls of the write half so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Which place made each call of the write half.
    pub fn callers(&self) -> Vec<String> {
        self.state().callers.clone()
    }

    /// The places that called it.
    pub fn sites(&self) -> BTreeMap<String, Site> {
        self.state().sites.clone()
    }

    /// The process is gone: whatever it still holds is closed, as a lock of a dead process is.
    pub fn release(&self) {
        let mut state = self.state();
        state.live = state.live.image();
        state.holder = None;
    }

    /// Whether a process has the store open.
    pub fn is_held(&self) -> bool {
        self.state().holder.is_some()
    }

    /// Views that `life` has open.
    pub fn views_of(&self, life: Life) -> usize {
        self.state().views.get(&life).copied().unwrap_or_default()
    }

    /// S12: views that are open at once are bounded.
    fn view_opens(&self, life: Life) {
        let count = {
            let mut state = self.state();
            let count = state.views.entry(life).or_default();
            *count += 1;
            *count
        };
        if count > VIEWS_MAX {
            let detail = format!("{count} views are open at once");
            self.0.court.add(Violation::new("S12", "views", detail));
        }
    }

    fn view_closes(&self, life: Life) {
        if let Some(count) = self.state().views.get_mut(&life) {
            *count = count.saturating_sub(1);
        }
    }

    /// S13: whoever opens or writes is the only one.
    fn hold(&self, life: Life, is_opened: bool) {
        let mut state = self.state();
        let other = state.holder.filter(|holder| *holder != life);
        if is_opened {
            state.holder = Some(life);
        }
        drop(state);
        if let Some(other) = other.filter(|other| !self.0.executor.is_dead(*other)) {
            let detail = format!("process {life} has the store, and so has process {other}");
            self.0.court.add(Violation::new("S13", "two processes", detail));
        }
    }

    /// Power is lost: of what is not durable, `keep` stays. No process may live.
    ///
    /// # Errors
    ///
    /// The disk in memory refused: a mistake of the simulator.
    pub fn lose_power(&self, keep: Keep) -> Result<(), StoreError> {
        let seq = {
            let mut state = self.state();
            let pending = state.lagging.pending_count();
            let kept = match keep {
                Keep::Oldest => 0,
                Keep::Newest => pending,
                Keep::Middle => pending / 2,
                Keep::Random => {
                    let bound = u64::try_from(pending).unwrap_or(u64::MAX) + 1;
                    usize::try_from(state.rng.next_u64() % bound).unwrap_or(pending)
                }
            };
            let (live, seq) = state.lagging.cut(kept)?;
            state.live = live;
            seq
        };
        let words = [seq.0];
        self.trace(&TraceEvent::Call { kind: "power lost", words: &words, bytes: &[] });
        self.see(&Observation::PowerLost { seq });
        Ok(())
    }

    /// The disk fails from now on.
    pub fn fail(&self, fault: DiskFault) {
        let now = self.0.executor.now();
        let mut state = self.state();
        let salt = state.rng.next_u64();
        state.faults.add(fault, now, salt);
    }

    /// The disk is as good as new.
    pub fn heal(&self) {
        self.state().faults = Faults::default();
    }

    fn trace(&self, event: &TraceEvent<'_>) {
        self.0.executor.trace().push(self.0.executor.now(), event);
    }

    fn see(&self, what: &Observation<'_>) {
        self.0.court.see(self.0.executor.now(), what);
    }

    fn check_alive(&self, life: Life) -> Result<(), StoreError> {
        if self.0.executor.is_dead(life) { Err(StoreError::Fenced) } else { Ok(()) }
    }

    /// Counts a call of the write half, and does not return if the process dies before it.
    fn before_call(&self, life: Life, site: &str) -> Result<u64, StoreError> {
        self.check_alive(life)?;
        let nth = {
            let mut state = self.state();
            state.calls += 1;
            state.callers.push(site.to_owned());
            state.sites.entry(site.to_owned()).or_default().calls += 1;
            state.calls
        };
        self.maybe_die(life, site, CallPoint { nth, after: false });
        Ok(nth)
    }

    /// As [`before_call`](Self::before_call), when it has been made.
    fn after_call(&self, life: Life, site: &str, nth: u64) {
        self.maybe_die(life, site, CallPoint { nth, after: true });
    }

    fn maybe_die(&self, life: Life, site: &str, point: CallPoint) {
        if self.0.triggers.store_call(point) {
            if let Some(site) = self.state().sites.get_mut(site) {
                site.crashes += 1;
            }
            self.0.executor.die_here(life);
        }
    }

    fn now(&self) -> Duration {
        self.0.executor.now()
    }

    /// What a read of `key` fails with, if it does.
    fn read_fault(&self, life: Life, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.check_alive(life)?;
        self.state().faults.on_read(table, key)
    }

    fn trace_write(&self, kind: &'static str, set: &WriteSet, result: &Result<Seq, StoreError>) {
        let seq = result.as_ref().map_or(u64::MAX, |seq| seq.0);
        let content = set.changes.iter().fold(seq, |hash, change| {
            use lockstep_io::store::Change;
            let (tag, table, key, value): (u64, &Table, &[u8], &[u8]) = match change {
                Change::Put { table, key, value } => (0, table, key, value),
                Change::Delete { table, key } => (1, table, key, &[]),
                Change::DeleteRange { table, range } => {
                    (2, table, &range.start, range.end.as_deref().unwrap_or(&[]))
                }
            };
            let index = u64::try_from(table.index).unwrap_or(u64::MAX);
            hash_words(&[hash, tag, index, hash_words(&[], key)], value)
        });
        let count = u64::try_from(set.changes.len()).unwrap_or(u64::MAX);
        self.trace(&TraceEvent::Call { kind, words: &[seq, count, content], bytes: &[] });
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

/// The disk as one process life sees it.
#[derive(Clone, Debug)]
pub struct SimStores {
    disk: Disk,
    life: Life,
}

impl Stores for SimStores {
    fn open(&self, name: &StoreName, schema: &Schema) -> Result<OpenStore, StoreError> {
        let site = site("open".to_owned());
        let nth = self.disk.before_call(self.life, &site)?;
        let (reader, writer) = {
            let mut state = self.disk.state();
            let opened = state.live.open(name, schema)?;
            state.lagging.opened(name, schema)?;
            opened
        };
        self.disk.hold(self.life, true);
        self.disk.after_call(self.life, &site, nth);
        let reader = SimReader::new(self.disk.clone(), self.life, reader);
        let writer = SimWriter::new(self.disk.clone(), self.life, name.clone(), writer);
        Ok((Arc::new(reader), Box::new(writer)))
    }

    fn adopt_checkpoint(&self, from: &StoreName, name: &StoreName) -> Result<(), StoreError> {
        let nth = self.disk.before_call(self.life, "adopt checkpoint")?;
        {
            let mut guard = self.disk.state();
            let state = &mut *guard;
            state.live.adopt_checkpoint(from, name)?;
            state.lagging.reset(&state.live);
        }
        self.disk.after_call(self.life, "adopt checkpoint", nth);
        Ok(())
    }

    fn wipe(&self, name: &StoreName) -> Result<(), StoreError> {
        let nth = self.disk.before_call(self.life, "wipe")?;
        {
            let mut guard = self.disk.state();
            let state = &mut *guard;
            state.live.wipe(name)?;
            state.lagging.reset(&state.live);
        }
        self.disk.after_call(self.life, "wipe", nth);
        Ok(())
    }

    fn usage(&self) -> Result<DiskUsage, StoreError> {
        self.disk.check_alive(self.life)?;
        self.disk.state().live.usage()
    }
}

/// Whether a write call of this durability makes everything durable.
fn is_synced(durability: Durability) -> bool {
    match durability {
        Durability::Synced => true,
        Durability::Buffered => false,
    }
}

/// The place of the node that calls, as far as it says so; `otherwise` what it does.
fn site(otherwise: String) -> String {
    call_site::take().unwrap_or(otherwise)
}
