//! Seeing the transactions of stored batches.

use lockstep_types::{Bytes, Event, L1BatchNumber, L2BlockNumber, StorageSlot};
use lockstep_vm::Stop;
use lockstep_vm_toy::{Op, ToyVm};

use super::chain::{Chain, SENDER, TARGET, replayer, slot, word};
use crate::{BatchTraces, ReplayError, TraceWish};

/// A batch with two blocks of transactions, and two blocks of the next one.
fn chain() -> Chain {
    let mut chain = Chain::new();
    chain.block(&[&[Op::Write { key: 1, value: 10 }], &[Op::Add { key: 1, amount: 1 }]]);
    chain.block(&[&[Op::Add { key: 1, amount: 1 }]]);
    chain.end();
    chain.block(&[&[Op::Add { key: 1, amount: 1 }]]);
    chain.block(&[&[Op::Add { key: 1, amount: 1 }]]);
    chain
}

fn trace(
    chain: &Chain,
    batch: u32,
    block: u32,
    bytes_max: usize,
) -> Result<BatchTraces, ReplayError> {
    let (batch, block) = (L1BatchNumber(batch), L2BlockNumber(block));
    let wish = TraceWish { batch, block, bytes_max };
    replayer(ToyVm::default()).trace(&chain.view(), &wish, &Stop::default())
}

fn blocks(traces: &BatchTraces) -> Vec<u32> {
    traces.blocks.keys().map(|number| number.0).collect()
}

#[test]
fn all_blocks_of_a_batch_are_seen_while_there_is_room() {
    let chain = chain();
    let sealed = trace(&chain, 1, 2, 1 << 20).unwrap();
    assert_eq!(blocks(&sealed), [1, 2]);
    let open = trace(&chain, 2, 5, 1 << 20).unwrap();
    assert_eq!(blocks(&open), [4, 5]);
    let first = &sealed.blocks[&L2BlockNumber(1)];
    assert_eq!(first.hash, chain.view().block(L2BlockNumber(1)).unwrap().unwrap().hash);
    assert_eq!(first.txs.len(), 2);
    let seen = |traces: &BatchTraces, block, index: usize| {
        let touched = &traces.blocks[&L2BlockNumber(block)].txs[index].trace.touched;
        let touched = touched.iter().find(|touched| touched.slot == slot(1)).unwrap();
        [touched.before, touched.after]
    };
    assert_eq!(seen(&sealed, 1, 1), [10, 11].map(word));
    assert_eq!(seen(&sealed, 2, 0), [11, 12].map(word));
    assert_eq!(seen(&open, 5, 0), [13, 14].map(word));
}

#[test]
fn accounts_are_known_before_and_after_each_transaction() {
    let traces = trace(&chain(), 1, 1, 1 << 20).unwrap();
    let accounts = &traces.blocks[&L2BlockNumber(1)].txs[1].accounts;
    let sender = accounts.iter().find(|account| account.address == SENDER).unwrap();
    assert_eq!([sender.before.nonces, sender.after.nonces], [1, 2].map(word));
    let target = accounts.iter().find(|account| account.address == TARGET).unwrap();
    assert_eq!(target.before, target.after);
    let holder = StorageSlot::nonces(SENDER).address;
    assert!(accounts.iter().any(|account| account.address == holder));
    assert!(accounts.windows(2).all(|pair| pair[0].address < pair[1].address));
}

#[test]
fn without_room_only_the_wanted_block_is_seen() {
    let chain = chain();
    let all = trace(&chain, 1, 1, 1 << 20).unwrap();
    let of_one = all.blocks[&L2BlockNumber(1)].txs.iter().map(|tx| tx.bytes()).sum();
    assert!(all.bytes > of_one);
    let wish = |block| trace(&chain, 1, block, of_one);
    assert_eq!(blocks(&wish(1).unwrap()), [1, 2], "each has room of its own");
    let small = trace(&chain, 1, 2, of_one - 1).unwrap();
    assert_eq!(blocks(&small), [2], "block 1 is larger than the room");
    let error = trace(&chain, 1, 1, of_one - 1).unwrap_err();
    let (block, bytes_max) = (L2BlockNumber(1), of_one - 1);
    assert_eq!(error, ReplayError::TooLarge { block, bytes_max });
}

#[test]
fn a_receipt_that_differs_is_an_error() {
    let event = Event { address: TARGET, topics: Vec::new(), data: Bytes::new() };
    let view = chain().tampered(1, |block, _| block.receipts[0].events.push(event.clone()));
    let wish = TraceWish { batch: L1BatchNumber(1), block: L2BlockNumber(2), bytes_max: 1 << 20 };
    let error = replayer(ToyVm::default()).trace(&view, &wish, &Stop::default()).unwrap_err();
    let ReplayError::Differs(difference) = error else { panic!("{error}") };
    assert_eq!((difference.block, difference.what), (L2BlockNumber(1), "events"));
    assert_eq!(difference.stored, format!("{event:?} at 0 of 1"));
}
