//! Planted bugs: the table of what is wrong, where, and which invariants should find it.
//!
//! The mistakes themselves stand in the node, each at its place, as
//! [`lockstep_io::planted!`](lockstep_io::planted!).

mod need;
mod table;

use std::time::{Duration, Instant};

pub use self::{
    need::Need,
    table::{ABSENT, ALL},
};
use crate::{
    campaign::{RunResult, result_of, run_apart, run_here},
    model::Dice,
    runner,
    scenario::{Scenario, Seed},
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

impl Mutant {
    /// A scenario in which it should show.
    pub fn scenario(&self, seed: Seed) -> Scenario {
        let mut scenario = Scenario::draw(seed);
        let mut dice = Dice::new(seed.0, self.id);
        self.needs.arrange(&mut scenario, &mut dice);
        scenario
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
