//! `cargo ci format`: the code looks as rustfmt would write it.

use crate::command;
use crate::steps::Workspace;

/// A package that is not part of the workspace.
const ALLOY_CLIENT: &str = "node/bin/tests/clients/alloy/Cargo.toml";

/// Fails if rustfmt would change a file.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    command::run(&mut command::cargo(workspace, &["fmt", "--all", "--check"]))?;
    let client = ["fmt", "--manifest-path", ALLOY_CLIENT, "--check"];
    command::run(&mut command::cargo(workspace, &client))
}
