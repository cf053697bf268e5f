//! Storage slots and writes.

use alloy_primitives::{Address, B256, U256, keccak256};

use crate::{HashedKey, address};

/// A storage slot. Ordered by address, then key: the canonical order of slots in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageSlot {
    /// Contract that owns the slot.
    pub address: Address,
    /// Key inside the contract.
    pub key: B256,
}

/// A write of `value` to `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageWrite {
    /// Where.
    pub slot: StorageSlot,
    /// What the slot holds afterwards.
    pub value: B256,
}

impl StorageSlot {
    /// A slot by contract and key.
    pub fn new(address: Address, key: B256) -> Self {
        Self { address, key }
    }

    /// Blake2s-256 of twelve zero bytes, address and key.
    pub fn hashed_key(&self) -> HashedKey {
        let mut bytes = [0; 64];
        bytes[12..32].copy_from_slice(self.address.as_slice());
        bytes[32..].copy_from_slice(self.key.as_slice());
        let hash = blake2s_simd::blake2s(&bytes);
        HashedKey(B256::from_slice(hash.as_bytes()))
    }

    /// The slot that holds the code hash of `account`.
    pub fn code_hash(account: Address) -> Self {
        Self::new(address::ACCOUNT_CODE_STORAGE, account.into_word())
    }

    /// The slot that holds the nonces of `account`; see [`Nonces`].
    pub fn nonces(account: Address) -> Self {
        Self::new(address::NONCE_HOLDER, mapping_key(account, 0))
    }

    /// The slot that holds the base-token balance of `account`.
    pub fn balance(account: Address) -> Self {
        Self::new(address::BASE_TOKEN, mapping_key(account, 0))
    }

    /// The slot that is non-zero once the bytecode with this versioned hash is known.
    pub fn known_code(hash: B256) -> Self {
        Self::new(address::KNOWN_CODES_STORAGE, hash)
    }
}

/// Key of `account` in the Solidity mapping at slot number `mapping`.
fn mapping_key(account: Address, mapping: u64) -> B256 {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(account.into_word().as_slice());
    bytes[32..].copy_from_slice(&U256::from(mapping).to_be_bytes::<32>());
    keccak256(bytes)
}

/// The two nonces that share one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonces {
    /// Counts the transactions of the account.
    pub tx: U256,
    /// Counts the contracts that the account has deployed.
    pub deployment: U256,
}

impl Nonces {
    /// Reads the value of a nonce slot: `deployment · 2¹²⁸ + tx`.
    pub fn from_value(value: B256) -> Self {
        let tx = U256::from_be_slice(&value[16..]);
        let deployment = U256::from_be_slice(&value[..16]);
        Self { tx, deployment }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    #[test]
    fn nonces_share_one_word() {
        let value = b256!("0000000000000000000000000000000300000000000000000000000000000007");
        let nonces = Nonces::from_value(value);
        assert_eq!(nonces, Nonces { tx: U256::from(7), deployment: U256::from(3) });
    }

    #[test]
    fn hashed_key_depends_on_address_and_key() {
        let slot = StorageSlot::new(address::SYSTEM_CONTEXT, B256::ZERO);
        let other = StorageSlot::new(address::BASE_TOKEN, B256::ZERO);
        assert_ne!(slot.hashed_key(), other.hashed_key());
        assert_eq!(slot.hashed_key(), slot.hashed_key());
    }
}
