//! Running: the wiring, and what happens when something ends it.
//!
//! Components live together: when one cannot go on, all end, and what comes next is decided here.
//! After a rollback, and after trouble that passed, all begin anew where the store ends, in the
//! same process; the API goes on serving from the same store all the time.

use std::{pin::pin, time::Duration};

use lockstep_executor::Progress;
use lockstep_io::{BoxFuture, Stop, TaskEnd, node_select};
use lockstep_pipeline::{Ending, Pipeline, Reaction, StageError};
use lockstep_store::{RollbackWriter, StoreFault};
use lockstep_sync::Finding;
use lockstep_types::L1BatchNumber;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::{
    announcements::AnnouncementWatcher,
    disk_trouble::{Cure, DiskTrouble, is_held},
    fees::FeeWatcher,
    open::{Core, Replica, Stages, ended},
    progress::ProgressLog,
    roll_back::{self, Request, RollBackError, finish_rollback},
};

/// Whether blocks are being followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Blocks are followed, or waited for.
    Running,
    /// Nothing new is stored; what is there is served.
    Halted {
        /// A word for the reason, stable.
        code: &'static str,
        /// The reason.
        reason: String,
    },
    /// A stop was asked for.
    Stopping,
}

impl Replica {
    /// Runs until `stop` is asked for. If writes are halted before that, keeps waiting, so that
    /// the API goes on serving what was verified, and goes on if an [`Operator`](crate::Operator)
    /// asks for a rollback.
    ///
    /// Gives back why writes were halted, if they were.
    ///
    /// # Errors
    ///
    /// The [`StageError`] that halted writes.
    pub async fn run(self, stop: Stop) -> Result<(), StageError> {
        let Self { core, stages, rollback, operator: _, requests } = self;
        let stopped = watch::Sender::new(false);
        let supervisor = Supervisor {
            stopped: stopped.subscribe(),
            core,
            rollback: Some(rollback),
            requests,
            trouble: None,
            disk_trouble: None,
        };
        let status = supervisor.core.status.clone();
        let tell = async move {
            stop.await;
            info!("stopping");
            status.send_replace(Status::Stopping);
            stopped.send_replace(true);
        };
        // It ends with the stop, for which everything else here waits too.
        drop(supervisor.core.io.tasks.spawn("stop", Box::pin(tell)));
        supervisor.run(stages).await
    }
}

/// Lets components live, and decides what comes after.
struct Supervisor {
    core: Core,
    /// There unless a rollback failed: then nothing is written any more.
    rollback: Option<RollbackWriter>,
    requests: mpsc::Receiver<Request>,
    stopped: watch::Receiver<bool>,
    trouble: Option<Trouble>,
    disk_trouble: Option<DiskTrouble>,
}

/// What comes next.
enum Next {
    Live(Box<Stages>),
    LookForReorg(StageError),
    /// To the end of this batch, because of a reorg or because somebody asked.
    RollBack(L1BatchNumber, Option<Request>),
    /// Components begin anew.
    Reopen,
    /// The same, with the store opened again.
    OpenAgain,
    Halt(StageError),
    Stopped,
}

/// How a halt ends.
enum HaltEnd {
    /// The operator wants to go back.
    Asked(Request),
    /// The disk may be fine again.
    OpenAgain,
    /// A stop was asked for, or there is nothing to wait for.
    Over,
}

/// Trouble with the main node that may pass.
struct Trouble {
    /// What kind, and the block or batch that it is about.
    what: (&'static str, u32),
    /// How often it came in a row.
    count: u32,
}

impl Trouble {
    /// The main node stands by something wrong: once, everything begins anew; then writes halt.
    const COUNT_MAX: u32 = 2;
    const PAUSE_MIN: Duration = Duration::from_secs(2);
    const PAUSE_MAX: Duration = Duration::from_secs(60);
    /// A batch with another root is run again unless more batches than this follow it here.
    const BATCHES_AGAIN_MAX: u32 = 50;

    fn pause(&self) -> Duration {
        Self::PAUSE_MIN.saturating_mul(1 << self.count.min(10)).min(Self::PAUSE_MAX)
    }
}

impl Supervisor {
    async fn run(mut self, stages: Stages) -> Result<(), StageError> {
        let mut next = Next::Live(Box::new(stages));
        loop {
            next = match next {
                Next::Live(stages) => Box::pin(self.live(*stages)).await,
                Next::LookForReorg(reason) => self.look_for_reorg(reason).await,
                Next::RollBack(to, request) => self.roll_back(to, request).await,
                Next::Reopen => self.reopen().await,
                Next::OpenAgain => self.open_again().await,
                Next::Halt(reason) => match self.halt(&reason).await {
                    HaltEnd::Asked(request) => {
                        self.trouble = None;
                        Next::RollBack(request.to, Some(request))
                    }
                    HaltEnd::OpenAgain => Next::OpenAgain,
                    HaltEnd::Over => return Err(reason),
                },
                Next::Stopped => return Ok(()),
            }
        }
    }

    /// Runs the components until something ends them. All have ended when it returns.
    async fn live(&mut self, stages: Stages) -> Next {
        let Stages { fetcher, executor, tree, agreement, l1_steps, commitments, l1_commits } =
            stages;
        let Core { config, io, views, detector, tip, .. } = &self.core;
        let ending = Ending::new();
        let beside = self.core.main_node_beside();
        let fees = FeeWatcher::new(io, beside.clone(), self.core.fees.clone());
        let announced = self.core.announced.clone();
        let announcements = AnnouncementWatcher::new(io, beside, announced);
        let moves = tell_of_moves(executor.progress(), self.core.moved.clone());
        let (log_tip, log_head) = (tip.subscribe(), executor.progress());
        let log =
            ProgressLog::new(io, log_tip, log_head, agreement.agreed(), views.clone(), config);

        let pipeline =
            Pipeline::source(io, config.retry, ending.clone(), fetcher, config.blocks_ahead_max)
                .then(executor, config.sealed_batches_max)
                .then(tree, config.sealed_batches_max);

        let watch_over = |name, watcher: BoxFuture<'static, StageError>| {
            let (over, panicked, ending) = (ending.clone(), ending.clone(), ending.clone());
            let task = async move {
                node_select! {
                    _reason = over.over() => {},
                    error = watcher => ending.end(error),
                }
            };
            let handle = io.tasks.spawn(name, Box::pin(task));
            let supervisor = async move {
                if let TaskEnd::Panicked(message) = handle.await {
                    panicked.end(StageError::Panicked { stage: name, message });
                }
            };
            io.tasks.spawn("supervisor", Box::pin(supervisor))
        };
        let mut watchers = vec![
            watch_over("agreement", Box::pin(agreement.run())),
            watch_over("reorg", Box::pin(detector.clone().run())),
            watch_over("fees", Box::pin(fees.run())),
            watch_over("announcements", Box::pin(announcements.run())),
            watch_over("moves", Box::pin(moves)),
            watch_over("progress", Box::pin(log.run())),
            watch_over("stopping", Box::pin(told_to_stop(self.stopped.clone()))),
        ];
        if let Some(l1_steps) = l1_steps {
            watchers.push(watch_over("l1 steps", Box::pin(l1_steps.run())));
        }
        if let Some(commitments) = commitments {
            watchers.push(watch_over("commitments", Box::pin(commitments.run())));
        }
        if let Some(l1_commits) = l1_commits {
            watchers.push(watch_over("l1 commits", Box::pin(l1_commits.run())));
        }

        let (reason, request) = {
            let mut running = pin!(pipeline.run(|_rooted| {}));
            let asked = acceptable(&mut self.requests, &self.core);
            node_select! {
                reason = running.as_mut() => (reason, None),
                request = asked => {
                    ending.end(StageError::RollBackAsked(request.to));
                    (running.await, Some(request))
                },
            }
        };
        for watcher in watchers {
            watcher.await;
        }
        self.after(reason, request)
    }

    /// What follows from the end of the components.
    fn after(&mut self, reason: StageError, request: Option<Request>) -> Next {
        if let Some(request) = request
            && reason != StageError::Stopped
        {
            self.trouble = None;
            return Next::RollBack(request.to, Some(request));
        }
        match reason.reaction() {
            Reaction::Stop => Next::Stopped,
            Reaction::RollBack(to) => {
                warn!(%reason, "a reorg");
                self.trouble = None;
                let to = lockstep_io::planted!("X10", to, to.prev().unwrap_or(to));
                Next::RollBack(to, None)
            }
            Reaction::LookForReorg => Next::LookForReorg(reason),
            Reaction::AskAgain | Reaction::HaltWrites => Next::Halt(reason),
        }
    }

    /// Finds out whether `reason` is a reorg. If not, and if the same has come before, writes halt;
    /// otherwise it may have passed.
    async fn look_for_reorg(&mut self, reason: StageError) -> Next {
        warn!(%reason, "does the main node have another chain?");
        if lockstep_io::planted!("X12", false, self.core.rolled_back.borrow().is_some()) {
            return Next::Reopen;
        }
        let finding = node_select! {
            _stopped = told_to_stop(self.stopped.clone()) => return Next::Stopped,
            finding = self.core.detector.look() => finding,
        };
        let stands_by_it = match finding {
            Err(error) => return Next::Halt(error),
            Ok(Finding::Other(other)) if other.reaction() != Reaction::LookForReorg => {
                return self.after(other, None);
            }
            // Every endpoint is of another chain, or worse.
            Ok(Finding::Lies(_)) => return Next::Halt(reason),
            Ok(Finding::Same | Finding::Other(_)) => self.stands_by(&reason).await,
            Ok(Finding::Unknown(detail) | Finding::Disputed(detail)) => {
                warn!(detail, "the main node's chain is not known for sure");
                false
            }
        };
        let pause = match self.count(&reason) {
            Ok(trouble) if stands_by_it && trouble.count >= Trouble::COUNT_MAX => {
                return Next::Halt(reason);
            }
            Ok(trouble) => trouble.pause(),
            Err(fault) => return Next::Halt(fault.into()),
        };
        // If endpoints differ, the next one is asked.
        self.core.main_node.distrust();
        node_select! {
            _stopped = told_to_stop(self.stopped.clone()) => return Next::Stopped,
            () = self.core.io.clock.sleep(pause) => {}
        }
        if stands_by_it { self.again(&reason) } else { Next::Reopen }
    }

    /// How what led to `reason` is done again. A batch with another root is fetched and run again,
    /// unless that would take long: perhaps it was not fetched as it is. So are the blocks of the
    /// open batch, if the next one contradicts them.
    fn again(&self, reason: &StageError) -> Next {
        let view = self.core.views.now();
        let sealed = view.sealed_batch().ok().flatten().unwrap_or_default();
        let before = match reason {
            StageError::RootMismatch { batch, .. } => batch.prev(),
            StageError::Lie { .. } | StageError::Execution(_) => {
                let end = view.batch(sealed).ok().flatten().map(|batch| batch.last_block);
                let is_open = view.head().ok().flatten() > end;
                is_open.then_some(sealed)
            }
            StageError::Unavailable { .. }
            | StageError::UnknownVersion { .. }
            | StageError::Inconsistent { .. }
            | StageError::Reorg { .. }
            | StageError::ReorgBelowFinal { .. }
            | StageError::RollBackRefused(_)
            | StageError::RollBackAsked(_)
            | StageError::CommitmentMismatch { .. }
            | StageError::L1Mismatch { .. }
            | StageError::Store(_)
            | StageError::Tree(_)
            | StageError::Panicked { .. }
            | StageError::Stopped => None,
        };
        let Some(before) = before else { return Next::Reopen };
        let can_go_back = roll_back::check(&view, before);
        let is_near = sealed.0.saturating_sub(before.0) <= Trouble::BATCHES_AGAIN_MAX;
        if can_go_back.is_ok() && is_near { Next::RollBack(before, None) } else { Next::Reopen }
    }

    /// Whether the main node, asked again, still says what `reason` says.
    async fn stands_by(&self, reason: &StageError) -> bool {
        let StageError::RootMismatch { batch, ours, .. } = reason else { return true };
        let roots = node_select! {
            _stopped = told_to_stop(self.stopped.clone()) => return false,
            roots = self.core.detector.roots_of(*batch) => roots,
        };
        !roots.is_empty() && !roots.contains(ours)
    }

    /// Counts trouble that comes again about the same block or batch.
    fn count(&mut self, reason: &StageError) -> Result<&Trouble, StoreFault> {
        let about = match reason {
            StageError::RootMismatch { batch, .. }
            | StageError::CommitmentMismatch { batch, .. }
            | StageError::L1Mismatch { batch, .. } => batch.0,
            // About the block after the newest: with a newer one, it is over.
            StageError::Unavailable { .. }
            | StageError::Lie { .. }
            | StageError::UnknownVersion { .. }
            | StageError::Execution(_)
            | StageError::Inconsistent { .. }
            | StageError::Reorg { .. }
            | StageError::ReorgBelowFinal { .. }
            | StageError::RollBackRefused(_)
            | StageError::RollBackAsked(_)
            | StageError::Store(_)
            | StageError::Tree(_)
            | StageError::Panicked { .. }
            | StageError::Stopped => self.core.views.now().head()?.unwrap_or_default().0,
        };
        let what = (reason.code(), about);
        let before = self.trouble.take().filter(|trouble| trouble.what == what);
        let count = before.map_or(0, |trouble| trouble.count) + 1;
        info!(%reason, count, "trouble with the main node");
        Ok(self.trouble.insert(Trouble { what, count }))
    }

    /// Goes back to the end of batch `to`.
    async fn roll_back(&mut self, to: L1BatchNumber, request: Option<Request>) -> Next {
        let Some(writer) = self.rollback.take() else {
            if let Some(request) = request {
                request.answer(Err(RollBackError::Stopping));
            }
            return Next::Halt(StageError::Stopped);
        };
        let (views, changes_max) = (self.core.views.clone(), self.core.config.rollback_changes_max);
        let job = move || -> (Option<RollbackWriter>, _) {
            // Whatever still held a writer is refused from here on.
            let mut writer = match writer.renew() {
                Ok(writers) => writers.rollback,
                Err(fault) => return (None, Err(fault.into())),
            };
            let done = roll_back::roll_back(&views, &mut writer, to, changes_max);
            (Some(writer), done)
        };
        let (writer, done) = match self.core.io.tasks.blocking("roll back", job).await {
            Ok(ran) => ran,
            Err(end) => return Next::Halt(ended(end)),
        };
        self.rollback = writer;
        let next = match &done {
            Ok(rolled_back) => {
                self.core.rolled_back.send_replace(Some(*rolled_back));
                self.core.moved.send_modify(|moves| *moves += 1);
                // Perhaps the tip was that of the chain that is gone.
                self.core.tip.send_replace(None);
                Next::Reopen
            }
            Err(RollBackError::Store(fault)) => Next::Halt(fault.clone().into()),
            Err(RollBackError::Tree(damage)) => Next::Halt(StageError::Tree(damage.to_string())),
            // Components go on as if nobody had asked.
            Err(_refused) if request.is_some() => Next::Reopen,
            Err(refused) => Next::Halt(StageError::RollBackRefused(refused.to_string())),
        };
        if let Some(request) = request {
            request.answer(done);
        }
        next
    }

    /// Has all components begin anew where the store ends.
    async fn reopen(&mut self) -> Next {
        if *self.stopped.borrow() {
            return Next::Stopped;
        }
        let Some(writer) = self.rollback.take() else { return Next::Halt(StageError::Stopped) };
        let opened = match writer.renew() {
            Ok(writers) => self.core.stages(writers).await,
            Err(fault) => Err(fault.into()),
        };
        match opened {
            Ok((stages, rollback)) => {
                self.rollback = Some(rollback);
                self.core.status.send_if_modified(|status| {
                    let was_halted = matches!(status, Status::Halted { .. });
                    let went = || self.core.rolled_back.borrow().is_some();
                    let was_halted = lockstep_io::planted!("X50", was_halted, was_halted && went());
                    if was_halted {
                        *status = Status::Running;
                    }
                    was_halted
                });
                Next::Live(Box::new(stages))
            }
            Err(error) => Next::Halt(error),
        }
    }

    /// Opens the store again, finishes a rollback that was under way, and has all components begin
    /// anew. Meanwhile nothing can be read, which is short: only views that somebody still holds
    /// are waited for.
    async fn open_again(&mut self) -> Next {
        let mut waited = Duration::ZERO;
        loop {
            let Some(mut writer) = self.rollback.take() else {
                return Next::Halt(StageError::Stopped);
            };
            let (views, stores) = (self.core.views.clone(), self.core.io.stores.clone());
            let changes_max = self.core.config.rollback_changes_max;
            let job = move || {
                let opened = writer.reopen(&views, &*stores);
                let done = opened.and_then(|()| finish_rollback(&views, &mut writer, changes_max));
                (writer, done)
            };
            let done = match self.core.io.tasks.blocking("open again", job).await {
                Ok((writer, done)) => {
                    self.rollback = Some(writer);
                    done
                }
                Err(end) => return Next::Halt(ended(end)),
            };
            match done {
                Ok(rolled_back) => {
                    info!("the store is open again");
                    if rolled_back.is_some() {
                        self.core.rolled_back.send_replace(rolled_back);
                        self.core.tip.send_replace(None);
                    }
                    return Next::Reopen;
                }
                Err(fault) if is_held(&fault) && waited < DiskTrouble::CLOSE_PATIENCE => {
                    waited += DiskTrouble::CLOSE_PAUSE;
                    self.core.io.clock.sleep(DiskTrouble::CLOSE_PAUSE).await;
                }
                Err(fault) => return Next::Halt(fault.into()),
            }
        }
    }

    /// If L1 holds another chain for good, goes back to the last batch that it does not contradict,
    /// once everything about it is written down. Says whether it is.
    async fn leave_what_l1_contradicts(&mut self, reason: &StageError) -> bool {
        let StageError::L1Mismatch { batch, difference, .. } = reason else { return false };
        let Some(to) = batch.prev().filter(|_| difference.is_of_chain()) else { return false };
        self.core.report(reason).await;
        if let Err(refused) = roll_back::check(&self.core.views.now(), to) {
            warn!(%refused, "what L1 contradicts stays");
            return true;
        }
        if let Next::Halt(failed) = self.roll_back(to, None).await {
            error!(%failed, "what L1 contradicts could not be rolled back: it is when the node starts again");
        }
        true
    }

    /// Waits for a stop, for a request that can be met, or for a disk that can be used again.
    async fn halt(&mut self, reason: &StageError) -> HaltEnd {
        error!(
            code = reason.code(),
            %reason,
            "writes are halted; what is stored goes on being served"
        );
        self.core.status.send_if_modified(|status| {
            let is_told = lockstep_io::planted!("X57", *status != Status::Stopping, false);
            if is_told {
                *status = Status::Halted { code: reason.code(), reason: reason.to_string() };
            }
            is_told
        });
        let is_reported = self.leave_what_l1_contradicts(reason).await;
        let head = self.core.views.now().head();
        let is_closed = head.is_err();
        let (before, now) = (self.disk_trouble.take(), self.core.io.clock.mono());
        let trouble = DiskTrouble::after(before.as_ref(), head.ok().flatten(), now);
        let cure = match self.rollback {
            Some(_) => trouble.cure(reason),
            None => Cure::None, // A job panicked with the writer.
        };
        if is_closed && cure == Cure::None {
            error!("the store cannot be read: there is nothing to serve");
            return HaltEnd::Over;
        }
        let trouble = self.disk_trouble.insert(trouble);
        let (requests, core) = (&mut self.requests, &self.core);
        let asked = async {
            if !is_reported {
                core.report(reason).await;
            }
            acceptable(requests, core).await
        };
        let waiting = async {
            node_select! {
                request = asked => HaltEnd::Asked(request),
                () = cured(core, cure, trouble.pause()) => HaltEnd::OpenAgain,
            }
        };
        node_select! {
            _stopped = told_to_stop(self.stopped.clone()) => HaltEnd::Over,
            end = waiting => end,
        }
    }
}

/// Resolves when it is time to open the store again; never if that would not help.
async fn cured(core: &Core, cure: Cure, pause: Duration) {
    match cure {
        Cure::None => std::future::pending().await,
        Cure::OpenAgain => core.io.clock.sleep(pause).await,
        Cure::WaitForSpace => loop {
            core.io.clock.sleep(pause).await;
            let stores = core.io.stores.clone();
            let look = move || DiskTrouble::has_space(&*stores);
            if let Ok(true) = core.io.tasks.blocking("space", look).await {
                return;
            }
        },
    }
}

/// Says that the chain moved whenever a block has been persisted.
async fn tell_of_moves(
    mut progress: watch::Receiver<Progress>,
    moved: watch::Sender<u64>,
) -> StageError {
    loop {
        moved.send_modify(|moves| *moves += 1);
        if progress.changed().await.is_err() {
            // The executor has ended, and with it everything else does.
            return std::future::pending().await;
        }
    }
}

/// Resolves when a stop was asked for.
async fn told_to_stop(mut stopped: watch::Receiver<bool>) -> StageError {
    // An error says that who tells is gone: with the process, then.
    drop(stopped.wait_for(|stopped| *stopped).await);
    StageError::Stopped
}

/// The next request that can be met; others are answered.
async fn acceptable(requests: &mut mpsc::Receiver<Request>, core: &Core) -> Request {
    while let Some(request) = requests.recv().await {
        match roll_back::check(&core.views.now(), request.to) {
            Ok(()) => return request,
            Err(refused) => request.answer(Err(refused)),
        }
    }
    std::future::pending().await
}
