//! What every change goes through, within a time: the canary, stories and regressions, crashes,
//! planted bugs, and seeds.

use std::time::Duration;

use crate::{
    campaign::{self, Artefacts, Job, run_apart},
    exhaustive::{self, Part},
    minimise::{self, Effort},
    mutants, runner,
    scenario::{Event, Keep, Scenario, Seed, Step, When},
    stories,
    world::RunOptions,
};

/// Of exhaustive mode, one in this many runs is made.
const EXHAUSTIVE_ONE_IN: u64 = 8;

/// Of the planted bugs, one in this many is planted.
const MUTANTS_ONE_IN: u64 = 3;

/// A planted bug has to be found in this time.
const MUTANT_TIME: Duration = Duration::from_secs(30);

/// Seeds. Always the same ones from the plan's first on, so that what is red was made so by a
/// change; `soak` looks for news.
const SEEDS: u64 = 10_000;

/// Seeds with the real EraVM, from the plan's first on as well.
const ERA_SEEDS: u64 = 40;

/// Of the time, what is kept for them.
const ERA_TIME: Duration = Duration::from_secs(100);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seeds from this one on.
    pub first: Seed,
    /// No seed is begun when this is over.
    pub time: Duration,
    /// Where failures leave their files.
    pub artefacts: Artefacts,
}

/// Runs that were good and others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Good.
    pub passed: u64,
    /// Others.
    pub failed: u64,
}

/// Does it.
///
/// # Errors
///
/// What the system said when it refused a process or a file; a part that proves nothing.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> std::io::Result<Counts> {
    let until = runner::now() + plan.time;
    let mut counts = Counts::default();
    canary(&plan.artefacts)?;
    say("canary: failed as it must, was made small, left its files");
    counts.passed += 1;

    let corpus = stories::stories().into_iter().chain(stories::regressions());
    let corpus =
        corpus.map(|(name, scenario)| Job { name: name.to_owned(), scenario, twice: true });
    part("stories and regressions", corpus.collect(), plan, &mut counts, say)?;
    let of = EXHAUSTIVE_ONE_IN;
    let jobs = exhaustive::jobs(Part { rest: plan.first.0 % of, of }, 1)?;
    part("crashes at calls of the disk", jobs, plan, &mut counts, say)?;
    let mutants = mutants::ALL.iter().enumerate();
    let turn = usize::try_from(plan.first.0 % MUTANTS_ONE_IN).unwrap_or(0);
    let one_in = usize::try_from(MUTANTS_ONE_IN).unwrap_or(1);
    let mutants = mutants.filter(|(index, _)| index % one_in == turn).map(|(_, mutant)| mutant);
    let (caught, missed) = mutants::hunt_all(mutants, MUTANT_TIME, say)?;
    say(&format!("planted bugs: {caught} caught, {missed} not"));
    counts.passed += caught;
    counts.failed += missed;
    let toys_until = until.checked_sub(ERA_TIME).unwrap_or(until);
    let toys = campaign::seeds(plan.first, SEEDS, Some(toys_until), &plan.artefacts, say)?;
    told("seeds", SEEDS, &toys, &mut counts, say);
    // Last: with a recording in memory, every process is dearer to make.
    match campaign::era_seeds(plan.first, ERA_SEEDS, Some(until), &plan.artefacts, say)? {
        Some(eras) => told("seeds with EraVM", ERA_SEEDS, &eras, &mut counts, say),
        None => say(
            "seeds with EraVM: SKIPPED, there is no recorded chain; set LOCKSTEP_FIXTURES to a \
             folder with one",
        ),
    }
    Ok(counts)
}

/// Says what became of `wanted` runs, and adds to `counts`.
fn told(
    name: &str,
    wanted: u64,
    tally: &campaign::Tally,
    counts: &mut Counts,
    say: &mut dyn FnMut(&str),
) {
    say(&format!("{name}: {} passed, {} failed\n{}", tally.passed, tally.failed, tally.table()));
    let missing = wanted.saturating_sub(tally.passed + tally.failed);
    if missing > 0 {
        say(&format!("{name}: {missing} of {wanted} NOT RUN, the time was over"));
    }
    counts.passed += tally.passed;
    counts.failed += tally.failed;
}

/// Runs `jobs` and adds to `counts`.
fn part(
    name: &str,
    jobs: Vec<Job>,
    plan: &Plan,
    counts: &mut Counts,
    say: &mut dyn FnMut(&str),
) -> std::io::Result<()> {
    let wanted = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
    let tally = campaign::run_all(jobs, &RunOptions::default(), None, &plan.artefacts, say)?;
    told(name, wanted, &tally, counts, say);
    Ok(())
}

/// A run that must fail, to see that failing works.
fn canary(artefacts: &Artefacts) -> std::io::Result<()> {
    let mut scenario = Scenario::calm(Seed(0xca_4a51));
    scenario.heal_at_ms = 5_000;
    for nth in 0..6 {
        let event = Event::PowerLoss { keep: Keep::Random, down_ms: 300 };
        scenario.script.push(Step { when: When::AtMs(500 * nth), event });
    }
    let options = RunOptions { canary: true, ..RunOptions::default() };
    let failed = run_apart(&scenario, &options)?;
    let is_it = failed.signature.as_deref() == Some("CANARY sings");
    let refuse = |told: &str| Err(std::io::Error::other(format!("the canary {told}")));
    if !is_it {
        return refuse(&format!("did not fail as it must: {failed:?}"));
    }
    let effort = Effort { runs_max: 60, ..Effort::default() };
    match minimise::minimise(&scenario, &options, effort)? {
        Some(smaller) if smaller.scenario.script.is_empty() => {}
        other => return refuse(&format!("was not made small: {other:?}")),
    }
    let job = Job { name: "canary".to_owned(), scenario, twice: false };
    let how = artefacts.write(&job, &failed)?;
    let files = ["scenario.toml", "told.txt", "timeline.txt"];
    let is_there = |file: &&str| artefacts.0.join("canary").join(file).exists();
    if !files.iter().all(is_there) || !how.contains("replay") {
        return refuse("left no files");
    }
    Ok(())
}
