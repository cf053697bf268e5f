//! The commitment of a batch, from what the store has of it.

use lockstep_types::{
    B256, BaseSystemContracts, BatchCommitment, BatchHeader, BatchWrite, Commitment,
    CommitmentInputs, DiffHashes, L1BatchNumber, L2ToL1Log, LeafIndex, ProtocolVersion,
    PubdataType, StateRoot, keccak256,
};

use crate::{
    blobs::{BLOB_BYTES, Blob, BlobHashes, blob_slot_count, fills_blob_slots},
    bootloader_heap::{bootloader_heap_hash, heap_word_count},
    commitment,
    events_queue::{IndexedEvent, events_queue_hash},
    l2_to_l1::{LogTree, l2_to_l1_root},
    meta_hash, pass_through_hash,
    state_diffs::{StateDiff, StateDiffError, WriteLists, list_of, state_diffs_hash},
    system_logs::{serialized, system_logs_hash},
};

/// What a batch's commitment is computed from.
#[derive(Clone, Copy, Debug)]
pub struct CommitmentInput<'a> {
    /// The batch.
    pub header: &'a BatchHeader,
    /// Root of the state tree after the batch.
    pub root: StateRoot,
    /// First leaf index that the batch could assign: the batch before's next one.
    pub first_new_leaf_index: LeafIndex,
    /// Bytecodes that ran the batch.
    pub contracts: &'a BaseSystemContracts,
    /// Where the batch's pubdata goes.
    pub pubdata_type: PubdataType,
    /// What was kept of the batch for this.
    pub inputs: &'a CommitmentInputs,
    /// What the batch wrote, in the order of [`CommitmentInputs::changed`].
    pub writes: &'a [BatchWrite],
    /// All events, in order of emission.
    pub events: &'a [IndexedEvent<'a>],
    /// Logs of users for L1 (before v18: all logs), in order of emission.
    pub l2_to_l1_logs: &'a [L2ToL1Log],
    /// Root of the tree over all chains after the batch's last block; see
    /// [`aggregation_root_slot`](crate::l2_to_l1::aggregation_root_slot). Unused before v26.
    pub aggregation_root: B256,
}

/// A batch's commitment and everything between it and the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitmentParts {
    /// Hash of what the batch leaves to the next one.
    pub pass_through_hash: B256,
    /// Hash of what ran the batch.
    pub meta_hash: B256,
    /// Hash of [`aux`](Self::aux).
    pub aux_hash: B256,
    /// What L1 should hold.
    pub commitment: Commitment,
    /// Root of the tree over the batch's own logs.
    pub local_root: B256,
    /// The root that L1 is told: from v26 on, together with that of all chains.
    pub l2_to_l1_root: B256,
    /// What the batch did.
    pub aux: Aux,
}

impl CommitmentParts {
    /// What is kept of them.
    pub fn to_stored(&self, number: L1BatchNumber) -> BatchCommitment {
        let diffs = match &self.aux {
            Aux::Lists(_) => None,
            Aux::Diffs(aux) => Some(DiffHashes {
                state_diffs_hash: aux.state_diffs_hash,
                heap_hash: aux.heap_hash,
                events_queue_hash: aux.events_queue_hash,
            }),
        };
        BatchCommitment {
            number,
            commitment: self.commitment,
            pass_through_hash: self.pass_through_hash,
            meta_hash: self.meta_hash,
            aux_hash: self.aux_hash,
            l2_to_l1_root: self.l2_to_l1_root,
            diffs,
        }
    }
}

/// What the batch did, in the form of its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aux {
    /// Before v18.
    Lists(ListsAux),
    /// From v18 on.
    Diffs(DiffsAux),
}

/// What a batch before v18 did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListsAux {
    /// Root of the tree over all logs.
    pub l2_to_l1_root: B256,
    /// Hash of all logs after their number.
    pub logs_hash: B256,
    /// Writes as they are published.
    pub writes: WriteLists,
}

/// What a batch from v18 on did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffsAux {
    /// Hash of the system logs.
    pub system_logs_hash: B256,
    /// Hash of the state diffs.
    pub state_diffs_hash: B256,
    /// Commitment to the bootloader's heap.
    pub heap_hash: B256,
    /// Commitment to the events.
    pub events_queue_hash: B256,
    /// As many as the version has slots; all empty where pubdata does not go to L1.
    pub blobs: Vec<BlobHashes>,
}

impl Aux {
    /// The batch's auxiliary hash.
    pub fn hash(&self) -> B256 {
        match self {
            Self::Lists(aux) => aux.hash(),
            Self::Diffs(aux) => aux.hash(),
        }
    }
}

impl ListsAux {
    /// The batch's auxiliary hash.
    pub fn hash(&self) -> B256 {
        let initial = keccak256(&self.writes.initial);
        let repeated = keccak256(&self.writes.repeated);
        keccak256([self.l2_to_l1_root.0, self.logs_hash.0, initial.0, repeated.0].concat())
    }
}

impl DiffsAux {
    /// The batch's auxiliary hash.
    pub fn hash(&self) -> B256 {
        let parts =
            [self.system_logs_hash, self.state_diffs_hash, self.heap_hash, self.events_queue_hash];
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.0).collect();
        for blob in &self.blobs {
            bytes.extend_from_slice(blob.linear_hash.as_slice());
            bytes.extend_from_slice(blob.commitment.as_slice());
        }
        keccak256(bytes)
    }
}

/// Why a batch has no commitment: what was stored of it cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    /// Writes and changed slots do not belong together.
    #[error("state diffs: {0}")]
    StateDiffs(#[from] StateDiffError),
    /// More logs than the version's tree has leaves.
    #[error("{0} logs are too many for their tree")]
    TooManyLogs(usize),
    /// The heap is not in ascending order, or longer than the version's.
    #[error("the bootloader's heap is out of order or too long")]
    Heap,
    /// The version needs pubdata, and none is stored.
    #[error("pubdata is missing")]
    NoPubdata,
    /// More pubdata than the version has blobs for.
    #[error("{0} bytes of pubdata are too many for the batch's blobs")]
    TooMuchPubdata(usize),
}

/// Computes the commitment of a batch and its parts.
///
/// From v23 on this takes seconds of one core, nearly all of them for the bootloader's heap;
/// batches do not depend on each other here.
///
/// # Errors
///
/// [`CommitmentError`] if what is stored of the batch contradicts itself.
pub fn batch_commitment(input: &CommitmentInput<'_>) -> Result<CommitmentParts, CommitmentError> {
    let version = input.header.version;
    let (logs, inputs) = (input.l2_to_l1_logs, input.inputs);
    let tree = LogTree::of_batch(logs, version).ok_or(CommitmentError::TooManyLogs(logs.len()))?;
    let local_root = tree.root();
    let l2_to_l1_root = l2_to_l1_root(local_root, input.aggregation_root, version);
    let pubdata = inputs.pubdata.as_ref().map(|pubdata| &pubdata[..]);
    let diffs = StateDiff::join(input.writes, &inputs.changed, input.first_new_leaf_index)?;
    let aux = match heap_word_count(version) {
        None => {
            let logs_hash = logs_list_hash(logs);
            Aux::Lists(ListsAux { l2_to_l1_root, logs_hash, writes: WriteLists::of(&diffs) })
        }
        Some(word_count) => Aux::Diffs(DiffsAux {
            system_logs_hash: system_logs_hash(&inputs.system_logs),
            state_diffs_hash: state_diffs_hash(&diffs),
            blobs: blob_hashes(pubdata, input.pubdata_type, version)?,
            events_queue_hash: events_queue_hash(input.events.iter().copied()),
            heap_hash: bootloader_heap_hash(&inputs.bootloader_heap, word_count)
                .ok_or(CommitmentError::Heap)?,
        }),
    };
    let pass_through_hash = pass_through_hash(input.header.next_leaf_index, input.root);
    let meta_hash = meta_hash(input.contracts, version);
    let aux_hash = aux.hash();
    let commitment = commitment(pass_through_hash, meta_hash, aux_hash);
    Ok(CommitmentParts {
        pass_through_hash,
        meta_hash,
        aux_hash,
        commitment,
        local_root,
        l2_to_l1_root,
        aux,
    })
}

/// Hash of the logs of a batch before v18, after their number.
pub fn logs_list_hash(logs: &[L2ToL1Log]) -> B256 {
    let mut list = list_of(logs.len());
    list.extend(serialized(logs));
    keccak256(list)
}

/// What the auxiliary output has of a batch's blobs, in as many slots as the version has.
///
/// # Errors
///
/// [`CommitmentError::NoPubdata`] and [`CommitmentError::TooMuchPubdata`].
pub fn blob_hashes(
    pubdata: Option<&[u8]>,
    pubdata_type: PubdataType,
    version: ProtocolVersion,
) -> Result<Vec<BlobHashes>, CommitmentError> {
    let mut slots = vec![BlobHashes::default(); blob_slot_count(version)];
    if !fills_blob_slots(version) || pubdata_type != PubdataType::Rollup {
        return Ok(slots);
    }
    let pubdata = pubdata.ok_or(CommitmentError::NoPubdata)?;
    if pubdata.len() > slots.len() * BLOB_BYTES {
        return Err(CommitmentError::TooMuchPubdata(pubdata.len()));
    }
    let blobs = pubdata.chunks(BLOB_BYTES).filter_map(Blob::of_chunk);
    for (slot, blob) in slots.iter_mut().zip(blobs) {
        *slot = blob.hashes();
    }
    Ok(slots)
}

#[cfg(test)]
mod l1_tests;
#[cfg(test)]
mod tests;
