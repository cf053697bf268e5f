//! What must hold, and who tells when it does not: one invariant a file.
//!
//! What is let pass on purpose, and why, is written in [`ambiguities`].

pub mod ambiguities;
pub(crate) mod api;
mod canonical;
mod depth;
mod end;
mod found;
mod heads;
mod l1_steps;
mod observation;
mod pace;
mod progress;
mod promises;
mod relations;
mod replay;
mod running;
mod told;
mod verified;
mod watches;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_io_memory::MemoryStores;

pub(crate) use self::replay::is_at_end;
pub use self::{
    found::Tables,
    observation::{Ending, Exchange, ExchangeEnd, LifeEnd, Observation},
};
use self::{
    found::{Found, unreadable},
    l1_steps::Steps,
    pace::Pace,
    progress::Progress,
    promises::Promises,
    running::Running,
    watches::Watches,
};
pub(crate) use self::{
    found::{Place, branch_of},
    heads::Heads,
    told::FilterKind,
    watches::Watched,
};
use crate::{
    model::{ModelEvent, SharedModel},
    scenario::{DiskFault, Event, Scenario},
};

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

impl Violation {
    /// Of `invariant`, about `key`.
    pub fn new(invariant: &'static str, key: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { invariant, key: key.into(), detail: detail.into() }
    }
}

/// Sees everything that happens and says what does not hold.
#[derive(Debug)]
pub struct Judge {
    model: SharedModel,
    violations: Vec<Violation>,
    heads: Heads,
    promises: Promises,
    steps: Steps,
    pace: Pace,
    progress: Progress,
    running: Running,
    watches: Watches,
    /// Whether nothing makes answers of the API late.
    is_prompt: bool,
    /// Whether there is always an endpoint of the main node that tells the truth.
    is_stood_by: bool,
    /// Whether the scenario makes the disk fail: what cannot be read then proves nothing.
    disk_fails: bool,
}

/// Whether an endpoint of the main node never lies, is never behind and never out.
fn is_stood_by(scenario: &Scenario) -> bool {
    let mut net = scenario.net.clone();
    let is_calm = net.all().iter().all(|(_, rate)| **rate == 0);
    let is_behind = scenario.model.main_node_lag_ms.iter().any(|lag| *lag > 0);
    let mut honest = vec![true; scenario.model.main_node_count];
    for step in &scenario.script {
        match &step.event {
            Event::Model(ModelEvent::Lie { endpoint: Some(endpoint), .. }) => {
                if let Some(honest) = honest.get_mut(*endpoint) {
                    *honest = false;
                }
            }
            Event::Model(ModelEvent::Lie { endpoint: None, .. })
            | Event::Outage { .. }
            | Event::Closed { .. }
            | Event::Pause { .. } => return false,
            _ => {}
        }
    }
    is_calm && !is_behind && honest.into_iter().any(|honest| honest)
}

impl Judge {
    /// Judges a run of `scenario` in the world of `model`.
    pub fn new(scenario: &Scenario, model: SharedModel) -> Self {
        let disk_fails = scenario.script.iter().any(|step| match step.event {
            Event::Disk(DiskFault::Slow { .. }) => false,
            Event::Disk(_) => true,
            _ => false,
        });
        let is_slow = scenario.script.iter().any(|step| {
            matches!(step.event, Event::Disk(_) | Event::Pause { .. } | Event::StarveCpu { .. })
        });
        Self {
            watches: Watches::default(),
            is_prompt: !is_slow,
            is_stood_by: is_stood_by(scenario),
            progress: Progress::default(),
            heads: Heads::default(),
            promises: Promises::default(),
            steps: Steps::default(),
            pace: Pace::new(scenario),
            running: Running::new(disk_fails),
            violations: Vec::new(),
            model,
            disk_fails,
        }
    }

    /// Something happened at `now`, a time since the world began.
    pub fn see(&mut self, now: Duration, what: &Observation<'_>) {
        let mut found = Vec::new();
        found.extend(self.promises.see(what));
        found.extend(self.pace.see(what));
        found.extend(self.progress.see(now, what));
        let model = self.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.extend(self.running.see(now, what, &model));
        found.extend(self.steps.see(what));
        found.extend(depth::see(now, what, &self.heads, &model, self.is_stood_by));
        drop(model);
        self.heads.see(now, what);
        self.violations.extend(found);
    }

    /// The process is dead and this is a copy of what is on its disk. Called after each death and
    /// before the next life.
    pub fn at_rest(&mut self, now: Duration, disk: &MemoryStores) {
        match self.look_at(now, disk) {
            Ok(found) => self.violations.extend(found),
            Err(violation) => self.violations.push(violation),
        }
    }

    /// The run is over. The process has been killed and this is a copy of its disk.
    pub fn at_end(&mut self, now: Duration, ending: &Ending, disk: &MemoryStores) {
        if !self.violations.is_empty() {
            return;
        }
        self.at_rest(now, disk);
        let shared = self.model.clone();
        let model = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let rolled_back = self.promises.has_rolled_back();
        match end::check(&model, ending, disk, rolled_back) {
            Ok(found) => self.violations.extend(found),
            Err(fault) => self.violations.push(unreadable(fault)),
        }
    }

    fn look_at(&mut self, now: Duration, disk: &MemoryStores) -> Result<Vec<Violation>, Violation> {
        let found = Found::open(disk).map_err(unreadable)?;
        self.heads.resync(now, &found.view).map_err(unreadable)?;
        let shared = self.model.clone();
        let model = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let chain = model.chain();
        let Some(place) = found.place(chain)? else { return relations::before_genesis(&found) };
        let mut violations = canonical::check(&found, &place, &model)?;
        let is_whole = found.view.rollback_target().map_err(unreadable)?.is_none();
        if is_whole {
            let rolled_back = self.promises.has_rolled_back();
            violations.extend(relations::check(&found, &place, chain, rolled_back)?);
            violations.extend(verified::check(&found, &place, chain)?);
            violations.extend(self.steps.check(now, &found, &place, &model)?);
        }
        Ok(violations)
    }

    /// What did not hold, oldest first. The run is ended at the first.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The world adds what it found out itself.
    pub fn add(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// The same, of several.
    pub(super) fn add_all(&mut self, violations: impl IntoIterator<Item = Violation>) {
        self.violations.extend(violations);
    }

    fn shared_model(&self) -> SharedModel {
        self.model.clone()
    }

    /// Whether nothing in the scenario makes answers of the API late.
    pub(crate) fn is_prompt(&self) -> bool {
        self.is_prompt
    }

    /// What the node's newest block was, at which time.
    pub(crate) fn heads(&self) -> &Heads {
        &self.heads
    }

    /// Whether the disk was made to fail: an API answer that is an error proves nothing then.
    pub(crate) fn disk_fails(&self) -> bool {
        self.disk_fails
    }
}
