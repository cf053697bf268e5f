//! What is stored of blocks and batches.

use lockstep_store::{TxPosition, tables};
use lockstep_types::{
    Address, B256, BlockToRun, Execute, L1BatchNumber, L2BlockNumber, LeafIndex, StorageSlot,
    TxStatus, U256, address, keccak256, log::bloom_of, storage::Nonces,
};
use lockstep_vm_toy::{Op, evm_account};

use super::world::{Chain, GAS, World, account, call, code, slot, word};

#[test]
fn receipts_and_header_count_what_the_transactions_left() {
    let (mut world, mut chain) = (World::new(&[]), Chain::new());
    let emit = |topic| Op::Emit { topic, data: 1 };
    let send = Op::Send { key: 1, value: 2 };
    let txs = vec![
        chain.l2(0xa0, call(1, &[Op::Write { key: 1, value: 5 }, emit(1), emit(2), send])),
        chain.l2(0xa0, call(1, &[Op::Write { key: 2, value: 6 }, emit(3), Op::Revert])),
        chain.priority(0xa1, call(2, &[emit(4), send])),
    ];
    let hashes: Vec<_> = txs.iter().map(|tx| tx.hash()).collect();
    world.run(chain.block(txs.clone()));

    let view = world.view();
    let receipts = view.receipts(L2BlockNumber(1)).unwrap();
    let firsts: Vec<_> =
        receipts.iter().map(|r| (r.first_event_index, r.first_l2_to_l1_log_index)).collect();
    assert_eq!(firsts, [(0, 0), (2, 1), (2, 1)]);
    let counts: Vec<_> = receipts.iter().map(|r| (r.events.len(), r.l2_to_l1_logs.len())).collect();
    assert_eq!(counts, [(2, 1), (0, 0), (1, 1)]);
    assert!(matches!(receipts[1].status, TxStatus::Reverted { .. }));
    assert_eq!(
        (&receipts[0].status, &receipts[2].status),
        (&TxStatus::Success, &TxStatus::Success)
    );
    let used: Vec<_> = receipts.iter().map(|receipt| GAS - receipt.gas_refunded).collect();
    assert_eq!(used, [1_400, 1_300, 1_200]);

    let header = view.block(L2BlockNumber(1)).unwrap().unwrap();
    assert_eq!((header.l1_tx_count, header.l2_tx_count, header.tx_count()), (1, 2, 3));
    assert_eq!((header.event_count, header.l2_to_l1_log_count), (3, 2));
    assert_eq!((header.gas_used, header.first_tx_index_in_batch), (3_900, 0));
    assert_eq!((header.base_fee_per_gas, header.gas_per_pubdata_limit), (250, 50_000));
    let events: Vec<_> = receipts.iter().flat_map(|receipt| receipt.events.clone()).collect();
    assert_eq!(header.logs_bloom, bloom_of(&events));
    assert!(!header.logs_bloom.is_zero());

    assert_eq!(view.transactions(L2BlockNumber(1)).unwrap(), txs);
    for (index, hash) in (0..).zip(&hashes) {
        let position = TxPosition { block: L2BlockNumber(1), index };
        assert_eq!(view.tx_position(hash).unwrap(), Some(position));
    }
    assert_eq!(world.value(slot(1, 1), 1), word(5));
    assert_eq!(world.value(slot(1, 2), 1), word(0), "a reverted write is stored");
    let mut changed = vec![
        slot(1, 1).hashed_key(),
        StorageSlot::nonces(account(0xa0)).hashed_key(),
        StorageSlot::nonces(account(0xa1)).hashed_key(),
    ];
    changed.sort_unstable();
    assert_eq!(world.changed_at(1), changed);
}

#[test]
fn a_batch_counts_over_its_blocks_and_chains_its_priority_operations() {
    let (mut world, mut chain) = (World::new(&[]), Chain::new());
    let nothing = call(1, &[]);
    let first = [chain.priority(0xa1, nothing.clone()), chain.l2(0xa0, nothing.clone())];
    let second = [
        chain.l2(0xa0, nothing.clone()),
        chain.priority(0xa1, nothing.clone()),
        chain.priority(0xa2, nothing),
    ];
    let ops = [first[0].hash(), second[1].hash(), second[2].hash()];
    world.run(chain.block(first.to_vec()));
    world.run(chain.block(second.to_vec()));
    let sealed = world.seal(chain.end());

    let expected = ops.iter().fold(keccak256([]), |link, op| keccak256([link.0, op.0.0].concat()));
    let view = world.view();
    let header = view.batch(L1BatchNumber(1)).unwrap().unwrap();
    assert_eq!(header, sealed.header);
    assert_eq!(header.priority_ops_hash, expected);
    assert_eq!((header.l1_tx_count, header.l2_tx_count), (3, 2));
    assert_eq!((header.first_block, header.last_block), (L2BlockNumber(1), L2BlockNumber(3)));
    assert_eq!(header.timestamp, view.block(L2BlockNumber(1)).unwrap().unwrap().params.timestamp);
    let firsts: Vec<_> = (1..=3)
        .map(|number| view.block(L2BlockNumber(number)).unwrap().unwrap().first_tx_index_in_batch)
        .collect();
    assert_eq!(firsts, [0, 2, 5]);
    assert_eq!(view.sealed_batch().unwrap(), Some(L1BatchNumber(1)));
    assert_eq!(view.batch_writes(L1BatchNumber(1)).unwrap(), Some(sealed.writes));
    let own = view.receipts(L2BlockNumber(3)).unwrap();
    assert_eq!(own.len(), 1, "the fictive block has a share of its own");
    assert_eq!(own[0].events[0].address, address::SYSTEM_CONTEXT);

    // The next batch begins anew.
    world.run(chain.programs(1, &[&[]]));
    let next = world.seal(chain.end()).header;
    assert_eq!((next.l1_tx_count, next.l2_tx_count), (0, 1));
    assert_eq!(next.priority_ops_hash, keccak256([]));
    assert_eq!((next.first_block, next.last_block), (L2BlockNumber(4), L2BlockNumber(5)));
}

#[test]
fn new_slots_get_indices_in_canonical_order_and_known_ones_keep_theirs() {
    let known = slot(5, 2);
    let (mut world, mut chain) = (World::new(&[(known, word(1))]), Chain::new());
    let write = |key| Op::Write { key, value: 9 };
    // Against the canonical order, and over two blocks.
    world.run(chain.programs(9, &[&[write(3), write(1)]]));
    let five = chain.l2(0xee, call(5, &[write(3), write(2), write(1)]));
    world.run(chain.block(vec![five]));
    let sealed = world.seal(chain.end());

    let in_order = [slot(5, 1), slot(5, 2), slot(5, 3), slot(9, 1), slot(9, 3)];
    let keys: Vec<_> = in_order.iter().map(StorageSlot::hashed_key).collect();
    assert!(!keys.is_sorted(), "choose slots whose hashes are ordered differently");
    let ours: Vec<_> =
        sealed.writes.iter().filter(|write| keys.contains(&write.hashed_key)).collect();
    assert_eq!(ours.iter().map(|write| write.hashed_key).collect::<Vec<_>>(), keys);
    // Before them come the tip's and the nonces' slots of the system contracts, all new.
    let system = u64::try_from(sealed.writes.len()).unwrap() - 5;
    assert_eq!(system, 3);
    let base = 2 + system;
    let indices: Vec<_> = ours.iter().map(|write| write.leaf_index.0).collect();
    assert_eq!(indices, [base, 1, base + 1, base + 2, base + 3]);
    assert_eq!(sealed.header.next_leaf_index, LeafIndex(base + 4));
    assert_eq!(world.leaf_index(known), Some((1, 0)));
    assert_eq!(world.leaf_index(slot(9, 3)), Some((base + 3, 1)));

    world.run(chain.programs(5, &[&[Op::Write { key: 3, value: 1 }, write(0)]]));
    let next = world.seal(chain.end());
    let index_of = |slot: StorageSlot| {
        let write = next.writes.iter().find(|write| write.hashed_key == slot.hashed_key());
        write.map(|write| (write.leaf_index.0, write.value))
    };
    assert_eq!(index_of(slot(5, 3)), Some((base + 1, word(1))));
    assert_eq!(world.leaf_index(slot(5, 3)), Some((base + 1, 1)), "its first batch stays");
    let (new, _) = index_of(slot(5, 0)).unwrap();
    assert!(new >= base + 4, "{new}");
    assert_eq!(world.leaf_index(slot(5, 0)), Some((new, 2)));
}

#[test]
fn what_is_back_at_its_old_value_is_history_but_no_batch_write() {
    let known = slot(5, 2);
    let (mut world, mut chain) = (World::new(&[(known, word(7))]), Chain::new());
    let both = |known_value, new_value| {
        [Op::Write { key: 2, value: known_value }, Op::Write { key: 3, value: new_value }]
    };
    world.run(chain.programs(5, &[&both(8, 5)]));
    assert_eq!(world.leaf_index(slot(5, 3)), None, "an index before the batch is sealed");
    world.run(chain.programs(5, &[&both(7, 0)]));
    // There and back inside one block leaves nothing.
    world.run(chain.programs(5, &[&both(9, 9), &both(7, 0)]));
    let sealed = world.seal(chain.end());

    let keys = [known.hashed_key(), slot(5, 3).hashed_key()];
    assert!(sealed.writes.len() >= 3, "the tip writes something");
    assert!(sealed.writes.iter().all(|write| !keys.contains(&write.hashed_key)));
    let history = |slot| (0..=4).map(|block| world.value(slot, block)).collect::<Vec<_>>();
    assert_eq!(history(known), [7, 8, 7, 7, 7].map(word));
    assert_eq!(history(slot(5, 3)), [0, 5, 0, 0, 0].map(word));
    for (block, has_rows) in [(1, true), (2, true), (3, false), (4, false)] {
        let changed = world.changed_at(block);
        assert!(keys.iter().all(|key| changed.contains(key) == has_rows), "block {block}");
        let rows = world.view().dump(tables::BLOCK_WRITES).map(Result::unwrap).collect::<Vec<_>>();
        let journal = &rows.iter().find(|(key, _)| key[..] == block.to_be_bytes()).unwrap().1;
        let flat: Vec<_> = changed.iter().flat_map(|key| key.bytes().to_vec()).collect();
        assert_eq!(*journal, flat, "the journal of block {block}");
    }
    assert_eq!(world.leaf_index(known), Some((1, 0)));
    assert_eq!(world.leaf_index(slot(5, 3)), None);

    // The next batch reads what is there, and only then is the slot new.
    world
        .run(chain.programs(5, &[&[Op::Add { key: 2, amount: 1 }, Op::Add { key: 3, amount: 1 }]]));
    let next = world.seal(chain.end());
    assert_eq!((world.value(known, 5), world.value(slot(5, 3), 5)), (word(8), word(1)));
    let (index, batch) = world.leaf_index(slot(5, 3)).unwrap();
    assert_eq!(batch, 2);
    let in_batch = |key| next.writes.iter().find(|write| write.hashed_key == key).unwrap();
    assert_eq!(in_batch(keys[0]).leaf_index, LeafIndex(1));
    assert_eq!(in_batch(keys[1]).leaf_index, LeafIndex(index));
}

#[test]
fn receipts_name_the_contract_that_was_to_be_deployed() {
    let nonces = B256::from((U256::from(7) << 128) + U256::from(3));
    let deployer = account(0xa0);
    let custom = account(0xa5);
    let state =
        [(StorageSlot::nonces(deployer), nonces), (StorageSlot::code_hash(custom), code(2).0.0)];
    let (mut world, mut chain) = (World::new(&state), Chain::new());
    let to_deployer = |selector: [u8; 4]| Execute {
        to: Some(address::CONTRACT_DEPLOYER),
        calldata: [&selector[..], &[0; 64], &word(96).0, &[0; 32]].concat().into(),
        value: U256::ZERO,
        factory_deps: Vec::new(),
    };
    let evm = Execute { to: None, ..call(1, &[]) };
    let txs = vec![
        chain.l2(0xa0, to_deployer([0x9c, 0x4d, 0x53, 0x5b])),
        chain.l2(0xa0, to_deployer([0x3c, 0xda, 0x33, 0x51])),
        chain.l2(0xa0, to_deployer([1, 2, 3, 4])),
        chain.l2(0xa0, evm),
        chain.l2(0xa0, call(1, &[])),
        // An account with code of its own, and an L1 sender whose alias has some.
        chain.l2(0xa5, to_deployer([0x9c, 0x4d, 0x53, 0x5b])),
        chain.priority(0xa5, to_deployer([0xec, 0xf9, 0x5b, 0x8a])),
        chain.priority(0xa0, Execute { to: None, ..call(1, &[]) }),
    ];
    world.run(chain.block(txs));
    let receipts = world.view().receipts(L2BlockNumber(1)).unwrap();
    let named: Vec<_> = receipts.iter().map(|receipt| receipt.contract_address).collect();

    let (create, create2) = (keccak256("zksyncCreate"), keccak256("zksyncCreate2"));
    let sender = deployer.into_word();
    let of = |parts: &[B256]| {
        let bytes: Vec<_> = parts.iter().flat_map(|part| part.0).collect();
        Some(Address::from_word(keccak256(bytes)))
    };
    assert_eq!(Nonces::from_value(nonces).deployment, U256::from(7));
    let expected = [
        of(&[create, sender, word(7)]),
        of(&[create2, sender, B256::ZERO, B256::ZERO, keccak256([])]),
        None,
        Some(deployer.create(4)),
        None,
        None,
        of(&[create, custom.into_word(), word(0)]),
        None,
    ];
    assert_eq!(named, expected);
}

#[test]
fn a_bytecode_is_stored_once_with_the_block_that_made_it_known() {
    let (mut world, mut chain) = (World::new(&[]), Chain::new());
    let (hash, dep) = code(7);
    let (base_hash, base) = code(8);
    let deploy = |account| Execute {
        factory_deps: vec![dep.clone()],
        ..call(1, &[Op::Deploy { dep: 0, account }])
    };
    let evm = Execute { to: None, calldata: vec![0x60, 0x00].into(), ..call(1, &[]) };
    let with_base = |mut item: BlockToRun| {
        item.bytecodes = vec![(base_hash, base.clone()), (hash, dep.clone())];
        item
    };
    let txs =
        vec![chain.l2(0xa0, deploy(0x101)), chain.l2(0xa0, deploy(0x102)), chain.l2(0xa1, evm)];
    world.run(chain.block(txs));
    // Whoever fetches is ahead, and may bring what is there by now.
    let second = vec![chain.l2(0xa0, deploy(0x103))];
    world.run(with_base(chain.block(second)));
    let third = vec![chain.l2(0xa0, deploy(0x104))];
    world.run(with_base(chain.block(third)));
    world.seal(chain.end());

    let view = world.view();
    let since = |hash| {
        let stored = view.bytecode(&hash).unwrap().unwrap();
        assert!(hash.is_of(&stored.code));
        stored.since
    };
    assert_eq!(since(hash), L2BlockNumber(1));
    assert_eq!(since(base_hash), L2BlockNumber(2));
    for last in 1..=4_u64 {
        let account = Address::from_word(word(0x100 + last));
        assert_eq!(view.code_at(account, L2BlockNumber(4)).unwrap().unwrap().0, hash);
    }
    let made = evm_account(account(0xa1), U256::ZERO);
    let (made_hash, stored) = view.code_at(made, L2BlockNumber(1)).unwrap().unwrap();
    assert_eq!(made_hash.displayed(&stored.code), [0x60, 0x00]);
    assert_eq!(stored.since, L2BlockNumber(1));
    assert_eq!(view.dump(tables::BYTECODES).count(), 5);
}
