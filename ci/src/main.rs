//! `cargo ci`: everything a change must pass, in the order of what fails fastest.
//!
//! Without an argument all steps run, up to the first that fails; with names, only those steps.
//! The server runs the same through `.ci/run`. Nothing here changes a file.

#![expect(clippy::print_stdout, reason = "this program talks to whoever runs it")]

mod arrows;
mod command;
mod doc;
mod duplicates;
mod format;
mod lint;
mod seeds;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use steps::Workspace;

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let steps = match steps::select(&names) {
        Ok(steps) => steps,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(2);
        }
    };
    let summary = steps::run(&steps, &Workspace::find());
    println!("\n{summary}");
    if summary.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
