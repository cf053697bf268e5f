//! What must hold, and who tells when it does not.

pub mod observation;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_io_memory::MemoryStores;

pub use self::observation::{Ending, Exchange, ExchangeEnd, LifeEnd, Observation};
use crate::{model::SharedModel, scenario::Scenario};

/// The judge, as the world and the clients share it. Never locked across an await.
pub type SharedJudge = Arc<Mutex<Judge>>;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant: an id such as `S3`.
    pub invariant: &'static str,
    /// What it is about, stable between runs: with the invariant it says whether two failures
    /// are the same one.
    pub key: String,
    /// What was found and what was expected.
    pub detail: String,
}

/// Sees everything that happens and says what does not hold.
#[derive(Debug)]
pub struct Judge {
    violations: Vec<Violation>,
}

impl Judge {
    /// Judges a run of `scenario` in the world of `model`.
    pub fn new(_scenario: &Scenario, _model: SharedModel) -> Self {
        Self { violations: Vec::new() }
    }

    /// Something happened at `now`, a time since the world began.
    pub fn see(&mut self, _now: Duration, _what: &Observation<'_>) {}

    /// The process is dead and this is a copy of what is on its disk. Called after each death and
    /// before the next life.
    pub fn at_rest(&mut self, _now: Duration, _disk: &MemoryStores) {}

    /// The run is over. The process has been killed and this is a copy of its disk.
    pub fn at_end(&mut self, _now: Duration, _ending: &Ending, _disk: &MemoryStores) {}

    /// What did not hold, oldest first. The run is ended at the first.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The world adds what it found out itself.
    pub fn add(&mut self, violation: Violation) {
        self.violations.push(violation);
    }
}
