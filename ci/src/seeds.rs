//! `cargo ci seeds`: the simulator's part of every run.
//!
//! The step before has built the program with the tests; building it by itself would choose other
//! features and compile half of the registry again.

use std::io::BufReader;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::steps::Workspace;
use crate::test::Counts;

/// Minutes that the simulator has for its seeds.
const MINUTES: &str = "12";

/// Runs the simulator and adds to `counts`, also when it fails.
///
/// # Errors
///
/// The program was not built, a run failed, or there was none.
pub(crate) fn run(workspace: &Workspace, counts: &mut Counts) -> anyhow::Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.root().join("target"), std::path::PathBuf::from);
    let program = target.join("debug/lockstep_sim");
    anyhow::ensure!(
        program.exists(),
        "{} is not there: `cargo ci test` builds it",
        program.display()
    );
    let mut command = Command::new(&program);
    command.args(["ci", "--minutes", MINUTES]).current_dir(workspace.root());
    println!("{} ci --minutes {MINUTES}", program.display());
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let output = child.stdout.take().expect("stdout was asked for as a pipe");
    let found = pass_on(BufReader::new(output), std::io::stdout())?;
    let status = child.wait()?;
    let found = found.unwrap_or(Counts { passed: 0, failed: 1 });
    counts.passed += found.passed;
    counts.failed += found.failed;
    anyhow::ensure!(status.success() && found.failed == 0, "the simulator ended with {status}");
    anyhow::ensure!(found.passed > 0, "no seed ran");
    Ok(())
}

/// Copies `output` to `to` line by line; gives the counts of its last line.
fn pass_on(
    output: impl std::io::BufRead,
    mut to: impl std::io::Write,
) -> std::io::Result<Option<Counts>> {
    let mut last = String::new();
    for line in output.lines() {
        last = line?;
        writeln!(to, "{last}")?;
    }
    to.flush()?;
    Ok(parse(&last))
}

/// The counts of a line `N passed, M failed`.
fn parse(line: &str) -> Option<Counts> {
    let (passed, failed) = line.trim().split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some(Counts { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_counts() {
        let output: &[u8] = b"seeds: 5 passed, 0 failed\n7 passed, 1 failed\n";
        let mut shown = Vec::new();
        let counts = pass_on(output, &mut shown).unwrap();
        assert_eq!(counts, Some(Counts { passed: 7, failed: 1 }));
        assert_eq!(shown, output);
        assert_eq!(pass_on(&b"5 passed, 0 failed\nit broke\n"[..], Vec::new()).unwrap(), None);
    }
}
