//! `cargo ci doc`: the documentation builds, and its links lead somewhere.

use crate::command;
use crate::steps::Workspace;

/// Fails if rustdoc warns.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = command::cargo(workspace, &["doc", "--workspace", "--no-deps", "--locked"]);
    command::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}
