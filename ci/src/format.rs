//! `cargo ci format`: the code looks as rustfmt would write it.

use crate::command;
use crate::steps::Workspace;

/// Fails if rustfmt would change a file.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    command::run(&mut command::cargo(workspace, &["fmt", "--all", "--check"]))
}
