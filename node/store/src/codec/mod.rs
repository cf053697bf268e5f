//! Bytes on disk. Every layout here is a promise to data directories that exist: each has a
//! vector, and a change needs a new layout number in [`META`](crate::tables::META).

mod batch;
mod block;
mod bytes;
mod chain;
mod receipt;
#[cfg(test)]
mod sample;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod transaction;

pub use self::{
    bytes::{Decode, Encode, Malformed, decode, encode},
    chain::ChainIdentity,
    state::{SlotInfo, StoredBytecode},
    transaction::TxPosition,
};
pub(crate) use self::{
    state::{block_of_state_key, state_key, state_prefix_until},
    transaction::{position_key, positions_of},
};
