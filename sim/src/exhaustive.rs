//! Every call of the disk in short stories, and a death at each: killed before it, killed after
//! it, and power lost with as little, as much, and half of what can be left. Then the same again
//! during the recovery.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    campaign::{Job, run_apart, run_here},
    era::EraChain,
    scenario::{Event, Keep, Scenario, Seed, Step, When},
    stories,
    world::RunOptions,
};

/// Calls after a first death at which there is a second one.
const SECOND_AFTER: [u64; 4] = [1, 2, 3, 7];

/// Ways to die at a call.
fn deaths() -> [(&'static str, bool, Event); 5] {
    let power = |keep| Event::PowerLoss { keep, down_ms: 100 };
    [
        ("killed before", false, Event::Kill { down_ms: 100 }),
        ("killed after", true, Event::Kill { down_ms: 100 }),
        ("power lost after, oldest", true, power(Keep::Oldest)),
        ("power lost after, newest", true, power(Keep::Newest)),
        ("power lost before, middle", false, power(Keep::Middle)),
    ]
}

/// Which share of the runs is made: those whose number leaves `rest` when divided by `of`.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// From 0.
    pub rest: u64,
    /// At least 1.
    pub of: u64,
}

/// The runs over every base story; and, if all are made and a chain is recorded, over a run with
/// EraVM for the places that only it comes to: commitments of toy batches are not computed.
///
/// # Errors
///
/// What the system said when it refused a process.
pub fn jobs(part: Part, depth: u32) -> std::io::Result<Vec<Job>> {
    let mut jobs = Jobs { part, number: 0, jobs: Vec::new() };
    let mut called = BTreeSet::new();
    for (name, base) in stories::bases() {
        let calm = run_apart(&base, &RunOptions::default())?;
        if calm.signature.is_some() {
            // It fails as it is, and is counted so.
            jobs.jobs.push(Job { name: name.to_owned(), scenario: base, twice: false });
            continue;
        }
        called.extend(calm.sites.into_keys());
        for nth in 1..=calm.store_calls {
            jobs.die_at(name, &base, nth, depth);
        }
    }
    if part.of <= 1 && EraChain::shared().is_some() {
        let base = Scenario::calm_era(Seed(0xe4a));
        let options = RunOptions { callers: true, ..RunOptions::default() };
        // In this process: children know the programs that it ran.
        let calm = run_here(&base, &options);
        let places = call_sites().into_keys().filter(|place| !called.contains(place));
        for place in places {
            let calls = (1..).zip(&calm.callers).filter(|(_, caller)| **caller == place);
            let calls: Vec<u64> = calls.map(|(nth, _)| nth).collect();
            let (first, last) = (calls.first(), calls.iter().skip(1).last());
            for nth in first.into_iter().chain(last) {
                jobs.die_at("eravm", &base, *nth, 1);
            }
        }
    }
    Ok(jobs.jobs)
}

/// Runs that are to be made.
struct Jobs {
    part: Part,
    number: u64,
    jobs: Vec<Job>,
}

impl Jobs {
    /// Every death at call `nth` of `base`, and at depth 2 another one after it.
    fn die_at(&mut self, name: &str, base: &Scenario, nth: u64, depth: u32) {
        for (how, after, event) in deaths() {
            let first = Step { when: When::StoreCall { nth, after }, event: event.clone() };
            self.add(base, format!("{name}, call {nth} {how}"), vec![first.clone()]);
            if depth < 2 {
                continue;
            }
            for more in SECOND_AFTER {
                let when = When::StoreCall { nth: nth + more, after };
                let second = Step { when, event: event.clone() };
                let name = format!("{name}, calls {nth} and {} {how}", nth + more);
                self.add(base, name, vec![first.clone(), second]);
            }
        }
    }

    fn add(&mut self, base: &Scenario, name: String, steps: Vec<Step>) {
        self.number += 1;
        if self.number % self.part.of.max(1) == self.part.rest {
            let mut scenario = base.clone();
            scenario.script.extend(steps);
            self.jobs.push(Job { name, scenario, twice: false });
        }
    }
}

/// Sources of the node in which the disk is called.
const SOURCES: [(&str, &str); 2] = [
    ("node/store/src/rollback.rs", include_str!("../../node/store/src/rollback.rs")),
    ("node/store/src/writers.rs", include_str!("../../node/store/src/writers.rs")),
];

/// Every place of the node that calls the disk's write half, as file and line, with the function
/// that it is in. Read off the sources: a place that is new is here at once.
pub fn call_sites() -> BTreeMap<String, String> {
    let mut sites = BTreeMap::new();
    for (file, source) in SOURCES {
        let (mut function, mut is_planted) = ("", false);
        for (line, text) in (1..).zip(source.lines()).take_while(|(_, text)| !is_test(text)) {
            let text = text.trim();
            if let Some((_, name)) = text.split_once("fn ") {
                function = name.split(['(', '<']).next().unwrap_or_default();
            }
            let opens_planted = text.contains("planted!(") && text.ends_with('{');
            is_planted = (is_planted || opens_planted) && text != "});";
            if is_call(text) && !is_planted {
                let line: u32 = line;
                sites.insert(format!("{file}:{line}"), function.to_owned());
            }
        }
    }
    sites
}

fn is_test(text: &str) -> bool {
    text.starts_with("#[cfg(test)]")
}

fn is_call(text: &str) -> bool {
    let writes =
        text.contains(".write(") && !text.contains(".write()") && !text.contains("writer.write(");
    writes || text.contains("open_halves(") && !text.contains("fn open_halves")
}

/// The places of the node that call the disk and at which it never died, with their functions; and
/// places where it called that nobody knows of.
pub fn untouched(sites: &BTreeMap<String, (u64, u64)>) -> Vec<String> {
    let known = call_sites();
    let has_died = |place: &String| sites.get(place).is_some_and(|(_, deaths)| *deaths > 0);
    let never = known.iter().filter(|(place, _)| !has_died(place));
    let never = never.map(|(place, function)| format!("{place} {function}"));
    let unknown = sites.keys().filter(|place| !known.contains_key(*place));
    never.chain(unknown.map(|place| format!("{place}, which is not known"))).collect()
}

/// A scenario without steps that happen at calls of the disk.
pub fn is_base(scenario: &Scenario) -> bool {
    scenario.script.iter().all(|step| !matches!(step.when, When::StoreCall { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_off_the_sources() {
        let sites = call_sites();
        let functions: BTreeSet<_> = sites.values().map(String::as_str).collect();
        for function in ["persist_genesis", "persist_block", "begin", "finish", "open", "reopen"] {
            assert!(functions.contains(function), "{function} is missing: {sites:?}");
        }
    }
}
