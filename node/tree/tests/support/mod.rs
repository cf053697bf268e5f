//! A store of two tables in a `BTreeMap`, a tree that is obviously right, and shorthands.

#![allow(dead_code, reason = "every test binary uses another part")]

use std::{collections::BTreeMap, sync::LazyLock};

use lockstep_io::{
    Dir, KeyRange, Par, Scan, Seq, StoreError, Table, Value, View, WriteSet, store::Change,
};
use lockstep_tree::{Tree, TreeConfig, TreeError, TreeRoot};
use lockstep_types::{B256, BatchWrite, HashedKey, L1BatchNumber, LeafIndex, StateRoot};

/// A store and its view in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) rows: BTreeMap<(usize, Vec<u8>), Vec<u8>>,
}

impl Memory {
    pub(crate) fn write(&mut self, set: WriteSet) {
        for change in set.changes {
            match change {
                Change::Put { table, key, value } => {
                    self.rows.insert((table.index, key), value);
                }
                Change::Delete { table, key } => {
                    self.rows.remove(&(table.index, key));
                }
                Change::DeleteRange { table, range } => {
                    self.rows
                        .retain(|(index, key), _| *index != table.index || !range.contains(key));
                }
            }
        }
    }

    pub(crate) fn keys(&self, table: Table) -> Vec<Vec<u8>> {
        let of_table = |(index, _): &&(usize, Vec<u8>)| *index == table.index;
        self.rows.keys().filter(of_table).map(|(_, key)| key.clone()).collect()
    }
}

impl View for Memory {
    fn seq(&self) -> Seq {
        Seq(0)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        Ok(self.rows.get(&(table.index, key.to_vec())).map(|value| value.clone().into()))
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, StoreError> {
        keys.iter().map(|key| self.get(table, key)).collect()
    }

    fn scan(&self, table: Table, range: KeyRange, dir: Dir) -> Scan<'_> {
        let rows = self
            .rows
            .iter()
            .filter(move |((index, key), _)| *index == table.index && range.contains(key));
        let rows = rows.map(|((_, key), value)| Ok((key.clone(), value.clone().into())));
        match dir {
            Dir::Up => Box::new(rows),
            Dir::Down => Box::new(rows.rev()),
        }
    }
}

/// Two threads, in whatever order they come.
#[derive(Debug)]
pub(crate) struct Two;

impl Par for Two {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            scope.spawn(|| (0..count).rev().step_by(2).for_each(f));
            (0..count).rev().skip(1).step_by(2).for_each(f);
        });
    }
}

/// A tree with its store.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) store: Memory,
    pub(crate) tree: Tree,
}

impl Fixture {
    pub(crate) fn new(cache_bytes: usize) -> Self {
        let store = Memory::default();
        let tree = Tree::open(&store, TreeConfig { cache_bytes }).unwrap();
        Self { store, tree }
    }

    pub(crate) fn extend(&mut self, writes: &[BatchWrite]) -> Result<TreeRoot, TreeError> {
        let batch = self.tree.next_batch();
        let mut extension = self.tree.extend(&self.store, batch, writes, &Two)?;
        self.store.write(std::mem::take(&mut extension.write_set));
        let root = TreeRoot { root: extension.root, leaf_count: extension.leaf_count };
        self.tree.applied(extension);
        assert_eq!(self.tree.root(), root);
        Ok(root)
    }

    pub(crate) fn reopen(&mut self, cache_bytes: usize) {
        self.tree = Tree::open(&self.store, TreeConfig { cache_bytes }).unwrap();
    }

    pub(crate) fn truncate_above(&mut self, batch: u32) {
        let mut truncation = self.tree.truncate_above(&self.store, L1BatchNumber(batch)).unwrap();
        self.store.write(std::mem::take(&mut truncation.write_set));
        self.tree.truncated(truncation);
    }
}

pub(crate) fn key(bytes: [u8; 32]) -> HashedKey {
    HashedKey(B256::new(bytes))
}

pub(crate) fn write(key: HashedKey, index: u64, value: B256) -> BatchWrite {
    BatchWrite { hashed_key: key, leaf_index: LeafIndex(index), value }
}

/// The tree of the specification, computed from nothing each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NaiveTree {
    pub(crate) leaves: BTreeMap<HashedKey, (u64, B256)>,
}

impl NaiveTree {
    pub(crate) fn extend(&mut self, writes: &[BatchWrite]) {
        for write in writes {
            self.leaves.insert(write.hashed_key, (write.leaf_index.0, write.value));
        }
    }

    pub(crate) fn root(&self) -> TreeRoot {
        let leaves: Vec<_> = self.leaves.iter().collect();
        let root = StateRoot(B256::new(subtree(&leaves, 256)));
        TreeRoot { root, leaf_count: self.leaves.len() as u64 }
    }
}

static EMPTY: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let next = |hash: &[u8; 32]| Some(blake2s(&[hash, hash]));
    std::iter::successors(Some(subtree(&[], 0)), next).take(257).collect()
});

fn subtree(leaves: &[(&HashedKey, &(u64, B256))], height: usize) -> [u8; 32] {
    if height == 0 {
        let (index, value) = leaves.first().map_or((0, B256::ZERO), |(_, leaf)| **leaf);
        return blake2s(&[&index.to_be_bytes(), &value.0]);
    }
    if leaves.is_empty() {
        return EMPTY[height];
    }
    let bit = height - 1;
    let goes_right = |key: &HashedKey| key.bytes()[bit / 8] >> (bit % 8) & 1 == 1;
    let (right, left): (Vec<_>, Vec<_>) = leaves.iter().partition(|(key, _)| goes_right(key));
    blake2s(&[&subtree(&left, bit), &subtree(&right, bit)])
}

fn blake2s(parts: &[&[u8]]) -> [u8; 32] {
    *blake2s_simd::blake2s(&parts.concat()).as_array()
}
