//! Planted bugs: the table of what is wrong, where, and which invariants should find it.
//!
//! The mistakes themselves stand in the node, each at its place, as
//! [`lockstep_io::planted!`](lockstep_io::planted!).

use std::time::{Duration, Instant};

use crate::{
    campaign::{RunResult, result_of, run_apart, run_here},
    clients::ClientPlan,
    model::{Dice, ForkKind, LieKind, ModelEvent},
    runner,
    scenario::{DiskFault, Event, Scenario, Seed, Step, When},
    world::RunOptions,
};

/// Within this many seeds a planted bug has to be found.
pub const SEEDS_MAX: u64 = 300;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its id, as in the node.
    pub id: &'static str,
    /// The file that it is in.
    pub place: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// Ids of invariants that should find it.
    pub expected: &'static [&'static str],
    /// What makes it show most often.
    pub needs: Need,
}

/// What a scenario should have so that a planted bug shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing special: any seed will do.
    Anything,
    /// Processes that die at calls of the disk.
    Crashes,
    /// Reorgs.
    Reorgs,
    /// Reorgs of a main node that is late with commitments.
    ReorgsAndLateCommitments,
    /// Reorgs, and processes that die in the middle of rollbacks of many small write sets.
    CrashesInRollbacks,
    /// Lies of this class about what the main node has.
    Lies(&'static str),
    /// One of several endpoints that has another chain, while nothing else is wrong.
    LyingEndpoint,
    /// Answers that come to the wrong question or in the wrong order.
    MixedUpAnswers,
    /// A disk whose writes fail.
    FailingWrites,
    /// A disk that is full for a moment.
    FullDisk,
    /// A version that no build knows.
    UnknownVersion,
    /// Status 429, of the only endpoint.
    TooManyRequests,
    /// Two endpoints of which the first fails.
    FailingEndpoint,
    /// Several endpoints that fail now and then.
    FailingExchanges,
    /// Clients.
    Clients,
    /// Clients who make mistakes, while the chain grows.
    ClientsInError,
    /// Clients who send batches, while the chain grows.
    Batches,
    /// Clients who have programs run.
    Calls,
    /// Clients, and much to catch up with.
    ClientsWhileBehind,
    /// Clients and reorgs.
    ClientsAndReorgs,
    /// Subscriptions and filters, and blocks that come at once.
    Watchers,
    /// Subscriptions, filters, and reorgs.
    WatchersAndReorgs,
    /// Batches of many slots.
    LargeBatches,
    /// Roots that come late.
    LateRoots,
    /// Processes that die while steps on L1 are not final yet.
    DeathsBeforeFinality,
    /// An L1 that does not answer for a while.
    L1Outage,
    /// Batches that settle elsewhere, and then on L1.
    SettlementSwitch,
    /// Another version.
    Upgrade,
    /// Code of another version that is not what its hash says.
    WrongCodeOfUpgrade,
    /// Another chain that leaves the true one before what is final.
    ForkBelowFinal,
    /// Wall time that goes back while everybody is out.
    ClockBack,
    /// Processes that are asked to stop.
    Stops,
    /// Second processes.
    SecondProcesses,
    /// One exchange at a time, and more to ask for.
    OneAtATime,
}

/// All of them. Numbers up to 58 are those of the design; what is [absent](ABSENT) has no place in the
/// node.
pub const ALL: &[Mutant] = &[
    mutant(
        "X01",
        "store/writers",
        "a block's header is written before the rest",
        &["S5", "S1", "V1"],
        Need::Crashes,
    ),
    mutant("X02", "store/writers", "a step on L1 is not synced", &["S4"], Need::Anything),
    mutant(
        "X03",
        "store/writers",
        "a write that failed is taken for done",
        &["V1", "S3", "S5", "S1", "A1", "A3", "V2"],
        Need::FailingWrites,
    ),
    mutant(
        "X04",
        "store/writers",
        "a write to a full disk is taken for done",
        &["V1", "S3", "S5", "S1", "A1", "A3", "V2"],
        Need::FullDisk,
    ),
    mutant(
        "X05",
        "tree/stage",
        "the tree is not brought up to the sealed batch after a crash",
        &["V1", "V2", "S11"],
        Need::Crashes,
    ),
    mutant(
        "X06",
        "tree/stage",
        "the tree learns a batch again after a restart",
        &["S3", "S5", "S1", "V1"],
        Need::Crashes,
    ),
    mutant(
        "X07",
        "store/rollback",
        "a rollback leaves positions of transactions",
        &["S6", "S5"],
        Need::Reorgs,
    ),
    mutant(
        "X08",
        "store/rollback",
        "a rollback leaves parts of answers in memory",
        &["A1", "A4"],
        Need::ClientsAndReorgs,
    ),
    mutant(
        "X09",
        "api/pubsub, eth/filters",
        "a rollback does not concern subscriptions and filters",
        &["A4", "A5"],
        Need::WatchersAndReorgs,
    ),
    mutant(
        "X10",
        "replica/run",
        "a reorg rolls one batch too many back",
        &["S6", "V1"],
        Need::Reorgs,
    ),
    mutant(
        "X11",
        "store/rollback",
        "the mark of a rollback goes with its first write set",
        &["S4", "S5", "S6", "V1", "S1"],
        Need::CrashesInRollbacks,
    ),
    mutant(
        "X12",
        "replica/run",
        "after a rollback no trouble is looked into",
        &["V1", "V5", "V3", "V2"],
        Need::Reorgs,
    ),
    mutant(
        "X13",
        "sync/reorg",
        "a fork is not looked for before the newest agreed root",
        &["S2", "S6", "V1", "V2", "V5"],
        Need::Reorgs,
    ),
    mutant(
        "X14",
        "checkers, sync/reorg",
        "a root that is not there yet is another root",
        &["V1", "S6"],
        Need::LateRoots,
    ),
    mutant(
        "X16",
        "upstream/check",
        "the announced hash of a block stands",
        &["S7", "S1", "V1"],
        Need::Lies("B2"),
    ),
    mutant(
        "X17",
        "upstream/main_node",
        "bytecodes are not compared with their hashes",
        &["S7"],
        Need::Lies("B5"),
    ),
    mutant(
        "X18",
        "upstream/main_node",
        "code that comes after genesis is not compared",
        &["S7"],
        Need::WrongCodeOfUpgrade,
    ),
    mutant(
        "X19",
        "upstream/rpc/message",
        "answers of a batch go to calls by their order",
        &["S8", "V1", "S7", "S1", "S2", "S6"],
        Need::MixedUpAnswers,
    ),
    mutant(
        "X20",
        "upstream/rpc/message",
        "the id of an answer is not compared",
        &["S8", "V1", "S7", "S1", "S2", "S6"],
        Need::MixedUpAnswers,
    ),
    mutant(
        "X21",
        "upstream/check",
        "a block with fewer transactions than its hash says is taken",
        &["S1", "S7"],
        Need::Lies("B2"),
    ),
    mutant("X22", "sync/reorg", "one answer is enough for a reorg", &["S6"], Need::LyingEndpoint),
    mutant(
        "X23",
        "upstream/check",
        "inside of a batch the last of two answers stands",
        &["S1", "S7"],
        Need::Lies("B6"),
    ),
    mutant(
        "X24",
        "sync/reorg",
        "a reorg below what is final is followed",
        &["S8"],
        Need::ForkBelowFinal,
    ),
    mutant(
        "X25",
        "sync/l1_steps",
        "a step in any block of L1 is final",
        &["S8"],
        Need::DeathsBeforeFinality,
    ),
    mutant(
        "X26",
        "upstream/rpc/group",
        "of calls that are halved the second half is not asked",
        &["S11", "V1"],
        Need::MixedUpAnswers,
    ),
    mutant(
        "X27",
        "sync/l1_steps",
        "where batches settle is learned once",
        &["V1", "V2"],
        Need::SettlementSwitch,
    ),
    mutant("X28", "sync/l1_steps", "an error of L1 ends everything", &["V1"], Need::L1Outage),
    mutant(
        "X29",
        "upstream/l1",
        "a quantity that is a plain number panics",
        &["S11", "V1"],
        Need::Anything,
    ),
    mutant(
        "X30",
        "executor/stage",
        "an unknown version is run as the newest known one",
        &["V1", "V2", "S1"],
        Need::UnknownVersion,
    ),
    mutant(
        "X31",
        "executor/seal",
        "a batch is sealed as one of the version before",
        &["S1", "S2"],
        Need::Upgrade,
    ),
    mutant(
        "X39",
        "api/eth/blocks",
        "a block is read as of another view than the newest",
        &["A1", "A3"],
        Need::Clients,
    ),
    mutant(
        "X40",
        "api/one_view",
        "each request of a batch has a view of its own",
        &["A1", "A2"],
        Need::Batches,
    ),
    mutant(
        "X41",
        "api/pubsub",
        "of messages that come at once only the last is sent",
        &["A5", "A4"],
        Need::Watchers,
    ),
    mutant(
        "X42",
        "api/overrides",
        "overrides are kept where other requests look",
        &["A6"],
        Need::Calls,
    ),
    mutant(
        "X43",
        "upstream/rpc",
        "nobody waits before asking again",
        &["S14", "V3"],
        Need::TooManyRequests,
    ),
    mutant(
        "X44",
        "upstream/rpc/retry_after",
        "a date is read as a number of seconds",
        &["S14"],
        Need::TooManyRequests,
    ),
    mutant(
        "X45",
        "upstream/rpc/endpoints",
        "rests are measured by wall time",
        &["V2", "V1"],
        Need::ClockBack,
    ),
    mutant(
        "X46",
        "upstream/rpc/exchange",
        "an answer may be of any size",
        &["S12"],
        Need::Anything,
    ),
    mutant(
        "X47",
        "upstream/rpc/exchange",
        "every failed exchange leaves a task",
        &["V7", "S12"],
        Need::FailingExchanges,
    ),
    mutant(
        "X48",
        "api/call",
        "every failed request leaves a view",
        &["V7", "S12"],
        Need::ClientsInError,
    ),
    mutant("X49", "api/eth/blocks", "a block that is not there panics", &["S11"], Need::Clients),
    mutant(
        "X50",
        "replica/run",
        "a halt stays told when writes go on",
        &["A8", "V1"],
        Need::FailingWrites,
    ),
    mutant(
        "X51",
        "io/memory",
        "an open store can be opened again",
        &["S13"],
        Need::SecondProcesses,
    ),
    mutant(
        "X52",
        "executor/stage",
        "the open batch is run again without its first block",
        &["S3", "S1", "S6", "V1"],
        Need::Crashes,
    ),
    mutant(
        "X53",
        "tree/parallel",
        "results of a parallel map are kept as they come",
        &["V1", "S1", "S3"],
        Need::LargeBatches,
    ),
    mutant(
        "X54",
        "executor/seal",
        "leaf indices are given in the order of hashes",
        &["V1", "S1", "S6"],
        Need::Anything,
    ),
    mutant(
        "X56",
        "checkers/agreement",
        "claims and their cursor are two writes, a stop comes between",
        &["S5"],
        Need::Stops,
    ),
    mutant("X57", "replica/run", "halted writes are not told", &["A8", "V1"], Need::UnknownVersion),
    mutant(
        "X58",
        "upstream/rpc/endpoints",
        "the next endpoint is blamed for what one did",
        &["V1", "V2", "V3"],
        Need::FailingEndpoint,
    ),
    mutant(
        "X59",
        "checkers/agreement",
        "a commitment is stored beside the root of another chain",
        &["S2"],
        Need::ReorgsAndLateCommitments,
    ),
    mutant(
        "X60",
        "api/call",
        "requests wait until no block is missing",
        &["V6"],
        Need::ClientsWhileBehind,
    ),
    mutant(
        "X61",
        "upstream/rpc/exchange",
        "an exchange takes no place in the window",
        &["S14"],
        Need::OneAtATime,
    ),
];

/// Those of the design that cannot be planted, and why.
pub const ABSENT: &[(&str, &str)] = &[
    ("X15", "the model's commitments are none of the protocol, so nobody compares them"),
    ("X32", "there is no recovery from snapshots"),
    ("X33", "there is no recovery from snapshots"),
    ("X34", "nothing is written unlogged: that is for recovery from snapshots"),
    ("X35", "there is no recovery from snapshots"),
    ("X36", "nothing is pruned"),
    ("X37", "nothing is pruned"),
    ("X38", "nothing is pruned"),
    ("X55", "there are no migrations: a store of another layout is refused"),
];

const fn mutant(
    id: &'static str,
    place: &'static str,
    what: &'static str,
    expected: &'static [&'static str],
    needs: Need,
) -> Mutant {
    Mutant { id, place, what, expected, needs }
}

impl Mutant {
    /// A scenario in which it should show.
    pub fn scenario(&self, seed: Seed) -> Scenario {
        let mut scenario = Scenario::draw(seed);
        let mut dice = Dice::new(seed.0, self.id);
        self.needs.arrange(&mut scenario, &mut dice);
        scenario
    }
}

impl Need {
    /// Changes `scenario` so that it has what is needed.
    fn arrange(self, scenario: &mut Scenario, dice: &mut Dice) {
        // Nothing that lets a wrong end pass.
        if !matches!(self, Self::FailingWrites | Self::FullDisk) {
            scenario.script.retain(|step| !matches!(step.event, Event::Disk(_)));
        }
        // Clients would be the first to see what others should find.
        scenario.clients = ClientPlan::default();
        let end = scenario.heal_at_ms;
        let mut push = |when, event| scenario.script.push(Step { when, event });
        match self {
            Self::Anything => {}
            Self::Crashes => {
                for _ in 0..3 {
                    push(store_call(dice, 150), Event::Kill { down_ms: 100 });
                }
            }
            Self::Reorgs => reorgs(dice, end, &mut push),
            Self::ReorgsAndLateCommitments => {
                reorgs(dice, end, &mut push);
                scenario.model.commitment_ms = 3_000;
            }
            Self::CrashesInRollbacks => {
                reorgs(dice, end, &mut push);
                for _ in 0..4 {
                    push(store_call(dice, 250), Event::Kill { down_ms: 100 });
                }
                scenario.replica.rollback_changes_max = Some(1);
            }
            Self::Lies(class) => {
                let kinds: Vec<_> =
                    LieKind::ALL.into_iter().filter(|kind| kind.class() == class).collect();
                for _ in 0..3 {
                    let (kind, ms) = (*dice.pick(&kinds), 60_000);
                    let lie = ModelEvent::Lie { kind, endpoint: None, ms, every: 1 };
                    push(When::AtMs(dice.below(end.max(60_000))), Event::Model(lie));
                }
                scenario.heal_at_ms = end.max(60_000);
                scenario.model.blocks_at_start = dice.between_u32(0, 8);
            }
            Self::LyingEndpoint => {
                let model = &mut scenario.model;
                (model.main_node_count, model.blocks_at_start) = (3, 100);
                model.main_node_lag_ms.clear();
                for (_, rate) in scenario.net.all() {
                    *rate = 0;
                }
                scenario.script.clear();
                let (kind, endpoint) = (LieKind::B7Fork, Some(dice.index(2) + 1));
                let lie = ModelEvent::Lie { kind, endpoint, ms: 30_000, every: 1 };
                let when = When::AtMs(dice.between(5_000, 15_000));
                scenario.script.push(Step { when, event: Event::Model(lie) });
                scenario.heal_at_ms = 45_000;
            }
            Self::MixedUpAnswers => {
                (scenario.net.misdirected, scenario.net.bad_batch) = (150, 250);
                scenario.heal_at_ms = end.max(45_000);
            }
            Self::FailingWrites => {
                let when = store_call(dice, 80);
                push(when, Event::Disk(DiskFault::WriteError));
            }
            Self::UnknownVersion => scenario.model.unknown_version_at = 2,
            Self::FullDisk => {
                let when = store_call(dice, 80);
                push(when, Event::Disk(DiskFault::Full { ms: Some(500) }));
            }
            Self::TooManyRequests => {
                (scenario.net.too_many, scenario.net.period_ms) = (300, 0);
                (scenario.model.main_node_count, scenario.model.block_ms) = (1, 3_000);
                scenario.model.blocks_at_start = 1;
                scenario.heal_at_ms = end.max(150_000);
            }
            Self::FailingExchanges => {
                (scenario.model.main_node_count, scenario.net.refused) = (3, 300);
                push(When::AtMs(0), Event::Outage { endpoint: Some(0), ms: 3_600_000 });
                scenario.heal_at_ms = end.max(60_000);
            }
            Self::FailingEndpoint => {
                scenario.model.main_node_count = 2;
                scenario.model.main_node_lag_ms.clear();
                (scenario.model.block_ms, scenario.model.blocks_at_start) = (3_000, 1);
                push(When::AtMs(0), Event::Closed { endpoint: 0, ms: 3_600_000 });
                scenario.heal_at_ms = end.max(120_000);
            }
            Self::LargeBatches => {
                let model = &mut scenario.model;
                (model.txs_max, model.blocks_max, model.new_keys) = (24, 6, 9);
                (model.empty_batches, model.reverts, model.blocks_at_start) = (0, 0, 100);
            }
            Self::LateRoots => scenario.model.root_ms = 4_000,
            Self::SettlementSwitch => {
                let model = &mut scenario.model;
                (model.settles_elsewhere_from, model.settles_elsewhere_until) = (1, 2);
            }
            Self::Upgrade => {
                (scenario.model.version, scenario.model.upgrade_at) = (28, dice.between_u32(2, 3));
            }
            Self::WrongCodeOfUpgrade => {
                let model = &mut scenario.model;
                (model.version, model.upgrade_at, model.blocks_at_start) = (28, 2, 100);
                let kind = LieKind::B5Bytecode;
                let lie = ModelEvent::Lie { kind, endpoint: None, ms: 60_000, every: 1 };
                let method = "en_syncL2Block".to_owned();
                push(When::Request { method, nth: 1 }, Event::Model(lie));
                scenario.heal_at_ms = end.max(60_000);
            }
            Self::L1Outage => {
                let first = scenario.model.main_node_count;
                for l1 in 0..scenario.model.l1_node_count {
                    let outage = Event::Outage { endpoint: Some(first + l1), ms: 40_000 };
                    push(When::AtMs(1_000), outage);
                }
                scenario.heal_at_ms = end.max(90_000);
            }
            Self::DeathsBeforeFinality => {
                let model = &mut scenario.model;
                (model.l1_final_blocks, model.l1_block_ms, model.step_ms) = (40, 1_000, 500);
                for _ in 0..3 {
                    let at = When::AtMs(dice.between(5_000, 40_000));
                    push(at, Event::Kill { down_ms: 100 });
                }
                scenario.heal_at_ms = end.max(45_000);
            }
            Self::ForkBelowFinal => {
                let model = &mut scenario.model;
                (model.root_ms, model.commitment_ms, model.step_ms) = (0, 0, 500);
                (model.blocks_at_start, model.batches_per_step) = (100, 4);
                (model.l1_block_ms, model.l1_safe_blocks, model.l1_final_blocks) = (500, 0, 1);
                let kind = LieKind::B7Fork;
                let lie = ModelEvent::Lie { kind, endpoint: None, ms: 60_000, every: 1 };
                push(When::AtMs(dice.between(20_000, 40_000)), Event::Model(lie));
                scenario.heal_at_ms = end.max(110_000);
            }
            Self::ClockBack => {
                scenario.model.main_node_count = 1;
                push(When::AtMs(4_000), Event::Outage { endpoint: None, ms: 30_000 });
                push(When::AtMs(dice.between(12_000, 30_000)), Event::ClockJump { ms: -1_200_000 });
                scenario.heal_at_ms = 35_000;
            }
            Self::Stops => {
                (scenario.model.blocks_max, scenario.model.block_ms) = (1, 500);
                for _ in 0..5 {
                    let at = When::AtMs(dice.below(end.max(10_000)));
                    push(at, Event::Terminate { grace_ms: 10_000, down_ms: 100 });
                }
            }
            Self::SecondProcesses => {
                for _ in 0..3 {
                    push(When::AtMs(dice.below(5_000)), Event::SecondProcess);
                }
            }
            Self::OneAtATime => {
                let replica = &mut scenario.replica;
                (replica.in_flight_max, replica.chunk_blocks) = (Some(1), Some(1));
                replica.chunks_ahead_max = Some(8);
                (scenario.model.blocks_at_start, scenario.net.latency_ms) = (100, 300);
            }
            Self::Clients
            | Self::ClientsInError
            | Self::Batches
            | Self::Calls
            | Self::ClientsWhileBehind
            | Self::ClientsAndReorgs
            | Self::Watchers
            | Self::WatchersAndReorgs => self.arrange_clients(scenario, dice),
        }
    }

    /// As [`arrange`](Self::arrange), for those that need clients.
    fn arrange_clients(self, scenario: &mut Scenario, dice: &mut Dice) {
        let clients = &mut scenario.clients;
        (clients.count, clients.pause_ms) = (2, 150);
        let mut script = Vec::new();
        let mut push = |when, event| script.push(Step { when, event });
        let end = scenario.heal_at_ms;
        if matches!(self, Self::ClientsAndReorgs | Self::WatchersAndReorgs) {
            reorgs(dice, end.max(20_000), &mut push);
            scenario.model.step_ms = 20_000;
        }
        if matches!(self, Self::ClientsInError | Self::Batches) {
            (scenario.model.block_ms, scenario.model.blocks_at_start) = (200, 1);
            (scenario.model.blocks_max, scenario.model.batch_count) = (4, 8);
        }
        match self {
            Self::ClientsInError => {
                (clients.count, clients.pause_ms, clients.malformed) = (4, 60, 80)
            }
            Self::Batches => clients.batches = 60,
            Self::Calls => clients.calls = 80,
            Self::ClientsWhileBehind => {
                (scenario.model.blocks_at_start, scenario.net.latency_ms) = (100, 300);
                let replica = &mut scenario.replica;
                (replica.chunk_blocks, replica.chunks_ahead_max) = (Some(1), Some(1));
                let is_slow =
                    |event: &Event| matches!(event, Event::Pause { .. } | Event::StarveCpu { .. });
                scenario.script.retain(|step| !is_slow(&step.event));
            }
            Self::Watchers => {
                clients.watchers = 3;
                (scenario.model.block_ms, scenario.model.blocks_at_start) = (700, 1);
                for at in [3_000, 9_000] {
                    push(When::AtMs(at), Event::Model(ModelEvent::Stall { ms: 4_000 }));
                }
            }
            Self::WatchersAndReorgs => clients.watchers = 3,
            _ => {}
        }
        scenario.heal_at_ms = end.max(20_000);
        scenario.script.extend(script);
    }
}

fn store_call(dice: &mut Dice, most: u64) -> When {
    When::StoreCall { nth: dice.between(1, most), after: dice.chance(1, 2) }
}

fn reorgs(dice: &mut Dice, end: u64, push: &mut impl FnMut(When, Event)) {
    for _ in 0..3 {
        let depth = dice.between_u32(1, 3);
        let reorg = ModelEvent::Reorg { depth, batches: 0, kind: *dice.pick(&ForkKind::ALL) };
        push(When::AtMs(dice.between(end / 4, end)), Event::Model(reorg));
    }
}

/// How a planted bug was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// What did not hold: an invariant and what it was about.
    pub signature: String,
    /// The seed of its scenario.
    pub seed: Seed,
    /// Seeds that were run before and with it.
    pub seeds: u64,
    /// How long that took.
    pub took: Duration,
}

impl Caught {
    /// Whether one of the invariants found it that should.
    pub fn is_as_expected(&self, mutant: &Mutant) -> bool {
        mutant.expected.iter().any(|id| self.signature.split(' ').next() == Some(*id))
    }
}

/// Runs scenarios of `mutant` until one fails that does not fail without it; `None` if none of
/// `seeds_max` does, or the time is over.
///
/// # Errors
///
/// What the system said when it refused a process.
pub fn hunt(
    mutant: &Mutant,
    seeds_max: u64,
    time_max: Duration,
) -> std::io::Result<Option<Caught>> {
    let started = runner::now();
    let options = RunOptions { mutant: Some(mutant.id), ..RunOptions::default() };
    let mut first = 0;
    while first < seeds_max && started.elapsed() < time_max {
        let failed = first_failure(mutant, first..seeds_max, &options, started + time_max)?;
        let Some((seed, result)) = failed else { return Ok(None) };
        let calm = run_apart(&mutant.scenario(Seed(seed)), &RunOptions::default())?;
        if let (None, Some(signature)) = (calm.signature, result.signature) {
            let (seeds, took) = (seed + 1, started.elapsed());
            return Ok(Some(Caught { signature, seed: Seed(seed), seeds, took }));
        }
        first = seed + 1;
    }
    Ok(None)
}

/// The first of `seeds` whose scenario fails.
fn first_failure(
    mutant: &Mutant,
    seeds: std::ops::Range<u64>,
    options: &RunOptions,
    until: Instant,
) -> std::io::Result<Option<(u64, RunResult)>> {
    let mut first: Option<(u64, RunResult)> = None;
    let run = |seed: &u64| run_here(&mutant.scenario(Seed(*seed)), options);
    let done = |seed, ended, _| {
        let result = result_of(ended);
        if result.signature.is_some() && first.as_ref().is_none_or(|(known, _)| seed < *known) {
            first = Some((seed, result));
        }
        first.is_none() && runner::now() < until
    };
    runner::for_each(seeds, runner::workers(), runner::WALL_MAX, run, done)?;
    Ok(first)
}

/// Hunts `mutants` and says a line about each. Gives how many were caught and how many were not.
///
/// # Errors
///
/// What the system said when it refused a process.
pub fn hunt_all<'a>(
    mutants: impl IntoIterator<Item = &'a Mutant>,
    time_max: Duration,
    say: &mut dyn FnMut(&str),
) -> std::io::Result<(u64, u64)> {
    let (mut caught, mut missed) = (0, 0);
    for mutant in mutants {
        let found = hunt(mutant, SEEDS_MAX, time_max)?;
        let told = match &found {
            Some(found) => {
                let note =
                    if found.is_as_expected(mutant) { "" } else { "  (by another than expected)" };
                format!(
                    "caught in {:>3} seeds, {:>5.1} s, seed {} by {}{note}",
                    found.seeds,
                    found.took.as_secs_f64(),
                    String::from(found.seed),
                    found.signature,
                )
            }
            None => format!("NOT CAUGHT; expected {}", mutant.expected.join(", ")),
        };
        if found.is_some() {
            caught += 1
        } else {
            missed += 1
        }
        say(&format!("  {:<4} {:<22} {:<58} {told}", mutant.id, mutant.place, mutant.what));
    }
    Ok((caught, missed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct() {
        let ids: std::collections::BTreeSet<_> = ALL.iter().map(|mutant| mutant.id).collect();
        assert_eq!(ids.len(), ALL.len());
    }

    #[test]
    fn every_bug_of_the_design_is_planted_or_has_no_place() {
        for number in 1..=58 {
            let id = format!("X{number:02}");
            let planted = ALL.iter().filter(|mutant| mutant.id == id).count();
            let absent = ABSENT.iter().filter(|(absent, _)| *absent == id).count();
            assert_eq!(planted + absent, 1, "{id}");
        }
    }
}
