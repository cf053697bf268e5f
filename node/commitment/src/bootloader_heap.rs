//! The commitment to what the bootloader's heap held when the batch began (from v18 on): every
//! word of it, also the empty ones, is a memory query.

use lockstep_types::{B256, ProtocolVersion, U256};

use crate::{
    events_queue::above_limb,
    poseidon2::{self, RATE, State, WIDTH},
};

/// Memory page of the bootloader's heap.
const HEAP_PAGE: u64 = 10;
/// The query writes; it would be bit 33 for a pointer.
const WRITES: u64 = 1 << 32;

/// Words of the heap that are committed to; `None` before v18, which has no such commitment.
pub fn heap_word_count(version: ProtocolVersion) -> Option<u32> {
    let bytes = match version.0 {
        0..=17 => return None,
        18 | 19 => 1 << 24,
        20 => 24_000_000,
        21 | 22 => 30_000_000,
        23 => 59_000_000,
        24.. => 63_800_000,
    };
    Some(bytes / 32)
}

/// The commitment to a heap of `word_count` words, of which `words` are those that are not zero
/// (index and value), in ascending order. `None` if they are not, or one lies beyond the heap.
///
/// One permutation for each word: seconds of one core for a whole heap.
pub fn bootloader_heap_hash(words: &[(u32, U256)], word_count: u32) -> Option<B256> {
    let is_ascending = words.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if !is_ascending || words.last().is_some_and(|last| last.0 >= word_count) {
        return None;
    }
    let mut state: State = [0; WIDTH];
    let mut words = words.iter().peekable();
    for index in 0..word_count {
        let value = words.next_if(|word| word.0 == index).map_or(U256::ZERO, |word| word.1);
        poseidon2::absorb(&mut state, &query(index, value));
    }
    Some(B256::from(poseidon2::digest(&finished(state))))
}

/// The write of `value` to the word at `index`, as field elements: the three high limbs lie above
/// the 32 bits of the others.
fn query(index: u32, value: U256) -> [u64; RATE] {
    let mut block = [0, HEAP_PAGE, u64::from(index) | WRITES, 0, 0, 0, 0, 0];
    if value.is_zero() {
        return block;
    }
    let bytes = value.to_le_bytes::<32>();
    let (low, high) = bytes.split_at(20);
    for (element, limb) in block[3..].iter_mut().zip(low.chunks_exact(4)) {
        *element = limb.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    for (element, bytes) in block[3..].iter_mut().zip(high.chunks_exact(3)) {
        *element |= above_limb(bytes);
    }
    block
}

/// Hashes a whole state, not only its first elements.
fn finished(tail: State) -> State {
    let mut input = [0; 2 * RATE];
    input[..WIDTH].copy_from_slice(&tail);
    input[WIDTH] = 1;
    let mut state: State = [0; WIDTH];
    for block in input.as_chunks::<RATE>().0 {
        poseidon2::absorb(&mut state, block);
    }
    state
}

#[cfg(test)]
mod tests {
    use lockstep_types::alloy_primitives::b256;

    use super::*;

    #[test]
    fn heaps_of_a_few_words_have_the_known_hashes() {
        let one = b256!("56a1cbf81811cc06dbce65f94fb3a36fa32334a9c2e18599446506f21182b0aa");
        assert_eq!(bootloader_heap_hash(&[], 1), Some(one));
        let four = b256!("301accdd5faa277dd0ff362098d52165d6b170090ed73105056312c6833bd4dd");
        let words = [(0, U256::from(1)), (1, U256::from(2)), (2, U256::from(3)), (3, U256::MAX)];
        assert_eq!(bootloader_heap_hash(&words, 4), Some(four));
    }

    #[test]
    fn words_beyond_the_heap_or_out_of_order_are_refused() {
        assert_eq!(bootloader_heap_hash(&[(4, U256::from(1))], 4), None);
        assert_eq!(bootloader_heap_hash(&[(1, U256::from(1)), (0, U256::from(1))], 4), None);
        assert_eq!(bootloader_heap_hash(&[(1, U256::from(1)), (1, U256::from(1))], 4), None);
    }

    #[test]
    fn an_explicit_zero_is_an_empty_word() {
        let explicit = [(1, U256::ZERO), (2, U256::from(7))];
        assert_eq!(bootloader_heap_hash(&explicit, 4), bootloader_heap_hash(&explicit[1..], 4));
    }

    #[test]
    fn the_heap_grows_with_versions() {
        let counts =
            [17, 18, 20, 22, 23, 29].map(|version| heap_word_count(ProtocolVersion(version)));
        let expected =
            [None, Some(524_288), Some(750_000), Some(937_500), Some(1_843_750), Some(1_993_750)];
        assert_eq!(counts, expected);
    }
}
