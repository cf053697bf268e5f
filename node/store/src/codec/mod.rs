//! Bytes on disk. Every layout here is a promise to data directories that exist: each has a
//! vector, and a change needs a new layout number in [`META`](crate::tables::META).

mod batch;
mod block;
mod bytes;
mod chain;
mod log_rows;
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
    log_rows::{LogRole, log_rows},
    state::{SlotInfo, StoredBytecode},
    transaction::TxPosition,
};
pub(crate) use self::{
    log_rows::{LogPlaces, PREFIX_BYTES, block_of_log_key, log_key, log_places, word_prefix},
    state::{block_of_state_key, state_key, state_prefix_until},
    transaction::{position_key, positions_of, tx_hash},
};
