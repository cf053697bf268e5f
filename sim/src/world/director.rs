//! Who makes things happen: steps of the script, deaths and restarts, the healing, and the end.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, channel::mpsc};
use lockstep_io::{First, race};
use lockstep_io_memory::MemoryStores;
use lockstep_replica::Status;

use super::{Digests, World, digests, life::LifeHandle, lock};
use crate::{
    clients::{self, Api},
    exec::{Life, WORLD},
    judge::{Ending, LifeEnd, Observation},
    log,
    model::ExpectedEnd,
    scenario::{DiskFault, Event, Keep, When},
};

/// A process that refused to open, or was halted and is healed, is begun again after this long.
const RESTART_AFTER: Duration = Duration::from_secs(10);

/// The end is looked for this often.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A process that is asked to stop at the end of a run has this long.
const GRACE: Duration = Duration::from_secs(30);

/// A recorded chain has come to its end if nothing new was stored for this long: twice the longest
/// pause of a component that finds nothing to do.
const QUIET: Duration = Duration::from_secs(120);

/// Who watches has been told everything after this time.
const SETTLED_AFTER: Duration = Duration::from_secs(20);

/// Views of a process at most when all is calm.
const VIEWS_CALM_MAX: usize = 40;

/// Tasks of a process at most at any time.
const TASKS_AT_ONCE_MAX: usize = 400;

/// Tasks of a process at most when all is calm.
const TASKS_MAX: usize = 60;

/// What others tell the director.
#[derive(Debug)]
pub(super) enum Signal {
    /// The process has ended by itself.
    Ended(Life),
}

/// What is to happen at a time.
#[derive(Clone, Debug)]
enum Action {
    Step(usize),
    Begin,
    KillAfterGrace(Life),
    Resume(Life),
    CpuIsFree,
    DiskIsFast,
    Heal,
    Check,
    TooLate,
}

/// Directs one run.
pub(super) struct Director {
    world: World,
    heard: mpsc::UnboundedReceiver<Signal>,
    fired: mpsc::UnboundedReceiver<usize>,
    agenda: BTreeMap<(Duration, u64), Action>,
    agenda_count: u64,
    life: Option<LifeHandle>,
    lives: Life,
    /// Processes that were begun beside another.
    seconds: Vec<Life>,
    /// How long the process is down that was asked to stop.
    down_after_stop: Option<Duration>,
    is_healed: bool,
    /// The disk failed in this run: halting was right.
    disk_failed: bool,
    is_stopping: bool,
    ending: Option<Ending>,
    /// What is stored of a recorded chain, and since when.
    stored: Option<(Duration, Digests)>,
}

/// What woke the director.
enum Woken {
    Due,
    Heard(Signal),
    Fired(usize),
}

impl Director {
    pub(super) fn new(
        world: World,
        heard: mpsc::UnboundedReceiver<Signal>,
        fired: mpsc::UnboundedReceiver<usize>,
    ) -> Self {
        Self {
            world,
            heard,
            fired,
            agenda: BTreeMap::new(),
            agenda_count: 0,
            life: None,
            lives: 0,
            seconds: Vec::new(),
            down_after_stop: None,
            is_healed: false,
            disk_failed: false,
            is_stopping: false,
            ending: None,
            stored: None,
        }
    }

    /// Directs the run to its end, and the process to its end too.
    pub(super) async fn direct(mut self) -> Ending {
        let scenario = self.world.scenario.clone();
        for (index, step) in scenario.script.iter().enumerate() {
            match &step.when {
                When::AtMs(ms) => self.at(Duration::from_millis(*ms), Action::Step(index)),
                When::AfterMs(ms) if index == 0 => {
                    self.at(Duration::from_millis(*ms), Action::Step(index));
                }
                When::AfterMs(_) | When::StoreCall { .. } | When::Request { .. } => {}
            }
        }
        self.at(Duration::from_millis(scenario.heal_at_ms), Action::Heal);
        self.start_clients();
        self.begin();
        while self.ending.is_none() {
            match self.next().await {
                Woken::Due => self.act().await,
                Woken::Heard(Signal::Ended(life)) => self.ended(life),
                Woken::Fired(step) => self.step(step),
            }
            self.collect_panics();
            self.collect_log();
            self.count();
            if self.world.is_violated() {
                self.ending = Some(Ending::Violation);
            }
        }
        let ending = self.ending.take().unwrap_or(Ending::Violation);
        self.finish(ending).await
    }

    async fn next(&mut self) -> Woken {
        let due = self.agenda.keys().next().map_or(Duration::MAX, |(due, _)| *due);
        let sleep = self.world.executor.sleep_until(due);
        let told = race(self.fired.next(), self.heard.next());
        match race(told, sleep).await {
            First::Left(First::Left(Some(step))) => Woken::Fired(step),
            First::Left(First::Right(Some(signal))) => Woken::Heard(signal),
            First::Left(First::Left(None) | First::Right(None)) | First::Right(()) => Woken::Due,
        }
    }

    fn at(&mut self, when: Duration, action: Action) {
        self.agenda_count += 1;
        self.agenda.insert((when, self.agenda_count), action);
    }

    fn after(&mut self, time: Duration, action: Action) {
        let when = self.world.executor.now().saturating_add(time);
        self.at(when, action);
    }

    fn start_clients(&self) {
        use rand_chacha::rand_core::SeedableRng;
        let plan = self.world.scenario.clients.clone();
        let (Some(model), Some(judge)) = (self.world.upstream.model(), self.world.court.judge())
        else {
            return;
        };
        for number in 0..plan.count {
            let seed = self.world.scenario.seed.0 ^ (0xc11e_0000 + u64::from(number));
            let rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let api: std::sync::Arc<dyn Api> = std::sync::Arc::new(self.world.clone());
            let client = clients::run(plan.clone(), api, rng, model.clone(), judge.clone());
            drop(self.world.executor.spawn(WORLD, "client", Box::pin(client)));
        }
        let disk_fails = lock(&judge).disk_fails();
        // After a failed write nobody knows what should come.
        for number in 0..if disk_fails { 0 } else { 2 * plan.watchers } {
            let seed = self.world.scenario.seed.0 ^ (0x3a7c_0000 + u64::from(number));
            let rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let api: std::sync::Arc<dyn Api> = std::sync::Arc::new(self.world.clone());
            let (plan, by_subscription) = (plan.clone(), number.is_multiple_of(2));
            let watcher =
                clients::watch(plan, api, rng, model.clone(), judge.clone(), by_subscription);
            drop(self.world.executor.spawn(WORLD, "watcher", Box::pin(watcher)));
        }
    }

    async fn act(&mut self) {
        let now = self.world.executor.now();
        let Some(entry) = self.agenda.first_entry() else { return };
        if entry.key().0 > now {
            return;
        }
        match entry.remove() {
            Action::Step(index) => self.step(index),
            Action::Begin => self.begin(),
            Action::KillAfterGrace(life) => {
                if self.life.as_ref().is_some_and(|current| current.life == life) {
                    let down = self.down_after_stop.take().unwrap_or(RESTART_AFTER);
                    self.kill(None, down);
                }
            }
            Action::Resume(life) => self.world.executor.resume(life),
            Action::CpuIsFree => self.world.costs.set_cpu_factor(1),
            Action::DiskIsFast => self.world.costs.set_disk_ms(self.world.scenario.disk.job_ms_max),
            Action::Heal => self.heal(),
            Action::Check => self.check().await,
            Action::TooLate => {
                let told = self.where_it_is().await;
                self.world.violate("V1", "not reached", told.clone());
                self.ending = Some(Ending::TooLate(told));
            }
        }
    }

    fn begin(&mut self) {
        if self.life.is_some() || self.is_stopping {
            return;
        }
        self.lives += 1;
        self.life = Some(self.world.begin_life(self.lives));
    }

    /// A step of the script happens.
    fn step(&mut self, index: usize) {
        let scenario = self.world.scenario.clone();
        let Some(step) = scenario.script.get(index) else { return };
        let now = self.world.executor.now();
        self.world.trace.note(now, &format!("step {index}: {:?}", step.event));
        if let Some(When::AfterMs(ms)) = scenario.script.get(index + 1).map(|next| &next.when) {
            self.after(Duration::from_millis(*ms), Action::Step(index + 1));
        }
        if self.is_healed && !matches!(step.event, Event::Model(_)) {
            // A call of the disk that came late: the process may have died of it all the same.
            if !matches!(step.event, Event::Kill { .. } | Event::PowerLoss { .. }) {
                return;
            }
        }
        self.happen(&step.event);
    }

    fn happen(&mut self, event: &Event) {
        let millis = Duration::from_millis;
        let now = self.world.executor.now();
        match event {
            Event::Kill { down_ms } => self.kill(None, millis(*down_ms)),
            Event::PowerLoss { keep, down_ms } => self.kill(Some(*keep), millis(*down_ms)),
            Event::Terminate { grace_ms, down_ms } => {
                if let Some(life) = self.life.clone() {
                    self.down_after_stop = Some(millis(*down_ms));
                    life.ask_to_stop();
                    self.after(millis(*grace_ms), Action::KillAfterGrace(life.life));
                }
            }
            Event::Pause { ms } => {
                if let Some(life) = &self.life {
                    let life = life.life;
                    self.world.executor.pause(life);
                    self.after(millis(*ms), Action::Resume(life));
                }
            }
            // Before the first has opened the store, nobody knows which of the two is the second.
            Event::SecondProcess if self.life.is_some() && self.world.disk.is_held() => {
                self.lives += 1;
                self.seconds.push(self.lives);
                self.world.begin_second(self.lives);
            }
            Event::SecondProcess => {}
            Event::Reconfigure(knobs) => *lock(&self.world.knobs) = (**knobs).clone(),
            Event::ClockJump { ms } => self.world.wall.jump(*ms),
            Event::StarveCpu { factor, ms } => {
                self.world.costs.set_cpu_factor(*factor);
                self.after(millis(*ms), Action::CpuIsFree);
            }
            Event::Disk(fault) => {
                if let DiskFault::Slow { call_ms, ms } = fault {
                    self.world.costs.set_disk_ms(*call_ms);
                    self.after(millis(*ms), Action::DiskIsFast);
                } else {
                    self.disk_failed = true;
                    self.world.disk.fail(*fault);
                }
            }
            Event::Outage { endpoint, ms } => self.world.net.outage(*endpoint, now + millis(*ms)),
            Event::Closed { endpoint, ms } => self.world.net.close(*endpoint, now + millis(*ms)),
            Event::Model(event) => self.world.upstream.apply(now, event),
        }
    }

    /// The process is killed, by power loss if `keep` says what stays; it begins again after
    /// `down`.
    fn kill(&mut self, keep: Option<Keep>, down: Duration) {
        if let Some(life) = self.life.take() {
            self.world.executor.resume(life.life);
            self.bury(&life, &LifeEnd::Killed);
        }
        if let Some(keep) = keep
            && let Err(error) = self.world.disk.lose_power(keep)
        {
            self.world.violate("SIM", "power loss", error.to_string());
        }
        self.look_at_rest();
        self.after(down, Action::Begin);
    }

    /// Nothing of the process is left afterwards.
    fn bury(&mut self, life: &LifeHandle, end: &LifeEnd) {
        *lock(&self.world.current) = None;
        for second in self.seconds.drain(..) {
            self.world.executor.kill(second);
        }
        self.world.executor.kill(life.life);
        self.world.disk.release();
        let now = self.world.executor.now();
        self.world.trace.note(now, &format!("life {} ends: {end:?}", life.life));
        self.world.see(&Observation::LifeEnds { life: life.life, end });
    }

    fn look_at_rest(&self) {
        let image = self.world.disk.image();
        self.world.court.at_rest(self.world.executor.now(), &image);
    }

    /// Process `number` has ended by itself.
    fn ended(&mut self, number: Life) {
        let Some(life) = self.life.take_if(|life| life.life == number) else { return };
        let end = life.end().unwrap_or(LifeEnd::Killed);
        self.bury(&life, &end);
        self.look_at_rest();
        let down = self.down_after_stop.take().unwrap_or(RESTART_AFTER);
        if self.is_healed && self.is_refused_as_expected(&end) {
            self.ending = Some(Ending::AsExpected);
        }
        self.after(down, Action::Begin);
    }

    fn is_refused_as_expected(&self, end: &LifeEnd) -> bool {
        let expected = self.world.upstream.expected_end();
        match (expected, end) {
            (ExpectedEnd::Refused(words), LifeEnd::Refused(told)) => {
                words.iter().any(|word| told.contains(word))
            }
            _ => false,
        }
    }

    /// S12: what a process has at once is bounded.
    fn count(&self) {
        let Some(life) = &self.life else { return };
        let tasks = self.world.executor.task_count_of(life.life);
        if tasks > TASKS_AT_ONCE_MAX {
            let names = self.world.executor.task_names_of(life.life);
            self.world.violate("S12", "tasks", format!("{tasks} tasks: {names:?}"));
        }
    }

    fn collect_panics(&self) {
        for (name, life, message) in self.world.executor.take_panics() {
            if !self.world.executor.is_dead(life) || life == WORLD {
                self.world.see(&Observation::Panicked { name, message: &message });
                self.world.violate("S11", format!("{name} panicked"), message);
            }
        }
    }

    fn collect_log(&self) {
        for line in log::take_errors() {
            self.world.see(&Observation::ErrorLogged { line: &line });
        }
    }

    /// From now on nothing goes wrong, except for what is permanent.
    fn heal(&mut self) {
        self.is_healed = true;
        let now = self.world.executor.now();
        self.world.trace.note(now, "healed");
        if let Some(life) = &self.life {
            self.world.executor.resume(life.life);
        }
        self.world.net.heal();
        self.world.disk.heal();
        self.world.costs.set_cpu_factor(1);
        self.world.costs.set_disk_ms(self.world.scenario.disk.job_ms_max);
        self.world.upstream.heal(now);
        self.world.see(&Observation::Healed);
        if self.world.canary {
            self.world.violate("CANARY", "sings", "as it was told to".to_owned());
        }
        self.after(CHECK_INTERVAL, Action::Check);
        self.after(Duration::from_millis(self.world.scenario.patience_ms), Action::TooLate);
    }

    /// Whether the expected end is reached; what to do if it is not.
    async fn check(&mut self) {
        let expected = self.world.upstream.expected_end();
        let status = self.life.as_ref().and_then(LifeHandle::status);
        let is_reached = match (&expected, &status) {
            (ExpectedEnd::Healthy { block, batch }, Some(Status::Running)) => {
                self.is_healthy(*block, *batch).await
            }
            (ExpectedEnd::Healthy { .. }, Some(Status::Halted { code, .. })) => {
                self.operator(code);
                false
            }
            (ExpectedEnd::Halted { codes, block }, Some(Status::Halted { code, .. })) => {
                let is_expected = codes.iter().any(|known| known == code);
                let is_there =
                    is_expected && self.world.head().await.is_some_and(|head| head >= *block);
                // A lie may have halted it earlier, even with the same word.
                if !is_there {
                    self.operator(code);
                }
                is_there
            }
            _ => false,
        };
        if is_reached {
            self.ending = Some(Ending::AsExpected);
        } else {
            self.after(CHECK_INTERVAL, Action::Check);
        }
    }

    async fn is_healthy(&mut self, block: u32, batch: u32) -> bool {
        if self.world.head().await != Some(block) {
            return false;
        }
        if let Some(status) = self.world.upstream.last_status()
            && self.world.batch_status(batch).await != Some(status)
        {
            return false;
        }
        let image = self.world.disk.image();
        if self.world.upstream.model().is_none() {
            return self.is_recorded_end(&image);
        }
        self.world.upstream.is_at_end(&image)
    }

    /// Whether the disk holds what is known to be the end of a recorded chain; if that is not
    /// known, whether nothing was stored for a while.
    fn is_recorded_end(&mut self, image: &MemoryStores) -> bool {
        if self.world.expected_tables.is_some() {
            return self.world.other_tables(image).is_ok_and(|others| others.is_empty());
        }
        let (now, tables) = (self.world.executor.now(), digests(image).unwrap_or_default());
        let since = match self.stored.take() {
            Some((since, before)) if before == tables => since,
            Some(_) | None => now,
        };
        self.stored = Some((since, tables));
        now - since >= QUIET
    }

    /// Writes are halted and the world is healed: if halting was right, somebody restarts the
    /// process.
    fn operator(&mut self, code: &str) {
        let was_right = self.disk_failed || self.world.upstream.may_halt(code);
        if !was_right || self.down_after_stop.is_some() {
            return;
        }
        let now = self.world.executor.now();
        self.world.trace.note(now, &format!("halted ({code}): the operator restarts"));
        if let Some(life) = self.life.clone() {
            self.down_after_stop = Some(RESTART_AFTER);
            life.ask_to_stop();
            self.after(GRACE, Action::KillAfterGrace(life.life));
        }
    }

    async fn where_it_is(&self) -> String {
        let expected = self.world.upstream.expected_end();
        let status = self.life.as_ref().and_then(LifeHandle::status);
        let head = self.world.head().await;
        let batch = match &expected {
            ExpectedEnd::Healthy { batch, .. } => self.world.batch_status(*batch).await,
            ExpectedEnd::Halted { .. } | ExpectedEnd::Refused(_) => None,
        };
        let others = self.world.other_tables(&self.world.disk.image());
        let others = others.unwrap_or_else(|error| vec![error]);
        format!(
            "expected {expected:?}; life {:?}, status {status:?}, head {head:?}, batch status \
             {batch:?}, tables not as after a calm run: {others:?}",
            self.life.as_ref().map(|life| life.life)
        )
    }

    /// Everything is calm: who watches has been told everything, and nothing is held for good.
    async fn settle(&self, life: Life) {
        if let Some(judge) = self.world.court.judge()
            && lock(&judge).is_watched()
        {
            self.world.executor.sleep(SETTLED_AFTER).await;
            lock(&judge).settle(self.world.executor.now(), life);
        }
        let views = self.world.disk.views_of(life);
        if views > VIEWS_CALM_MAX {
            let detail = format!("{views} views are open when all is calm");
            self.world.violate("V7", "views are left", detail);
        }
    }

    /// Stops the process as an operator does, and has the judge look at what is left.
    async fn finish(mut self, mut ending: Ending) -> Ending {
        self.is_stopping = true;
        self.world.upstream.end(self.world.executor.now());
        if let Some(life) = self.life.take() {
            if ending == Ending::AsExpected {
                self.settle(life.life).await;
                // Components, those who watch over them, and exchanges under way.
                let tasks = self.world.executor.task_names_of(life.life);
                if tasks.len() > TASKS_MAX {
                    let detail = format!("{} tasks when all is calm: {tasks:?}", tasks.len());
                    self.world.violate("V7", "tasks are left", detail);
                }
                life.ask_to_stop();
                let deadline = self.world.executor.now() + GRACE;
                while life.end().is_none() && self.world.executor.now() < deadline {
                    self.world.executor.sleep(Duration::from_millis(100)).await;
                }
                if life.end().is_none() {
                    let tasks = self.world.executor.task_names_of(life.life);
                    self.world.violate("V4", "stop takes too long", format!("{tasks:?}"));
                }
            }
            let end = life.end().unwrap_or(LifeEnd::Killed);
            self.bury(&life, &end);
        }
        self.collect_panics();
        self.collect_log();
        let image = self.world.disk.image();
        self.world.court.at_end(self.world.executor.now(), &ending, &image);
        self.world.compare_tables(&image);
        if self.world.is_violated() && ending == Ending::AsExpected {
            ending = Ending::Violation;
        }
        ending
    }
}
