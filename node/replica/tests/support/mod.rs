//! A toy chain, its main node and its L1 on a scripted network, and a replica that follows them in
//! virtual time.

pub(crate) mod chain;
pub(crate) mod disk;
pub(crate) mod state;
pub(crate) mod upstream;
pub(crate) mod world;

use lockstep_types::{B256, U256};

/// A number as a word.
pub(crate) fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}
