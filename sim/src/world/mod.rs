//! One seed, one clock, one machine: its disk, its network, and the process lives on it.

mod api;
mod director;
mod life;
mod report;
mod settings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::mpsc;
use lockstep_io::Io;
use lockstep_io_memory::MemoryObjects;
use lockstep_vm::{Simulator, Vm};
use lockstep_vm_toy::ToyVm;

pub use self::report::{Report, RunOptions};
use self::{
    director::{Director, Signal},
    life::LifeHandle,
};
use crate::{
    exec::{Executor, Limits, SimClock, SimTasks, Stuck, TaskCosts, Wall},
    judge::{Ending, Judge, SharedJudge, Violation},
    log,
    model::{Answer, Model, SharedModel},
    net::{Net, Server},
    scenario::{ReplicaKnobs, Scenario},
    store::Disk,
    trace::Trace,
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
    model: SharedModel,
    judge: SharedJudge,
    disk: Disk,
    net: Net,
    wall: Wall,
    costs: TaskCosts,
    signals: mpsc::UnboundedSender<Signal>,
    canary: bool,
    current: Arc<Mutex<Option<LifeHandle>>>,
    knobs: Arc<Mutex<ReplicaKnobs>>,
}

/// The model behind the network.
struct ModelServer(SharedModel);

impl Server for ModelServer {
    fn answer(
        &self,
        now: std::time::Duration,
        endpoint: lockstep_io::EndpointId,
        request: &lockstep_io::HttpRequest,
    ) -> Answer {
        lock(&self.0).answer(now, endpoint, request)
    }
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
    let model = Arc::new(Mutex::new(Model::new(&scenario.model, seed)));
    let judge = Arc::new(Mutex::new(Judge::new(scenario, model.clone())));
    let (signals, heard) = mpsc::unbounded();
    let (fired, fired_steps) = mpsc::unbounded();
    let triggers = Triggers::new(&scenario.script, fired);
    let disk = Disk::new(seed, executor.clone(), judge.clone(), triggers.clone());
    let server = Box::new(ModelServer(model.clone()));
    let rates = scenario.net.clone();
    let net = Net::new(seed, rates, server, executor.clone(), judge.clone(), triggers);
    let costs = TaskCosts::new(scenario.disk.cpu_ms_max, scenario.disk.job_ms_max);
    let world = World {
        executor: executor.clone(),
        trace,
        scenario: Arc::new(scenario.clone()),
        model,
        judge,
        disk,
        net,
        wall: Wall::default(),
        costs,
        signals,
        canary: options.canary,
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
        }
    }

    fn vm(&self) -> (Arc<dyn Vm>, Arc<dyn Simulator>) {
        let vm = Arc::new(ToyVm::default());
        (vm.clone(), vm)
    }

    fn knobs(&self) -> ReplicaKnobs {
        lock(&self.knobs).clone()
    }

    fn violate(&self, invariant: &'static str, key: impl Into<String>, detail: String) {
        lock(&self.judge).add(Violation { invariant, key: key.into(), detail });
    }

    fn is_violated(&self) -> bool {
        !lock(&self.judge).violations().is_empty()
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
