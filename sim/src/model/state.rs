//! The chain's state as the producer keeps it: a map, and the state tree written down from its
//! definition, remembering the hashes of subtrees that did not change.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, OnceLock},
};

use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, HashedKey, LeafIndex, StateRoot, StorageSlot, U256, address,
};
use lockstep_vm::{StorageError, VmStorage};

/// Every slot with its index and value, and the tree over them. Clones share the tree.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Slots with their leaf indices and values.
    pub slots: BTreeMap<StorageSlot, (LeafIndex, B256)>,
    tree: Option<Arc<Node>>,
}

impl State {
    /// The state before the first block of a chain with these contracts.
    pub fn genesis(contracts: &[(Address, B256)]) -> Self {
        let mut slots = BTreeMap::new();
        for (account, hash) in contracts {
            slots.insert(StorageSlot::code_hash(*account), *hash);
            slots.insert(StorageSlot::known_code(*hash), word(1));
        }
        let context = [(0, 270), (3, 1 << 50), (4, 0x8001), (5, 2_500_000_000_000_000)];
        for (key, value) in context {
            slots.insert(StorageSlot::new(address::SYSTEM_CONTEXT, word(key)), word(value));
        }
        let mut state = Self::default();
        state.apply(&slots.into_iter().collect::<Vec<_>>());
        state
    }

    /// The index after the last one.
    pub fn next_index(&self) -> LeafIndex {
        LeafIndex(u64::try_from(self.slots.len()).unwrap_or(u64::MAX) + 1)
    }

    /// Applies the final writes of a batch, which are in canonical order.
    pub fn apply(&mut self, writes: &[(StorageSlot, B256)]) {
        for (slot, value) in writes {
            let next = self.next_index();
            let (index, held) = self.slots.entry(*slot).or_insert((next, B256::ZERO));
            *held = *value;
            let leaf = Node::leaf(slot.hashed_key(), *index, *value);
            self.tree = Some(match self.tree.take() {
                None => leaf,
                Some(tree) => tree.with(leaf),
            });
        }
    }

    /// What `slot` holds; zero if it was never written.
    pub fn value(&self, slot: &StorageSlot) -> B256 {
        self.slots.get(slot).map_or(B256::ZERO, |(_, value)| *value)
    }

    /// The root of the state tree.
    pub fn root(&self) -> StateRoot {
        StateRoot(B256::new(self.tree.as_ref().map_or(EMPTY[256], |tree| tree.hash_at(256))))
    }
}

impl VmStorage for State {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        Ok(Self::value(self, slot))
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        Ok(self.slots.get(slot).map(|(index, _)| *index))
    }

    fn bytecode(&mut self, _hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        Ok(None)
    }
}

/// A subtree that is not empty: a leaf, or a fork of two such. Between them are only forks with an
/// empty side, which are not kept.
#[derive(Debug)]
struct Node {
    /// A key inside.
    key: HashedKey,
    /// Levels between this node and the leaves: 0 for a leaf.
    height: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Its hash.
    Leaf([u8; 32]),
    /// Left and right.
    Fork([Side; 2]),
}

/// What is on one side of a fork.
#[derive(Clone, Debug)]
struct Side {
    node: Arc<Node>,
    /// At the height of the side, which may be far above the node; not before somebody asks.
    hash: OnceLock<[u8; 32]>,
}

impl Side {
    fn of(node: Arc<Node>) -> Self {
        Self { node, hash: OnceLock::new() }
    }

    fn hash_at(&self, height: usize) -> &[u8; 32] {
        self.hash.get_or_init(|| self.node.hash_at(height))
    }
}

impl Node {
    fn leaf(key: HashedKey, index: LeafIndex, value: B256) -> Arc<Self> {
        let hash = blake2s(&[&index.0.to_be_bytes(), &value.0]);
        Arc::new(Self { key, height: 0, content: Content::Leaf(hash) })
    }

    fn fork(height: usize, sides: [Side; 2]) -> Arc<Self> {
        Arc::new(Self { key: sides[0].node.key, height, content: Content::Fork(sides) })
    }

    fn hash(&self) -> [u8; 32] {
        match &self.content {
            Content::Leaf(hash) => *hash,
            Content::Fork(sides) => {
                let [left, right] = sides.each_ref().map(|side| side.hash_at(self.height - 1));
                blake2s(&[left, right])
            }
        }
    }

    /// The hash of the subtree of this height in which nothing else is.
    fn hash_at(&self, height: usize) -> [u8; 32] {
        (self.height..height).fold(self.hash(), |hash, below| {
            if is_right(&self.key, below) {
                blake2s(&[&EMPTY[below], &hash])
            } else {
                blake2s(&[&hash, &EMPTY[below]])
            }
        })
    }

    /// The same with `leaf` in it.
    fn with(self: Arc<Self>, leaf: Arc<Self>) -> Arc<Self> {
        let apart = height_apart(&self.key, &leaf.key);
        if apart > self.height {
            let is_last = is_right(&leaf.key, apart - 1);
            let (leaf, other) = (Side::of(leaf), Side::of(self));
            return Self::fork(apart, if is_last { [other, leaf] } else { [leaf, other] });
        }
        match &self.content {
            Content::Leaf(_) => leaf,
            Content::Fork([left, right]) => {
                let with = |side: &Side, leaf| Side::of(side.node.clone().with(leaf));
                let sides = if is_right(&leaf.key, self.height - 1) {
                    [left.clone(), with(right, leaf)]
                } else {
                    [with(left, leaf), right.clone()]
                };
                Self::fork(self.height, sides)
            }
        }
    }
}

/// Whether `key` is on the right side of a fork whose sides have height `bit`.
fn is_right(key: &HashedKey, bit: usize) -> bool {
    key.bytes()[bit / 8] >> (bit % 8) & 1 == 1
}

/// The height of the smallest subtree with both keys in it; 0 if they are one.
fn height_apart(one: &HashedKey, other: &HashedKey) -> usize {
    let (one, other) = (one.bytes(), other.bytes());
    let differing = (0..32).rev().find(|index| one[*index] != other[*index]);
    differing.map_or(0, |index| {
        let bits = 8 - usize::try_from((one[index] ^ other[index]).leading_zeros()).unwrap_or(0);
        index * 8 + bits
    })
}

static EMPTY: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let next = |hash: &[u8; 32]| Some(blake2s(&[hash, hash]));
    std::iter::successors(Some(blake2s(&[&[0; 40]])), next).take(257).collect()
});

fn blake2s(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake2s_simd::State::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_array()
}

/// A number as a word.
pub(crate) fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dice;

    /// The tree from nothing, as the definition reads.
    fn subtree(leaves: &[(HashedKey, (LeafIndex, B256))], height: usize) -> [u8; 32] {
        match (leaves, height) {
            ([], _) => EMPTY[height],
            ([(_, (index, value)), ..], 0) => blake2s(&[&index.0.to_be_bytes(), &value.0]),
            _ => {
                let (right, left): (Vec<_>, Vec<_>) =
                    leaves.iter().partition(|leaf| is_right(&leaf.0, height - 1));
                blake2s(&[&subtree(&left, height - 1), &subtree(&right, height - 1)])
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition_after_every_batch() {
        let mut dice = Dice::new(5, "state");
        let mut state = State::genesis(&[]);
        for _ in 0..12 {
            let mut writes = BTreeMap::new();
            for _ in 0..dice.below(9) {
                let slot = StorageSlot::new(Address::repeat_byte(7), word(dice.below(30)));
                writes.insert(slot, word(dice.any()));
            }
            state.apply(&writes.into_iter().collect::<Vec<_>>());
            let leaves: Vec<_> =
                state.slots.iter().map(|(slot, leaf)| (slot.hashed_key(), *leaf)).collect();
            assert_eq!(state.root().0.0, subtree(&leaves, 256));
        }
    }
}
