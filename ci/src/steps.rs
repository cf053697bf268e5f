//! The list of steps, the loop that runs them, and the summary that the run ends with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::test::Counts;
use crate::{arrows, doc, duplicates, format, lint, seeds, test, tidy};

/// One thing to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// What it is called on the command line.
    name: &'static str,
    /// Only steps that run tests or seeds add to the counts; they do so also when they fail.
    run: fn(&Workspace, &mut Counts) -> anyhow::Result<()>,
}

impl Step {
    /// Whether it runs something that is counted.
    fn counts(&self) -> bool {
        matches!(self.name, "test" | "seeds")
    }
}

/// Every step, in the order in which they run.
const STEPS: [Step; 8] = [
    Step { name: "format", run: |workspace, _| format::run(workspace) },
    Step { name: "lint", run: |workspace, _| lint::run(workspace) },
    Step { name: "arrows", run: |workspace, _| arrows::run(workspace) },
    Step { name: "tidy", run: |workspace, _| tidy::run(workspace) },
    Step { name: "duplicates", run: |workspace, _| duplicates::run(workspace) },
    Step { name: "test", run: test::run },
    Step { name: "seeds", run: seeds::run },
    Step { name: "doc", run: |workspace, _| doc::run(workspace) },
];

/// The checkout that is being checked.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The checkout that `cargo ci` was called in.
    ///
    /// Cargo says at run time where that is. What it said at build time may be another checkout
    /// with the same target folder, and is asked only when this program is started by hand.
    pub(crate) fn find() -> Self {
        let ci = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        Self { root: ci.parent().expect("ci/ lies in the workspace").to_path_buf() }
    }

    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

/// The steps called `names`, in the order of the list; all of them if there are no names.
///
/// # Errors
///
/// A name that no step has; the message lists those that exist.
pub(crate) fn select(names: &[String]) -> anyhow::Result<Vec<Step>> {
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let known = STEPS.map(|step| step.name).join(", ");
        anyhow::bail!("there is no step `{unknown}`; the steps are: {known}");
    }
    let wanted = |step: &Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(STEPS.into_iter().filter(wanted).collect())
}

/// Runs `steps` up to the first that fails, saying what goes on.
pub(crate) fn run(steps: &[Step], workspace: &Workspace) -> Summary {
    let mut summary = Summary::default();
    for step in steps {
        if !summary.passed() {
            summary.lines.push(Line { name: step.name, end: End::NotRun });
            continue;
        }
        println!("\n=== {} ===", step.name);
        let start = Instant::now();
        let mut counts = Counts::default();
        let result = (step.run)(workspace, &mut counts);
        let took = start.elapsed();
        if step.counts() {
            let sum = summary.counts.get_or_insert_default();
            sum.passed += counts.passed;
            sum.failed += counts.failed;
        }
        let end = match result {
            Ok(()) => End::Passed(took),
            Err(error) => {
                println!("{}: {error:#}", step.name);
                End::Failed(took)
            }
        };
        println!("=== {} {end} ===", step.name);
        summary.lines.push(Line { name: step.name, end });
    }
    if steps.iter().any(Step::counts) {
        summary.counts.get_or_insert_default();
    }
    summary
}

/// How a run ended. Its last line counts the tests, if they were to run.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    lines: Vec<Line>,
    /// `None` if neither tests nor seeds were asked for.
    counts: Option<Counts>,
}

#[derive(Debug)]
struct Line {
    name: &'static str,
    end: End,
}

#[derive(Debug)]
enum End {
    Passed(Duration),
    Failed(Duration),
    NotRun,
}

impl Summary {
    /// Whether nothing has failed so far.
    pub(crate) fn passed(&self) -> bool {
        self.lines.iter().all(|line| matches!(line.end, End::Passed(_)))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.lines.iter().map(|line| format!("{:<12} {}", line.name, line.end)).collect();
        f.write_str(&lines.join("\n"))?;
        match self.counts {
            Some(counts) => write!(f, "\n{counts}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(took) => write!(f, "passed in {:.1} s", took.as_secs_f64()),
            Self::Failed(took) => write!(f, "FAILED after {:.1} s", took.as_secs_f64()),
            Self::NotRun => f.write_str("not run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[Step]) -> Vec<&'static str> {
        steps.iter().map(|step| step.name).collect()
    }

    fn step(name: &'static str, run: fn(&Workspace, &mut Counts) -> anyhow::Result<()>) -> Step {
        Step { name, run }
    }

    #[test]
    fn no_name_means_every_step_in_order() {
        let all = ["format", "lint", "arrows", "tidy", "duplicates", "test", "seeds", "doc"];
        assert_eq!(names(&select(&[]).unwrap()), all);
    }

    #[test]
    fn a_name_selects_its_step_and_a_wrong_one_is_refused() {
        assert_eq!(names(&select(&["tidy".to_owned()]).unwrap()), ["tidy"]);
        let error = select(&["tidy".to_owned(), "polish".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`polish`") && error.contains("duplicates"), "{error}");
    }

    #[test]
    fn the_first_failure_stops_the_run_and_the_last_line_still_counts_the_tests() {
        let steps = [
            step("format", |_, _| Ok(())),
            step("test", |_, counts| {
                counts.passed += 3;
                counts.failed += 1;
                anyhow::bail!("a test failed")
            }),
            step("seeds", |_, _| panic!("this step must not run")),
        ];
        let summary = run(&steps, &Workspace::find());
        assert!(!summary.passed());
        let text = summary.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("format") && lines[0].contains("passed in"), "{text}");
        assert!(lines[1].starts_with("test") && lines[1].contains("FAILED"), "{text}");
        assert!(lines[2].starts_with("seeds") && lines[2].ends_with("not run"), "{text}");
        assert_eq!(lines[3], "3 passed, 1 failed");
    }

    #[test]
    fn tests_and_seeds_are_added_up() {
        let steps = [
            step("test", |_, counts| {
                counts.passed += 3;
                Ok(())
            }),
            step("seeds", |_, counts| {
                counts.passed += 4;
                Ok(())
            }),
        ];
        let text = run(&steps, &Workspace::find()).to_string();
        assert_eq!(text.lines().last(), Some("7 passed, 0 failed"));
    }

    #[test]
    fn tests_that_were_never_reached_are_counted_as_none() {
        let steps =
            [step("format", |_, _| anyhow::bail!("not formatted")), step("test", |_, _| Ok(()))];
        let text = run(&steps, &Workspace::find()).to_string();
        assert_eq!(text.lines().last(), Some("0 passed, 0 failed"));
    }
}
