//! `lockstep verify`: computes again what can be computed from a data directory, and says whether
//! it is what is stored and what was announced.

mod l1;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use lockstep_io::Par;
use lockstep_replay::StoredBatch;
use lockstep_replica::{check_blocks, check_commitment, check_numbers, check_tree};
use lockstep_store::{ChainView, Views};
use lockstep_types::{L1BatchNumber, QuirkCheck, Quirks};

use crate::{
    datadir::Datadir,
    quirks,
    side_by_side::{cores, side_by_side},
};

/// What to check.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The state tree: what a batch writes follows from its blocks, each stored node follows from
    /// the tree before and the writes, and the root is the announced one. From genesis on.
    Tree(Range),
    /// Batch commitments against those that the main node announced, which are what L1 has.
    Commitments(Range),
    /// Blocks: hashes, transactions and their signers, receipts against headers, headers against
    /// their batch, and the tables that lead back from hashes. From genesis on; without --to, also
    /// the blocks of the open batch.
    Blocks(Range),
    /// Stored L1 steps and commit transactions against L1, asked again.
    L1(l1::L1),
}

/// Which batches of which data directory.
#[derive(Args, Debug)]
pub(crate) struct Range {
    #[command(flatten)]
    pub(crate) datadir: Datadir,
    /// First batch [default: the first that there is something to check of].
    #[arg(long, value_name = "BATCH")]
    from: Option<u32>,
    /// Last batch [default: the newest].
    #[arg(long, value_name = "BATCH")]
    to: Option<u32>,
}

impl Range {
    /// The batches that are meant, if the first one is `first` unless given.
    ///
    /// # Errors
    ///
    /// If there are none of them.
    pub(crate) fn batches(&self, view: &ChainView, first: u32) -> anyhow::Result<Vec<u32>> {
        let newest = view.sealed_batch()?.context("there is no sealed batch")?.0;
        let (from, to) = (self.from.unwrap_or(first), self.to.unwrap_or(newest));
        if from < first || from > to || to > newest {
            anyhow::bail!(
                "there is nothing to check from batch {from} to batch {to}: give --from and --to \
                 from {first} to {newest}"
            );
        }
        Ok((from..=to).collect())
    }
}

/// What became of a batch.
pub(crate) enum Outcome {
    /// All is as it must be.
    Right,
    /// It differs, and a quirk says why; or it could not be compared: why.
    PassedOver(String),
    /// What is wrong.
    Wrong(String),
}

/// Counts outcomes and says the verdict.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    right: u32,
    passed_over: u32,
    wrong: u32,
}

impl Verdict {
    /// Notes what became of a batch; says it if it is not right.
    ///
    /// # Errors
    ///
    /// If stdout is closed.
    pub(crate) fn note(&mut self, batch: u32, outcome: &Outcome) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::PassedOver(why) => {
                self.passed_over += 1;
                writeln!(out, "batch {batch}: not compared: {why}")?;
            }
            Outcome::Wrong(what) => {
                self.wrong += 1;
                writeln!(out, "batch {batch}: WRONG: {what}")?;
            }
        }
        Ok(())
    }

    /// One line, and the exit code.
    ///
    /// # Errors
    ///
    /// If stdout is closed.
    pub(crate) fn say(&self, what: &str) -> io::Result<ExitCode> {
        let Self { right, passed_over, wrong } = self;
        let word = if *wrong == 0 { "ok" } else { "WRONG" };
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{what}: {word}: {right} batches right, {wrong} wrong, {passed_over} not compared"
        )?;
        Ok(if *wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Checks and prints a verdict. The exit code says whether anything is wrong.
///
/// # Errors
///
/// If the data directory cannot be read, or L1 does not answer.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Tree(range) => tree(range),
        Command::Commitments(range) => commitments(range),
        Command::Blocks(range) => blocks(range),
        Command::L1(l1) => l1::run(l1),
    }
}

fn tree(range: &Range) -> anyhow::Result<ExitCode> {
    let views = range.datadir.open()?;
    let known = known(&views)?;
    let batches = range.batches(&views.now(), 0)?;
    all(&views, &batches, "tree", |view, batch| {
        Ok(match check_tree(view, batch, &OneThread) {
            Ok(None) => Outcome::Right,
            Ok(Some(finding)) => match known.of_batch(QuirkCheck::Root, batch) {
                Some(quirk) => Outcome::PassedOver(format!("{}: {}", finding.what, quirk.why)),
                None => Outcome::Wrong(finding.what),
            },
            Err(error) => Outcome::Wrong(error.to_string()),
        })
    })
}

fn commitments(range: &Range) -> anyhow::Result<ExitCode> {
    let views = range.datadir.open()?;
    let known = known(&views)?;
    let batches = range.batches(&views.now(), 1)?;
    all(&views, &batches, "commitments", |view, batch| {
        let check = match check_commitment(view, batch) {
            Ok(check) => check,
            Err(error) => return Ok(Outcome::Wrong(error.to_string())),
        };
        let ours = check.ours.to_stored(batch);
        if let Some(stored) = view.commitment(batch)?
            && stored != ours
        {
            let (ours, stored) = (ours.commitment, stored.commitment);
            return Ok(Outcome::Wrong(format!("commitment {ours} computed, {stored} stored")));
        }
        let Some(announced) = check.announced else {
            return Ok(Outcome::PassedOver("nothing is announced yet".to_owned()));
        };
        Ok(match known.of_batch(QuirkCheck::Commitment, batch) {
            _ if !check.differs() => Outcome::Right,
            Some(quirk) => Outcome::PassedOver(quirk.why.clone()),
            None => {
                let ours = check.ours.commitment;
                Outcome::Wrong(format!("commitment {ours} here, {announced} announced"))
            }
        })
    })
}

fn blocks(range: &Range) -> anyhow::Result<ExitCode> {
    let views = range.datadir.open()?;
    let view = views.now();
    let chain_id = view.identity()?.context("there is no genesis yet")?.l2_chain_id;
    let mut batches = range.batches(&view, 0)?;
    if let (None, Some(last)) = (range.to, batches.last().copied())
        && StoredBatch::find(&view, L1BatchNumber(last).next())?.is_some()
    {
        batches.push(last + 1);
    }
    // Reads whole tables, so only if all that they lead to is meant.
    let mut orphan = None;
    if range.from.is_none() && range.to.is_none() {
        orphan = check_numbers(&view)?;
    }
    let code = all(&views, &batches, "blocks", |view, batch| {
        let Some(stored) = StoredBatch::find(view, batch)? else {
            return Ok(Outcome::Wrong("it is not stored".to_owned()));
        };
        let (first, last) = (stored.first_block, stored.last_block);
        Ok(match check_blocks(view, batch, first, last, chain_id) {
            Ok(None) => Outcome::Right,
            Ok(Some(finding)) => Outcome::Wrong(finding.what),
            Err(error) => Outcome::Wrong(error.to_string()),
        })
    })?;
    if let Some(orphan) = orphan {
        writeln!(io::stdout().lock(), "blocks: WRONG: {orphan}")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(code)
}

/// Checks batches on all cores and says the verdict.
fn all(
    views: &Views,
    batches: &[u32],
    what: &'static str,
    check: impl Fn(&ChainView, L1BatchNumber) -> anyhow::Result<Outcome> + Sync,
) -> anyhow::Result<ExitCode> {
    let mut verdict = Verdict::default();
    let check = |batch: u32| check(&views.now(), L1BatchNumber(batch));
    side_by_side(what, batches, cores(), check, |batch, outcome| {
        Ok(verdict.note(batch, &outcome)?)
    })?;
    Ok(verdict.say(what)?)
}

/// The known divergences of the stored chain.
pub(crate) fn known(views: &Views) -> anyhow::Result<Quirks> {
    let identity = views.now().identity()?.context("there is no genesis yet")?;
    quirks::of_chain(identity.l2_chain_id)
}

/// Batches are checked side by side; within one, everything is done in order.
struct OneThread;

impl Par for OneThread {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(f);
    }
}
