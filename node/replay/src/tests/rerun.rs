//! Checking stored batches by running them again.

use lockstep_store::{BatchRecord, BlockRecord, TxPosition};
use lockstep_types::{L1BatchNumber, L2BlockNumber, LeafIndex, TxStatus};
use lockstep_vm::{Stop, VmStorage as _};
use lockstep_vm_toy::{Op, ToyVm};

use super::chain::{Chain, replayer, root_of, slot, word};
use crate::{Difference, ReplayError, Replayer, StateAt, StoredBatch};

/// Two batches, the second with two blocks and a transaction that reverts, and a block of a third.
fn chain() -> Chain {
    let mut chain = Chain::new();
    chain.block(&[&[Op::Write { key: 1, value: 10 }]]);
    chain.end();
    chain.block(&[
        &[Op::Add { key: 1, amount: 5 }, Op::Emit { topic: 7, data: 8 }],
        &[Op::Write { key: 1, value: 99 }, Op::Revert],
    ]);
    chain.block(&[&[Op::Write { key: 2, value: 20 }, Op::Send { key: 1, value: 2 }]]);
    chain.end();
    chain.block(&[&[Op::Add { key: 2, amount: 1 }]]);
    chain
}

/// The difference that shows in batch 2 once block `number` is stored as `change` has it.
#[track_caller]
fn difference(
    number: usize,
    change: impl FnOnce(&mut BlockRecord, Option<&mut BatchRecord>),
) -> Difference {
    let view = chain().tampered(number, change);
    match replayer(ToyVm::default()).re_execute(&view, L1BatchNumber(2), &Stop::default()) {
        Err(ReplayError::Differs(difference)) => difference,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_stored_by_running_is_what_running_again_gives() {
    let chain = chain();
    let view = chain.view();
    let value = |key, block| view.slot_at(&slot(key), L2BlockNumber(block)).unwrap();
    assert_eq!([value(1, 1), value(1, 3), value(1, 6)], [10, 15, 15].map(word));
    assert_eq!([value(2, 3), value(2, 4), value(2, 6)], [0, 20, 21].map(word));
    let reverted = TxPosition { block: L2BlockNumber(3), index: 1 };
    let status = view.receipt(reverted).unwrap().unwrap().status;
    assert_eq!(status, TxStatus::Reverted { reason: "the program reverts".to_owned() });
    for batch in [1, 2] {
        let replayer = replayer(ToyVm::default());
        assert_eq!(replayer.re_execute(&view, L1BatchNumber(batch), &Stop::default()), Ok(()));
    }
}

#[test]
fn batches_that_cannot_be_run_again_say_why() {
    let chain = chain();
    let view = chain.view();
    let run = |replayer: &Replayer, batch| {
        replayer.re_execute(&view, L1BatchNumber(batch), &Stop::default())
    };
    let toy = replayer(ToyVm::default());
    assert_eq!(run(&toy, 0), Err(ReplayError::NoBatch(L1BatchNumber(0))));
    assert_eq!(run(&toy, 3), Err(ReplayError::Open(L1BatchNumber(3))));
    assert_eq!(run(&toy, 4), Err(ReplayError::NoBatch(L1BatchNumber(4))));
    let rootless =
        Replayer::new(std::sync::Arc::new(ToyVm::default()), std::sync::Arc::new(|_, _| Ok(None)));
    assert_eq!(run(&rootless, 2), Err(ReplayError::NoRoot(L1BatchNumber(1))));
    let old = replayer(ToyVm::new(lockstep_types::ProtocolVersion(29)));
    assert!(matches!(run(&old, 1), Err(ReplayError::Vm(_))));
    let stop = Stop::default();
    stop.now();
    assert_eq!(toy.re_execute(&view, L1BatchNumber(1), &stop), Err(ReplayError::Stopped));
}

#[test]
fn another_root_before_a_batch_shows_in_what_it_wrote() {
    let chain = chain();
    let wrong = Replayer::new(
        std::sync::Arc::new(ToyVm::default()),
        std::sync::Arc::new(|_, batch| Ok(Some(root_of(batch.next())))),
    );
    let error = wrong.re_execute(&chain.view(), L1BatchNumber(2), &Stop::default()).unwrap_err();
    assert!(matches!(error, ReplayError::Differs(Difference { block: L2BlockNumber(5), .. })));
}

#[test]
fn a_changed_receipt_is_named_with_its_transaction() {
    let position = TxPosition { block: L2BlockNumber(3), index: 1 };
    let tx = chain().view().transaction(position).unwrap().unwrap().hash();
    let difference = difference(3, |block, _| block.receipts[1].gas_refunded = 12_345);
    assert_eq!((difference.block, difference.tx), (L2BlockNumber(3), Some(tx)));
    assert_eq!((difference.what, &*difference.stored), ("refunded gas", "12345"));
    let text = difference.to_string();
    assert!(text.contains("12345") && text.contains(&tx.to_string()), "{text}");
}

#[test]
fn every_kind_of_stored_row_is_compared() {
    let receipt = |block: &mut BlockRecord| {
        block.receipts[0].first_l2_to_l1_log_index = 3;
    };
    assert_eq!(difference(4, |block, _| receipt(block)).what, "first indices");
    let found = difference(4, |block, _| block.receipts[0].l2_to_l1_logs.clear());
    assert_eq!(found.what, "logs for L1");
    assert_eq!(found.stored, "only 0");
    assert_eq!(difference(4, |block, _| block.header.gas_used += 1).what, "header");
    let found = difference(4, |block, _| block.state[0].1 = word(77));
    assert_eq!((found.what, found.block), ("changed state", L2BlockNumber(4)));
    let of_batch = |change: fn(&mut BatchRecord)| {
        let found = difference(5, |_, batch| change(batch.unwrap()));
        assert_eq!((found.block, found.tx), (L2BlockNumber(5), None));
        found.what
    };
    let what = of_batch(|batch| batch.header.next_leaf_index = LeafIndex(99));
    assert_eq!(what, "header of the batch");
    assert_eq!(of_batch(|batch| batch.writes[0].value = word(77)), "writes of the batch");
    assert_eq!(of_batch(|batch| batch.commitment_inputs.pubdata = None), "pubdata");
    let what = of_batch(|batch| batch.commitment_inputs.bootloader_heap.clear());
    assert_eq!(what, "words of the bootloader's heap");
    assert_eq!(of_batch(|batch| batch.commitment_inputs.system_logs.clear()), "system logs");
    let what = of_batch(|batch| batch.commitment_inputs.changed[0].1 = word(78));
    assert_eq!(what, "slots before the batch");
}

#[test]
fn slots_have_an_index_from_the_batch_after_their_first() {
    let chain = chain();
    let index = |key, batch| {
        let mut state = StateAt::new(chain.view(), L2BlockNumber(6), L1BatchNumber(batch));
        state.leaf_index(&slot(key)).unwrap()
    };
    assert_eq!(index(1, 1), None);
    assert!(index(1, 2).is_some());
    assert_eq!(index(2, 2), None);
    assert!(index(2, 3).is_some());
    assert_eq!(index(3, 3), None);
}

#[test]
fn the_open_batch_ends_with_the_newest_block() {
    let chain = chain();
    let find = |number| StoredBatch::find(&chain.view(), L1BatchNumber(number)).unwrap();
    let blocks = |number| find(number).map(|batch| (batch.first_block.0, batch.last_block.0));
    assert_eq!([blocks(0), blocks(2), blocks(3)], [Some((0, 0)), Some((3, 5)), Some((6, 6))]);
    assert_eq!([find(2).unwrap().is_sealed, find(3).unwrap().is_sealed], [true, false]);
    assert_eq!(find(4), None);
}
