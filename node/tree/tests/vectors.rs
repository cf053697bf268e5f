//! Roots that others have published.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use lockstep_tree::root_of;
use lockstep_types::{Address, B256, BatchWrite, L1BatchNumber, StorageSlot, U256};

use self::support::{Fixture, NaiveTree, write};

const EMPTY: &str = "0x98a48e4ed1736188384ae8a79dd21c4d6687e5fd22ca18148906d78736c0d86a";

fn slot_write(address: Address, key: B256, index: u64, value: B256) -> BatchWrite {
    write(StorageSlot::new(address, key).hashed_key(), index, value)
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn five_contracts_with_twenty_slots() -> Vec<BatchWrite> {
    let addresses = [
        "0x4b3af74f66ab1f0da3f2e4ec7a3cb99baf1af7b2",
        "0xef4bb7b21c5fe7432a7d63876cc59ecc23b46636",
        "0x89b8988a018f5348f52eeac77155a793adf03ecc",
        "0x782806db027c08d36b2bed376b4271d1237626b3",
        "0xb2b57b76717ee02ae1327cc3cf1f40e76f692311",
    ];
    (0..100)
        .map(|n| {
            let address = addresses[usize::try_from(n / 20).unwrap()].parse().unwrap();
            slot_write(address, word(n % 20), n + 1, word(n))
        })
        .collect()
}

fn one_contract_with_hundred_slots() -> Vec<BatchWrite> {
    let address = "0x4b3af74f66ab1f0da3f2e4ec7a3cb99baf1af7b2".parse().unwrap();
    (0..100).map(|n| slot_write(address, word(n), n + 1, word(n + 1))).collect()
}

fn six_slots_with_large_values() -> Vec<BatchWrite> {
    let first = Address::from_word(word(0x8002));
    let mut writes = vec![slot_write(first, B256::ZERO, 1, B256::repeat_byte(1))];
    for n in 0..5_u64 {
        let address = Address::from_word(word((1 << 63) + n));
        let key = B256::repeat_byte(254 - u8::try_from(n).unwrap());
        let value = B256::from(U256::MAX - U256::from(n + 1));
        writes.push(slot_write(address, key, n + 2, value));
    }
    writes
}

fn check(writes: &[BatchWrite], batch_size: usize, expected: &str) {
    let mut fixture = Fixture::new(1 << 20);
    for batch in writes.chunks(batch_size) {
        fixture.extend(batch).unwrap();
    }
    let root = fixture.tree.root();
    assert_eq!(root.root.to_string(), expected, "in batches of {batch_size}");
    assert_eq!(root.leaf_count, writes.len() as u64);
    let newest = fixture.tree.next_batch().prev().unwrap();
    assert_eq!(root_of(&fixture.store, newest), Ok(Some(root)));
}

#[test]
fn the_empty_tree_has_the_published_root() {
    let mut fixture = Fixture::new(0);
    assert_eq!(fixture.tree.root().root.to_string(), EMPTY);
    assert_eq!(fixture.extend(&[]).unwrap().root.to_string(), EMPTY);
    assert_eq!(fixture.tree.next_batch(), L1BatchNumber(1));
    assert_eq!(NaiveTree::default().root().root.to_string(), EMPTY);
}

#[test]
fn published_roots_come_out_whatever_the_batches() {
    let vectors = [
        (
            five_contracts_with_twenty_slots(),
            "0x7d196babb69b20468a6cee968ccdc1275a5c7ae976eef8c9a0373acef4d8bc0a",
        ),
        (
            one_contract_with_hundred_slots(),
            "0xd9ef27a3e6e1a0c8fd7abc35ea5229f6dc94814b7d580225f1c9e94161fa3ff5",
        ),
        (
            six_slots_with_large_values(),
            "0x23bfeb3211df8fa0f0268b6fdd9c2a1d485ac4c6480ddb583bfa5e70dd032cab",
        ),
    ];
    for (writes, expected) in vectors {
        for batch_size in [writes.len(), 9, 1] {
            check(&writes, batch_size, expected);
        }
        let mut naive = NaiveTree::default();
        naive.extend(&writes);
        assert_eq!(naive.root().root.to_string(), expected, "the naive tree agrees");
    }
}
