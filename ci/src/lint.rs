//! `cargo ci lint`: clippy finds nothing, in tests and benchmarks neither.

use crate::command;
use crate::steps::Workspace;

/// Fails if clippy or the compiler warns.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    command::run(&mut command::cargo(workspace, &arguments))
}
