//! What a batch did to storage, as L1 hears of it: state diffs from v18 on, and before that two
//! lists of writes.

use lockstep_types::{B256, BatchWrite, HashedKey, LeafIndex, StorageSlot, U256, keccak256};

/// Format of compressed state diffs.
const COMPRESSION_VERSION: u8 = 1;
/// Bytes of a leaf index in compressed state diffs.
const LEAF_INDEX_BYTES: u8 = 4;
/// An encoded diff is padded to two blocks of Keccak.
const ENCODED_BYTES: usize = 272;
/// Values this long are not worth a shorter form.
const SHORT_BYTES_END: usize = 31;

/// A slot whose value a batch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateDiff {
    /// The slot.
    pub slot: StorageSlot,
    /// Its place in the tree.
    pub hashed_key: HashedKey,
    /// Its index before the batch; `None` if the batch wrote it first.
    pub leaf_index: Option<LeafIndex>,
    /// Value before the batch; zero in an initial write.
    pub before: B256,
    /// Value after it.
    pub after: B256,
}

/// Why writes and changed slots of a batch do not make state diffs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateDiffError {
    /// There are not as many writes as changed slots.
    #[error("{writes} writes for {changed} changed slots")]
    OtherCount {
        /// Number of writes.
        writes: usize,
        /// Number of changed slots.
        changed: usize,
    },
    /// A write is not that of the slot at its place.
    #[error("write {0} is to another slot")]
    OtherSlot(usize),
    /// Slots are not in canonical order.
    #[error("slot {0} is not above the one before it")]
    NotAscending(usize),
    /// A leaf index does not fit in compressed diffs.
    #[error("leaf index {0} does not fit in four bytes")]
    LeafIndexTooBig(LeafIndex),
    /// The compressed diffs have no room to say how many they are.
    #[error("{0} are too many for compressed diffs")]
    TooMany(usize),
}

impl StateDiff {
    /// Joins what the batch wrote with what the slots held before, both in canonical order.
    /// `first_new` is the first leaf index that the batch could assign.
    ///
    /// # Errors
    ///
    /// [`StateDiffError`] if the two lists are not about the same slots in canonical order: what
    /// was stored of the batch is wrong.
    pub fn join(
        writes: &[BatchWrite],
        changed: &[(StorageSlot, B256)],
        first_new: LeafIndex,
    ) -> Result<Vec<Self>, StateDiffError> {
        if writes.len() != changed.len() {
            let (writes, changed) = (writes.len(), changed.len());
            return Err(StateDiffError::OtherCount { writes, changed });
        }
        if let Some(place) = changed.windows(2).position(|pair| pair[0].0 >= pair[1].0) {
            return Err(StateDiffError::NotAscending(place + 1));
        }
        let mut diffs = Vec::with_capacity(writes.len());
        for (place, (write, (slot, before))) in writes.iter().zip(changed).enumerate() {
            let hashed_key = slot.hashed_key();
            if hashed_key != write.hashed_key {
                return Err(StateDiffError::OtherSlot(place));
            }
            let leaf_index = (write.leaf_index < first_new).then_some(write.leaf_index);
            let before = if leaf_index.is_some() { *before } else { B256::ZERO };
            diffs.push(Self { slot: *slot, hashed_key, leaf_index, before, after: write.value });
        }
        Ok(diffs)
    }

    /// Whether the batch wrote the slot first.
    pub fn is_initial(&self) -> bool {
        self.leaf_index.is_none()
    }

    fn encode(&self) -> [u8; ENCODED_BYTES] {
        let index = self.leaf_index.unwrap_or_default();
        let mut bytes = [0; ENCODED_BYTES];
        bytes[..20].copy_from_slice(self.slot.address.as_slice());
        bytes[20..52].copy_from_slice(self.slot.key.as_slice());
        bytes[52..84].copy_from_slice(self.hashed_key.bytes());
        bytes[84..92].copy_from_slice(&index.0.to_be_bytes());
        bytes[92..124].copy_from_slice(self.before.as_slice());
        bytes[124..156].copy_from_slice(self.after.as_slice());
        bytes
    }
}

/// Hash of all state diffs of a batch, in canonical order of slots.
pub fn state_diffs_hash(diffs: &[StateDiff]) -> B256 {
    let encoded: Vec<u8> = diffs.iter().flat_map(StateDiff::encode).collect();
    keccak256(encoded)
}

/// The form in which state diffs are published.
///
/// # Errors
///
/// [`StateDiffError::LeafIndexTooBig`] and [`StateDiffError::TooMany`] where the form has no room.
pub fn compress(diffs: &[StateDiff]) -> Result<Vec<u8>, StateDiffError> {
    let initial_count = diffs.iter().filter(|diff| diff.is_initial()).count();
    let Ok(count) = u16::try_from(initial_count) else {
        return Err(StateDiffError::TooMany(initial_count));
    };
    let mut body = count.to_be_bytes().to_vec();
    for diff in diffs.iter().filter(|diff| diff.is_initial()) {
        body.extend_from_slice(diff.hashed_key.bytes());
        compress_value(diff.before, diff.after, &mut body);
    }
    for (index, diff) in diffs.iter().filter_map(|diff| Some((diff.leaf_index?, diff))) {
        let Ok(short) = u32::try_from(index.0) else {
            return Err(StateDiffError::LeafIndexTooBig(index));
        };
        body.extend_from_slice(&short.to_be_bytes());
        compress_value(diff.before, diff.after, &mut body);
    }
    let length = match u32::try_from(body.len()).map(u32::to_be_bytes) {
        Ok([0, length @ ..]) => length,
        Ok(_) | Err(_) => return Err(StateDiffError::TooMany(diffs.len())),
    };
    let mut bytes = vec![COMPRESSION_VERSION];
    bytes.extend_from_slice(&length);
    bytes.push(LEAF_INDEX_BYTES);
    bytes.append(&mut body);
    Ok(bytes)
}

/// Appends the shortest way to say how `before` became `after`: what was added, what was
/// subtracted, or the new value; in this order among equally short ones.
fn compress_value(before: B256, after: B256, out: &mut Vec<u8>) {
    let (old, new) = (U256::from_be_bytes(before.0), U256::from_be_bytes(after.0));
    let ways = [(1, new.wrapping_sub(old)), (2, old.wrapping_sub(new)), (3, new)];
    let shortest = ways
        .into_iter()
        .map(|(operation, value)| (value.bit_len().div_ceil(8), operation, value))
        .filter(|(length, ..)| *length < SHORT_BYTES_END)
        .min_by_key(|(length, operation, _)| (*length, *operation));
    if let Some((length, operation, value)) = shortest {
        // Below 31, so this is a byte.
        let metadata = u8::try_from(length << 3).expect("a short length") | operation;
        out.push(metadata);
        out.extend_from_slice(&value.to_be_bytes::<32>()[32 - length..]);
    } else {
        out.push(0);
        out.extend_from_slice(after.as_slice());
    }
}

/// The two lists of writes in which batches before v18 are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteLists {
    /// Initial writes, after their number.
    pub initial: Vec<u8>,
    /// Repeated writes, after their number.
    pub repeated: Vec<u8>,
}

impl WriteLists {
    /// The lists of `diffs`, which are in canonical order.
    pub fn of(diffs: &[StateDiff]) -> Self {
        let initial_count = diffs.iter().filter(|diff| diff.is_initial()).count();
        let mut initial = list_of(initial_count);
        let mut repeated = list_of(diffs.len() - initial_count);
        for diff in diffs {
            let list = match diff.leaf_index {
                None => {
                    initial.extend_from_slice(diff.hashed_key.bytes());
                    &mut initial
                }
                Some(index) => {
                    repeated.extend_from_slice(&index.0.to_be_bytes());
                    &mut repeated
                }
            };
            list.extend_from_slice(diff.after.as_slice());
        }
        Self { initial, repeated }
    }
}

/// The beginning of a list of `count` items, as versions before v18 serialize it.
pub(crate) fn list_of(count: usize) -> Vec<u8> {
    u32::try_from(count).expect("a batch has fewer than 2³² items").to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use lockstep_types::Address;

    use super::*;

    fn compressed(before: U256, after: U256) -> Vec<u8> {
        let mut out = Vec::new();
        compress_value(B256::from(before), B256::from(after), &mut out);
        out
    }

    #[test]
    fn values_are_said_in_the_shortest_way() {
        let n = |value: u64| U256::from(value);
        assert_eq!(compressed(n(255_438_218), n(255_438_638)), [17, 1, 164]);
        assert_eq!(compressed(n(580_481_589), n(229_496_100)), [34, 20, 235, 157, 17]);
        assert_eq!(compressed(n(580_481_589), n(1337)), [19, 5, 57]);
        assert_eq!(compressed(n(580_481_589), n(0)), [3]);
        assert_eq!(compressed(U256::MAX, n(1)), [9, 2]);
        assert_eq!(compressed(n(0), U256::MAX), [10, 1]);
    }

    #[test]
    fn a_value_of_31_bytes_is_given_in_full() {
        let half = U256::from(1) << 255;
        assert_eq!(compressed(U256::ZERO, half)[0], 0);
        assert_eq!(compressed(U256::ZERO, half).len(), 33);
        let long = U256::from(1) << 240;
        assert_eq!(compressed(U256::ZERO, long)[0], 0);
        let short = U256::from(1) << 239;
        assert_eq!(compressed(U256::ZERO, short)[0], 30 << 3 | 1);
    }

    fn slot(key: u8) -> StorageSlot {
        StorageSlot::new(Address::repeat_byte(7), B256::with_last_byte(key))
    }

    fn write(key: u8, index: u64) -> BatchWrite {
        let value = B256::with_last_byte(9);
        BatchWrite { hashed_key: slot(key).hashed_key(), leaf_index: LeafIndex(index), value }
    }

    #[test]
    fn slots_with_new_indices_are_initial_and_have_no_value_before() {
        let changed = [(slot(1), B256::with_last_byte(3)), (slot(2), B256::with_last_byte(4))];
        let writes = [write(1, 10), write(2, 11)];
        let diffs = StateDiff::join(&writes, &changed, LeafIndex(11)).unwrap();
        assert_eq!(diffs[0].leaf_index, Some(LeafIndex(10)));
        assert_eq!(diffs[0].before, B256::with_last_byte(3));
        assert!(diffs[1].is_initial());
        assert_eq!(diffs[1].before, B256::ZERO);
        let bytes = compress(&diffs).unwrap();
        assert_eq!(bytes[..7], [1, 0, 0, 2 + 34 + 6, 4, 0, 1]);
        assert_eq!(bytes[7..39], *slot(2).hashed_key().bytes());
        assert_eq!(bytes[39..], [9, 9, 0, 0, 0, 10, 9, 6]);
    }

    #[test]
    fn lists_that_do_not_belong_together_are_refused() {
        let changed = [(slot(1), B256::ZERO), (slot(2), B256::ZERO)];
        let join = |writes: &[BatchWrite], changed: &[_]| {
            StateDiff::join(writes, changed, LeafIndex(1)).unwrap_err()
        };
        let short = join(&[write(1, 1)], &changed);
        assert_eq!(short, StateDiffError::OtherCount { writes: 1, changed: 2 });
        let other = join(&[write(1, 1), write(3, 2)], &changed);
        assert_eq!(other, StateDiffError::OtherSlot(1));
        let unsorted = join(&[write(2, 1), write(1, 2)], &[changed[1], changed[0]]);
        assert_eq!(unsorted, StateDiffError::NotAscending(1));
    }

    #[test]
    fn an_index_above_32_bits_cannot_be_published() {
        let index = LeafIndex(1 << 32);
        let changed = [(slot(1), B256::ZERO)];
        let diffs = StateDiff::join(&[write(1, index.0)], &changed, LeafIndex(1 << 33)).unwrap();
        assert_eq!(compress(&diffs), Err(StateDiffError::LeafIndexTooBig(index)));
    }
}
