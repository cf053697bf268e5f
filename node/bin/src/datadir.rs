//! `lockstep db`: looks into a data directory whose node is stopped.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use lockstep_io_rocks::{RocksConfig, RocksStores};
use lockstep_store::{Views, Writers, tables};
use lockstep_types::keccak256;

/// What to do with a data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Rows, and bytes of keys and values before compression, by table.
    Stats(Datadir),
    /// Every row, one a line: table, key and value in hex. For comparing two directories.
    Dump(Datadir),
    /// A hash of every table's rows, one table a line. For comparing two directories.
    Digest(Datadir),
}

/// Which data directory.
#[derive(Args, Debug)]
pub(crate) struct Datadir {
    /// The data directory; its node must be stopped.
    #[arg(long, env = "LOCKSTEP_DATADIR", value_name = "DIR")]
    datadir: PathBuf,
}

impl Datadir {
    /// Opens the directory for reading. Nobody else can have it open meanwhile.
    ///
    /// # Errors
    ///
    /// If there is none, or it is in use or damaged.
    pub(crate) fn open(&self) -> anyhow::Result<Views> {
        Ok(self.open_whole()?.0)
    }

    /// As [`open`](Self::open), with the writers that some readers want and never use.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn open_whole(&self) -> anyhow::Result<(Views, Writers)> {
        let opened = lockstep_store::open(&self.stores()?);
        let path = self.datadir.display();
        opened.with_context(|| format!("cannot open the data directory {path}"))
    }

    /// The stores in the directory.
    ///
    /// # Errors
    ///
    /// If there is no such directory.
    pub(crate) fn stores(&self) -> anyhow::Result<RocksStores> {
        if !self.datadir.is_dir() {
            anyhow::bail!("there is no data directory {}", self.datadir.display());
        }
        Ok(RocksStores::new(self.datadir.clone(), RocksConfig::default()))
    }
}

/// Opens the directory and does what `command` says.
///
/// # Errors
///
/// If the directory cannot be read or stdout is closed.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let (Command::Stats(which) | Command::Dump(which) | Command::Digest(which)) = command;
    let views = which.open()?;
    let mut out = BufWriter::new(io::stdout().lock());
    match command {
        Command::Stats(_) => stats(&views, &mut out)?,
        Command::Dump(_) => dump(&views, &mut out)?,
        Command::Digest(_) => digest(&views, &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn stats(views: &Views, out: &mut impl Write) -> anyhow::Result<()> {
    let view = views.now();
    let on_disk = views.table_bytes();
    writeln!(
        out,
        "{:20} {:>12} {:>14} {:>14} {:>14}",
        "table", "rows", "key bytes", "value bytes", "disk bytes"
    )?;
    let mut total = [0; 4];
    for table in tables::ALL {
        let (mut rows, mut keys, mut values) = (0, 0, 0);
        for row in view.dump(*table) {
            let (key, value) = row?;
            rows += 1;
            keys += key.len() as u64;
            values += value.len() as u64;
        }
        let disk = on_disk.iter().find(|(name, _)| *name == table.name).map_or(0, |(_, b)| *b);
        writeln!(out, "{:20} {rows:12} {keys:14} {values:14} {disk:14}", table.name)?;
        for (sum, figure) in total.iter_mut().zip([rows, keys, values, disk]) {
            *sum += figure;
        }
    }
    let [rows, keys, values, disk] = total;
    writeln!(out, "{:20} {rows:12} {keys:14} {values:14} {disk:14}", "total")?;
    Ok(())
}

fn dump(views: &Views, out: &mut impl Write) -> anyhow::Result<()> {
    let view = views.now();
    for table in tables::ALL {
        for row in view.dump(*table) {
            let (key, value) = row?;
            let hex = lockstep_types::alloy_primitives::hex::encode::<&[u8]>;
            writeln!(out, "{} {} {}", table.name, hex(&key), hex(&value))?;
        }
    }
    Ok(())
}

fn digest(views: &Views, out: &mut impl Write) -> anyhow::Result<()> {
    let view = views.now();
    for table in tables::ALL {
        let mut rolling = keccak256([]);
        for row in view.dump(*table) {
            let (key, value) = row?;
            rolling = keccak256([rolling.0, keccak256(key).0, keccak256(value).0].concat());
        }
        writeln!(out, "{} {rolling}", table.name)?;
    }
    Ok(())
}
