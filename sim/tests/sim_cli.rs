//! The program: what it prints, and that a run is the same in every process.

use std::process::{Command, Output};

/// A folder of its own for what the program leaves behind.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the build folder can be written to");
    folder
}

fn simulator(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep_sim"));
    command.args(arguments).current_dir(folder(name)).output().expect("the program can be started")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_same_seed_has_the_same_trace_in_every_process() {
    for seed in ["1", "0x2a", "777"] {
        let trace = || {
            let output = simulator("same_trace", &["run", "--seed", seed]);
            let text = text(&output);
            let line = text.lines().find(|line| line.starts_with("trace "));
            line.unwrap_or_else(|| panic!("no trace in {text}")).to_owned()
        };
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

#[test]
fn many_seeds_are_counted() {
    let output = simulator("many_seeds", &["run", "--seed", "100", "--seeds", "40"]);
    let text = text(&output);
    assert_eq!(text.lines().last(), Some("40 passed, 0 failed"), "{text}");
    assert!(output.status.success());
}

#[test]
fn a_scenario_that_was_written_down_is_replayed_to_the_same_trace() {
    let output = simulator("replay", &["run", "--seed", "5"]);
    let told = text(&output);
    let trace = told.lines().find(|line| line.starts_with("trace ")).map(str::to_owned);
    let scenario: String = told
        .lines()
        .take_while(|line| !line.starts_with("trace "))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(folder("replay").join("five.toml"), scenario).expect("the folder is there");
    let again = text(&simulator("replay", &["replay", "five.toml"]));
    let trace_again = again.lines().find(|line| line.starts_with("trace ")).map(str::to_owned);
    assert!(trace.is_some(), "{told}");
    assert_eq!(trace, trace_again);
}
