//! A recorded chain, run batch by batch, leaves what its API says it left; on every machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod batches;
mod chain;
mod golden;
mod signed;
mod steps;

use std::{collections::BTreeMap, sync::Arc};

use lockstep_testvectors::recordings_for;
use lockstep_types::{
    B256, BatchTip, DaValidator, StorageSlot, StorageWrite, Transaction, TxCommon, TxOutcome,
    TxStatus,
};
use lockstep_vm::{OpenBatch, TracedTx, Vm, VmError};
use lockstep_vm_era::{EraVm, EraVmConfig, VmMode};

use crate::{
    batches::{Batch, Ran},
    chain::{Chain, Reads, State},
};

fn vm(mode: VmMode) -> EraVm {
    EraVm::new(EraVmConfig { mode, ..EraVmConfig::default() })
}

/// Opens a batch, runs everything and seals it, on three threads.
fn run_batch(vm: &EraVm, batch: &Batch, state: &Arc<State>) -> Ran {
    let mut open = batch.open(vm, state).unwrap();
    let (outcomes, open) = std::thread::scope(|scope| {
        let running = scope.spawn(move || {
            let mut outcomes = Vec::new();
            batch.run_blocks(open.as_mut(), &mut outcomes).unwrap();
            (outcomes, open)
        });
        running.join().unwrap()
    });
    Ran::new(outcomes, open.seal().unwrap())
}

/// What `writes` leave different from `state`.
fn net_writes<'a>(
    state: &BTreeMap<StorageSlot, B256>,
    base: &State,
    writes: impl IntoIterator<Item = &'a StorageWrite>,
) -> BTreeMap<StorageSlot, B256> {
    let mut last: BTreeMap<_, _> = BTreeMap::new();
    last.extend(writes.into_iter().map(|write| (write.slot, write.value)));
    last.retain(|slot, value| {
        state.get(slot).copied().unwrap_or_else(|| base.value(slot)) != *value
    });
    last
}

/// Checks that the blocks' own writes add up to what the batch says it changed.
fn check_writes(ran: &Ran, before: &State) {
    let tip = [&ran.tip.writes];
    let blocks = ran.outcomes.iter().map(|txs| txs.iter().map(|tx| &tx.writes).collect::<Vec<_>>());
    let mut merged = BTreeMap::new();
    for block in blocks.chain([tip.to_vec()]) {
        let changed = net_writes(&merged, before, block.into_iter().flatten());
        merged.extend(changed);
    }
    merged.retain(|slot, value| before.value(slot) != *value);
    assert_eq!(merged.into_iter().collect::<Vec<_>>(), ran.tip.final_writes);
}

fn run_chain(mode: VmMode, chain: &Chain, batches_max: usize) -> Vec<Ran> {
    let vm = vm(mode);
    let mut state = Arc::new(chain.genesis());
    let mut all = Vec::new();
    let mut watch = Stopwatch::default();
    for index in 0..chain.batches.len().min(batches_max) {
        let batch = Batch::recorded(chain, index);
        let ran = watch.time(|| run_batch(&vm, &batch, &state));
        check_writes(&ran, &state);
        Arc::make_mut(&mut state).advance(&batch, &ran);
        all.push(ran);
    }
    let txs = all.iter().flat_map(|ran| &ran.outcomes).flatten().count();
    watch.report(mode, all.len(), txs);
    all
}

#[derive(Debug, Default)]
struct Stopwatch(std::time::Duration);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the time is printed, nothing depends on it")]
    fn time<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let result = run();
        self.0 += start.elapsed();
        result
    }

    #[expect(clippy::print_stderr, reason = "for whoever wants to know")]
    fn report(&self, mode: VmMode, batches: usize, txs: usize) {
        eprintln!("{mode:?}: {batches} batches with {txs} transactions took {:?}", self.0);
    }
}

/// An outcome without what the machines tell in different forms.
fn comparable(outcome: &TxOutcome) -> TxOutcome {
    TxOutcome { writes: Vec::new(), ..outcome.clone() }
}

fn check_same(own: &[Ran], other: &[Ran]) {
    assert_eq!(own.len(), other.len());
    for (own, other) in own.iter().zip(other) {
        let outcomes = |ran: &Ran| -> Vec<Vec<_>> {
            ran.outcomes.iter().map(|txs| txs.iter().map(comparable).collect()).collect()
        };
        assert_eq!(outcomes(own), outcomes(other));
        let tip = |ran: &Ran| BatchTip { writes: Vec::new(), ..ran.tip.clone() };
        assert_eq!(tip(own), tip(other));
    }
}

#[test]
fn a_recorded_chain_runs_as_its_receipts_say_on_every_machine() {
    for recording in recordings_for("running a recorded chain") {
        let chain = Chain::load(&recording);
        assert!(!chain.batches.is_empty());
        let own = run_chain(VmMode::Own, &chain, usize::MAX);
        let compared = golden::check_receipts(&recording, &chain, &own);
        assert!(compared > 0, "no receipts in {}", recording.name());
        let compared = golden::check_reasons(&recording, &chain, &own);
        assert!(compared > 0, "no reverts are traced in {}", recording.name());
        let compared = golden::check_limits(&EraVm::default(), &recording, &chain);
        assert!(compared > 0, "no blocks in {}", recording.name());
        check_same(&own, &run_chain(VmMode::Fast, &chain, usize::MAX));
        check_same(&own, &run_chain(VmMode::Legacy, &chain, usize::MAX));
        let reverted = own.iter().flat_map(|ran| &ran.outcomes).flatten();
        let reverted = reverted.filter(|outcome| outcome.status != TxStatus::Success).count();
        assert!(reverted > 0, "nothing reverts in {}", recording.name());
    }
}

#[test]
fn shadow_mode_finds_no_difference_and_answers_like_our_own_machine() {
    for recording in recordings_for("running a recorded chain in shadow mode") {
        let chain = Chain::load(&recording);
        let own = run_chain(VmMode::Own, &chain, usize::MAX);
        let shadow = run_chain(VmMode::Shadow, &chain, usize::MAX);
        for (own, shadow) in own.iter().zip(&shadow) {
            assert_eq!(own.outcomes, shadow.outcomes);
            assert_eq!(own.tip, shadow.tip);
        }
    }
}

/// The boundary between two versions: an upgrade transaction comes first in its batch.
#[test]
fn an_upgrade_transaction_runs_in_shadow_mode_without_a_difference() {
    for recording in recordings_for("running an upgrade in shadow mode") {
        let chain = Chain::load(&recording);
        let upgrade = |blocks: &Vec<chain::Block>| {
            let first = blocks[0].txs().first()?;
            matches!(first.common, TxCommon::Upgrade(_)).then(|| first.clone())
        };
        let found = chain.batches.iter().position(|blocks| upgrade(blocks).is_some());
        let index = found.unwrap_or_else(|| panic!("no upgrade in {}", recording.name()));
        let mut state = Arc::new(chain.genesis());
        for batch in (0..index).map(|index| Batch::recorded(&chain, index)) {
            let ran = batch.run(&vm(VmMode::Own), &state).unwrap();
            Arc::make_mut(&mut state).advance(&batch, &ran);
        }
        let ran = Batch::recorded(&chain, index).run(&vm(VmMode::Shadow), &state).unwrap();
        assert_eq!(ran.outcomes[0][0].status, TxStatus::Success);
        let written = &ran.outcomes[0][0].writes;
        assert!(!written.is_empty(), "the upgrade in {} changes nothing", recording.name());
    }
}

#[test]
fn traces_are_those_of_the_legacy_machine_and_change_nothing() {
    for recording in recordings_for("tracing a recorded chain in shadow mode") {
        let chain = Chain::load(&recording);
        let plain = run_chain(VmMode::Own, &chain, usize::MAX);
        let mut state = Arc::new(chain.genesis());
        let (mut calls, mut touched) = (0, 0);
        for (index, ran) in plain.iter().enumerate() {
            let blocks = &chain.batches[index];
            let shadow = vm(VmMode::Shadow);
            let opened = shadow.open_batch(chain.env(index), blocks[0].env(), Reads::of(&state));
            let mut batch = opened.unwrap();
            for (number, block) in blocks.iter().enumerate() {
                if number > 0 {
                    batch.start_block(block.env()).unwrap();
                }
                for (tx, outcome) in
                    block.txs().iter().zip(ran.outcomes.get(number).unwrap_or(&Vec::new()))
                {
                    let traced = batch.run_tx_traced(tx).unwrap();
                    assert_eq!(traced.outcome, *outcome);
                    check_touched(&traced);
                    calls += traced.trace.calls.len();
                    touched += traced.trace.touched.len();
                }
            }
            assert_eq!(batch.seal().unwrap(), ran.tip);
            Arc::make_mut(&mut state).advance(&Batch::recorded(&chain, index), ran);
        }
        assert!(calls > 0 && touched > 0, "nothing seen in {}", recording.name());
    }
}

/// Checks that every write of a transaction is seen with the value that it left.
fn check_touched(traced: &TracedTx) {
    let touched: BTreeMap<_, _> =
        traced.trace.touched.iter().map(|touched| (touched.slot, *touched)).collect();
    for write in &traced.outcome.writes {
        assert_eq!(touched[&write.slot].after, write.value, "{:?}", write.slot);
    }
    let written: BTreeMap<_, _> =
        traced.outcome.writes.iter().map(|write| (write.slot, write.value)).collect();
    for slot in touched.values().filter(|slot| !written.contains_key(&slot.slot)) {
        assert_eq!(slot.before, slot.after, "{slot:?}");
    }
}

/// Opens the first batch of a recording and hands it on.
fn with_first_batch(
    what: &str,
    test: impl Fn(&Chain, &mut dyn FnMut(VmMode) -> Box<dyn OpenBatch>),
) {
    for recording in recordings_for(what) {
        let chain = Chain::load(&recording);
        let state = Arc::new(chain.genesis());
        let mut open = |mode| {
            let first = chain.batches[0][0].env();
            vm(mode).open_batch(chain.env(0), first, Reads::of(&state)).unwrap()
        };
        test(&chain, &mut open);
    }
}

#[test]
fn a_store_that_fails_stops_the_batch_and_never_panics() {
    for recording in recordings_for("running on a failing store") {
        let chain = Chain::load(&recording);
        let state = Arc::new(chain.genesis());
        let tx = &chain.batches[0][0].txs()[0];
        for mode in [VmMode::Own, VmMode::Fast, VmMode::Legacy, VmMode::Shadow] {
            for reads_left in [0, 1, 2, 3, 10, 30, 100] {
                let storage = Box::new(Reads { state: Arc::clone(&state), reads_left });
                let first = chain.batches[0][0].env();
                let error = match vm(mode).open_batch(chain.env(0), first, storage) {
                    Ok(mut batch) => batch.run_tx(tx).unwrap_err(),
                    Err(error) => error,
                };
                assert!(matches!(error, VmError::Storage(_)), "{mode:?}, {reads_left}: {error}");
            }
        }
    }
}

#[test]
fn code_that_is_run_but_not_known_is_bad_input() {
    for recording in recordings_for("running without bytecodes") {
        let chain = Chain::load(&recording);
        let state = State { codes: BTreeMap::new(), ..chain.genesis() };
        let first = chain.batches[0][0].env();
        for mode in [VmMode::Own, VmMode::Fast, VmMode::Legacy] {
            let storage = Reads::of(&Arc::new(state.clone()));
            let mut batch = vm(mode).open_batch(chain.env(0), first.clone(), storage).unwrap();
            let error = batch.run_tx(&chain.batches[0][0].txs()[0]).unwrap_err();
            assert!(matches!(error, VmError::BadInput { .. }), "{mode:?}: {error}");
        }
    }
}

#[test]
fn a_transaction_that_cannot_be_in_a_block_halts_the_batch_for_good() {
    with_first_batch("halting a batch", |chain, open| {
        let is_l2 = |tx: &&Transaction| matches!(tx.common, TxCommon::L2(_));
        let mut txs = chain.batches.iter().flatten().flat_map(|block| block.txs());
        // Its sender has no funds yet.
        let early = txs.find(is_l2).expect("an L2 transaction");
        for mode in [VmMode::Own, VmMode::Fast, VmMode::Legacy, VmMode::Shadow] {
            let mut batch = open(mode);
            let first = &chain.batches[0][0].txs()[0];
            batch.run_tx(first).unwrap();
            let error = batch.run_tx(early).unwrap_err();
            let VmError::Halted { index_in_batch, tx_hash, .. } = &error else {
                panic!("{mode:?}: {error}");
            };
            assert_eq!((*index_in_batch, *tx_hash), (1, early.hash()));
            let error = batch.run_tx(first).unwrap_err();
            assert!(matches!(error, VmError::BadInput { .. }), "{mode:?}: {error}");
        }
    });
}

#[test]
fn blocks_that_do_not_follow_are_bad_input() {
    with_first_batch("blocks in a wrong order", |chain, open| {
        let blocks = &chain.batches[0];
        let next = blocks[1].env();
        let refused = |change: &dyn Fn(&mut lockstep_vm::BlockEnv),
                       open: &mut dyn FnMut(VmMode) -> Box<dyn OpenBatch>| {
            let mut batch = open(VmMode::Own);
            for tx in blocks[0].txs() {
                batch.run_tx(tx).unwrap();
            }
            let mut env = next.clone();
            change(&mut env);
            let error = batch.start_block(env).unwrap_err();
            assert!(matches!(error, VmError::BadInput { .. }), "{error}");
            error.to_string()
        };
        assert!(refused(&|env| env.number = env.number.next(), open).contains("follows block"));
        assert!(refused(&|env| env.timestamp.0 = 1, open).contains("time"));
        assert!(refused(&|env| env.parent = Default::default(), open).contains("parent"));
        let too_early = open(VmMode::Legacy).start_block(next.clone()).unwrap_err();
        assert!(too_early.to_string().contains("empty"), "{too_early}");
    });
}

#[test]
fn environments_that_cannot_be_are_refused() {
    for recording in recordings_for("opening impossible batches") {
        let chain = Chain::load(&recording);
        let state = Arc::new(chain.genesis());
        let first = chain.batches[0][0].env();
        let open = |env| vm(VmMode::Own).open_batch(env, first.clone(), Reads::of(&state));
        let good = chain.env(0);
        assert!(open(good.clone()).is_ok());

        let mut env = good.clone();
        env.version.0 = 32;
        assert_eq!(open(env.clone()).unwrap_err(), VmError::UnknownVersion(env.version));

        let mut env = good.clone();
        env.fee_input.fair_pubdata_price = None;
        assert!(matches!(open(env), Err(VmError::BadInput { .. })));

        let mut env = good.clone();
        env.pubdata_params.validator = DaValidator::Scheme(1);
        assert!(matches!(open(env), Err(VmError::BadInput { .. })));

        let mut contracts = (*good.base_contracts).clone();
        contracts.bootloader.code = contracts.bootloader.code.slice(1..);
        let env = lockstep_vm::BatchEnv { base_contracts: Arc::new(contracts), ..good };
        assert!(matches!(open(env), Err(VmError::BadInput { .. })));
    }
}
