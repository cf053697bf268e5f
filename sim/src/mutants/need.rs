//! What makes a planted bug show.

use crate::{
    clients::ClientPlan,
    model::{Dice, ForkKind, LieKind, ModelEvent},
    scenario::{DiskFault, Event, Scenario, Step, When},
};

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

impl Need {
    /// Changes `scenario` so that it has what is needed.
    pub(super) fn arrange(self, scenario: &mut Scenario, dice: &mut Dice) {
        // Nothing that lets a wrong end pass.
        if !matches!(self, Self::FailingWrites | Self::FullDisk) {
            scenario.script.retain(|step| !matches!(step.event, Event::Disk(_)));
        }
        // Clients would be the first to see what others should find.
        scenario.clients = ClientPlan::default();
        self.arrange_process(scenario, dice);
        self.arrange_chain(scenario, dice);
        self.arrange_lies(scenario, dice);
        self.arrange_net(scenario);
        self.arrange_clients(scenario, dice);
    }

    /// What becomes of processes and of the disk.
    fn arrange_process(self, scenario: &mut Scenario, dice: &mut Dice) {
        let end = scenario.heal_at_ms;
        let mut push = |when, event| scenario.script.push(Step { when, event });
        match self {
            Self::Crashes => {
                for _ in 0..3 {
                    push(store_call(dice, 150), Event::Kill { down_ms: 100 });
                }
            }
            Self::CrashesInRollbacks => {
                reorgs(dice, end, &mut push);
                for _ in 0..4 {
                    push(store_call(dice, 250), Event::Kill { down_ms: 100 });
                }
                scenario.replica.rollback_changes_max = Some(1);
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
            Self::FailingWrites => {
                let when = store_call(dice, 80);
                push(when, Event::Disk(DiskFault::WriteError));
            }
            Self::FullDisk => {
                let when = store_call(dice, 80);
                push(when, Event::Disk(DiskFault::Full { ms: Some(500) }));
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
            Self::ClockBack => {
                scenario.model.main_node_count = 1;
                push(When::AtMs(4_000), Event::Outage { endpoint: None, ms: 30_000 });
                push(When::AtMs(dice.between(12_000, 30_000)), Event::ClockJump { ms: -1_200_000 });
                scenario.heal_at_ms = 35_000;
            }
            _ => {}
        }
    }

    /// What the chain is like.
    fn arrange_chain(self, scenario: &mut Scenario, dice: &mut Dice) {
        let end = scenario.heal_at_ms;
        let mut push = |when, event| scenario.script.push(Step { when, event });
        match self {
            Self::Reorgs => reorgs(dice, end, &mut push),
            Self::ReorgsAndLateCommitments => {
                reorgs(dice, end, &mut push);
                scenario.model.commitment_ms = 3_000;
            }
            Self::Upgrade => {
                (scenario.model.version, scenario.model.upgrade_at) = (28, dice.between_u32(2, 3));
            }
            Self::LateRoots => scenario.model.root_ms = 4_000,
            Self::LargeBatches => {
                let model = &mut scenario.model;
                (model.txs_max, model.blocks_max, model.new_keys) = (24, 6, 9);
                (model.empty_batches, model.reverts, model.blocks_at_start) = (0, 0, 100);
            }
            Self::SettlementSwitch => {
                let model = &mut scenario.model;
                (model.settles_elsewhere_from, model.settles_elsewhere_until) = (1, 2);
            }
            Self::UnknownVersion => scenario.model.unknown_version_at = 2,
            _ => {}
        }
    }

    /// What is said that is not true.
    fn arrange_lies(self, scenario: &mut Scenario, dice: &mut Dice) {
        let end = scenario.heal_at_ms;
        let mut push = |when, event| scenario.script.push(Step { when, event });
        match self {
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
            Self::WrongCodeOfUpgrade => {
                let model = &mut scenario.model;
                (model.version, model.upgrade_at, model.blocks_at_start) = (28, 2, 100);
                let kind = LieKind::B5Bytecode;
                let lie = ModelEvent::Lie { kind, endpoint: None, ms: 60_000, every: 1 };
                let method = "en_syncL2Block".to_owned();
                push(When::Request { method, nth: 1 }, Event::Model(lie));
                scenario.heal_at_ms = end.max(60_000);
            }
            _ => {}
        }
    }

    /// What becomes of exchanges.
    fn arrange_net(self, scenario: &mut Scenario) {
        let end = scenario.heal_at_ms;
        let mut push = |when, event| scenario.script.push(Step { when, event });
        match self {
            Self::MixedUpAnswers => {
                (scenario.net.misdirected, scenario.net.bad_batch) = (150, 250);
                scenario.heal_at_ms = end.max(45_000);
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
            Self::L1Outage => {
                let first = scenario.model.main_node_count;
                for l1 in 0..scenario.model.l1_node_count {
                    let outage = Event::Outage { endpoint: Some(first + l1), ms: 40_000 };
                    push(When::AtMs(1_000), outage);
                }
                scenario.heal_at_ms = end.max(90_000);
            }
            Self::OneAtATime => {
                let replica = &mut scenario.replica;
                (replica.in_flight_max, replica.chunk_blocks) = (Some(1), Some(1));
                replica.chunks_ahead_max = Some(8);
                (scenario.model.blocks_at_start, scenario.net.latency_ms) = (100, 300);
            }
            _ => {}
        }
    }

    /// Who asks.
    fn arrange_clients(self, scenario: &mut Scenario, dice: &mut Dice) {
        let needs_clients = matches!(
            self,
            Self::Clients
                | Self::ClientsInError
                | Self::Batches
                | Self::Calls
                | Self::ClientsWhileBehind
                | Self::ClientsAndReorgs
                | Self::Watchers
                | Self::WatchersAndReorgs
        );
        if !needs_clients {
            return;
        }
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
