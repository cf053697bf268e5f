//! The shortest scenario that still fails in the same way.
//!
//! Works on the text: whatever can be left out of it is tried without, and numbers are tried
//! smaller. What is left out has its default. Same failure means the same invariant about the same
//! thing.

use std::time::{Duration, Instant};

use toml::Value;

use crate::{campaign::run_apart, runner, scenario::Scenario, world::RunOptions};

/// Bounds of one minimisation.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Runs at most.
    pub runs_max: u32,
    /// Time at most.
    pub time_max: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { runs_max: 2_000, time_max: Duration::from_secs(600) }
    }
}

/// A scenario that was made smaller.
#[derive(Clone, Debug)]
pub struct Smaller {
    /// It fails in the same way.
    pub scenario: Scenario,
    /// How.
    pub signature: String,
    /// Runs that it took.
    pub runs: u32,
}

struct Search<'a> {
    fails: &'a mut dyn FnMut(&Scenario) -> std::io::Result<Option<String>>,
    signature: String,
    best: Scenario,
    runs: u32,
    effort: Effort,
    started: Instant,
}

/// Makes `scenario`, which fails, smaller. `None` if it does not fail.
///
/// # Errors
///
/// What the system said when it refused a process.
pub fn minimise(
    scenario: &Scenario,
    options: &RunOptions,
    effort: Effort,
) -> std::io::Result<Option<Smaller>> {
    search(scenario, effort, &mut |candidate| Ok(run_apart(candidate, options)?.signature))
}

/// As [`minimise`], with another way to find out how a scenario fails.
///
/// # Errors
///
/// Those of `fails`.
pub fn search(
    scenario: &Scenario,
    effort: Effort,
    fails: &mut dyn FnMut(&Scenario) -> std::io::Result<Option<String>>,
) -> std::io::Result<Option<Smaller>> {
    let Some(signature) = fails(scenario)? else { return Ok(None) };
    let started = runner::now();
    let mut search = Search { fails, signature, best: scenario.clone(), runs: 1, effort, started };
    loop {
        let before = search.best.to_text();
        search.drop_steps()?;
        search.drop_fields()?;
        search.shrink_numbers()?;
        if search.best.to_text() == before || search.is_over() {
            break;
        }
    }
    let Search { best, signature, runs, .. } = search;
    Ok(Some(Smaller { scenario: best, signature, runs }))
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.runs >= self.effort.runs_max || self.started.elapsed() >= self.effort.time_max
    }

    /// Keeps `candidate` if it fails in the same way.
    fn attempt(&mut self, candidate: &Scenario) -> std::io::Result<bool> {
        if self.is_over() || *candidate == self.best {
            return Ok(false);
        }
        self.runs += 1;
        let is_same = (self.fails)(candidate)?.as_ref() == Some(&self.signature);
        if is_same {
            self.best = candidate.clone();
        }
        Ok(is_same)
    }

    /// Delta debugging over the script: leaves out halves, then quarters, and so on.
    fn drop_steps(&mut self) -> std::io::Result<()> {
        let mut size = self.best.script.len();
        while size > 0 {
            let mut at = 0;
            while at < self.best.script.len() {
                let mut candidate = self.best.clone();
                let end = candidate.script.len().min(at + size);
                candidate.script.drain(at..end);
                if !self.attempt(&candidate)? {
                    at += size;
                }
            }
            size /= 2;
        }
        Ok(())
    }

    /// Leaves out whole tables first, then single fields.
    fn drop_fields(&mut self) -> std::io::Result<()> {
        let paths = paths_of(&self.best);
        for path in paths {
            let mut value = value_of(&self.best);
            if remove(&mut value, &path)
                && let Some(candidate) = scenario_of(&value)
            {
                self.attempt(&candidate)?;
            }
        }
        Ok(())
    }

    /// Halves numbers, towards zero.
    fn shrink_numbers(&mut self) -> std::io::Result<()> {
        for path in paths_of(&self.best) {
            for _ in 0..8 {
                let mut value = value_of(&self.best);
                let Some(Value::Integer(number)) = at(&mut value, &path) else { break };
                let smaller = *number / 2;
                if smaller == *number {
                    break;
                }
                *number = smaller;
                let Some(candidate) = scenario_of(&value) else { break };
                if !self.attempt(&candidate)? {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Where something is in the text: keys and positions.
type Path = Vec<String>;

fn value_of(scenario: &Scenario) -> Value {
    Value::try_from(scenario).unwrap_or(Value::Boolean(false))
}

fn scenario_of(value: &Value) -> Option<Scenario> {
    value.clone().try_into().ok()
}

/// Every place of the text, tables before what is in them.
fn paths_of(scenario: &Scenario) -> Vec<Path> {
    fn walk(value: &Value, path: &mut Path, paths: &mut Vec<Path>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => Vec::new(),
        };
        for (key, child) in children {
            path.push(key);
            paths.push(path.clone());
            walk(child, path, paths);
            path.pop();
        }
    }
    let mut paths = Vec::new();
    walk(&value_of(scenario), &mut Vec::new(), &mut paths);
    paths.sort_by_key(Vec::len);
    paths
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Table(table) => table.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => None,
    })
}

fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, above)) = path.split_last() else { return false };
    match at(value, above) {
        Some(Value::Table(table)) => table.remove(last).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Event, Seed, Step, When};

    #[test]
    fn what_does_not_matter_is_left_out() {
        let mut scenario = Scenario::draw(Seed(3));
        scenario.script = (0..40)
            .map(|n| Step {
                when: When::AtMs(n * 1_000),
                event: Event::Kill { down_ms: 5_000 + n },
            })
            .collect();
        // It fails if the process is killed between the 20th and the 22nd second.
        let mut fails = |candidate: &Scenario| {
            let is_bad = candidate.script.iter().any(|step| {
                matches!(step.when, When::AtMs(20_000..=22_000))
                    && matches!(step.event, Event::Kill { .. })
            });
            Ok(is_bad.then(|| "S3 rows".to_owned()))
        };
        let smaller = search(&scenario, Effort::default(), &mut fails).unwrap().unwrap();
        let left = smaller.scenario;
        assert_eq!(left.script.len(), 1);
        assert!(matches!(left.script[0].event, Event::Kill { down_ms: 0 }), "{left:?}");
        let quiet = crate::scenario::NetRates { latency_ms: 0, jitter_ms: 0, ..Default::default() };
        assert_eq!(left.net, quiet);
        assert_eq!(left.replica, crate::scenario::ReplicaKnobs::default());
        assert!(smaller.runs < 600, "{}", smaller.runs);
    }

    #[test]
    fn what_does_not_fail_is_left_alone() {
        let scenario = Scenario::draw(Seed(3));
        assert!(search(&scenario, Effort::default(), &mut |_| Ok(None)).unwrap().is_none());
    }
}
