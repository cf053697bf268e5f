//! `lockstep verify`: computes again what can be computed from a data directory, and says whether
//! it is what was announced.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use lockstep_replica::{CommitmentCheck, check_commitment};
use lockstep_store::Views;
use lockstep_types::L1BatchNumber;

use crate::datadir::Datadir;

/// What to check.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Batch commitments against those that the main node announced, which are what L1 has.
    Commitments(Range),
}

/// Which batches of which data directory.
#[derive(Args, Debug)]
pub(crate) struct Range {
    #[command(flatten)]
    datadir: Datadir,
    /// First batch.
    #[arg(long, default_value_t = 1, value_name = "BATCH")]
    from: u32,
    /// Last batch; the newest sealed one if not given.
    #[arg(long, value_name = "BATCH")]
    to: Option<u32>,
}

/// Checks and prints a verdict. The exit code says whether anything differs.
///
/// # Errors
///
/// If the data directory cannot be read or a stored batch has no commitment.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Commitments(range) = command;
    let views = range.datadir.open()?;
    let newest = views.now().sealed_batch()?.context("there is no sealed batch")?;
    let last = range.to.map_or(newest, L1BatchNumber).min(newest);
    let checks = check_all(&views, range.from, last.0)?;

    let mut out = io::stdout().lock();
    for check in checks.iter().filter(|check| check.differs()) {
        let announced = check.announced.unwrap_or_default();
        writeln!(
            out,
            "batch {}: commitment {} here, {announced} announced",
            check.batch, check.ours.commitment
        )?;
    }
    let differing = checks.iter().filter(|check| check.differs()).count();
    let unknown = checks.iter().filter(|check| check.announced.is_none()).count();
    let equal = checks.len() - differing - unknown;
    writeln!(out, "commitments: {equal} equal, {differing} differ, {unknown} not announced yet")?;
    Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks all batches of a range on all cores; the results are in order.
fn check_all(views: &Views, first: u32, last: u32) -> anyhow::Result<Vec<CommitmentCheck>> {
    let next = AtomicU32::new(first);
    let done = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let view = views.now();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > last {
                        return;
                    }
                    let check = check_commitment(&view, L1BatchNumber(number));
                    done.lock().expect("no worker panics with the lock").push((number, check));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panics with the lock");
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, check)| Ok(check?)).collect()
}
