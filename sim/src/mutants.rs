//! Planted bugs: the table of what is wrong, where, and which invariants should find it.
//!
//! The mistakes themselves stand in the node, each at its place, as
//! [`lockstep_io::planted!`](lockstep_io::planted!).

use std::time::{Duration, Instant};

use crate::{
    campaign::{RunResult, result_of, run_apart, run_here},
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
    /// Answers that come to the wrong question or in the wrong order.
    MixedUpAnswers,
    /// A disk whose writes fail.
    FailingWrites,
    /// A version that no build knows.
    UnknownVersion,
    /// Status 429.
    TooManyRequests,
    /// Several endpoints of which some fail.
    FailingEndpoints,
    /// Clients.
    Clients,
}

/// All of them.
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
        &["V1", "S3", "S5", "S1", "A1", "A3"],
        Need::FailingWrites,
    ),
    mutant(
        "X05",
        "tree/stage",
        "the tree is not brought up to the sealed batch after a crash",
        &["V1", "S11"],
        Need::Crashes,
    ),
    mutant(
        "X07",
        "store/rollback",
        "a rollback leaves positions of transactions",
        &["S6", "S5"],
        Need::Reorgs,
    ),
    mutant("X10", "replica/run", "a reorg rolls one batch too many back", &["S6"], Need::Reorgs),
    mutant(
        "X11",
        "store/rollback",
        "the mark of a rollback goes with its first write set",
        &["S5", "S6", "V1", "S1"],
        Need::CrashesInRollbacks,
    ),
    mutant(
        "X12",
        "replica/run",
        "after a rollback no trouble is looked into",
        &["V1", "V5", "V3"],
        Need::Reorgs,
    ),
    mutant(
        "X14",
        "checkers/agreement",
        "a root that is not there yet is another root",
        &["V1"],
        Need::Anything,
    ),
    mutant(
        "X16",
        "upstream/check",
        "the announced hash of a block stands",
        &["S7", "S1"],
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
        "X19",
        "upstream/rpc/message",
        "answers of a batch go to calls by their order",
        &["S8", "V1", "S7", "S1", "S2"],
        Need::MixedUpAnswers,
    ),
    mutant(
        "X20",
        "upstream/rpc/message",
        "the id of an answer is not compared",
        &["S8", "V1", "S7", "S1", "S2"],
        Need::MixedUpAnswers,
    ),
    mutant(
        "X22",
        "sync/reorg",
        "one answer is enough for a reorg",
        &["S6", "V1"],
        Need::Lies("B7"),
    ),
    mutant(
        "X24",
        "sync/reorg",
        "a reorg below what is final is followed",
        &["S8"],
        Need::Lies("B7"),
    ),
    mutant(
        "X29",
        "upstream/l1",
        "a quantity that is a plain number panics",
        &["S11"],
        Need::Anything,
    ),
    mutant(
        "X30",
        "executor/stage",
        "an unknown version is run as the newest known one",
        &["V1", "S1"],
        Need::UnknownVersion,
    ),
    mutant(
        "X39",
        "api/eth/blocks",
        "a block is read as of another view than the newest",
        &["A1", "A3"],
        Need::Clients,
    ),
    mutant(
        "X43",
        "upstream/rpc",
        "nobody waits before asking again",
        &["V3", "S14"],
        Need::TooManyRequests,
    ),
    mutant(
        "X47",
        "upstream/rpc/exchange",
        "every failed exchange leaves a task",
        &["V7"],
        Need::FailingEndpoints,
    ),
    mutant("X49", "api/eth/blocks", "a block that is not there panics", &["S11"], Need::Clients),
    mutant(
        "X53",
        "tree/parallel",
        "results of a parallel map are kept as they come",
        &["V1", "S1", "S3"],
        Need::Anything,
    ),
    mutant(
        "X54",
        "executor/seal",
        "leaf indices are given in the order of hashes",
        &["V1", "S1"],
        Need::Anything,
    ),
    mutant("X57", "replica/run", "halted writes are not told", &["A8", "V1"], Need::UnknownVersion),
    mutant(
        "X58",
        "upstream/rpc/endpoints",
        "the next endpoint is blamed for what one did",
        &["V1", "V3"],
        Need::FailingEndpoints,
    ),
    mutant(
        "X59",
        "checkers/agreement",
        "a commitment is stored beside the root of another chain",
        &["S2"],
        Need::ReorgsAndLateCommitments,
    ),
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
        if self != Self::FailingWrites {
            scenario.script.retain(|step| !matches!(step.event, Event::Disk(_)));
        }
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
            Self::MixedUpAnswers => {
                (scenario.net.misdirected, scenario.net.bad_batch) = (150, 250);
                scenario.heal_at_ms = end.max(45_000);
            }
            Self::FailingWrites => {
                let when = store_call(dice, 80);
                push(when, Event::Disk(DiskFault::WriteError));
            }
            Self::UnknownVersion => scenario.model.unknown_version_at = 2,
            Self::TooManyRequests => {
                scenario.net.too_many = 900;
                scenario.heal_at_ms = end.max(45_000);
            }
            Self::FailingEndpoints => {
                scenario.model.main_node_count = 3;
                scenario.net.refused = 300;
                push(When::AtMs(0), Event::Outage { endpoint: Some(0), ms: 3_600_000 });
                scenario.heal_at_ms = end.max(45_000);
            }
            Self::Clients => (scenario.clients.count, scenario.clients.pause_ms) = (2, 150),
        }
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
}
