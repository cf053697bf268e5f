//! `lockstep rollback`: goes back to the end of an earlier batch in a data directory whose node is
//! stopped. The node follows the chain again from there.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use lockstep_replica::roll_back_stored;
use lockstep_types::L1BatchNumber;

use crate::datadir::Datadir;

/// Where to go back to, in which data directory.
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    #[command(flatten)]
    datadir: Datadir,
    /// The batch that is the newest afterwards. Everything after its last block goes. It cannot be
    /// older than the newest batch that is executed on L1 for good.
    #[arg(long, value_name = "BATCH")]
    to_batch: u32,
}

/// Rolls back and says what is the newest now.
///
/// # Errors
///
/// If the directory cannot be opened, or the batch is not there or is final on L1. Nothing was
/// changed then. If the disk fails on the way, the same command, or the node, finishes it.
pub(crate) fn run(command: &Rollback) -> anyhow::Result<ExitCode> {
    let stores = command.datadir.stores()?;
    let to = L1BatchNumber(command.to_batch);
    let rolled_back = roll_back_stored(&stores, to).context("cannot roll back")?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "the newest batch is {}, the newest block is {}",
        rolled_back.batch, rolled_back.block
    )?;
    Ok(ExitCode::SUCCESS)
}
