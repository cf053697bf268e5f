//! Closing a batch: indices for its initial writes, and the comparison with the VM's own account.

use lockstep_pipeline::StageError;
use lockstep_store::BatchRecord;
use lockstep_types::{
    BatchHeader, BatchTip, BatchWrite, BlockHeader, CommitmentInputs, LeafIndex, ProtocolVersion,
    SealedBatch, StorageSlot,
};

use crate::open_batch::OpenRun;

/// Makes the records of the batch of `run`, whose last block is `last`.
pub(crate) fn seal(
    run: &mut OpenRun,
    last: &BlockHeader,
    tip: BatchTip,
) -> Result<(BatchRecord, SealedBatch), StageError> {
    let changed: Vec<_> = run.changes.of_batch().collect();
    compare(&changed, &tip, last)?;

    let first_new_index = run.next_leaf_index;
    let mut next = first_new_index;
    let mut writes = Vec::with_capacity(changed.len());
    let order: Vec<_> = lockstep_io::planted!("X54", changed.iter().collect(), by_hash(&changed));
    for (slot, _, value) in order {
        let (known, _) = run.changes.state().read(slot)?;
        let leaf_index = known.unwrap_or(next);
        if known.is_none() {
            next = LeafIndex(next.0 + 1);
        }
        writes.push(BatchWrite { hashed_key: slot.hashed_key(), leaf_index, value: *value });
    }

    let params = &run.params;
    let header = BatchHeader {
        number: params.batch,
        timestamp: params.timestamp,
        version: lockstep_io::planted!("X31", params.version, version_before(run)?),
        first_block: params.number,
        last_block: last.params.number,
        l1_tx_count: run.l1_tx_count,
        l2_tx_count: run.l2_tx_count,
        next_leaf_index: next,
        priority_ops_hash: run.priority_ops_hash,
    };
    let commitment_inputs = CommitmentInputs {
        system_logs: tip.system_logs,
        pubdata: tip.pubdata,
        bootloader_heap: tip.bootloader_heap,
        changed: changed.into_iter().map(|(slot, before, _)| (slot, before)).collect(),
    };
    let sealed = SealedBatch { header: header.clone(), writes: writes.clone() };
    Ok((BatchRecord { header, writes, first_new_index, commitment_inputs }, sealed))
}

/// Version of the batch before.
fn version_before(run: &OpenRun) -> Result<ProtocolVersion, StageError> {
    let before = run.params.batch.prev().map(|before| run.view.batch(before)).transpose()?;
    Ok(before.flatten().map_or(run.params.version, |batch| batch.version))
}

/// In the order that a map by hashes might have.
fn by_hash<T>(changed: &[(StorageSlot, T, T)]) -> Vec<&(StorageSlot, T, T)> {
    let mut changed: Vec<_> = changed.iter().collect();
    changed.sort_by_key(|(slot, _, _)| slot.hashed_key());
    changed
}

/// Compares what the blocks changed with what the VM says the batch changed.
fn compare(
    changed: &[(StorageSlot, lockstep_types::B256, lockstep_types::B256)],
    tip: &BatchTip,
    last: &BlockHeader,
) -> Result<(), StageError> {
    let ours = changed.iter().map(|(slot, _, after)| (*slot, *after));
    if ours.clone().eq(tip.final_writes.iter().copied()) {
        return Ok(());
    }
    let first = ours.zip(&tip.final_writes).find(|(ours, theirs)| ours != *theirs);
    let detail = format!(
        "the blocks of batch {} change {} slots, the VM says {}; first difference: {first:?}",
        last.params.batch,
        changed.len(),
        tip.final_writes.len(),
    );
    Err(StageError::Inconsistent { block: last.params.number, detail })
}
