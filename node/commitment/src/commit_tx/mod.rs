//! What a commit transaction must say of a batch, and where one says something else.

use lockstep_types::{
    B256, BatchCommitment, CommitBody, CommitDiffs, CommitInfo, CommitLists, Difference, L2ToL1Log,
    ProtocolVersion, PubdataType, U256, address, keccak256,
};

use crate::{
    CommitmentError, CommitmentInput,
    blobs::{BLOB_BYTES, Blob},
    state_diffs::{StateDiff, WriteLists, list_of},
    system_logs::serialized,
};

/// Pubdata is in the calldata, or was handed on in it.
const IN_CALLDATA: u8 = 0;
/// Pubdata is in blobs.
const IN_BLOBS: u8 = 1;
/// The largest byte by which a validium says where its pubdata is (v21 to v25).
const SOURCE_MAX: u8 = 2;

/// The first field in which `theirs`, read from a commit transaction, is not what it must be;
/// `None` if every field is. `ours` is the batch's own commitment, and `tx_blobs` are the versioned
/// hashes of the transaction's blobs, if L1 names them.
///
/// Where pubdata was published is the operator's choice and taken from `theirs`; that it is this
/// batch's pubdata is not. For each blob this takes some hundred milliseconds.
///
/// Not compared: bytecodes that batches before v18 published, and proofs of inclusion for data
/// availability layers other than the settlement layer (from v26 on).
///
/// # Errors
///
/// [`CommitmentError`] if what is stored of the batch contradicts itself.
pub fn commit_difference(
    input: &CommitmentInput<'_>,
    ours: &BatchCommitment,
    theirs: &CommitInfo,
    tx_blobs: Option<&[B256]>,
) -> Result<Option<Difference>, CommitmentError> {
    if let Some(difference) = header_difference(input, theirs) {
        return Ok(Some(difference));
    }
    match &theirs.body {
        CommitBody::Lists(theirs) => lists_difference(input, ours, theirs),
        CommitBody::Diffs(theirs) => diffs_difference(input, ours, theirs, tx_blobs),
    }
}

fn words(field: &'static str, ours: B256, theirs: B256) -> Option<Difference> {
    (ours != theirs).then(|| Difference::new(field, ours, theirs))
}

fn header_difference(input: &CommitmentInput<'_>, theirs: &CommitInfo) -> Option<Difference> {
    let header = input.header;
    let numbers = [
        ("batchNumber", u64::from(header.number.0), theirs.number),
        ("timestamp", header.timestamp.0, theirs.timestamp),
        ("indexRepeatedStorageChanges", header.next_leaf_index.0, theirs.next_leaf_index),
    ];
    let differs = numbers.into_iter().find(|(_, ours, theirs)| ours != theirs);
    if let Some((field, ours, theirs)) = differs {
        return Some(Difference::new(field, ours, theirs));
    }
    let l1_tx_count = U256::from(header.l1_tx_count);
    words("newStateRoot", input.root.0, theirs.root)
        .or_else(|| words("numberOfLayer1Txs", l1_tx_count.into(), theirs.l1_tx_count.into()))
        .or_else(|| {
            words("priorityOperationsHash", header.priority_ops_hash, theirs.priority_ops_hash)
        })
}

fn lists_difference(
    input: &CommitmentInput<'_>,
    ours: &BatchCommitment,
    theirs: &CommitLists,
) -> Result<Option<Difference>, CommitmentError> {
    if ours.diffs.is_some() {
        return Ok(Some(Difference::new("form", "of v18 or later", "of a version before v18")));
    }
    let diffs = StateDiff::join(input.writes, &input.inputs.changed, input.first_new_leaf_index)?;
    let lists = WriteLists::of(&diffs);
    let mut logs = list_of(input.l2_to_l1_logs.len());
    logs.extend(serialized(input.l2_to_l1_logs));
    Ok(words("l2LogsTreeRoot", ours.l2_to_l1_root, theirs.l2_to_l1_root)
        .or_else(|| {
            Difference::of_bytes("initialStorageChanges", &lists.initial, &theirs.initial_writes)
        })
        .or_else(|| {
            Difference::of_bytes("repeatedStorageChanges", &lists.repeated, &theirs.repeated_writes)
        })
        .or_else(|| Difference::of_bytes("l2Logs", &logs, &theirs.logs))
        .or_else(|| messages_difference(input.l2_to_l1_logs, theirs)))
}

/// Each message's hash is in a log that its sender made.
fn messages_difference(logs: &[L2ToL1Log], theirs: &CommitLists) -> Option<Difference> {
    let ours = logs.iter().filter(|log| log.sender == address::L1_MESSENGER);
    let ours: Vec<_> = ours.map(|log| log.value).collect();
    let theirs: Vec<_> = theirs.messages.iter().map(keccak256).collect();
    let show = |hashes: &[B256]| format!("{} messages, hash {}", hashes.len(), hash_of(hashes));
    (ours != theirs)
        .then(|| Difference::new("l2ArbitraryLengthMessages", show(&ours), show(&theirs)))
}

fn hash_of(hashes: &[B256]) -> B256 {
    keccak256(hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>())
}

fn diffs_difference(
    input: &CommitmentInput<'_>,
    ours: &BatchCommitment,
    theirs: &CommitDiffs,
    tx_blobs: Option<&[B256]>,
) -> Result<Option<Difference>, CommitmentError> {
    let Some(hashes) = ours.diffs else {
        return Ok(Some(Difference::new("form", "of a version before v18", "of v18 or later")));
    };
    let logs = serialized(&input.inputs.system_logs);
    let difference = words("bootloaderHeapInitialContentsHash", hashes.heap_hash, theirs.heap_hash)
        .or_else(|| {
            words("eventsQueueStateHash", hashes.events_queue_hash, theirs.events_queue_hash)
        })
        .or_else(|| Difference::of_bytes("systemLogs", &logs, &theirs.system_logs));
    if difference.is_some() {
        return Ok(difference);
    }
    let da = Da {
        version: input.header.version,
        pubdata: input.inputs.pubdata.as_ref().map(|pubdata| &pubdata[..]),
        state_diffs_hash: hashes.state_diffs_hash,
    };
    da.difference(input.pubdata_type, &theirs.da_input, tx_blobs)
}

/// What the last field of a batch is made of.
#[derive(Clone, Copy, Debug)]
struct Da<'a> {
    version: ProtocolVersion,
    pubdata: Option<&'a [u8]>,
    state_diffs_hash: B256,
}

impl Da<'_> {
    fn difference(
        &self,
        pubdata_type: PubdataType,
        theirs: &[u8],
        tx_blobs: Option<&[B256]>,
    ) -> Result<Option<Difference>, CommitmentError> {
        let is_rollup = pubdata_type == PubdataType::Rollup;
        match (self.version.0, is_rollup) {
            (0..=20, true) => {
                Ok(Difference::of_bytes("totalL2ToL1Pubdata", self.pubdata()?, theirs))
            }
            (0..=20, false) => Ok(Difference::of_bytes("totalL2ToL1Pubdata", &[], theirs)),
            (21..=25, true) => self.published("pubdataCommitments", theirs, 0, tx_blobs),
            (21..=25, false) => Ok(match theirs {
                [0..=SOURCE_MAX] => None,
                other => Difference::of_bytes("pubdataCommitments", &[IN_CALLDATA], other),
            }),
            (26.., true) => self.with_header(theirs, tx_blobs),
            (26.., false) => Ok(self.validium(pubdata_type, theirs)),
        }
    }

    fn pubdata(&self) -> Result<&[u8], CommitmentError> {
        self.pubdata.ok_or(CommitmentError::NoPubdata)
    }

    /// From v26 on: what the DA validator on L2 said, then as before.
    fn with_header(
        &self,
        theirs: &[u8],
        tx_blobs: Option<&[B256]>,
    ) -> Result<Option<Difference>, CommitmentError> {
        let pubdata = self.pubdata()?;
        let chunks: Vec<_> = pubdata.chunks(BLOB_BYTES).collect();
        let count = u8::try_from(chunks.len())
            .map_err(|_too_many| CommitmentError::TooMuchPubdata(pubdata.len()))?;
        let mut header = [self.state_diffs_hash.0, keccak256(pubdata).0].concat();
        header.push(count);
        for chunk in chunks {
            let hash = crate::blobs::linear_hash(chunk).expect("chunks are no longer than blobs");
            header.extend_from_slice(hash.as_slice());
        }
        let split = header.len().min(theirs.len());
        let difference = Difference::of_bytes("operatorDAInput header", &header, &theirs[..split]);
        if difference.is_some() {
            return Ok(difference);
        }
        self.published("operatorDAInput", &theirs[split..], 32, tx_blobs)
    }

    /// A byte for the place, and pubdata or what stands for it; `gap` zeros follow each blob.
    fn published(
        &self,
        field: &'static str,
        theirs: &[u8],
        gap: usize,
        tx_blobs: Option<&[B256]>,
    ) -> Result<Option<Difference>, CommitmentError> {
        let pubdata = self.pubdata()?;
        let blobs = || pubdata.chunks(BLOB_BYTES).filter_map(Blob::of_chunk);
        let mut ours = Vec::new();
        match theirs.first() {
            Some(&IN_CALLDATA) => {
                ours.push(IN_CALLDATA);
                ours.extend_from_slice(pubdata);
                // Do not commit to blobs if the pubdata is another one anyway.
                if theirs.starts_with(&ours) {
                    blobs().for_each(|blob| ours.extend(blob.hashes().commitment.0));
                }
                Ok(Difference::of_bytes(field, &ours, theirs))
            }
            Some(&IN_BLOBS) => {
                ours.push(IN_BLOBS);
                let mut versioned_hashes = Vec::new();
                for blob in blobs() {
                    ours.extend(blob.pubdata_commitment());
                    ours.resize(ours.len() + gap, 0);
                    versioned_hashes.push(blob.versioned_hash());
                }
                let difference = Difference::of_bytes(field, &ours, theirs);
                Ok(difference.or_else(|| blobs_difference(&versioned_hashes, tx_blobs)))
            }
            Some(other) => {
                let ours = "pubdata in calldata (0) or in blobs (1)";
                Ok(Some(Difference::new("pubdata source", ours, other)))
            }
            None => Ok(Some(Difference::new("pubdata source", "a byte", "nothing"))),
        }
    }

    fn validium(&self, pubdata_type: PubdataType, theirs: &[u8]) -> Option<Difference> {
        let ours = self.state_diffs_hash;
        // Where other layers hold the data, they prove so; that is not checked here.
        let may_follow = match pubdata_type {
            PubdataType::Rollup | PubdataType::NoDa => false,
            PubdataType::Avail
            | PubdataType::Celestia
            | PubdataType::Eigen
            | PubdataType::ObjectStore => true,
        };
        let compared = if may_follow { &theirs[..theirs.len().min(32)] } else { theirs };
        Difference::of_bytes("operatorDAInput", ours.as_slice(), compared)
    }
}

/// The batch's blobs are some of the transaction's, in order.
fn blobs_difference(ours: &[B256], tx_blobs: Option<&[B256]>) -> Option<Difference> {
    let theirs = tx_blobs?;
    let is_there = ours.is_empty() || theirs.windows(ours.len()).any(|blobs| blobs == ours);
    (!is_there).then(|| {
        let show = |hashes: &[B256]| format!("{hashes:?}");
        Difference::new("blobVersionedHashes", show(ours), show(theirs))
    })
}

#[cfg(test)]
mod tests;
