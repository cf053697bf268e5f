//! `zks_getProof`.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{Address, B256, HashedKey, L1BatchNumber, StorageSlot};
use lockstep_wire::zks::{Proof, StorageProof};

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("zks_getProof", proof);
}

/// Proofs against the root after a batch; none until the tree has the batch.
fn proof(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<Proof>> {
    let address: Address = params.next()?;
    let keys: Vec<B256> = params.next()?;
    let batch = L1BatchNumber(params.next()?);
    if keys.len() > call.config.proof_keys_max {
        return Err(ApiError::TooManyKeys(call.config.proof_keys_max));
    }
    let hashed: Vec<HashedKey> =
        keys.iter().map(|key| StorageSlot::new(address, *key).hashed_key()).collect();
    let proofs = lockstep_tree::proof(call.view.raw(), batch, &hashed)?;
    let shown = |(key, proof): (B256, lockstep_tree::Proof)| StorageProof {
        key,
        proof: proof.siblings,
        value: proof.value,
        index: proof.index.0,
    };
    Ok(proofs.map(|proofs| Proof {
        address,
        storage_proof: keys.into_iter().zip(proofs).map(shown).collect(),
    }))
}
