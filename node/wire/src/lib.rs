//! JSON shapes of the main node, of L1 and of our API, with conversions to and from
//! [`lockstep_types`].
//!
//! Reading is tolerant: unknown fields are ignored, fields that some releases leave out may be
//! missing, and a protocol version is any number. What cannot be understood is a [`WireError`]
//! that names the block and the field. Whether what was said is true is decided elsewhere.

pub mod en;
pub mod eth;
pub mod quantity;
pub mod zks;

mod error;

pub use self::{en::SyncBlock, error::WireError};
