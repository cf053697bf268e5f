//! Many runs: each in a process of its own, counted, compared with itself, and told about.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    era::EraChain,
    exec::on_simulated_thread,
    runner::{self, Ended},
    scenario::{ExecMode, Scenario, Seed},
    store::Site,
    world::{self, Digests, Report, RunOptions},
};

/// Lines of a timeline that are kept with a failure.
const TIMELINE_LINES: usize = 400;

/// What is left of a run for those who count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// Which failure it is; `None`: it is good.
    pub signature: Option<String>,
    /// What did not hold, in words.
    pub told: String,
    /// Of the trace.
    pub hash: u64,
    /// Events of the trace.
    pub events: u64,
    /// Simulated time.
    pub time_ms: u64,
    /// Hashes of what is on the disk in the end, of a recorded chain.
    pub tables: Digests,
    /// Turns of tasks.
    pub polls: u64,
    /// Requests to upstreams.
    pub requests: u64,
    /// Process lives.
    pub store_calls: u64,
    /// The place that made each call of the disk, if it was asked for.
    pub callers: Vec<String>,
    /// The places that called the disk: calls and deaths.
    pub sites: BTreeMap<String, (u64, u64)>,
    /// Faults of the network.
    pub net_faults: BTreeMap<String, u64>,
    /// The trace as text, if it was asked for.
    pub lines: Vec<String>,
}

impl RunResult {
    /// A run without a report: what is known instead.
    pub fn broken(signature: &str, told: String) -> Self {
        Self {
            signature: Some(signature.to_owned()),
            told,
            hash: 0,
            events: 0,
            time_ms: 0,
            tables: Digests::new(),
            polls: 0,
            requests: 0,
            store_calls: 0,
            callers: Vec::new(),
            sites: BTreeMap::new(),
            net_faults: BTreeMap::new(),
            lines: Vec::new(),
        }
    }
}

impl From<Report> for RunResult {
    fn from(report: Report) -> Self {
        let signature = report
            .signature()
            .or_else(|| (!report.is_good()).then(|| format!("V1 ended {:?}", report.ending)));
        let mut told = String::new();
        for violation in &report.violations {
            let (id, key, detail) = (violation.invariant, &violation.key, &violation.detail);
            // Writing to a string does not fail.
            writeln!(told, "{id} {key}: {detail}").unwrap_or(());
        }
        let site = |(name, Site { calls, crashes }): (String, Site)| (name, (calls, crashes));
        let faults = report.net_faults.into_iter().map(|(name, count)| (name.to_owned(), count));
        Self {
            signature,
            told,
            hash: report.trace.hash,
            events: report.trace.count,
            time_ms: u64::try_from(report.time.as_millis()).unwrap_or(u64::MAX),
            tables: report.tables,
            polls: report.polls,
            requests: report.requests,
            store_calls: report.store_calls,
            callers: report.callers,
            sites: report.sites.into_iter().map(site).collect(),
            net_faults: faults.collect(),
            lines: report.lines,
        }
    }
}

/// Runs `scenario` in this process, on a simulated thread.
pub fn run_here(scenario: &Scenario, options: &RunOptions) -> RunResult {
    let (scenario, options) = (scenario.clone(), options.clone());
    let seed = scenario.seed.0;
    lockstep_io::planted::plant(options.mutant);
    match on_simulated_thread(seed, move || RunResult::from(world::run(&scenario, &options))) {
        Ok(result) => result,
        Err(panic) => RunResult::broken("SIM panicked", panic),
    }
}

/// What came of a child, as a result.
pub fn result_of(ended: Ended<RunResult>) -> RunResult {
    match ended {
        Ended::Done(result) => result,
        Ended::Died(told) => RunResult::broken("S11 died", told),
        Ended::TooSlow => RunResult::broken(
            "V3 too slow",
            format!(
                "no end after {} s on the processor, or far too long on the wall",
                runner::WALL_MAX.as_secs()
            ),
        ),
    }
}

/// How long `scenario` may take on the processor.
fn cpu_max(scenario: &Scenario) -> Duration {
    match scenario.exec {
        ExecMode::Toy => runner::WALL_MAX,
        ExecMode::Era => runner::ERA_WALL_MAX,
    }
}

/// Runs `scenario` in a process of its own.
///
/// # Errors
///
/// What the system said when it refused one.
pub fn run_apart(scenario: &Scenario, options: &RunOptions) -> std::io::Result<RunResult> {
    let mut result = RunResult::broken("SIM lost", "there was no result".to_owned());
    let run = |scenario: &Scenario| run_here(scenario, options);
    runner::for_each([scenario.clone()], 1, cpu_max(scenario), run, |_, ended, _| {
        result = result_of(ended);
        true
    })?;
    Ok(result)
}

/// Seeds that are drawn at once.
const PORTION: u64 = 500;

/// A run to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it is called when it fails.
    pub name: String,
    /// The run.
    pub scenario: Scenario,
    /// Whether it is run a second time, and must have the same trace.
    pub twice: bool,
}

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Good runs.
    pub passed: u64,
    /// Others.
    pub failed: u64,
    /// Runs that were made twice, with equal traces.
    pub twice: u64,
    /// Sums over all runs.
    pub totals: BTreeMap<&'static str, u64>,
    /// Places that called the disk: calls and deaths.
    pub sites: BTreeMap<String, (u64, u64)>,
    /// Faults of the network.
    pub net_faults: BTreeMap<String, u64>,
    /// Processor time of all runs.
    pub cpu: Duration,
    /// The slowest runs.
    pub slowest: Vec<(Duration, String)>,
    /// Failures by what failed: how many, and the first one's name.
    pub failures: BTreeMap<String, (u64, String)>,
    first_hashes: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds a result. Says whether it is a failure of a new kind.
    pub fn add(&mut self, job: &Job, result: &RunResult, cpu: Duration) -> bool {
        self.cpu += cpu;
        for (name, count) in [
            ("virtual minutes", result.time_ms / 60_000),
            ("task turns", result.polls),
            ("requests", result.requests),
            ("store calls", result.store_calls),
            ("trace events", result.events),
        ] {
            *self.totals.entry(name).or_default() += count;
        }
        for (name, (calls, crashes)) in &result.sites {
            let site = self.sites.entry(name.clone()).or_default();
            site.0 += calls;
            site.1 += crashes;
        }
        for (name, count) in &result.net_faults {
            *self.net_faults.entry(name.clone()).or_default() += count;
        }
        self.slowest.push((cpu, job.name.clone()));
        self.slowest.sort();
        self.slowest.reverse();
        self.slowest.truncate(3);
        let mut signature = result.signature.clone();
        if job.twice && signature.is_none() {
            match self.first_hashes.remove(&job.name) {
                None => {
                    self.first_hashes.insert(job.name.clone(), result.hash);
                    return false;
                }
                Some(first) if first == result.hash => self.twice += 1,
                Some(_) => signature = Some("DET the second run differs".to_owned()),
            }
        }
        match signature {
            None => {
                self.passed += 1;
                false
            }
            Some(signature) => {
                self.failed += 1;
                let known = self.failures.entry(signature).or_insert((0, job.name.clone()));
                known.0 += 1;
                known.0 == 1
            }
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.twice += other.twice;
        self.cpu += other.cpu;
        for (name, count) in other.totals {
            *self.totals.entry(name).or_default() += count;
        }
        for (name, (calls, crashes)) in other.sites {
            let site = self.sites.entry(name).or_default();
            *site = (site.0 + calls, site.1 + crashes);
        }
        for (name, count) in other.net_faults {
            *self.net_faults.entry(name).or_default() += count;
        }
        self.slowest.extend(other.slowest);
        self.slowest.sort();
        self.slowest.reverse();
        self.slowest.truncate(3);
        for (signature, (count, first)) in other.failures {
            self.failures.entry(signature).or_insert((0, first)).0 += count;
        }
    }

    /// A table of everything, for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |said: String| {
            text.push_str(&said);
            text.push('\n');
        };
        for (name, count) in &self.totals {
            line(format!("  {name:<18} {count}"));
        }
        line(format!("  {:<18} {:.1} s", "processor time", self.cpu.as_secs_f64()));
        line(format!("  {:<18} {}", "run twice", self.twice));
        let deaths: u64 = self.sites.values().map(|(_, crashes)| crashes).sum();
        line(format!("  {:<18} {deaths}", "deaths at the disk"));
        let faults: Vec<_> =
            self.net_faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        line(format!("  {:<18} {}", "network faults", faults.join(", ")));
        for (cpu, name) in &self.slowest {
            line(format!("  slow: {:>6} ms  {name}", cpu.as_millis()));
        }
        for (signature, (count, first)) in &self.failures {
            line(format!("  FAILED {count} x {signature}  first: {first}"));
        }
        text
    }
}

/// Where failures leave their files.
#[derive(Clone, Debug)]
pub struct Artefacts(pub PathBuf);

impl Artefacts {
    /// Below the build folder.
    pub fn in_target() -> Self {
        Self(PathBuf::from("target/sim"))
    }

    /// Writes what is known of a failed run, and says what to do with it.
    ///
    /// # Errors
    ///
    /// What the system said when a file could not be written.
    pub fn write(&self, job: &Job, result: &RunResult) -> std::io::Result<String> {
        let folder = self.0.join(folder_name(&job.name));
        std::fs::create_dir_all(&folder)?;
        let scenario = folder.join("scenario.toml");
        std::fs::write(&scenario, job.scenario.to_text())?;
        std::fs::write(folder.join("told.txt"), &result.told)?;
        let options = RunOptions { record: true, ..RunOptions::default() };
        let recorded = run_apart(&job.scenario, &options)?;
        let from = recorded.lines.len().saturating_sub(TIMELINE_LINES);
        std::fs::write(folder.join("timeline.txt"), recorded.lines[from..].join("\n"))?;
        Ok(self.how_to(&scenario))
    }

    fn how_to(&self, scenario: &Path) -> String {
        format!("cargo run -p lockstep_sim -- replay {}", scenario.display())
    }
}

fn folder_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Runs `jobs` until there are no more or `until` is past; tells failures of a new kind at once and
/// leaves their files in `artefacts`.
///
/// # Errors
///
/// What the system said when it refused a process or a file.
pub fn run_all(
    jobs: Vec<Job>,
    options: &RunOptions,
    until: Option<Instant>,
    artefacts: &Artefacts,
    say: &mut dyn FnMut(&str),
) -> std::io::Result<Tally> {
    let mut tally = Tally::default();
    let mut broken = Vec::new();
    let longest = jobs.iter().map(|job| cpu_max(&job.scenario)).max().unwrap_or(runner::WALL_MAX);
    let jobs = jobs.into_iter().flat_map(|job| {
        let count = if job.twice { 2 } else { 1 };
        std::iter::repeat_n(job, count)
    });
    let run = |job: &Job| run_here(&job.scenario, options);
    runner::for_each(jobs, runner::workers(), longest, run, |job, ended, cpu| {
        let result = result_of(ended);
        if tally.add(&job, &result, cpu) {
            broken.push((job, result));
        }
        until.is_none_or(|until| runner::now() < until)
    })?;
    for (job, result) in broken {
        let signature = result.signature.clone().unwrap_or_else(|| "DET".to_owned());
        let how = artefacts.write(&job, &result)?;
        let seed = String::from(job.scenario.seed);
        say(&format!(
            "FAIL {signature}  seed={seed}  {}\n{}  reproduce: {how}",
            job.name, result.told
        ));
        if result.signature.is_none() {
            say(&explain_difference(&job.scenario)?);
        }
    }
    Ok(tally)
}

/// Runs `count` seeds from `first` on, no new portion of them after `until`.
///
/// # Errors
///
/// What the system said when it refused a process or a file.
pub fn seeds(
    first: Seed,
    count: u64,
    until: Option<Instant>,
    artefacts: &Artefacts,
    say: &mut dyn FnMut(&str),
) -> std::io::Result<Tally> {
    let mut all = Tally::default();
    let end = first.0.saturating_add(count);
    let mut next = first.0;
    while next < end && until.is_none_or(|until| runner::now() < until) {
        let portion = next..end.min(next.saturating_add(PORTION));
        next = portion.end;
        let jobs = portion.map(|seed| Job {
            name: format!("seed {seed:#x}"),
            scenario: Scenario::draw(Seed(seed)),
            twice: seed.is_multiple_of(20),
        });
        all.merge(run_all(jobs.collect(), &RunOptions::default(), until, artefacts, say)?);
    }
    Ok(all)
}

/// Runs `scenario` twice with everything written down and says where the runs part.
///
/// # Errors
///
/// What the system said when it refused a process.
pub fn explain_difference(scenario: &Scenario) -> std::io::Result<String> {
    let options = RunOptions { record: true, record_polls: true, ..RunOptions::default() };
    let one = run_apart(scenario, &options)?;
    let other = run_apart(scenario, &options)?;
    let told = crate::trace::first_difference(&one.lines, &other.lines);
    Ok(told.unwrap_or_else(|| "two more runs did not differ".to_owned()))
}

/// Runs `count` seeds with EraVM on a recorded chain, after a calm run that says what must be
/// stored in the end. `None` if there is no recording.
///
/// # Errors
///
/// What the system said when it refused a process or a file; that the calm run failed.
pub fn era_seeds(
    first: Seed,
    count: u64,
    until: Option<Instant>,
    artefacts: &Artefacts,
    say: &mut dyn FnMut(&str),
) -> std::io::Result<Option<Tally>> {
    let Some(chain) = EraChain::shared() else { return Ok(None) };
    let calm = Scenario::calm_era(Seed(0));
    // In this process and always the same: children know the programs and commitments of it.
    let calm = run_here(&calm, &RunOptions::default());
    if let Some(signature) = calm.signature {
        let told = format!("{}, calm: {signature}\n{}", chain.name(), calm.told);
        return Err(std::io::Error::other(told));
    }
    let options = RunOptions { expected_tables: Some(calm.tables), ..RunOptions::default() };
    let jobs = (first.0..first.0.saturating_add(count)).map(|seed| Job {
        name: format!("era seed {seed:#x}"),
        scenario: Scenario::draw_era(Seed(seed)),
        twice: seed.is_multiple_of(20),
    });
    run_all(jobs.collect(), &options, until, artefacts, say).map(Some)
}
