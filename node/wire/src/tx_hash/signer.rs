//! Who signed a digest.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

use super::DecodeError;

/// A signature as it stands in an envelope.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSignature {
    pub(super) is_y_odd: bool,
    pub(super) r: U256,
    pub(super) s: U256,
}

impl RawSignature {
    /// A signature whose `v` is the parity itself, or 27 more.
    pub(super) fn with_parity(v: u64, r: U256, s: U256) -> Result<Self, DecodeError> {
        match v {
            0 | 27 => Ok(Self { is_y_odd: false, r, s }),
            1 | 28 => Ok(Self { is_y_odd: true, r, s }),
            _ => Err(DecodeError::Signature),
        }
    }

    /// `r ‖ s ‖ v` with a `v` of 27 or 28: the form in which it is handed on.
    pub(super) fn packed(&self) -> Bytes {
        let mut packed = [0; 65];
        packed[..32].copy_from_slice(&self.r.to_be_bytes::<32>());
        packed[32..64].copy_from_slice(&self.s.to_be_bytes::<32>());
        packed[64] = 27 + u8::from(self.is_y_odd);
        packed.to_vec().into()
    }

    /// Address of the key that signed `digest`.
    pub(super) fn signer(&self, digest: B256) -> Result<Address, DecodeError> {
        let (r, s) = (self.r.to_be_bytes::<32>(), self.s.to_be_bytes::<32>());
        let signature =
            Signature::from_scalars(r, s).map_err(|_no_detail| DecodeError::Signature)?;
        // The same key signs with s and with its negative, whose point has the other parity.
        let (signature, is_y_odd) = match signature.normalize_s() {
            Some(low) => (low, !self.is_y_odd),
            None => (signature, self.is_y_odd),
        };
        let id = RecoveryId::new(is_y_odd, false);
        let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, id)
            .map_err(|_no_detail| DecodeError::Signature)?;
        let point = key.to_encoded_point(false);
        let hash = keccak256(&point.as_bytes()[1..]);
        Ok(Address::from_slice(&hash[12..]))
    }
}
