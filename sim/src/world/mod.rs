//! One seed, one clock, one machine: its disk, its network, and the process lives on it.

mod api;
mod director;
mod life;
mod report;
mod settings;
mod upstream;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::channel::mpsc;
use lockstep_io::Io;
use lockstep_io_memory::{MemoryObjects, MemoryReports, MemoryStores};
use lockstep_vm::{Simulator, Vm};

pub use self::report::{Report, RunOptions};
use self::{
    director::{Director, Signal},
    life::LifeHandle,
    upstream::Upstream,
};
use crate::{
    court::Court,
    exec::{Executor, Limits, SimClock, SimTasks, Stuck, TaskCosts, Wall},
    judge::{Ending, Judge, Violation},
    log,
    net::Net,
    scenario::{ReplicaKnobs, Scenario},
    store::Disk,
    trace::{Trace, hash_words},
    triggers::Triggers,
};

/// Polls of a run at most. A healthy run of the longest scenario needs a tenth.
const POLLS_MAX: u64 = 3_000_000;

/// A machine and everything around it. Clones are the same world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    executor: Executor,
    trace: Trace,
    scenario: Arc<Scenario>,
    upstream: Upstream,
    court: Court,
    disk: Disk,
    net: Net,
    wall: Wall,
    costs: TaskCosts,
    signals: mpsc::UnboundedSender<Signal>,
    reports: MemoryReports,
    canary: bool,
    expected_tables: Option<Digests>,
    callers: bool,
    current: Arc<Mutex<Option<LifeHandle>>>,
    knobs: Arc<Mutex<ReplicaKnobs>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `scenario` on this thread, which should be a simulated one
/// ([`on_simulated_thread`](crate::exec::on_simulated_thread)).
pub fn run(scenario: &Scenario, options: &RunOptions) -> Report {
    let trace =
        if options.record { Trace::recording(options.record_polls) } else { Trace::default() };
    let seed = scenario.seed.0;
    let limits = Limits { polls_max: POLLS_MAX };
    let executor = Executor::new(seed, scenario.schedule, limits, trace.clone());
    let upstream = Upstream::new(scenario);
    let judge = upstream.model().map(|model| Arc::new(Mutex::new(Judge::new(scenario, model))));
    let court = Court::new(judge);
    let (signals, heard) = mpsc::unbounded();
    let (fired, fired_steps) = mpsc::unbounded();
    let triggers = Triggers::new(&scenario.script, fired);
    let disk = Disk::new(seed, executor.clone(), court.clone(), triggers.clone());
    let rates = scenario.net.clone();
    let net = Net::new(seed, rates, upstream.server(), executor.clone(), court.clone(), triggers);
    let costs = TaskCosts::new(scenario.disk.cpu_ms_max, scenario.disk.job_ms_max);
    let world = World {
        executor: executor.clone(),
        trace,
        scenario: Arc::new(scenario.clone()),
        upstream,
        court,
        disk,
        net,
        wall: Wall::default(),
        costs,
        signals,
        reports: MemoryReports::new(),
        canary: options.canary,
        expected_tables: options.expected_tables.clone(),
        callers: options.callers,
        current: Arc::default(),
        knobs: Arc::new(Mutex::new(scenario.replica.clone())),
    };
    log::start(&executor);
    let director = Director::new(world.clone(), heard, fired_steps);
    let ending = match executor.block_on(Box::pin(director.direct())) {
        Ok(ending) => ending,
        Err(stuck) => world.stuck(&stuck),
    };
    let report = world.report(ending);
    log::end();
    // Tasks hold the world, and the world the executor that holds the tasks.
    executor.clear();
    report
}

/// A hash of all rows of each table, by its name.
pub type Digests = BTreeMap<String, u64>;

/// Hashes of what is on `image`.
pub(crate) fn digests(image: &MemoryStores) -> Result<Digests, String> {
    let (views, _writers) = lockstep_store::open(image).map_err(|error| error.to_string())?;
    let view = views.now();
    let mut digests = Digests::new();
    for table in lockstep_store::tables::ALL {
        let mut hash = 0;
        for row in view.dump(*table) {
            let (key, value) = row.map_err(|error| error.to_string())?;
            hash = hash_words(&[hash, hash_words(&[], &key)], &value);
        }
        digests.insert(table.name.to_owned(), hash);
    }
    Ok(digests)
}

impl World {
    /// The bundle of a life.
    fn io(&self, clock: SimClock, tasks: SimTasks, life: u32) -> Io {
        Io {
            clock: Arc::new(clock),
            entropy: Arc::new(lockstep_io_memory::SeededEntropy::new(
                self.scenario.seed.0 ^ (u64::from(life) << 32),
            )),
            tasks: Arc::new(tasks),
            stores: Arc::new(self.disk.of_life(life)),
            http: Arc::new(self.net.clone()),
            objects: Arc::new(MemoryObjects::new()),
            reports: Arc::new(self.reports.clone()),
        }
    }

    fn vm(&self) -> (Arc<dyn Vm>, Arc<dyn Simulator>) {
        self.upstream.vm()
    }

    fn knobs(&self) -> ReplicaKnobs {
        lock(&self.knobs).clone()
    }

    fn violate(&self, invariant: &'static str, key: impl Into<String>, detail: String) {
        self.court.add(Violation { invariant, key: key.into(), detail });
    }

    fn is_violated(&self) -> bool {
        self.court.is_violated()
    }

    /// What is stored in the end must be what was stored in a run to which nothing happened, if
    /// that is known.
    fn compare_tables(&self, image: &MemoryStores) {
        match self.other_tables(image) {
            Ok(others) if others.is_empty() => {}
            Ok(others) => {
                let told = format!("not as after a calm run: {}", others.join(", "));
                self.violate("S3", "tables differ", told);
            }
            Err(error) => self.violate("S3", "tables cannot be read", error),
        }
    }

    /// Names of the tables that are not as after a run to which nothing happened; none if that is
    /// not known.
    fn other_tables(&self, image: &MemoryStores) -> Result<Vec<String>, String> {
        let Some(expected) = &self.expected_tables else { return Ok(Vec::new()) };
        let found = digests(image)?;
        let differs = |name: &&String| found.get(*name) != expected.get(*name);
        Ok(expected.keys().filter(differs).cloned().collect())
    }

    fn stuck(&self, stuck: &Stuck) -> Ending {
        match stuck {
            Stuck::Deadlock(names) => self.violate("V2", "deadlock", format!("tasks: {names:?}")),
            Stuck::Busy(names) => {
                let busiest = names.first().map_or("nobody", |(name, _)| name);
                self.violate("V3", format!("busy {busiest}"), format!("polls by task: {names:?}"));
            }
        }
        Ending::Violation
    }
}
