//! Bytecodes and their versioned hashes.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

use crate::BytecodeHash;

/// What a versioned hash says about its bytecode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytecodeKind {
    /// EraVM code of this many 32-byte words.
    Era {
        /// Length in words, odd.
        words: u16,
    },
    /// EVM code of this many bytes; it is stored padded to an odd number of words.
    Evm {
        /// Length without padding.
        bytes: u16,
    },
}

/// Why a bytecode cannot have a versioned hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBytecode {
    /// Code is stored in whole words.
    #[error("its length of {0} bytes is not a multiple of 32")]
    NotInWords(usize),
    /// The number of words must be odd.
    #[error("its number of words, {0}, is even")]
    EvenWords(usize),
    /// The length must fit in the hash.
    #[error("its length of {0} does not fit in two bytes")]
    TooLong(usize),
}

impl BytecodeHash {
    /// Reads kind and length; `None` if the first two bytes are no known marker.
    pub fn kind(&self) -> Option<BytecodeKind> {
        let [marker, flag, high, low, ..] = self.0.0;
        let length = u16::from_be_bytes([high, low]);
        match (marker, flag) {
            (1, 0) => Some(BytecodeKind::Era { words: length }),
            (2, 0) => Some(BytecodeKind::Evm { bytes: length }),
            _ => None,
        }
    }

    /// Versioned hash of EraVM `code`.
    ///
    /// # Errors
    ///
    /// [`InvalidBytecode`] if no EraVM code can look like this.
    pub fn of_era(code: &[u8]) -> Result<Self, InvalidBytecode> {
        let words = words_of(code)?;
        let words = u16::try_from(words).map_err(|_too_big| InvalidBytecode::TooLong(words))?;
        Ok(versioned(1, words, code))
    }

    /// Versioned hash of EVM code given as stored (`padded`) with its length before padding.
    ///
    /// # Errors
    ///
    /// [`InvalidBytecode`] if `padded` is not an odd number of words.
    pub fn of_padded_evm(padded: &[u8], bytes: u16) -> Result<Self, InvalidBytecode> {
        words_of(padded)?;
        Ok(versioned(2, bytes, padded))
    }

    /// Whether `stored` is the bytecode of this hash, in the form in which it is stored.
    pub fn is_of(&self, stored: &[u8]) -> bool {
        let computed = match self.kind() {
            Some(BytecodeKind::Era { .. }) => Self::of_era(stored),
            Some(BytecodeKind::Evm { bytes }) if usize::from(bytes) <= stored.len() => {
                Self::of_padded_evm(stored, bytes)
            }
            Some(BytecodeKind::Evm { .. }) | None => return false,
        };
        computed == Ok(*self)
    }

    /// The code as an API shows it: EVM code without its padding.
    ///
    /// `stored` must be the bytecode of this hash.
    pub fn displayed<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        match self.kind() {
            Some(BytecodeKind::Evm { bytes }) => stored.get(..usize::from(bytes)).unwrap_or(stored),
            Some(BytecodeKind::Era { .. }) | None => stored,
        }
    }
}

fn words_of(code: &[u8]) -> Result<usize, InvalidBytecode> {
    if !code.len().is_multiple_of(32) {
        return Err(InvalidBytecode::NotInWords(code.len()));
    }
    let words = code.len() / 32;
    if words.is_multiple_of(2) {
        return Err(InvalidBytecode::EvenWords(words));
    }
    Ok(words)
}

fn versioned(marker: u8, length: u16, code: &[u8]) -> BytecodeHash {
    let mut hash: [u8; 32] = Sha256::digest(code).into();
    hash[0] = marker;
    hash[1] = 0;
    hash[2..4].copy_from_slice(&length.to_be_bytes());
    BytecodeHash(B256::from(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_belongs_to_its_code_only() {
        let code = [7; 96];
        let hash = BytecodeHash::of_era(&code).unwrap();
        assert_eq!(hash.kind(), Some(BytecodeKind::Era { words: 3 }));
        assert!(hash.is_of(&code));
        assert!(!hash.is_of(&[8; 96]));
        assert!(!hash.is_of(&[7; 32]));
    }

    #[test]
    fn evm_code_is_shown_without_padding() {
        let mut padded = vec![0; 32];
        padded[..3].copy_from_slice(&[0x60, 0x01, 0x00]);
        let hash = BytecodeHash::of_padded_evm(&padded, 3).unwrap();
        assert!(hash.is_of(&padded));
        assert_eq!(hash.displayed(&padded), [0x60, 0x01, 0x00]);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert_eq!(BytecodeHash::of_era(&[0; 31]), Err(InvalidBytecode::NotInWords(31)));
        assert_eq!(BytecodeHash::of_era(&[0; 64]), Err(InvalidBytecode::EvenWords(2)));
        assert_eq!(BytecodeHash::of_era(&[]), Err(InvalidBytecode::EvenWords(0)));
        let long = vec![0; 32 * 65_537];
        assert_eq!(BytecodeHash::of_era(&long), Err(InvalidBytecode::TooLong(65_537)));
    }
}
