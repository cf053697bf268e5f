//! Runs seeds, replays scenarios, makes them small, crashes the node everywhere.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use lockstep_sim::{
    campaign::{self, Artefacts, Tally},
    ci, exhaustive,
    minimise::{self, Effort},
    mutants, runner,
    scenario::{Scenario, Seed},
    serve,
    world::RunOptions,
};

/// The node in a world that is made from a seed.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed, or many from a first one on.
    Run {
        /// The seed, decimal or with 0x; the first of many.
        #[arg(long, default_value = "0")]
        seed: String,
        /// How many seeds.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// No new seed is begun after this long.
        #[arg(long)]
        minutes: Option<u64>,
        /// Prints what happens, of a single seed.
        #[arg(long)]
        log: bool,
        /// With EraVM, on a recorded chain.
        #[arg(long)]
        era: bool,
    },
    /// Runs a scenario from a file.
    Replay {
        /// The file.
        file: PathBuf,
        /// Prints what happens.
        #[arg(long)]
        log: bool,
        /// Also each turn of each task.
        #[arg(long)]
        polls: bool,
    },
    /// Makes a failing scenario as short as it will go.
    Minimise {
        /// The file; it is not changed.
        file: Option<PathBuf>,
        /// The seed, in place of a file.
        #[arg(long)]
        seed: Option<String>,
        /// Where the short one goes.
        #[arg(long, default_value = "target/sim/min.toml")]
        to: PathBuf,
        /// Runs at most.
        #[arg(long, default_value_t = 2_000)]
        runs: u32,
    },
    /// Crashes the node at every call of the disk, in short stories.
    Exhaustive {
        /// 1, or 2: also in the recovery.
        #[arg(long, default_value_t = 1)]
        depth: u32,
        /// Every so manieth run only.
        #[arg(long, default_value_t = 1)]
        of: u64,
        /// Which of them.
        #[arg(long, default_value_t = 0)]
        rest: u64,
    },
    /// Runs fresh seeds until the time is over, whatever fails.
    Soak {
        /// How long.
        #[arg(long)]
        minutes: u64,
        /// The first seed.
        #[arg(long, default_value = "0x1000000")]
        seed: String,
    },
    /// Plants bugs in the node and looks who finds them.
    Mutants {
        /// Only this one.
        #[arg(long)]
        id: Option<String>,
        /// Seconds for each.
        #[arg(long, default_value_t = 120)]
        seconds: u64,
    },
    /// Serves the model chain over loopback, for a binary to follow.
    Serve {
        /// Of the first endpoint; each further one has the next.
        #[arg(long, default_value_t = 41_500)]
        port: u16,
        /// What the chain is like; its plan and seed are taken.
        #[arg(long)]
        scenario: Option<PathBuf>,
    },
    /// What every change goes through.
    Ci {
        /// How long, in all.
        #[arg(long, default_value_t = 12)]
        minutes: u64,
        /// The first seed.
        #[arg(long, default_value = "0x10000")]
        seed: String,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    runner::silence();
    match run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything was good.
fn run(command: Command) -> Result<bool, Box<dyn std::error::Error>> {
    let artefacts = Artefacts::in_target();
    let options = RunOptions::default();
    match command {
        Command::Run { seed, seeds: 1, minutes: None, log, era } => {
            let seed = Seed::try_from(seed)?;
            one(&if era { Scenario::draw_era(seed) } else { Scenario::draw(seed) }, log, false)
        }
        Command::Run { seed, seeds, minutes, log: _, era: false } => {
            many(Seed::try_from(seed)?, seeds, minutes)
        }
        Command::Run { seed, seeds, minutes, log: _, era: true } => {
            let until = minutes.map(|minutes| runner::now() + Duration::from_secs(minutes * 60));
            let seed = Seed::try_from(seed)?;
            let tally = campaign::era_seeds(seed, seeds, until, &artefacts, &mut say)?;
            Ok(tally.is_none_or(|tally| told(&tally)))
        }
        Command::Soak { minutes, seed } => many(Seed::try_from(seed)?, u64::MAX, Some(minutes)),
        Command::Replay { file, log, polls } => {
            one(&Scenario::from_text(&std::fs::read_to_string(file)?)?, log, polls)
        }
        Command::Minimise { file, seed, to, runs } => {
            let scenario = match (file, seed) {
                (Some(file), None) => Scenario::from_text(&std::fs::read_to_string(file)?)?,
                (None, Some(seed)) => Scenario::draw(Seed::try_from(seed)?),
                _ => return Err("give a file or --seed".into()),
            };
            let effort = Effort { runs_max: runs, ..Effort::default() };
            let Some(smaller) = minimise::minimise(&scenario, &options, effort)? else {
                println!("it does not fail");
                return Ok(false);
            };
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&to, smaller.scenario.to_text())?;
            println!(
                "{}\n{} runs: {}",
                smaller.scenario.to_text(),
                smaller.runs,
                smaller.signature
            );
            println!("written to {}", to.display());
            Ok(true)
        }
        Command::Exhaustive { depth, of, rest } => {
            let jobs = exhaustive::jobs(exhaustive::Part { rest, of }, depth)?;
            println!("{} runs", jobs.len());
            let tally = campaign::run_all(jobs, &options, None, &artefacts, &mut say)?;
            let untouched = exhaustive::untouched(&tally.sites);
            println!("{}", tally.table());
            println!("  {:<18} {}", "call sites", exhaustive::call_sites().len());
            for site in &untouched {
                println!("  never died at: {site}");
            }
            let is_good = tally.failed == 0 && (of > 1 || untouched.is_empty());
            println!("  {}", if is_good { "every death was survived" } else { "NOT good" });
            println!("{} passed, {} failed", tally.passed, tally.failed);
            Ok(is_good)
        }
        Command::Mutants { id, seconds } => {
            let is_wanted =
                |mutant: &&mutants::Mutant| id.as_ref().is_none_or(|id| id == mutant.id);
            let wanted = mutants::ALL.iter().filter(is_wanted);
            let (caught, missed) =
                mutants::hunt_all(wanted, Duration::from_secs(seconds), &mut say)?;
            if id.is_none() {
                for (id, why) in mutants::ABSENT {
                    println!("  {id:<4} not planted: {why}");
                }
            }
            println!("{caught} passed, {missed} failed");
            Ok(missed == 0)
        }
        Command::Serve { port, scenario } => {
            let scenario = match scenario {
                Some(file) => Scenario::from_text(&std::fs::read_to_string(file)?)?,
                None => Scenario::calm(Seed(1)),
            };
            serve::serve(&scenario.model, scenario.seed.0, port, &mut say)?;
            Ok(true)
        }
        Command::Ci { minutes, seed } => {
            let plan = ci::Plan {
                first: Seed::try_from(seed)?,
                time: Duration::from_secs(minutes * 60),
                artefacts,
            };
            let counts = ci::run(&plan, &mut say)?;
            println!("{} passed, {} failed", counts.passed, counts.failed);
            Ok(counts.failed == 0)
        }
    }
}

fn say(text: &str) {
    println!("{text}");
}

fn one(scenario: &Scenario, log: bool, polls: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let options = RunOptions { record: log, record_polls: polls, ..RunOptions::default() };
    let result = campaign::run_apart(scenario, &options)?;
    for line in &result.lines {
        println!("{line}");
    }
    println!("{}", scenario.to_text());
    print!("{}", result.told);
    println!(
        "trace {:#018x}, {} events, {} turns, {} requests, {} store calls, {:.1} simulated s",
        result.hash,
        result.events,
        result.polls,
        result.requests,
        result.store_calls,
        Duration::from_millis(result.time_ms).as_secs_f64(),
    );
    let failed = u32::from(result.signature.is_some());
    println!("{} passed, {failed} failed", 1 - failed);
    Ok(failed == 0)
}

fn many(first: Seed, count: u64, minutes: Option<u64>) -> Result<bool, Box<dyn std::error::Error>> {
    let until = minutes.map(|minutes| runner::now() + Duration::from_secs(minutes * 60));
    let artefacts = Artefacts::in_target();
    let tally = campaign::seeds(first, count, until, &artefacts, &mut say)?;
    Ok(told(&tally))
}

/// Prints `tally`; says whether everything was good.
fn told(tally: &Tally) -> bool {
    println!("{}", tally.table());
    println!("{} passed, {} failed", tally.passed, tally.failed);
    tally.failed == 0
}
