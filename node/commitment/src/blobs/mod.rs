//! Pubdata as EIP-4844 blobs: linear hashes, KZG commitments and their openings (from v20 on).
//!
//! The polynomial of a blob has pieces of pubdata as coefficients, while Ethereum's blobs hold its
//! values at roots of unity; a Fourier transform turns one into the other.

mod scalar;

use c_kzg::{Bytes32, KzgSettings, ethereum_kzg_settings};
use lockstep_types::{B256, ProtocolVersion, U256, keccak256};
use sha2::{Digest, Sha256};

use self::scalar::{Scalar, evaluations, value_at};

/// Bytes of pubdata in a coefficient: as many whole bytes as every scalar has.
const PIECE_BYTES: usize = 31;
/// Coefficients of a blob's polynomial.
const PIECES: usize = 4096;

/// Bytes of pubdata in a blob.
pub const BLOB_BYTES: usize = PIECE_BYTES * PIECES;
/// Bytes of [`Blob::pubdata_commitment`].
pub const PUBDATA_COMMITMENT_BYTES: usize = 144;

/// Blobs that the auxiliary output has room for.
pub fn blob_slot_count(version: ProtocolVersion) -> usize {
    match version.0 {
        0..=19 => 0,
        20..=22 => 2,
        23.. => 16,
    }
}

/// Whether batches of this version commit to their pubdata by blobs; v20 has the slots but leaves
/// them empty.
pub fn fills_blob_slots(version: ProtocolVersion) -> bool {
    version.0 >= 21
}

/// What the auxiliary output has of a blob; both zero in a slot without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobHashes {
    /// Keccak-256 of the blob's padded share of pubdata.
    pub linear_hash: B256,
    /// Binds the linear hash to the KZG commitment; see [`blob_commitment`].
    pub commitment: B256,
}

/// Keccak-256 of a blob's share of pubdata, padded with zeros. `None` if it is too long.
pub fn linear_hash(chunk: &[u8]) -> Option<B256> {
    Some(keccak256(padded(chunk)?))
}

/// What L1 keeps of a blob: a hash over the commitment's hash and the opening.
pub fn blob_commitment(versioned_hash: B256, point: [u8; 16], value: B256) -> B256 {
    keccak256([&versioned_hash.0[..], &point, &value.0].concat())
}

/// A blob's share of pubdata, committed to and opened at the point that its hashes decide.
#[derive(Clone, Debug)]
pub struct Blob {
    blob: Box<c_kzg::Blob>,
    kzg_commitment: [u8; 48],
    linear_hash: B256,
    versioned_hash: B256,
    opening_point: [u8; 16],
    opening_value: B256,
}

impl Blob {
    /// Commits to `chunk`. `None` if it is longer than [`BLOB_BYTES`].
    ///
    /// Takes tens of milliseconds; the first call in a process also loads the trusted setup, which
    /// takes longer.
    pub fn of_chunk(chunk: &[u8]) -> Option<Self> {
        let padded = padded(chunk)?;
        let linear_hash = keccak256(&padded);
        // The first piece has the highest power.
        let mut coefficients: Vec<Scalar> =
            padded.chunks_exact(PIECE_BYTES).rev().map(Scalar::from_le_bytes).collect();
        let blob = blob_of(&evaluations(&coefficients));
        let commitment = kzg().blob_to_kzg_commitment(&blob).expect(CANONICAL);
        let kzg_commitment = commitment.to_bytes().into_inner();
        let versioned_hash = versioned_hash(&kzg_commitment);
        let mut opening_point = [0; 16];
        let challenge = keccak256([linear_hash.0, versioned_hash.0].concat());
        opening_point.copy_from_slice(&challenge[16..]);
        coefficients.reverse();
        let value = value_at(&coefficients, point_of(opening_point));
        let opening_value = B256::from(value.to_be_bytes());
        let blob = Box::new(blob);
        Some(Self {
            blob,
            kzg_commitment,
            linear_hash,
            versioned_hash,
            opening_point,
            opening_value,
        })
    }

    /// What the auxiliary output has of this blob.
    pub fn hashes(&self) -> BlobHashes {
        let (hash, point) = (self.versioned_hash, self.opening_point);
        let commitment = blob_commitment(hash, point, self.opening_value);
        BlobHashes { linear_hash: self.linear_hash, commitment }
    }

    /// The hash by which Ethereum knows the blob.
    pub fn versioned_hash(&self) -> B256 {
        self.versioned_hash
    }

    /// The KZG commitment, a compressed point.
    pub fn kzg_commitment(&self) -> [u8; 48] {
        self.kzg_commitment
    }

    /// The low half of the point at which L1 opens the commitment; the high half is zero.
    pub fn opening_point(&self) -> [u8; 16] {
        self.opening_point
    }

    /// The polynomial's value there.
    pub fn opening_value(&self) -> B256 {
        self.opening_value
    }

    /// The blob in Ethereum's form.
    pub fn bytes(&self) -> &[u8] {
        self.blob.as_slice()
    }

    /// Proof of the opening. Takes tens of milliseconds.
    pub fn opening_proof(&self) -> [u8; 48] {
        let point = Bytes32::new(point_of(self.opening_point).to_be_bytes());
        let (proof, value) = kzg().compute_kzg_proof(&self.blob, &point).expect(CANONICAL);
        assert_eq!(*value, self.opening_value.0, "values and coefficients are one polynomial");
        proof.to_bytes().into_inner()
    }

    /// What the commit transaction says of the blob: point, value, commitment and proof.
    pub fn pubdata_commitment(&self) -> [u8; PUBDATA_COMMITMENT_BYTES] {
        let mut bytes = [0; PUBDATA_COMMITMENT_BYTES];
        bytes[..16].copy_from_slice(&self.opening_point);
        bytes[16..48].copy_from_slice(self.opening_value.as_slice());
        bytes[48..96].copy_from_slice(&self.kzg_commitment);
        bytes[96..].copy_from_slice(&self.opening_proof());
        bytes
    }
}

/// The hash by which Ethereum knows a blob with this KZG commitment.
pub fn versioned_hash(kzg_commitment: &[u8; 48]) -> B256 {
    let mut hash: [u8; 32] = Sha256::digest(kzg_commitment).into();
    hash[0] = 1;
    B256::from(hash)
}

const CANONICAL: &str = "scalars that were reduced are canonical";

fn kzg() -> &'static KzgSettings {
    // Precomputation only helps with cell proofs, which nobody needs here.
    ethereum_kzg_settings(0)
}

fn padded(chunk: &[u8]) -> Option<Vec<u8>> {
    if chunk.len() > BLOB_BYTES {
        return None;
    }
    let mut padded = chunk.to_vec();
    padded.resize(BLOB_BYTES, 0);
    Some(padded)
}

fn point_of(low_half: [u8; 16]) -> Scalar {
    Scalar::new(U256::from(u128::from_be_bytes(low_half)))
}

fn blob_of(values: &[Scalar]) -> c_kzg::Blob {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    c_kzg::Blob::from_bytes(&bytes).expect("a blob has 4096 values of 32 bytes")
}

#[cfg(test)]
mod tests {
    use lockstep_types::alloy_primitives::b256;

    use super::*;
    use crate::published;

    #[test]
    fn opening_equals_the_published_one() {
        let path = "src/tests/kzg_test_0.json";
        let Some(vector) = published::json("zksync_kzg-0.153", path) else { return };
        let text = |value: &serde_json::Value| {
            hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
        };
        let expected = |name: &str| text(&vector["expected_outputs"][name]);
        let blob = Blob::of_chunk(&text(&vector["pubdata"])).unwrap();
        let known = b256!("01a70111f6ade45fdff137f00119dd45284d80e1af6bdad336419c07cec93f41");
        assert_eq!(blob.versioned_hash(), known);
        assert_eq!(blob.versioned_hash().to_vec(), expected("versioned_hash"));
        assert_eq!(blob.kzg_commitment().to_vec(), expected("kzg_commitment"));
        assert_eq!(blob.opening_point().to_vec(), expected("opening_point")[16..]);
        assert_eq!(blob.opening_value().to_vec(), expected("opening_value"));
        assert_eq!(blob.opening_proof().to_vec(), expected("opening_proof"));
        assert_eq!(blob.pubdata_commitment().to_vec(), expected("pubdata_commitment"));
    }

    /// The commitment to zero is the point at infinity.
    #[test]
    fn empty_chunk_has_the_commitment_to_zero() {
        let blob = Blob::of_chunk(&[]).unwrap();
        let mut infinity = [0; 48];
        infinity[0] = 0xc0;
        assert_eq!(blob.kzg_commitment(), infinity);
        assert_eq!(blob.opening_value(), B256::ZERO);
        assert_eq!(blob.opening_proof(), infinity);
        assert_eq!(Some(blob.hashes().linear_hash), linear_hash(&[0; 5]));
    }

    #[test]
    fn chunk_longer_than_a_blob_is_refused() {
        assert!(Blob::of_chunk(&vec![0; BLOB_BYTES + 1]).is_none());
        assert!(linear_hash(&vec![0; BLOB_BYTES + 1]).is_none());
    }
}
