//! What the tree does not accept, and that it is unchanged afterwards.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use lockstep_io::{Table, WriteSet};
use lockstep_store::tables::{TREE_NODES, TREE_ROOTS};
use lockstep_tree::{Tree, TreeConfig, TreeError, proof, prune, root_of};
use lockstep_types::{B256, BatchWrite, HashedKey, L1BatchNumber, LeafIndex};

use self::support::{Fixture, NaiveTree, Two, key, write};

fn slot(n: u8) -> HashedKey {
    let mut bytes = [n; 32];
    bytes[31] = 0x42;
    key(bytes)
}

fn first_writes(range: std::ops::Range<u8>) -> Vec<BatchWrite> {
    range.map(|n| write(slot(n), u64::from(n) + 1, B256::repeat_byte(n))).collect()
}

fn two_batches() -> Fixture {
    let mut fixture = Fixture::new(1 << 20);
    fixture.extend(&first_writes(0..10)).unwrap();
    fixture.extend(&first_writes(10..20)).unwrap();
    fixture
}

fn refusal(fixture: &Fixture, writes: &[BatchWrite]) -> TreeError {
    let next = fixture.tree.next_batch();
    fixture.tree.extend(&fixture.store, next, writes, &Two).unwrap_err()
}

#[test]
fn an_index_that_differs_from_the_leaf_is_refused() {
    let fixture = two_batches();
    let given = LeafIndex(7);
    let expected = TreeError::IndexMismatch { key: slot(3), recorded: LeafIndex(4), given };
    let wrong = write(slot(3), 7, B256::ZERO);
    assert_eq!(refusal(&fixture, &[wrong]), expected);
    // Also where the leaf has to move because of a new neighbour.
    let mut neighbour = *slot(3).bytes();
    neighbour[0] ^= 1;
    let neighbour = write(key(neighbour), 21, B256::ZERO);
    assert_eq!(refusal(&fixture, &[wrong, neighbour]), expected);
}

#[test]
fn new_leaves_must_take_the_next_indices() {
    let fixture = two_batches();
    let gap = |expected, given| TreeError::IndexGap {
        expected: LeafIndex(expected),
        given: LeafIndex(given),
    };
    let new = |n, index| write(slot(n), index, B256::ZERO);
    assert_eq!(refusal(&fixture, &[new(30, 22)]), gap(21, 22));
    assert_eq!(refusal(&fixture, &[new(30, 20)]), gap(21, 20));
    assert_eq!(refusal(&fixture, &[new(30, 0)]), gap(21, 0));
    assert_eq!(refusal(&fixture, &[new(30, 21), new(31, 21)]), gap(22, 21));
    assert_eq!(refusal(&fixture, &[new(30, 21), new(31, 23)]), gap(22, 23));
    let next = fixture.tree.next_batch();
    let right = [new(30, 22), new(31, 21)];
    assert_eq!(fixture.tree.extend(&fixture.store, next, &right, &Two).unwrap().leaf_count, 22);
}

#[test]
fn a_key_twice_is_refused() {
    let fixture = two_batches();
    let twice = [write(slot(3), 4, B256::ZERO), write(slot(3), 4, B256::ZERO)];
    assert_eq!(refusal(&fixture, &twice), TreeError::DuplicateKey(slot(3)));
}

#[test]
fn batches_come_one_after_the_other() {
    let fixture = two_batches();
    for given in [0, 1, 3].map(L1BatchNumber) {
        let error = fixture.tree.extend(&fixture.store, given, &[], &Two).unwrap_err();
        assert_eq!(error, TreeError::WrongBatch { expected: L1BatchNumber(2), given });
    }
}

#[test]
fn a_view_of_another_tree_is_refused() {
    let fixture = two_batches();
    let mut other = Fixture::new(0);
    other.extend(&[]).unwrap();
    let next = fixture.tree.next_batch();
    let error = fixture.tree.extend(&other.store, next, &[], &Two).unwrap_err();
    assert_eq!(error, TreeError::OtherView(L1BatchNumber(1)));
}

#[test]
fn an_extension_that_is_forgotten_leaves_no_trace() {
    let mut fixture = two_batches();
    let next = fixture.tree.next_batch();
    let other = first_writes(20..25);
    drop(fixture.tree.extend(&fixture.store, next, &other, &Two).unwrap());
    let mut naive = NaiveTree::default();
    naive.extend(&first_writes(0..30));
    assert_eq!(fixture.extend(&first_writes(20..30)), Ok(naive.root()));
}

#[test]
fn truncation_goes_only_to_what_is_there() {
    let mut fixture = two_batches();
    let before = fixture.store.clone();
    for batch in [1, 2, 100] {
        fixture.truncate_above(batch);
        assert_eq!((&fixture.store, fixture.tree.next_batch()), (&before, L1BatchNumber(2)));
    }
    let set = prune(&fixture.store, L1BatchNumber(1)).unwrap();
    fixture.store.write(set);
    let gone = L1BatchNumber(0);
    let error = fixture.tree.truncate_above(&fixture.store, gone).unwrap_err();
    assert_eq!(error, TreeError::NoVersion(gone));
    assert_eq!(root_of(&fixture.store, gone), Ok(None));
    assert_eq!(proof(&fixture.store, gone, &[slot(1)]), Ok(None));
    assert_eq!(prune(&fixture.store, gone), Err(TreeError::NoVersion(gone)));
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T, TreeError>, table: Table, key: &[u8]) -> bool {
    let named = hex::encode(key);
    matches!(
        &result,
        Err(TreeError::Corrupt { table: t, key, .. }) if *t == table.name && *key == named
    )
}

/// Every row that the newest version needs, changed at every byte, is noticed when it is read.
#[test]
fn a_damaged_node_is_corrupt_and_named() {
    let fixture = two_batches();
    let keys: Vec<HashedKey> = (0..20).map(slot).collect();
    let mut damaged_count = 0;
    for key in fixture.store.keys(TREE_NODES) {
        let value = fixture.store.rows[&(TREE_NODES.index, key.clone())].clone();
        if key[..4] == [0; 4] && value[0] == 1 {
            continue; // Batch 1 has its own inner nodes on every way to a leaf.
        }
        for place in 0..value.len() {
            let mut store = fixture.store.clone();
            let row = store.rows.get_mut(&(TREE_NODES.index, key.clone())).unwrap();
            row[place] ^= 0x21;
            let result = proof(&store, L1BatchNumber(1), &keys);
            // The second byte says what was replaced: only pruning reads it. An age leads to
            // a node that is not there, and that one is named.
            let noticed = is_corrupt(result.clone(), TREE_NODES, &key)
                || matches!(&result, Err(TreeError::Corrupt { detail, .. })
                    if *detail == "the node is missing");
            assert!(noticed || place == 1, "byte {place} of {}: {result:?}", hex::encode(&key));
            damaged_count += u32::from(noticed);
        }
    }
    assert!(damaged_count > 1000, "{damaged_count}");
}

#[test]
fn a_missing_or_empty_node_is_corrupt() {
    let fixture = two_batches();
    let root_key = fixture
        .store
        .keys(TREE_NODES)
        .into_iter()
        .find(|key| key[..4] == [0, 0, 0, 1] && key.len() == 5);
    let root_key = root_key.unwrap();
    let open = |store: &support::Memory| {
        let tree = Tree::open(store, TreeConfig { cache_bytes: 0 }).unwrap();
        let next = tree.next_batch();
        tree.extend(store, next, &[write(slot(3), 4, B256::ZERO)], &Two).map(|done| done.root)
    };
    assert!(open(&fixture.store).is_ok());
    for value in [None, Some(Vec::new()), Some(vec![0xff; 7])] {
        let mut store = fixture.store.clone();
        let mut set = WriteSet::new();
        match value {
            None => set.delete(TREE_NODES, root_key.clone()),
            Some(value) => set.put(TREE_NODES, root_key.clone(), value),
        }
        store.write(set);
        assert!(is_corrupt(open(&store), TREE_NODES, &root_key));
    }
}

#[test]
fn a_damaged_leaf_is_not_moved() {
    let mut fixture = Fixture::new(0);
    fixture.extend(&first_writes(0..1)).unwrap();
    let [leaf_key] = fixture.store.keys(TREE_NODES).try_into().unwrap();
    let row = fixture.store.rows.get_mut(&(TREE_NODES.index, leaf_key.clone())).unwrap();
    *row.last_mut().unwrap() ^= 2;
    let next = fixture.tree.next_batch();
    let result = fixture.tree.extend(&fixture.store, next, &first_writes(1..2), &Two);
    assert!(is_corrupt(result, TREE_NODES, &leaf_key));
}

#[test]
fn a_damaged_root_is_corrupt() {
    let fixture = two_batches();
    for value in [Vec::new(), vec![3], vec![0, 1], vec![1; 20]] {
        let mut store = fixture.store.clone();
        let mut set = WriteSet::new();
        set.put(TREE_ROOTS, [0, 0, 0, 1], value);
        store.write(set);
        let config = TreeConfig { cache_bytes: 0 };
        assert!(is_corrupt(Tree::open(&store, config), TREE_ROOTS, &[0, 0, 0, 1]));
        assert!(is_corrupt(root_of(&store, L1BatchNumber(1)), TREE_ROOTS, &[0, 0, 0, 1]));
    }
}
