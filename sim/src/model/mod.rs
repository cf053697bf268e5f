//! The chain as it truly is: the main node, L1, and the lies that are told about it.
//!
//! The model is asked for an answer to each request, at a time, and changes with time and by
//! events of the scenario. It shares no storage, tree or pipeline with the node. Transport faults
//! (latency, loss, cut or garbled bodies, stale or misdirected answers) are the network's; here are
//! only answers that a server would give.

pub mod chain;
mod dice;
pub mod event;
mod l1;
mod lie;
mod operator;
pub mod plan;
mod reorg;
mod serve;
mod state;
mod txs;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use lockstep_io::EndpointId;
use lockstep_types::{B256, ChainId};

pub use self::{
    chain::{Batch, BatchId, Block, Branch, Chain},
    dice::Dice,
    event::{ForkKind, L1Fate, ModelEvent},
    l1::StepKind,
    lie::{Detectable, LieKind},
    plan::ModelPlan,
    state::State,
    view::{Steps, View},
};
use self::{l1::L1Chain, operator::Operator};

/// The model, as the world, the judge and the clients share it. It is never locked across an
/// await.
pub type SharedModel = Arc<Mutex<Model>>;

/// What a server answers, and whether that is the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Whether it is the truth.
    pub tag: Tag,
}

/// Whether an answer is the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// It is, of the view that was current.
    Honest,
    /// It is the lie of this kind (an id such as `B1`, and what was changed).
    Lie(String),
}

/// Where the node has to end, given what happens in the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedEnd {
    /// It follows to the tip, and every batch that L1 holds is known to be there.
    Healthy {
        /// The newest block.
        block: u32,
        /// The newest batch that is sealed there.
        batch: u32,
    },
    /// Writes are halted with one of these codes; blocks up to this one are served.
    Halted {
        /// Codes of [`Status::Halted`](lockstep_replica::Status::Halted).
        codes: Vec<String>,
        /// The least height.
        block: u32,
    },
    /// [`open`](lockstep_replica::Replica::open) refuses, and its message has one of these words.
    Refused(Vec<String>),
}

/// The main node and L1, with all their endpoints.
#[derive(Debug)]
pub struct Model {
    plan: ModelPlan,
    chain: Arc<Chain>,
    l1: L1Chain,
    operator: Operator,
    dice: Dice,
    now: Duration,
    /// What will happen, by time; of two at one time, the one that was planned first comes first.
    agenda: BTreeMap<(Duration, u64), Action>,
    planned_count: u64,
    /// What the main node had, from which time on; never empty.
    history: Vec<(Duration, Arc<View>)>,
    lies: Vec<ActiveLie>,
    /// Other chains that lies were about.
    forged: Vec<Arc<View>>,
    /// Lies that were told, not only planned.
    told: BTreeSet<LieKind>,
    stalled_until: Duration,
    roots_hidden_until: Duration,
    commitments_hidden_until: Duration,
    receipts_hidden: Vec<(Duration, Duration)>,
    fork_count: u64,
    is_healed: bool,
    /// Added to every time that is asked for.
    offset: Duration,
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Action {
    /// The next block is made.
    Block,
    /// The root of a batch is known.
    Root(BatchId),
    /// The commitment of a batch is known.
    Commitment(BatchId),
    /// The operator looks what there is to do on L1.
    Operate,
    /// A transaction is in a block of L1, unless it is gone.
    Mined { hash: B256 },
    /// The next reorg of a storm.
    Reorg { depth: u32 },
    /// Details are as late as blocks again.
    DetailsInTime,
    /// Steps are told again.
    StepsShown,
}

/// A lie that may be told.
#[derive(Clone, Debug)]
struct ActiveLie {
    kind: LieKind,
    endpoint: Option<usize>,
    until: Duration,
    every: u32,
    residue: u32,
    /// The other chain, for lies that are about one.
    other: Option<Arc<View>>,
    told_count: u64,
}

impl Model {
    /// The world of `plan`; its content follows from `seed`.
    pub fn new(plan: &ModelPlan, seed: u64) -> Self {
        let mut plan = plan.clone();
        // Providers that are further behind than blocks take to become final would make true
        // answers contradict each other.
        let final_ms = plan.l1_final_blocks * plan.l1_block_ms;
        for lag in &mut plan.l1_lag_ms {
            *lag = (*lag).min(final_ms / 2);
        }
        let mut chain = Chain::new(&plan);
        let branch = chain.trunk();
        let tip = plan.blocks_at_start.min(chain.tip(&branch));
        let view = View { branch: Arc::new(branch), tip, ..View::default() };
        let mut model = Self {
            l1: L1Chain::new(&plan),
            operator: Operator::default(),
            dice: Dice::new(seed, "model"),
            now: Duration::ZERO,
            agenda: BTreeMap::new(),
            planned_count: 0,
            history: vec![(Duration::ZERO, Arc::new(view))],
            lies: Vec::new(),
            forged: Vec::new(),
            told: BTreeSet::new(),
            stalled_until: Duration::ZERO,
            roots_hidden_until: Duration::ZERO,
            commitments_hidden_until: Duration::ZERO,
            receipts_hidden: Vec::new(),
            fork_count: 0,
            is_healed: false,
            offset: Duration::ZERO,
            chain: Arc::new(chain),
            plan,
        };
        model.plan_roots();
        model.plan_in(model.plan.block_ms, Action::Block);
        model.plan_in(model.plan.step_ms, Action::Operate);
        model
    }

    /// The world as it is now, whole, for a node that begins at its end: nothing happens any more,
    /// everything is final.
    pub fn frozen(&self) -> Self {
        let view = View { hides_steps: false, is_early: false, ..View::clone(&self.view()) };
        Self {
            plan: ModelPlan {
                main_node_count: 1,
                l1_node_count: 1,
                main_node_lag_ms: Vec::new(),
                l1_lag_ms: Vec::new(),
                l1_plain_numbers: Vec::new(),
                l1_without_finalized: Vec::new(),
                ..self.plan.clone()
            },
            chain: self.chain.clone(),
            l1: self.l1.clone(),
            operator: Operator::default(),
            dice: Dice::new(0, "frozen"),
            now: self.now,
            agenda: BTreeMap::new(),
            planned_count: 0,
            history: vec![(Duration::ZERO, Arc::new(view))],
            lies: Vec::new(),
            forged: Vec::new(),
            told: BTreeSet::new(),
            stalled_until: Duration::ZERO,
            roots_hidden_until: Duration::ZERO,
            commitments_hidden_until: Duration::ZERO,
            receipts_hidden: Vec::new(),
            fork_count: 0,
            is_healed: true,
            offset: self.now + Duration::from_secs(86_400),
        }
    }

    /// The chain.
    pub fn l2_chain_id(&self) -> ChainId {
        chain::L2
    }

    /// Endpoints of the main node, the preferred one first.
    pub fn main_nodes(&self) -> Vec<EndpointId> {
        (0..self.plan.main_node_count).map(EndpointId).collect()
    }

    /// Endpoints of L1, the preferred one first. Their numbers follow those of the main node.
    pub fn l1_nodes(&self) -> Vec<EndpointId> {
        let first = self.plan.main_node_count;
        (first..first + self.plan.l1_node_count).map(EndpointId).collect()
    }

    /// Whether the commitments that the main node announces are those of the chain, so that the
    /// node can compute and compare them.
    pub fn has_commitments(&self) -> bool {
        false
    }

    /// All batches.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What the main node has now.
    pub fn view(&self) -> Arc<View> {
        let (_, view) = self.history.last().expect("there is always a view");
        view.clone()
    }

    /// What the main node had at `now`.
    pub fn view_at(&self, now: Duration) -> Arc<View> {
        let after = self.history.partition_point(|(from, _)| *from <= now);
        self.history[after.saturating_sub(1)].1.clone()
    }

    /// Everything the main node had from the beginning on, and when each began.
    pub fn history(&self) -> &[(Duration, Arc<View>)] {
        &self.history
    }

    /// Everything that any endpoint ever had, or pretended to have.
    pub fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        self.history.iter().map(|(_, view)| view).chain(&self.forged)
    }

    /// Lies that were told so far.
    pub fn told(&self) -> &BTreeSet<LieKind> {
        &self.told
    }

    /// Whether a transaction of L1 makes this step of this batch, and cannot vanish at `now`;
    /// `None` if there is no such transaction, now or ever.
    pub fn step(&self, now: Duration, hash: &B256, kind: StepKind, batch: BatchId) -> Option<bool> {
        let tx = self.l1.tx(hash)?;
        let is_it = tx.kind == kind && tx.batches.contains(&batch);
        is_it.then(|| self.l1.is_final(now, hash))
    }

    /// Something happens at `now`.
    pub fn apply(&mut self, now: Duration, event: &ModelEvent) {
        self.advance(now);
        let for_ms = |ms: u64| now + Duration::from_millis(ms);
        match event {
            ModelEvent::Reorg { depth, batches, kind } => self.reorg(*depth, *batches, *kind),
            ModelEvent::ReorgStorm { depth, count, period_ms } => {
                for index in 0..u64::from(*count) {
                    self.plan_in(index * period_ms, Action::Reorg { depth: *depth });
                }
                self.advance(now);
            }
            ModelEvent::Stall { ms } => self.stalled_until = self.stalled_until.max(for_ms(*ms)),
            ModelEvent::HideRoots { ms } => {
                self.roots_hidden_until = self.roots_hidden_until.max(for_ms(*ms));
            }
            ModelEvent::HideCommitments { ms } => {
                self.commitments_hidden_until = self.commitments_hidden_until.max(for_ms(*ms));
            }
            ModelEvent::HideSteps { ms } => {
                self.change(|view| view.hides_steps = true);
                self.plan_in(*ms, Action::StepsShown);
            }
            ModelEvent::DetailsEarly { ms } => {
                self.change(|view| view.is_early = true);
                self.plan_in(*ms, Action::DetailsInTime);
            }
            ModelEvent::L1Reorg { depth, fate } => self.reorg_l1(*depth, *fate),
            ModelEvent::HideReceipts { ms } => self.receipts_hidden.push((now, for_ms(*ms))),
            ModelEvent::L1Stall { ms } => self.l1.stall(now, Duration::from_millis(*ms)),
            ModelEvent::Lie { kind, endpoint, ms, every } => {
                let every = (*every).max(1);
                let residue = self.dice.between_u32(0, every - 1);
                let other = match kind {
                    LieKind::B6Equivocation | LieKind::B7Fork => Some(self.forge()),
                    _ => None,
                };
                let (kind, endpoint, until) = (*kind, *endpoint, for_ms(*ms));
                let lie = ActiveLie { kind, endpoint, until, every, residue, other, told_count: 0 };
                self.lies.push(lie);
            }
        }
    }

    /// From `now` on everybody is honest, except for what is permanent, and the chain grows to its
    /// end and stays.
    pub fn heal(&mut self, now: Duration) {
        self.advance(now);
        self.is_healed = true;
        self.lies.clear();
        (self.stalled_until, self.roots_hidden_until) = (now, now);
        self.commitments_hidden_until = now;
        for (_, until) in &mut self.receipts_hidden {
            *until = (*until).min(now);
        }
        self.l1.heal(now);
        self.agenda.retain(|_, action| !matches!(action, Action::Reorg { .. } | Action::Block));
        let tip = self.chain.tip(&self.view().branch);
        self.change(|view| (view.tip, view.is_early, view.hides_steps) = (tip, false, false));
        self.plan_roots();
    }

    /// The run is over at `now`: nothing happens any more, whoever asks.
    pub fn end(&mut self, now: Duration) {
        self.advance(now);
        self.agenda.clear();
    }

    /// Where the node has to end after [`heal`](Self::heal).
    pub fn expected_end(&self) -> ExpectedEnd {
        let view = self.view();
        let unknown = view.branch.iter().map(|id| self.chain.batch(*id)).find(|batch| {
            let version = batch.blocks[0].params.version;
            version.0 > self.plan.version + 1
        });
        match unknown {
            Some(batch) => ExpectedEnd::Halted {
                codes: vec!["unknown_protocol_version".to_owned()],
                block: batch.blocks[0].params.number.0 - 1,
            },
            None => ExpectedEnd::Healthy { block: view.tip, batch: view.sealed(&self.chain) },
        }
    }

    /// Whether any chain that the main node had, or has, comes to a version that no build knows.
    pub fn has_unknown_version(&self) -> bool {
        self.plan.unknown_version_at > 0
    }

    /// Whether batches of this number settle on another layer than L1, of which nothing is known.
    pub fn settles_elsewhere(&self, number: u32) -> bool {
        view::settles_elsewhere(&self.chain, number)
    }

    /// Codes with which writes may have been halted because of what was said before the world was
    /// healed; the operator starts the process again then.
    pub fn halts(&self) -> BTreeSet<&'static str> {
        self.told.iter().flat_map(|kind| kind.halts()).copied().collect()
    }

    /// Has time pass until `now`.
    fn advance(&mut self, now: Duration) {
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= now
        {
            let ((at, _), action) = entry.remove_entry();
            self.now = self.now.max(at);
            self.act(action);
        }
        self.now = self.now.max(now);
    }

    fn plan_in(&mut self, ms: u64, action: Action) {
        self.plan_at(self.now + Duration::from_millis(ms), action);
    }

    fn plan_at(&mut self, at: Duration, action: Action) {
        self.planned_count += 1;
        self.agenda.insert((at, self.planned_count), action);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Block => self.next_block(),
            Action::Root(id) => self.root_is_known(id),
            Action::Commitment(id) => self.commitment_is_known(id),
            Action::Operate => self.operate(),
            Action::Mined { hash } => self.mined(hash),
            Action::Reorg { depth } => self.reorg(depth, 0, ForkKind::Others),
            Action::DetailsInTime => self.change(|view| view.is_early = false),
            Action::StepsShown => self.change(|view| view.hides_steps = false),
        }
    }

    /// From now on the main node has something else.
    fn change(&mut self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.view());
        change(&mut view);
        self.history.push((self.now, Arc::new(view)));
    }

    fn next_block(&mut self) {
        let view = self.view();
        let (tip, end) = (view.tip, self.chain.tip(&view.branch));
        let pause = self.plan.block_ms;
        let pause = pause / 2 + self.dice.below(pause.max(1));
        self.plan_in(pause.max(1), Action::Block);
        if tip >= end || self.now < self.stalled_until {
            return;
        }
        self.change(|view| view.tip = tip + 1);
        if let Some((id, block)) = self.chain.block(&view.branch, tip + 1)
            && block.params.is_fictive
        {
            self.plan_in(self.plan.root_ms, Action::Root(id));
        }
    }

    /// Plans the roots of all complete batches that have none.
    fn plan_roots(&mut self) {
        let view = self.view();
        let sealed = view.sealed(&self.chain);
        for number in view.root_until + 1..=sealed {
            if let Some(id) = view.batch_id(number) {
                self.plan_in(self.plan.root_ms, Action::Root(id));
            }
        }
        for number in view.commitment_until + 1..=view.root_until {
            if let Some(id) = view.batch_id(number) {
                self.plan_in(self.plan.commitment_ms, Action::Commitment(id));
            }
        }
    }

    /// Roots become known in order; one that comes too early comes again.
    fn root_is_known(&mut self, id: BatchId) {
        let (view, number) = (self.view(), self.chain.batch(id).number);
        if view.batch_id(number) != Some(id) || number <= view.root_until {
            return;
        }
        if self.now < self.roots_hidden_until || number > view.root_until + 1 {
            return self.plan_in(200, Action::Root(id));
        }
        self.change(|view| view.root_until = number);
        self.plan_in(self.plan.commitment_ms, Action::Commitment(id));
    }

    fn commitment_is_known(&mut self, id: BatchId) {
        let (view, number) = (self.view(), self.chain.batch(id).number);
        if view.batch_id(number) != Some(id) || number <= view.commitment_until {
            return;
        }
        let is_hidden = self.now < self.commitments_hidden_until;
        if is_hidden || number > view.commitment_until + 1 || number > view.root_until {
            return self.plan_in(200, Action::Commitment(id));
        }
        self.change(|view| view.commitment_until = number);
    }
}

#[cfg(test)]
mod tests;
