//! Instructions of recorded transactions: each follows from the one before, what they wrote is what
//! the transaction left, and they are as many calls as a trace sees.

use std::{collections::BTreeSet, sync::Arc};

use lockstep_testvectors::recordings_for;
use lockstep_types::{B256, Transaction, TxOutcome};
use lockstep_vm::{CallFrame, OpenBatch, Step, StepRules, SteppedTx, Steps, Vm as _};
use lockstep_vm_era::VmMode;

use crate::{
    batches::{Batch, Ran},
    chain::{Chain, Reads},
    run_chain, vm,
};

const ALL: StepRules = StepRules {
    has_stack: true,
    has_memory: true,
    has_storage: true,
    has_return_data: true,
    steps_max: usize::MAX,
    bytes_max: usize::MAX,
};

/// Runs the first batches of each recording and hands each transaction on.
fn with_each_tx(
    what: &str,
    batches_max: usize,
    mut test: impl FnMut(&mut dyn OpenBatch, &Transaction, &TxOutcome),
) {
    for recording in recordings_for(what) {
        let chain = Chain::load(&recording);
        let plain = run_chain(VmMode::Own, &chain, batches_max);
        let mut state = Arc::new(chain.genesis());
        for (index, ran) in plain.iter().enumerate() {
            let blocks = &chain.batches[index];
            let own = vm(VmMode::Own);
            let opened = own.open_batch(chain.env(index), blocks[0].env(), Reads::of(&state));
            let mut batch = opened.unwrap();
            for (number, block) in blocks.iter().enumerate() {
                if number > 0 {
                    batch.start_block(block.env()).unwrap();
                }
                let Ran { outcomes, .. } = ran;
                let outcomes = outcomes.get(number).map_or(&[][..], Vec::as_slice);
                for (tx, outcome) in block.txs().iter().zip(outcomes) {
                    test(&mut *batch, tx, outcome);
                }
            }
            assert_eq!(batch.seal().unwrap(), ran.tip);
            Arc::make_mut(&mut state).advance(&Batch::recorded(&chain, index), ran);
        }
    }
}

fn is_call(step: &Step) -> bool {
    matches!(step.op, "far_call" | "delegate_call" | "mimic_call")
}

fn is_end(step: &Step) -> bool {
    matches!(step.op, "ret" | "revert" | "panic")
}

/// Checks that each step begins with what the one before left.
fn check_gas_and_depth(steps: &[Step]) {
    assert_eq!(steps[0].depth, 1);
    for pair in steps.windows(2) {
        let [step, next] = pair else { unreachable!() };
        if is_call(step) {
            assert_eq!(next.depth, step.depth + 1, "{step:?}");
            assert!(next.gas <= step.gas_cost || next.gas_cost == 0, "{step:?} {next:?}");
        } else if is_end(step) {
            assert!(next.depth <= step.depth, "{step:?}");
        } else {
            assert_eq!(next.depth, step.depth, "{step:?}");
            if step.op != "near_call" {
                assert_eq!(next.gas, step.gas - step.gas_cost, "{step:?} {next:?}");
            }
        }
    }
    assert!(is_end(steps.last().unwrap()));
}

/// Checks that what is read and written shows in registers, memory and storage.
fn check_data(steps: &[Step], outcome: &TxOutcome) -> (usize, usize) {
    let mut written = BTreeSet::new();
    let (mut reads, mut memory_changes) = (0, 0);
    for pair in steps.windows(2) {
        let [step, next] = pair else { unreachable!() };
        if let ("log.swrite", Some(storage)) = (step.op, &step.storage) {
            written.extend(storage.iter().map(|(key, value)| (*key, *value)));
        }
        if step.depth != next.depth || is_end(step) {
            continue;
        }
        let registers = |step: &Step| step.registers.clone().unwrap();
        if let ("log.sread", Some(storage)) = (step.op, &step.storage) {
            let shown: BTreeSet<B256> = storage.values().copied().collect();
            let has_it = registers(next).iter().any(|word| shown.contains(&B256::from(*word)));
            assert!(has_it, "{step:?} {next:?}");
            reads += 1;
        }
        let (before, after) = (step.memory.as_ref().unwrap(), next.memory.as_ref().unwrap());
        if before == after {
            continue;
        }
        assert!(matches!(step.op, "uma.heap_write" | "log.precompile"), "{step:?}");
        if step.op == "uma.heap_write" && after.len() >= before.len() {
            let words = registers(step).map(|word| word.to_be_bytes::<32>());
            let mut all = words.iter().filter(|word| **word != [0; 32]);
            // The memory is shown without the zeros that it ends with.
            let padded = [&after[..], &[0; 32]].concat();
            let shown = |word: &[u8; 32]| padded.windows(32).any(|window| window == word);
            let is_zeroed = before.iter().zip(after.iter()).all(|(was, is)| was == is || *is == 0);
            assert!(is_zeroed || all.any(shown), "{step:?} {next:?}");
            memory_changes += 1;
        }
    }
    for write in &outcome.writes {
        assert!(written.contains(&(write.slot.key, write.value)), "{write:?} is not seen");
    }
    (reads, memory_changes)
}

fn calls_inside(calls: &[CallFrame]) -> usize {
    calls.iter().map(|call| call.calls.len() + calls_inside(&call.calls)).sum()
}

fn seen(stepped: &SteppedTx) -> &[Step] {
    let Steps { steps, are_too_large } =
        stepped.steps.as_ref().expect("our own machine shows them");
    assert!(!are_too_large);
    steps
}

#[test]
fn instructions_follow_from_each_other_and_change_nothing() {
    let (mut count, mut reads, mut changes, mut returned) = (0, 0, 0, 0);
    with_each_tx("instructions of a recorded chain", 4, |batch, tx, outcome| {
        let stepped = batch.run_tx_stepped(tx, &ALL).unwrap();
        assert_eq!(stepped.outcome, *outcome, "{}", tx.hash());
        let steps = seen(&stepped);
        check_gas_and_depth(steps);
        let (sreads, memory_changes) = check_data(steps, outcome);
        count += steps.len();
        reads += sreads;
        changes += memory_changes;
        let has_data =
            |step: &&Step| step.return_data.as_ref().is_some_and(|data| !data.is_empty());
        returned += steps.iter().filter(has_data).count();
    });
    assert!(count > 10_000, "{count} instructions");
    assert!(reads > 10 && changes > 100 && returned > 10, "{reads}, {changes}, {returned}");
}

#[test]
fn there_are_as_many_calls_as_a_trace_sees() {
    let rules = StepRules { has_stack: false, has_memory: false, ..ALL };
    let mut stepped = Vec::new();
    with_each_tx("calls among instructions", 4, |batch, tx, _| {
        let run = batch.run_tx_stepped(tx, &rules).unwrap();
        let steps = seen(&run);
        assert!(steps.iter().all(|step| step.registers.is_none() && step.memory.is_none()));
        stepped.push(steps.iter().filter(|step| is_call(step)).count());
    });
    let mut traced = Vec::new();
    with_each_tx("calls in traces", 4, |batch, tx, _| {
        traced.push(calls_inside(&batch.run_tx_traced(tx).unwrap().trace.calls));
    });
    assert_eq!(stepped, traced);
    assert!(stepped.iter().sum::<usize>() > 100, "{stepped:?}");
}

#[test]
fn so_many_are_noted_and_no_more() {
    let mut count = 0;
    with_each_tx("limits of instructions", 1, |batch, tx, outcome| {
        let few = StepRules { steps_max: 7, ..ALL };
        let no_room = StepRules { bytes_max: 10_000, ..ALL };
        count += 1;
        if count % 2 == 0 {
            let stepped = batch.run_tx_stepped(tx, &few).unwrap();
            assert_eq!((seen(&stepped).len(), &stepped.outcome), (7, outcome));
        } else {
            let stepped = batch.run_tx_stepped(tx, &no_room).unwrap();
            let expected = Steps { steps: Vec::new(), are_too_large: true };
            assert_eq!((stepped.steps, &stepped.outcome), (Some(expected), outcome));
        }
    });
    assert!(count > 1);
}

#[test]
fn machines_that_show_no_instructions_say_so() {
    for recording in recordings_for("instructions of the legacy machine") {
        let chain = Chain::load(&recording);
        let state = Arc::new(chain.genesis());
        for (mode, shows) in [
            (VmMode::Own, true),
            (VmMode::Shadow, true),
            (VmMode::Fast, false),
            (VmMode::Legacy, false),
        ] {
            let first = chain.batches[0][0].env();
            let opened = vm(mode).open_batch(chain.env(0), first, Reads::of(&state));
            let stepped = opened.unwrap().run_tx_stepped(&chain.batches[0][0].txs()[0], &ALL);
            assert_eq!(stepped.unwrap().steps.is_some(), shows, "{mode:?}");
        }
    }
}
