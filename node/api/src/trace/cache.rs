//! Traces of batches that were run again, kept for whoever asks next.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lockstep_replay::{BatchTraces, BlockTraces, ReplayError};
use lockstep_types::{BlockHeader, L1BatchNumber, L2BlockHash, L2BlockNumber};
use tokio::sync::watch;

/// Why there are no traces.
#[derive(Clone, Debug)]
pub(crate) enum TraceFailure {
    /// Too many others wait.
    Busy,
    /// It took too long.
    TimedOut,
    /// The process was asked to stop.
    ShuttingDown,
    /// It died; the log says of what.
    Died,
    /// The batch could not be run again.
    Replay(ReplayError),
}

/// What running a batch again came to.
pub(crate) type Outcome = Result<Arc<BatchTraces>, TraceFailure>;

/// Tells the outcome once there is one.
pub(super) type Awaited = watch::Receiver<Option<Outcome>>;

/// A block whose traces are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) batch: L1BatchNumber,
    pub(crate) block: L2BlockNumber,
    pub(crate) hash: L2BlockHash,
}

impl Wanted {
    /// The block of `header`.
    pub(crate) fn of(header: &BlockHeader) -> Self {
        Self { batch: header.params.batch, block: header.params.number, hash: header.hash }
    }

    /// The block in `traces`, if it is there.
    pub(crate) fn find<'a>(&self, traces: &'a BatchTraces) -> Option<&'a BlockTraces> {
        traces.blocks.get(&self.block).filter(|block| block.hash == self.hash)
    }
}

/// Traces by batch, with those that are being made. The least recently used ones go first.
#[derive(Debug)]
pub(crate) struct TraceCache {
    bytes_max: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_batch: BTreeMap<L1BatchNumber, Entry>,
    /// Of those that are ready.
    bytes: usize,
    use_count: u64,
}

#[derive(Debug)]
struct Entry {
    last_use: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Ready(Arc<BatchTraces>),
    Running(Awaited),
}

/// What there is of a batch.
pub(super) enum Found {
    /// The block's traces among others.
    Ready(Arc<BatchTraces>),
    /// Somebody makes them, or those of another block of the batch.
    Running(Awaited),
    /// Nobody has made them: the caller must, and tell it here and to [`TraceCache::end`].
    Missing(watch::Sender<Option<Outcome>>),
}

impl TraceCache {
    /// Keeps traces of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, entries: Mutex::default() }
    }

    pub(super) fn find(&self, wanted: &Wanted) -> Found {
        let mut entries = self.entries();
        entries.use_count += 1;
        let last_use = entries.use_count;
        if let Some(entry) = entries.by_batch.get_mut(&wanted.batch) {
            match &entry.state {
                State::Ready(traces) if wanted.find(traces).is_some() => {
                    entry.last_use = last_use;
                    return Found::Ready(traces.clone());
                }
                // One that ended without a word has died.
                State::Running(awaited) if awaited.has_changed().is_ok() => {
                    return Found::Running(awaited.clone());
                }
                State::Ready(_) | State::Running(_) => {}
            }
        }
        let (tell, awaited) = watch::channel(None);
        entries.replace(wanted.batch, Entry { last_use, state: State::Running(awaited) });
        Found::Missing(tell)
    }

    /// Keeps what running `batch` came to, as far as there is room.
    pub(super) fn end(&self, batch: L1BatchNumber, outcome: &Outcome) {
        let mut entries = self.entries();
        match outcome {
            Ok(traces) if traces.bytes <= self.bytes_max => {
                entries.use_count += 1;
                let entry =
                    Entry { last_use: entries.use_count, state: State::Ready(traces.clone()) };
                entries.replace(batch, entry);
                entries.shrink(self.bytes_max);
            }
            Ok(_) | Err(_) => entries.remove(batch),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // No entry is half written: a panic in between leaves a cache that is short of one.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn replace(&mut self, batch: L1BatchNumber, entry: Entry) {
        self.remove(batch);
        self.bytes += entry.bytes();
        self.by_batch.insert(batch, entry);
    }

    fn remove(&mut self, batch: L1BatchNumber) {
        if let Some(entry) = self.by_batch.remove(&batch) {
            self.bytes -= entry.bytes();
        }
    }

    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let ready = self.by_batch.iter().filter(|(_, entry)| entry.bytes() > 0);
            let oldest = ready.min_by_key(|(_, entry)| entry.last_use).map(|(batch, _)| *batch);
            let Some(oldest) = oldest else { return };
            self.remove(oldest);
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        match &self.state {
            State::Ready(traces) => traces.bytes,
            State::Running(_) => 0,
        }
    }
}
