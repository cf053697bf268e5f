//! Whoever is told what happens: the judge, where there is one, and a list of what did not hold.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lockstep_io_memory::MemoryStores;

use crate::judge::{Ending, Observation, SharedJudge, Violation};

/// Tells the judge. Clones are the same. A recorded chain has no judge: what is found then is what
/// the world finds itself.
#[derive(Clone)]
pub struct Court {
    judge: Option<SharedJudge>,
    own: Arc<Mutex<Vec<Violation>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Court {
    /// Tells `judge`.
    pub fn new(judge: Option<SharedJudge>) -> Self {
        Self { judge, own: Arc::default() }
    }

    /// Something happened at `now`.
    pub fn see(&self, now: Duration, what: &Observation<'_>) {
        if let Some(judge) = &self.judge {
            lock(judge).see(now, what);
        }
    }

    /// The process is dead, and this is its disk.
    pub fn at_rest(&self, now: Duration, disk: &MemoryStores) {
        if let Some(judge) = &self.judge {
            lock(judge).at_rest(now, disk);
        }
    }

    /// The run is over, and this is the disk.
    pub fn at_end(&self, now: Duration, ending: &Ending, disk: &MemoryStores) {
        if let Some(judge) = &self.judge {
            lock(judge).at_end(now, ending, disk);
        }
    }

    /// Something does not hold.
    pub fn add(&self, violation: Violation) {
        lock(&self.own).push(violation);
    }

    /// What did not hold; the judge's first.
    pub fn violations(&self) -> Vec<Violation> {
        let judged = self.judge.as_ref().map(|judge| lock(judge).violations().to_vec());
        let mut all = judged.unwrap_or_default();
        all.extend(lock(&self.own).iter().cloned());
        all
    }

    /// Whether something did not hold.
    pub fn is_violated(&self) -> bool {
        let judged = self.judge.as_ref().is_some_and(|judge| !lock(judge).violations().is_empty());
        judged || !lock(&self.own).is_empty()
    }

    /// The judge.
    pub fn judge(&self) -> Option<SharedJudge> {
        self.judge.clone()
    }
}

impl fmt::Debug for Court {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Court").field("is_violated", &self.is_violated()).finish()
    }
}
