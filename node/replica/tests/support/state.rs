//! The chain's state as the producer keeps it: a map, and the tree of the specification, computed
//! from nothing each time.

use std::{collections::BTreeMap, sync::LazyLock};

use lockstep_types::{
    B256, BytecodeHash, Bytes, HashedKey, LeafIndex, StateRoot, StorageSlot, address,
};
use lockstep_vm::{StorageError, VmStorage};

use super::word;

/// Every slot with its index and value.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) slots: BTreeMap<StorageSlot, (LeafIndex, B256)>,
}

impl State {
    /// The state before the first block of a chain with these contracts.
    pub(crate) fn genesis(contracts: &[(lockstep_types::Address, B256)]) -> Self {
        let mut slots = BTreeMap::new();
        for (account, hash) in contracts {
            slots.insert(StorageSlot::code_hash(*account), *hash);
            slots.insert(StorageSlot::known_code(*hash), word(1));
        }
        let context =
            [(0, 270), (3, 1_125_899_906_842_624), (4, 0x8001), (5, 2_500_000_000_000_000)];
        for (key, value) in context {
            slots.insert(StorageSlot::new(address::SYSTEM_CONTEXT, word(key)), word(value));
        }
        let mut state = Self::default();
        state.apply(&slots.into_iter().collect::<Vec<_>>());
        state
    }

    /// The index after the last one.
    pub(crate) fn next_index(&self) -> LeafIndex {
        LeafIndex(u64::try_from(self.slots.len()).unwrap() + 1)
    }

    /// Applies the final writes of a batch, which are in canonical order.
    pub(crate) fn apply(&mut self, writes: &[(StorageSlot, B256)]) {
        for (slot, value) in writes {
            let next = self.next_index();
            self.slots.entry(*slot).or_insert((next, B256::ZERO)).1 = *value;
        }
    }

    pub(crate) fn root(&self) -> StateRoot {
        let leaves: BTreeMap<_, _> =
            self.slots.iter().map(|(slot, leaf)| (slot.hashed_key(), *leaf)).collect();
        StateRoot(B256::new(subtree(&leaves.into_iter().collect::<Vec<_>>(), 256)))
    }
}

impl VmStorage for State {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        Ok(self.slots.get(slot).map_or(B256::ZERO, |(_, value)| *value))
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        Ok(self.slots.get(slot).map(|(index, _)| *index))
    }

    fn bytecode(&mut self, _hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        Ok(None)
    }
}

static EMPTY: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let next = |hash: &[u8; 32]| Some(blake2s(&[hash, hash]));
    std::iter::successors(Some(blake2s(&[&[0; 40]])), next).take(257).collect()
});

fn subtree(leaves: &[(HashedKey, (LeafIndex, B256))], height: usize) -> [u8; 32] {
    match (leaves, height) {
        ([], _) => EMPTY[height],
        ([(_, (index, value)), ..], 0) => blake2s(&[&index.0.to_be_bytes(), &value.0]),
        _ => {
            let bit = height - 1;
            let is_right = |key: &HashedKey| key.bytes()[bit / 8] >> (bit % 8) & 1 == 1;
            let (right, left): (Vec<_>, Vec<_>) = leaves.iter().partition(|leaf| is_right(&leaf.0));
            blake2s(&[&subtree(&left, bit), &subtree(&right, bit)])
        }
    }
}

fn blake2s(parts: &[&[u8]]) -> [u8; 32] {
    *blake2s_simd::blake2s(&parts.concat()).as_array()
}
