//! JSON shapes of the main node, of L1 and of our API, with conversions to and from
//! [`lockstep_types`], and the calldata of commit transactions.
//!
//! Reading is tolerant: unknown fields are ignored, fields that some releases leave out may be
//! missing, and a protocol version is any number. What cannot be understood is a [`WireError`]
//! that names the block and the field. Whether what was said is true is decided elsewhere, with
//! one exception: [`tx_hash`] says whether a transaction is what its own hash says.

pub mod announced;
pub mod commit;
pub mod divergence;
pub mod en;
pub mod eth;
pub mod ots;
pub mod quantity;
pub mod time;
pub mod tx_hash;
pub mod zks;

mod error;

pub use self::{
    announced::Announced,
    en::{SyncBlock, SyncBlockParts},
    error::WireError,
    tx_hash::{Checked, DecodeError, TxMismatch, check_transaction, decode_raw},
};
