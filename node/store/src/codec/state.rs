//! Layouts of [`STATE`](crate::tables::STATE), [`SLOTS`](crate::tables::SLOTS) and
//! [`BYTECODES`](crate::tables::BYTECODES).

use lockstep_types::{Bytes, HashedKey, L1BatchNumber, L2BlockNumber, LeafIndex};

use super::bytes::layout;

/// When a slot was first written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its index.
    pub leaf_index: LeafIndex,
    /// The batch that wrote it first.
    pub batch: L1BatchNumber,
}

/// A bytecode and since when it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBytecode {
    /// The block that made it known.
    pub since: L2BlockNumber,
    /// The code, as stored.
    pub code: Bytes,
}

layout!(SlotInfo { leaf_index, batch });
layout!(StoredBytecode { since, code });

/// Key of the value of `key` from `block` on.
pub(crate) fn state_key(key: &HashedKey, block: L2BlockNumber) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..32].copy_from_slice(key.bytes());
    bytes[32..].copy_from_slice(&block.0.to_be_bytes());
    bytes
}

/// The first key after every value of `key` up to and including `block`.
pub(crate) fn state_prefix_until(key: &HashedKey, block: L2BlockNumber) -> Vec<u8> {
    let mut bytes = state_key(key, block).to_vec();
    bytes.push(0);
    bytes
}

/// The block in a key of the state table; `None` if it is no such key.
pub(crate) fn block_of_state_key(key: &[u8]) -> Option<L2BlockNumber> {
    let number = key.get(32..36)?;
    Some(L2BlockNumber(u32::from_be_bytes(number.try_into().ok()?)))
}
