//! The tree against one that is obviously right, on random batches.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::collections::BTreeMap;

use lockstep_tree::{Proof, proof, prune, root_of, verify};
use lockstep_types::{B256, BatchWrite, HashedKey, L1BatchNumber, LeafIndex, StateRoot};
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, RngSeed},
};

use self::support::{Fixture, Memory, NaiveTree, key, write};

fn config() -> Config {
    Config {
        cases: 64,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A random key, or one of few whose first `shared` bits from the root are the same.
fn any_key() -> impl Strategy<Value = HashedKey> {
    let random = any::<[u8; 32]>().prop_map(key);
    let near = (200..=255_usize, any::<[u8; 32]>()).prop_map(|(shared, noise)| {
        let mut bytes = [0x5a; 32];
        for bit in (0..256 - shared).filter(|bit| noise[bit / 8] >> (bit % 8) & 1 == 1) {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        key(bytes)
    });
    let few = (0..4_u8).prop_map(|n| key([n; 32]));
    prop_oneof![3 => random, 3 => near, 2 => few]
}

/// What a slot becomes; few values, so that writes without effect occur.
fn any_value() -> impl Strategy<Value = B256> {
    prop_oneof![
        Just(B256::ZERO),
        Just(B256::with_last_byte(1)),
        any::<[u8; 32]>().prop_map(B256::new),
    ]
}

/// Batches as the executor hands them on: distinct keys, indices in order of first write. Some
/// writes go to slots that an earlier batch wrote.
fn any_batches() -> impl Strategy<Value = Vec<Vec<BatchWrite>>> {
    let writes = vec((any_key(), any_value(), any::<Option<Index>>()), 0..40);
    vec(writes, 1..7).prop_map(|batches| {
        let mut indices: BTreeMap<HashedKey, u64> = BTreeMap::new();
        let mut made = Vec::new();
        for batch in batches {
            let old: Vec<HashedKey> = indices.keys().copied().collect();
            let mut writes: BTreeMap<HashedKey, BatchWrite> = BTreeMap::new();
            for (new, value, again) in batch {
                let again = again.filter(|_| !old.is_empty());
                let slot = again.map_or(new, |again| *again.get(&old));
                let next = indices.len() as u64 + 1;
                let index = *indices.entry(slot).or_insert(next);
                writes.insert(slot, write(slot, index, value));
            }
            made.push(writes.into_values().collect());
        }
        made
    })
}

fn extend_all(fixture: &mut Fixture, batches: &[Vec<BatchWrite>]) {
    for batch in batches {
        fixture.extend(batch).unwrap();
    }
}

/// The naive tree after each batch.
fn history(batches: &[Vec<BatchWrite>]) -> Vec<NaiveTree> {
    let grow = |naive: &mut NaiveTree, batch: &Vec<BatchWrite>| {
        naive.extend(batch);
        Some(naive.clone())
    };
    batches.iter().scan(NaiveTree::default(), grow).collect()
}

/// `proof`, damaged in one place at a time.
fn damaged(proof: &Proof) -> Vec<Proof> {
    let mut all = vec![
        Proof { index: LeafIndex(proof.index.0 + 1), ..proof.clone() },
        Proof { value: proof.value ^ B256::with_last_byte(1), ..proof.clone() },
    ];
    for place in 0..proof.siblings.len() {
        let mut other = proof.clone();
        other.siblings[place].0[place % 32] ^= 0x10;
        all.push(other);
        let mut shorter = proof.clone();
        shorter.siblings.remove(place);
        all.push(shorter);
    }
    let mut longer = proof.clone();
    longer.siblings.push(B256::with_last_byte(1));
    all.push(longer);
    all
}

fn check_proofs(store: &Memory, batch: L1BatchNumber, naive: &NaiveTree, absent: &[HashedKey]) {
    let root = naive.root().root;
    let keys: Vec<HashedKey> = naive.leaves.keys().chain(absent).copied().collect();
    let proofs = proof(store, batch, &keys).unwrap().unwrap();
    assert_eq!(proofs.len(), keys.len());
    for (key, proof) in keys.iter().zip(proofs) {
        let (index, value) = naive.leaves.get(key).copied().unwrap_or_default();
        assert_eq!((proof.index, proof.value), (LeafIndex(index), value));
        assert!(verify(&proof, *key, root), "{key} in batch {batch}");
        assert!(!verify(&proof, *key, StateRoot(B256::ZERO)));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn root_equals_the_naive_root(batches in any_batches(), cache_bytes in 0..100_000_usize) {
        let mut fixture = Fixture::new(cache_bytes);
        for (batch, naive) in batches.iter().zip(history(&batches)) {
            prop_assert_eq!(fixture.extend(batch).unwrap(), naive.root());
        }
        for (number, naive) in (0..).zip(history(&batches)) {
            let root = root_of(&fixture.store, L1BatchNumber(number)).unwrap();
            prop_assert_eq!(root, Some(naive.root()), "batch {}", number);
        }
    }

    #[test]
    fn neither_reopening_nor_the_cache_changes_what_is_stored(batches in any_batches()) {
        let mut steady = Fixture::new(1 << 20);
        let mut reopened = Fixture::new(0);
        for batch in &batches {
            prop_assert_eq!(steady.extend(batch).unwrap(), reopened.extend(batch).unwrap());
            prop_assert_eq!(&steady.store, &reopened.store);
            reopened.reopen(1000);
        }
    }

    #[test]
    fn truncating_and_replaying_changes_nothing(batches in any_batches(), keep in any::<Index>()) {
        let keep = keep.index(batches.len());
        let mut fixture = Fixture::new(1 << 20);
        extend_all(&mut fixture, &batches[..=keep]);
        let kept = fixture.store.clone();
        extend_all(&mut fixture, &batches[keep + 1..]);
        let whole = fixture.store.clone();

        fixture.truncate_above(u32::try_from(keep).unwrap());
        prop_assert_eq!(&fixture.store, &kept);
        prop_assert_eq!(fixture.tree.root(), history(&batches)[keep].root());
        extend_all(&mut fixture, &batches[keep + 1..]);
        prop_assert_eq!(fixture.store, whole);
    }

    #[test]
    fn the_order_of_writes_does_not_matter(batches in any_batches(), by in any::<u8>()) {
        let mut sorted = Fixture::new(1 << 20);
        let mut shuffled = Fixture::new(1 << 20);
        for batch in &batches {
            let mut other = batch.clone();
            other.sort_by_key(|write| write.hashed_key.bytes().map(|byte| byte ^ by));
            other.reverse();
            let number = sorted.tree.next_batch();
            let one = sorted.tree.extend(&sorted.store, number, batch, &support::Two).unwrap();
            let two = shuffled.tree.extend(&shuffled.store, number, &other, &support::Two).unwrap();
            prop_assert_eq!(one.write_set, two.write_set);
            sorted.extend(batch).unwrap();
            shuffled.extend(&other).unwrap();
        }
    }

    #[test]
    fn writing_what_is_there_makes_no_nodes(batches in any_batches()) {
        let mut fixture = Fixture::new(1 << 20);
        extend_all(&mut fixture, &batches);
        let last = history(&batches).pop().unwrap();
        let again: Vec<BatchWrite> =
            last.leaves.iter().map(|(key, (index, value))| write(*key, *index, *value)).collect();
        let number = fixture.tree.next_batch();
        let extension =
            fixture.tree.extend(&fixture.store, number, &again, &support::Two).unwrap();
        prop_assert_eq!(extension.root, last.root().root);
        prop_assert_eq!(extension.write_set.changes.len(), 1, "the root's row alone");
    }

    #[test]
    fn proofs_hold_against_the_naive_root_of_their_version(
        batches in any_batches(),
        absent in vec(any_key(), 8),
    ) {
        let mut fixture = Fixture::new(1 << 20);
        extend_all(&mut fixture, &batches);
        for (number, naive) in (0..).zip(history(&batches)) {
            check_proofs(&fixture.store, L1BatchNumber(number), &naive, &absent);
        }
        let none = L1BatchNumber(u32::try_from(batches.len()).unwrap());
        prop_assert_eq!(proof(&fixture.store, none, &absent).unwrap(), None);
    }

    #[test]
    fn damaged_proofs_do_not_hold(
        batches in any_batches(),
        which in any::<Index>(),
        absent in any_key(),
    ) {
        let mut fixture = Fixture::new(1 << 20);
        extend_all(&mut fixture, &batches);
        let newest = fixture.tree.next_batch().prev().unwrap();
        let root = fixture.tree.root().root;
        let last = history(&batches).pop().unwrap();
        let keys: Vec<HashedKey> = last.leaves.into_keys().chain([absent]).collect();
        let key = *which.get(&keys);
        let right = proof(&fixture.store, newest, &[key]).unwrap().unwrap().pop().unwrap();
        prop_assert!(verify(&right, key, root));
        for wrong in damaged(&right) {
            prop_assert!(!verify(&wrong, key, root), "{wrong:?}");
        }
        prop_assert!(!verify(&right, support::key([0x77; 32]), root));
    }

    #[test]
    fn pruning_leaves_newer_versions_whole_and_nothing_else(batches in any_batches()) {
        let mut fixture = Fixture::new(1 << 20);
        extend_all(&mut fixture, &batches);
        let newest = fixture.tree.next_batch().prev().unwrap();
        let history = history(&batches);
        let last = history.last().unwrap();
        for (number, naive) in (0..).map(L1BatchNumber).zip(&history) {
            let set = prune(&fixture.store, number).unwrap();
            fixture.store.write(set);
            check_proofs(&fixture.store, number, naive, &[key([0x77; 32])]);
            check_proofs(&fixture.store, newest, last, &[]);
            if let Some(before) = number.prev() {
                prop_assert_eq!(root_of(&fixture.store, before).unwrap(), None);
            }
        }
        // Leaves, and inner nodes that any of them needs: what a tree made at once would have.
        let at_once: Vec<BatchWrite> =
            last.leaves.iter().map(|(key, (index, value))| write(*key, *index, *value)).collect();
        let mut fresh = Fixture::new(0);
        fresh.extend(&at_once).unwrap();
        prop_assert_eq!(fixture.store.rows.len(), fresh.store.rows.len());
    }
}
