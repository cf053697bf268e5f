//! Layouts of [`BATCHES`](crate::tables::BATCHES), [`BATCH_WRITES`](crate::tables::BATCH_WRITES),
//! [`COMMITMENT_INPUTS`](crate::tables::COMMITMENT_INPUTS), [`CLAIMS`](crate::tables::CLAIMS) and
//! [`COMMITMENTS`](crate::tables::COMMITMENTS).

use lockstep_types::{
    BatchClaim, BatchCommitment, BatchHeader, BatchWrite, CommitmentInputs, DiffHashes, L2ToL1Log,
    StorageSlot,
};

use super::bytes::layout;

layout!(BatchHeader {
    number,
    timestamp,
    version,
    first_block,
    last_block,
    l1_tx_count,
    l2_tx_count,
    next_leaf_index,
    priority_ops_hash,
});
layout!(BatchWrite { hashed_key, leaf_index, value });
layout!(StorageSlot { address, key });
layout!(CommitmentInputs { system_logs, pubdata, bootloader_heap, changed });
layout!(BatchClaim { number, root, commitment });
layout!(BatchCommitment {
    number,
    commitment,
    pass_through_hash,
    meta_hash,
    aux_hash,
    l2_to_l1_root,
    diffs,
});
layout!(DiffHashes { state_diffs_hash, heap_hash, events_queue_hash });
layout!(L2ToL1Log { shard_id, is_service, tx_index_in_batch, sender, key, value });
