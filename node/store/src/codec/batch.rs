//! Layouts of [`BATCHES`](crate::tables::BATCHES), [`BATCH_WRITES`](crate::tables::BATCH_WRITES)
//! and [`COMMITMENT_INPUTS`](crate::tables::COMMITMENT_INPUTS).

use lockstep_types::{
    BatchClaim, BatchHeader, BatchWrite, CommitmentInputs, L2ToL1Log, StorageSlot,
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
layout!(L2ToL1Log { shard_id, is_service, tx_index_in_batch, sender, key, value });
