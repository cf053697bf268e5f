//! Every call of the disk in short stories, and a death at each: killed before it, killed after
//! it, and power lost with as little, as much, and half of what can be left. Then the same again
//! during the recovery.

use crate::{
    campaign::{Job, run_apart},
    scenario::{Event, Keep, Scenario, Step, When},
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

/// The runs over every base story.
///
/// # Errors
///
/// What the system said when it refused a process.
pub fn jobs(part: Part, depth: u32) -> std::io::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let mut number = 0;
    for (name, base) in stories::bases() {
        let calm = run_apart(&base, &RunOptions::default())?;
        if calm.signature.is_some() {
            // It fails as it is, and is counted so.
            jobs.push(Job { name: name.to_owned(), scenario: base, twice: false });
            continue;
        }
        for nth in 1..=calm.store_calls {
            for (how, after, event) in deaths() {
                let first = Step { when: When::StoreCall { nth, after }, event: event.clone() };
                let mut add = |name: String, steps: Vec<Step>| {
                    number += 1;
                    if number % part.of.max(1) == part.rest {
                        let mut scenario = base.clone();
                        scenario.script.extend(steps);
                        jobs.push(Job { name, scenario, twice: false });
                    }
                };
                add(format!("{name}, call {nth} {how}"), vec![first.clone()]);
                if depth < 2 {
                    continue;
                }
                for more in SECOND_AFTER {
                    let when = When::StoreCall { nth: nth + more, after };
                    let second = Step { when, event: event.clone() };
                    let name = format!("{name}, calls {nth} and {} {how}", nth + more);
                    add(name, vec![first.clone(), second]);
                }
            }
        }
    }
    Ok(jobs)
}

/// The places of the node at which it never died, of those that called the disk.
pub fn untouched(sites: &std::collections::BTreeMap<String, (u64, u64)>) -> Vec<&str> {
    sites.iter().filter(|(_, (_, crashes))| *crashes == 0).map(|(site, _)| site.as_str()).collect()
}

/// A scenario without steps that happen at calls of the disk.
pub fn is_base(scenario: &Scenario) -> bool {
    scenario.script.iter().all(|step| !matches!(step.when, When::StoreCall { .. }))
}
