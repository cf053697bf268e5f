//! `cargo ci test`: runs every test, passing their output on and counting.
//!
//! Everything is selected at once: cargo unifies features over what is selected, so building the
//! binary by itself first would compile RocksDB twice.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::Context;

use crate::command;
use crate::steps::Workspace;

/// Tests that ran, summed over all test programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the tests and adds to `counts`, also when it fails.
///
/// # Errors
///
/// Something did not build, a test failed, or there was no test at all.
pub(crate) fn run(workspace: &Workspace, counts: &mut Counts) -> anyhow::Result<()> {
    // One broken crate must not hide how many tests pass in the others.
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast"];
    let mut cargo = command::cargo(workspace, &arguments);
    let shown = command::shown(&cargo);
    println!("{shown}");
    let mut child =
        cargo.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let output = child.stdout.take().expect("stdout was asked for as a pipe");
    pass_on(BufReader::new(output), std::io::stdout(), counts)?;
    let status = child.wait()?;
    judge(status.success(), counts).with_context(|| format!("`{shown}` ended with {status}"))
}

/// Copies `output` to `to` line by line and adds up its results.
fn pass_on(
    mut output: impl BufRead,
    mut to: impl Write,
    counts: &mut Counts,
) -> std::io::Result<()> {
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        if let Some(result) = parse_result(&String::from_utf8_lossy(&line)) {
            counts.passed += result.passed;
            counts.failed += result.failed;
        }
        line.clear();
    }
    to.flush()
}

/// The counts of a line such as `test result: ok. 4 passed; 0 failed; 0 ignored; …`.
///
/// `None` for any other line.
fn parse_result(line: &str) -> Option<Counts> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let of = |word: &str| {
        counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim_end().parse().ok())
    };
    Some(Counts { passed: of("passed")?, failed: of("failed")? })
}

/// Decides by how cargo ended and by what was counted.
///
/// Where cargo failed and no test said so, something did not compile or a test program died. That
/// is counted as one failure, lest the last line reads as a success.
fn judge(cargo_succeeded: bool, counts: &mut Counts) -> anyhow::Result<()> {
    if !cargo_succeeded && counts.failed == 0 {
        counts.failed = 1;
        anyhow::bail!("no test failed, but a test did not compile or its process died");
    }
    anyhow::ensure!(counts.failed == 0, "{} tests failed", counts.failed);
    anyhow::ensure!(counts.passed > 0, "no test ran");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_test_programs_are_summed_and_their_output_passed_on() {
        let output: &[u8] = b"\nrunning 2 tests\ntest a ... ok\ntest b ... FAILED\n\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; \
            finished in 0.00s\n\
            \xff not text\n\
            test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; \
            finished in 12.34s\n\
            no newline at the end";
        let mut counts = Counts::default();
        let mut shown = Vec::new();
        pass_on(output, &mut shown, &mut counts).unwrap();
        assert_eq!(counts, Counts { passed: 41, failed: 1 });
        assert_eq!(shown, output);
        assert_eq!(counts.to_string(), "41 passed, 1 failed");
    }

    #[test]
    fn lines_that_only_look_like_results_count_nothing() {
        for line in [
            "test result_of_a_call ... ok",
            "test result: ok",
            "test result: ok. many passed; no failed",
            "    Running unittests src/lib.rs: test result: ok. 1 passed; 0 failed",
        ] {
            assert_eq!(parse_result(line), None, "{line}");
        }
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        assert!(judge(true, &mut Counts::default()).is_err());
        assert!(judge(true, &mut Counts { passed: 1, failed: 0 }).is_ok());
    }

    #[test]
    fn a_test_program_that_dies_is_counted_as_a_failure() {
        let mut counts = Counts { passed: 7, failed: 0 };
        assert!(judge(false, &mut counts).is_err());
        assert_eq!(counts, Counts { passed: 7, failed: 1 });
    }

    #[test]
    fn failed_tests_keep_their_number() {
        let mut counts = Counts { passed: 7, failed: 2 };
        assert!(judge(false, &mut counts).is_err());
        assert_eq!(counts, Counts { passed: 7, failed: 2 });
    }
}
