//! A restart at any block changes nothing, and what does not add up is noticed.

use lockstep_io::WriteSet;
use lockstep_pipeline::StageError;
use lockstep_store::{codec::encode, tables};
use lockstep_types::{B256, BlockToRun, Execute, L2BlockNumber, Receipt, StorageSlot};
use lockstep_vm_toy::Op;

use super::world::{Chain, World, call, code, damage, slot, word};

fn start() -> Vec<(StorageSlot, B256)> {
    vec![(slot(1, 1), word(1)), (slot(2, 1), word(2))]
}

/// Three batches with something of everything.
fn story() -> Vec<BlockToRun> {
    let mut chain = Chain::new();
    let mut items = Vec::new();
    for batch in 0..3_u64 {
        let dep = code(10 + u8::try_from(batch).unwrap()).1;
        let deploy = Execute {
            factory_deps: vec![dep.clone()],
            ..call(3, &[Op::Deploy { dep: 0, account: 0x100 + batch }])
        };
        let again = Execute {
            factory_deps: vec![dep],
            ..call(3, &[Op::Deploy { dep: 0, account: 0x200 + batch }])
        };
        let emit = Op::Emit { topic: batch, data: 5 };
        let txs = vec![
            chain.l2(
                0xa0,
                call(1, &[Op::Add { key: 1, amount: 1 }, emit, Op::Write { key: 2, value: 1 }]),
            ),
            chain.priority(0xa1, call(2, &[Op::Write { key: batch, value: 9 }, emit])),
            chain.l2(0xa0, deploy),
        ];
        items.push(chain.block(txs));
        let txs = vec![
            chain.l2(0xa0, again),
            chain.l2(
                0xa0,
                call(1, &[Op::Write { key: 2, value: 0 }, Op::Send { key: 1, value: 1 }]),
            ),
            chain.l2(0xa2, call(1, &[Op::Write { key: 1, value: 77 }, Op::Revert])),
        ];
        let mut item = chain.block(txs);
        item.bytecodes = vec![code(20)];
        items.push(item);
        let txs = vec![
            chain.priority(0xa1, call(2, &[Op::Add { key: batch, amount: 1 }])),
            chain.l2(0xa0, Execute { to: None, calldata: vec![0x60; 5].into(), ..call(1, &[]) }),
        ];
        items.push(chain.block(txs));
        items.push(chain.end());
    }
    items
}

#[test]
fn a_restart_after_any_block_changes_no_byte() {
    let items = story();
    let mut calm = World::new(&start());
    let mut after = vec![calm.dump()];
    for item in &items {
        calm.try_run(item.clone()).unwrap();
        after.push(calm.dump());
    }
    assert!(after.windows(2).all(|pair| pair[0] != pair[1]), "a block leaves nothing");

    for stop in 0..=items.len() {
        let mut world = World::new(&start());
        for item in &items[..stop] {
            world.try_run(item.clone()).unwrap();
        }
        let mut world = world.restart();
        assert_eq!(world.head(), L2BlockNumber(u32::try_from(stop).unwrap()));
        assert!(world.dump() == after[stop], "opening after block {stop} writes something");
        // Whoever fetches may begin too early.
        for item in &items[..stop] {
            assert!(world.try_run(item.clone()).unwrap().is_none());
        }
        assert!(world.dump() == after[stop], "a block that is known is stored again");
        for (item, expected) in items[stop..].iter().zip(&after[stop + 1..]) {
            let sealed = world.try_run(item.clone()).unwrap();
            assert_eq!(sealed.is_some(), item.block.params.is_fictive);
            let number = item.block.params.number;
            assert!(world.dump() == *expected, "block {number} after a restart at {stop}");
        }
    }

    let mut restless = World::new(&start());
    for (item, expected) in items.iter().zip(&after[1..]) {
        restless.try_run(item.clone()).unwrap();
        restless = restless.restart();
        assert!(restless.dump() == *expected);
    }
}

/// Stops after `ran` blocks, changes the first receipt of `block`, and opens again.
fn open_with_damaged_receipt(ran: usize, block: u32) -> Result<World, StageError> {
    let mut world = World::new(&start());
    for item in story().into_iter().take(ran) {
        world.try_run(item).unwrap();
    }
    let stored = world.view().receipts(L2BlockNumber(block)).unwrap().remove(0);
    let wrong = Receipt { gas_refunded: stored.gas_refunded + 1, ..stored };
    let mut key = block.to_be_bytes().to_vec();
    key.extend([0; 4]);
    let mut set = WriteSet::new();
    set.put(tables::RECEIPTS, key, encode(&wrong));
    let disk = world.kill();
    damage(&disk, set);
    World::open(disk)
}

#[test]
fn blocks_of_the_open_batch_must_give_the_receipts_that_are_stored() {
    for block in [5, 6] {
        let error = open_with_damaged_receipt(6, block).unwrap_err();
        let StageError::Inconsistent { block: told, detail } = error else { panic!("{error}") };
        assert_eq!(told, L2BlockNumber(block));
        assert!(detail.contains("receipts"), "{detail}");
    }
    // Sealed batches are not run again.
    assert_eq!(open_with_damaged_receipt(6, 2).unwrap().head(), L2BlockNumber(6));
}
