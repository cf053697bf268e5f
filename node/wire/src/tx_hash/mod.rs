//! Whether a transaction is what its hash says: every field is compared with the bytes that were
//! signed or requested, and the hash is recomputed.
//!
//! A custom account may accept any signature, so the signature of a typed-data transaction is not
//! verified here; it is part of the hash, and running the transaction verifies it. Fields that
//! are part of no hash (when it was received, obsolete fields of priority operations, the L1
//! block of a request) cannot be checked.

mod canonical;
mod check;
mod decode;
mod rlp;
mod signer;
mod typed_data;

pub use self::{
    canonical::requested_bytes,
    check::{Checked, TxMismatch, check_transaction},
    decode::{DecodeError, decode_raw, typed_data_signer},
};

#[cfg(test)]
mod tests;
