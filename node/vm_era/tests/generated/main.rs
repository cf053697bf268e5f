//! Transactions that nobody recorded: batches of them run on our operator and on the crates' legacy
//! machine with every output compared, and on the crates' fast machine; and the state goes on from
//! batch to batch, from where a recorded chain ends, or from the system contracts of a version and
//! through the upgrades to later ones.
//!
//! A fixed number is run by default. `LOCKSTEP_GENERATED_TXS` says how many instead (the full
//! number is 20000), `LOCKSTEP_GENERATED_SEED` from which seed; the report names both.
//! `LOCKSTEP_CONTRACTS` names a folder with contracts of other versions (see `contracts`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../recorded_chain/batches.rs"]
mod batches;
#[path = "../recorded_chain/chain.rs"]
mod chain;
mod contracts;
mod evm;
mod generator;
mod inputs;
mod report;
mod run;
mod sign;

use lockstep_testvectors::recordings_for;
use lockstep_types::{Bytes, TxStatus};

use crate::{
    batches::Batch,
    contracts::contracts_for,
    generator::{Drawn, Generator},
    run::Run,
};

/// A constructor that calls with parameters that panic, reads its heap through what that leaves, a
/// pointer to nothing, and moves the position after it as only a pointer can be moved. If it could,
/// it reads a slot, which shows in the gas.
const READS_THROUGH_NOTHING: &str = concat!(
    "0x0000000203000041000000020003042100000000540104340000000105500370",
    "000000000600041a000000000000042f00000000000000000000000000000000",
    "0000000100000000000000000000000000000000000000000000000000000000",
);

const TXS: usize = 600;
const SEED: u64 = 1;

#[expect(clippy::disallowed_methods, reason = "tests have no config to be handed")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

/// The machine below ours does not have these instructions and gives up at them, ours must not: a
/// contract with one of them may be in any batch.
#[test]
fn code_with_an_instruction_for_static_memory_panics_and_nothing_else_does() {
    for recording in recordings_for("running instructions for static memory") {
        let run = Run::after(&recording, SEED);
        let cases = (0..8).map(|index| (index, 0)).chain((1..8).map(|condition| (0, condition)));
        all_revert(run, cases, |generator, (index, condition)| {
            generator.static_memory(index, condition)
        });
    }
}

/// Runs what is drawn for `cases` in a batch of its own, on both machines: all of it reverts.
fn all_revert<T>(
    mut run: Run,
    cases: impl IntoIterator<Item = T>,
    draw: impl Fn(&mut Generator, T) -> Drawn,
) {
    let env = run.env();
    let mut batch = Batch { blocks: vec![(run.first_block(&env), Vec::new())], env };
    let mut open = batch.open(&run.shadow, &run.state).unwrap();
    for case in cases {
        let drawn = draw(&mut run.generator, case);
        batch.blocks[0].1.push(drawn.tx.clone());
        let outcome = open.run_tx(&drawn.tx).unwrap();
        assert!(matches!(outcome.status, TxStatus::Reverted { .. }), "{outcome:?}");
        run.generator.learn(&drawn, &outcome);
    }
    run.start_block(&mut batch, open.as_mut(), true);
    open.seal().unwrap();
}

/// `zksync_vm2` makes the position a number, and with it the crates' fast machine.
#[test]
fn the_position_after_a_read_through_a_pointer_to_nothing_is_a_pointer() {
    for recording in recordings_for("reading through a pointer to nothing") {
        let run = Run::after(&recording, SEED);
        let code: Bytes = READS_THROUGH_NOTHING.parse().unwrap();
        all_revert(run, [code], Generator::deploy);
    }
}

fn txs_and_seed() -> (usize, u64) {
    let txs = setting("LOCKSTEP_GENERATED_TXS").map_or(TXS, |txs| usize::try_from(txs).unwrap());
    (txs, setting("LOCKSTEP_GENERATED_SEED").unwrap_or(SEED))
}

#[test]
fn generated_transactions_end_alike_on_every_machine() {
    let (txs, seed) = txs_and_seed();
    for recording in recordings_for("running generated transactions") {
        let mut run = Run::after(&recording, seed);
        while run.report.txs < txs {
            run.batch(txs - run.report.txs, true);
        }
        run.report.print(&recording.name(), seed);
        run.report.check_spread();
    }
}

#[test]
fn generated_transactions_end_alike_in_every_version_and_over_upgrades() {
    let (txs, seed) = txs_and_seed();
    let versions = contracts_for("running generated transactions of other versions");
    let Some((first, later)) = versions.split_first() else { return };
    let mut run = Run::of(first, seed);
    for (index, next) in later.iter().map(Some).chain([None]).enumerate() {
        let until = txs * (index + 1) / versions.len();
        while run.report.txs < until {
            run.batch(until - run.report.txs, true);
        }
        if let Some(next) = next {
            run.upgrade(next);
        }
    }
    let names: Vec<_> = versions.iter().map(|contracts| contracts.version.to_string()).collect();
    run.report.print(&names.join(", "), seed);
    run.report.check_spread();
}
