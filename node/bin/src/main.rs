//! The program: reads the configuration once, makes the real io, opens and runs the replica,
//! listens, and stops when asked to.

mod api_config;
mod bootloaders;
mod config;
mod datadir;
mod health;
mod logs;
mod metrics;
mod node;
mod quirks;
mod re_execute;
mod rollback;
mod side_by_side;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Flags, Settings};

/// An independent node (read replica) for ZKsync Era and other ZK Stack chains.
///
/// Every option of `lockstep node` can be given as a flag, as a variable `LOCKSTEP_…` in the
/// environment, or in the TOML file that --config names; a flag wins over the environment, the
/// environment over the file.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow a chain, verify it, and serve it over JSON-RPC.
    Node(Box<Flags>),
    /// Print the size of each table, or everything in a data directory whose node is stopped.
    #[command(subcommand)]
    Db(datadir::Command),
    /// Go back to the end of an earlier batch, to follow the chain again from there; the node must
    /// be stopped.
    Rollback(rollback::Rollback),
    /// Run stored batches again and compare everything that comes out with what is stored; the
    /// node must be stopped.
    ReExecute(re_execute::ReExecute),
    /// Check stored batches again; the node must be stopped. Only `l1` needs a network.
    #[command(subcommand)]
    Verify(verify::Command),
}

fn main() -> ExitCode {
    lockstep_io_os::return_large_pieces();
    let result = match Cli::parse().command {
        Command::Node(flags) => Settings::read(*flags).and_then(node::run),
        Command::Db(command) => datadir::run(&command),
        Command::Rollback(command) => rollback::run(&command),
        Command::ReExecute(command) => re_execute::run(&command),
        Command::Verify(command) => verify::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // The log may not be there yet, and an operator looks at the last line first.
            #[expect(clippy::print_stderr, reason = "the program's last word")]
            {
                eprintln!("lockstep: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
