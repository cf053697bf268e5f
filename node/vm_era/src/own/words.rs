//! Words of the machine and ours.

use lockstep_types::{Address, B256, U256};
use zksync_types::{H160, U256 as Word};

pub(crate) fn u256_of(word: B256) -> Word {
    Word::from_big_endian(word.as_slice())
}

pub(crate) fn b256_of(word: Word) -> B256 {
    let mut bytes = [0; 32];
    word.to_big_endian(&mut bytes);
    B256::new(bytes)
}

pub(crate) fn word_of(number: U256) -> Word {
    Word(*number.as_limbs())
}

pub(crate) fn number_of(word: Word) -> U256 {
    U256::from_limbs(word.0)
}

pub(crate) fn address_of(address: &H160) -> Address {
    Address::new(address.0)
}

pub(crate) fn word_of_address(address: Address) -> Word {
    Word::from_big_endian(address.as_slice())
}

/// Words of `bytes`, the last one filled up with zeros.
pub(crate) fn words_of(bytes: &[u8]) -> impl Iterator<Item = Word> + '_ {
    bytes.chunks(32).map(|chunk| {
        let mut word = [0; 32];
        word[..chunk.len()].copy_from_slice(chunk);
        Word::from_big_endian(&word)
    })
}
