//! What L1 should hold of a batch.
//!
//! Pure functions over the protocol's words: [`batch_commitment`] puts together what the modules
//! compute, each one part of a commitment; the hashes that all batches share, and the commitment
//! of genesis, which every replica checks before anything else, are here.

#![warn(missing_docs)]

pub mod batch;
pub mod blobs;
pub mod bootloader_heap;
pub mod commit_tx;
pub mod events_queue;
pub mod l2_to_l1;
pub mod poseidon2;
pub mod pubdata;
#[cfg(test)]
mod published;
pub mod state_diffs;
pub mod system_logs;

use lockstep_types::{
    B256, BaseSystemContracts, Commitment, LeafIndex, ProtocolVersion, StateRoot, keccak256,
};

pub use self::{
    batch::{
        Aux, CommitmentError, CommitmentInput, CommitmentParts, DiffsAux, ListsAux,
        batch_commitment,
    },
    commit_tx::commit_difference,
};

/// Blobs that the auxiliary output names, from v23 on.
const BLOB_COUNT: usize = 16;

/// Hash of what the batch leaves to the next one: the tree.
pub fn pass_through_hash(next_leaf_index: LeafIndex, root: StateRoot) -> B256 {
    let mut bytes = [0; 80];
    bytes[..8].copy_from_slice(&next_leaf_index.0.to_be_bytes());
    bytes[8..40].copy_from_slice(root.bytes());
    // The second tree, of zkPorter, does not exist: index 0 and root 0.
    keccak256(bytes)
}

/// Hash of the bytecodes that ran the batch.
pub fn meta_hash(contracts: &BaseSystemContracts, version: ProtocolVersion) -> B256 {
    let mut bytes = vec![0]; // zkPorter is not available.
    bytes.extend_from_slice(contracts.bootloader.bytes());
    bytes.extend_from_slice(contracts.default_account.bytes());
    if version >= ProtocolVersion::EVM_EMULATOR_IN_META {
        let emulator = contracts.evm_emulator.unwrap_or(contracts.default_account);
        bytes.extend_from_slice(emulator.bytes());
    }
    keccak256(bytes)
}

/// The commitment of a batch from its three parts.
pub fn commitment(pass_through: B256, meta: B256, aux: B256) -> Commitment {
    Commitment(keccak256([pass_through.0, meta.0, aux.0].concat()))
}

/// The commitment of genesis. `None` for versions before v23, whose genesis has other parts and
/// can no longer be started from.
pub fn genesis_commitment(
    next_leaf_index: LeafIndex,
    root: StateRoot,
    contracts: &BaseSystemContracts,
    version: ProtocolVersion,
) -> Option<Commitment> {
    if version < ProtocolVersion::EVM_EMULATOR_IN_META {
        return None;
    }
    // No system logs, no state diffs, no heap, no events, and empty blob slots.
    let nothing = keccak256([]);
    let mut aux = [nothing.0, nothing.0, [0; 32], [0; 32]].concat();
    aux.extend_from_slice(&[0; 64 * BLOB_COUNT]);
    let pass_through = pass_through_hash(next_leaf_index, root);
    let meta = meta_hash(contracts, version);
    Some(commitment(pass_through, meta, keccak256(aux)))
}

#[cfg(test)]
mod tests {
    use lockstep_types::{BytecodeHash, alloy_primitives::b256};

    use super::*;

    /// Announced by `en_genesisConfig` of a chain that began with v29.
    #[test]
    fn genesis_commitment_equals_an_announced_one() {
        let hash = |hash| BytecodeHash(hash);
        let contracts = BaseSystemContracts {
            bootloader: hash(b256!(
                "0100092f045c41c21bd08a9c6fa909fa6a8b446e3f6cd9f08356352a3195a40c"
            )),
            default_account: hash(b256!(
                "010005f74935e95e527d18ea9bfc82906fb20903a5683c528ee7af404e9bd531"
            )),
            evm_emulator: Some(hash(b256!(
                "01000d8bae37b82f311186426184866498b357f41d7a02ced11f3e3fbfbacd63"
            ))),
        };
        let root = b256!("9e610b2465f39a0fc8988ee7ea1539262729cc2f28b060545a04b7a6d190f7b5");
        let expected = b256!("34a4fe4347f9322225f9b38a120074fcebb5a911d2d9b20c531c441567454ff2");
        let version = ProtocolVersion(29);
        let computed = genesis_commitment(LeafIndex(84), StateRoot(root), &contracts, version);
        assert_eq!(computed, Some(Commitment(expected)));
        let older =
            genesis_commitment(LeafIndex(84), StateRoot(root), &contracts, ProtocolVersion(22));
        assert_eq!(older, None);
    }
}
