//! Hashes that could be mistaken for one another.

use std::fmt;

use alloy_primitives::B256;

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub B256);

        impl $name {
            /// The bytes, in the order in which they are printed.
            pub fn bytes(&self) -> &[u8; 32] {
                &self.0.0
            }
        }

        impl From<B256> for $name {
            fn from(hash: B256) -> Self {
                Self(hash)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

hash! {
    /// Hash of an L2 block.
    L2BlockHash
}
hash! {
    /// Hash of a transaction.
    TxHash
}
hash! {
    /// Root of the state tree after a batch.
    StateRoot
}
hash! {
    /// The hash that L1 stores for a batch.
    Commitment
}
hash! {
    /// Versioned hash of a bytecode; its first byte tells EraVM (1) from EVM (2).
    BytecodeHash
}
hash! {
    /// Blake2s of a storage slot's address and key: its place in the state tree.
    HashedKey
}
