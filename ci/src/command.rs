//! Cargo as a child process.
//!
//! A child gets no input and none of the variables that `cargo run` sets for this program: some
//! build scripts look at those, and would build their crate again for every way of calling cargo.

use std::process::{Command, Stdio};

use anyhow::Context;

use crate::steps::Workspace;

/// Cargo with `arguments`, in the workspace's root.
pub(crate) fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace.root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_a_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `command` to its end; its output goes where ours goes.
///
/// # Errors
///
/// It could not be started, or it failed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    println!("{}", shown(command));
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    anyhow::ensure!(status.success(), "`{}` ended with {status}", shown(command));
    Ok(())
}

/// `command` as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    let words: Vec<_> = std::iter::once("cargo".into()).chain(arguments).collect();
    words.join(" ")
}

fn describes_a_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_does_not_see_which_package_we_are() {
        let command = cargo(&Workspace::find(), &["metadata"]);
        let removed: Vec<_> =
            command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(removed.iter().any(|name| *name == "CARGO_MANIFEST_DIR"), "{removed:?}");
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        let workspace = Workspace::find();
        let error = run(&mut cargo(&workspace, &["--no-such-option"])).unwrap_err().to_string();
        assert!(error.contains("cargo --no-such-option"), "{error}");
    }
}
