//! `cargo ci arrows`: who may know whom, compared with what the `Cargo.toml`s say.
//!
//! The rows and sentences are those of the house style's picture, as data at the top of
//! [`rules`]. What is compared are the direct dependencies: cargo's features are shared by a whole
//! build, so what a dependency switches on by itself says nothing about our layers.

mod rules;
mod workspace;

use anyhow::Context;

use crate::command;
use crate::steps::Workspace;

/// Fails if a crate knows one that it may not know.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    // With `--no-deps` cargo does not look at the lock file; the other steps do.
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--locked"];
    let output = command::cargo(workspace, &arguments)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata ended with {}", output.status);
    let members = workspace::parse(&output.stdout)?;
    let problems = rules::check(&members);
    for problem in &problems {
        println!("{problem}");
    }
    let arrows: usize = members.iter().map(|member| member.dependencies.len()).sum();
    println!("{} crates, {arrows} arrows", members.len());
    anyhow::ensure!(problems.is_empty(), "{} arrows are new", problems.len());
    Ok(())
}

#[cfg(test)]
mod tests;
