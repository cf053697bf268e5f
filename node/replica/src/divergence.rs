//! What is known of a batch whose root is another one here than at the main node, although both
//! have the same blocks: in one line of the log, for whoever looks for the cause.

use lockstep_store::{ChainView, StoreFault};
use lockstep_tree::root_of;
use lockstep_types::{L1BatchNumber, StateRoot, keccak256};
use tracing::error;

/// Logs everything that is stored about `batch` and tells it apart.
///
/// # Errors
///
/// [`StoreFault`].
pub(crate) fn report(
    view: &ChainView,
    batch: L1BatchNumber,
    ours: StateRoot,
    theirs: StateRoot,
) -> Result<(), StoreFault> {
    let header = view.batch(batch)?;
    let Some(header) = header else { return Ok(()) };
    let writes = view.batch_writes(batch)?.unwrap_or_default();
    let mut bytes = Vec::with_capacity(writes.len() * 72);
    for write in &writes {
        bytes.extend_from_slice(write.hashed_key.bytes());
        bytes.extend_from_slice(&write.leaf_index.0.to_be_bytes());
        bytes.extend_from_slice(write.value.as_slice());
    }
    let last = view.block(header.last_block)?;
    let before = batch.prev().and_then(|before| root_of(view.raw(), before).ok().flatten());
    error!(
        l1_batch = batch.0,
        first_difference = "state root",
        %ours,
        %theirs,
        root_before = ?before.map(|root| root.root),
        leaf_count_before = ?before.map(|root| root.leaf_count),
        next_leaf_index = header.next_leaf_index.0,
        writes = writes.len(),
        writes_keccak256 = %keccak256(&bytes),
        first_block = header.first_block.0,
        last_block = header.last_block.0,
        last_block_hash = ?last.as_ref().map(|block| block.hash),
        timestamp_s = header.timestamp.0,
        l1_txs = header.l1_tx_count,
        l2_txs = header.l2_tx_count,
        priority_ops_hash = %header.priority_ops_hash,
        base_system_contracts = ?last.as_ref().map(|block| block.params.base_system_contracts),
        fee_input = ?last.as_ref().map(|block| block.params.fee_input),
        fee_account = ?last.as_ref().map(|block| block.params.fee_account),
        protocol_version = %header.version,
        agreed_batch = ?view.agreed_batch()?,
        release = env!("CARGO_PKG_VERSION"),
        "divergence: the same blocks, another root"
    );
    Ok(())
}
