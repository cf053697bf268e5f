//! `zks_getL2ToL1LogProof`.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_commitment::l2_to_l1::{
    LogTree, aggregation_height_slot, aggregation_root_slot, l2_to_l1_root,
};
use lockstep_types::{
    B256, BatchHeader, L1BatchNumber, L2BlockNumber, L2ToL1Log, ProtocolVersion, TxHash,
};
use lockstep_wire::zks::{InteropMode, L2ToL1LogProof};

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

/// Version of the metadata that proofs begin with from v26 on.
const METADATA_VERSION: u8 = 1;

pub(super) fn register(methods: &mut Methods) {
    methods.add("zks_getL2ToL1LogProof", proof);
}

/// That a log of a transaction is under the root that L1 is told of its batch.
///
/// None of a log that is not there or whose batch is not sealed. From v26 on none of a batch that
/// was executed on a gateway: only the main node knows what leads from there to L1. A batch that is
/// not executed yet is taken to be executed where the newest one was that is; its proof will not
/// change, but nobody can use it before.
fn proof(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<L2ToL1LogProof>> {
    let hash = TxHash(params.next::<B256>()?);
    let index: Option<usize> = params.optional_next()?;
    let _root_of_gateway: Option<InteropMode> = params.optional_next()?;
    let Some(position) = call.view.tx_position(&hash)? else { return Ok(None) };
    let header = call.header(position.block)?;
    let Some(batch) = call.view.batch(header.params.batch)? else { return Ok(None) };
    let logs = logs_of(call, &batch)?;
    let tx_index = header.first_tx_index_in_batch.saturating_add(position.index);
    let of_tx = (0..).zip(&logs).filter(|(_, log)| u32::from(log.tx_index_in_batch) == tx_index);
    let Some((leaf, _)) = of_tx.map(|(leaf, log): (usize, _)| (leaf, log)).nth(index.unwrap_or(0))
    else {
        return Ok(None);
    };
    let bad = ApiError::BadAnswer("a batch has more logs than its tree has leaves");
    let tree = LogTree::of_batch(&logs, batch.version).ok_or(bad)?;
    let missing = ApiError::BadAnswer("a tree of logs has no path to one of its leaves");
    let mut proof = tree.path(leaf).ok_or(missing)?;
    let mut root = tree.root();
    if batch.version >= ProtocolVersion::GATEWAY {
        if !settles_on_l1(call, batch.number)? {
            return Ok(None);
        }
        let aggregation = aggregation_root(call, batch.last_block)?;
        root = l2_to_l1_root(root, aggregation, batch.version);
        proof.push(aggregation);
        proof.insert(0, metadata_on_l1(proof.len()));
    }
    Ok(Some(L2ToL1LogProof {
        proof,
        id: u32::try_from(leaf).unwrap_or(u32::MAX),
        root,
        batch_number: u64::from(batch.number.0),
    }))
}

/// Whether a batch was executed on L1, or is expected to be.
fn settles_on_l1(call: &Call, batch: L1BatchNumber) -> ApiResult<bool> {
    let execute = match call.view.steps(batch)?.execute {
        Some(execute) => Some(execute),
        None => {
            let newest = call.newest_batch(|steps| steps.execute.is_some())?;
            call.view.steps(newest)?.execute
        }
    };
    let l1 = call.identity()?.l1_chain_id;
    Ok(execute.is_some_and(|execute| execute.chain_id == l1))
}

/// The batch's logs of users, in the order of their leaves.
fn logs_of(call: &Call, batch: &BatchHeader) -> ApiResult<Vec<L2ToL1Log>> {
    let mut logs = Vec::new();
    for number in batch.first_block.0..=batch.last_block.0 {
        let number = L2BlockNumber(number);
        if call.header(number)?.l2_to_l1_log_count == 0 {
            continue;
        }
        let receipts = call.view.receipts(number)?;
        logs.extend(receipts.into_iter().flat_map(|receipt| receipt.l2_to_l1_logs));
    }
    Ok(logs)
}

/// Root of the tree over all chains after `block`.
fn aggregation_root(call: &Call, block: L2BlockNumber) -> ApiResult<B256> {
    let height = call.view.slot_at(&aggregation_height_slot(), block)?;
    Ok(call.view.slot_at(&aggregation_root_slot(height), block)?)
}

/// Says that `length` siblings lead to a root that is on L1 itself.
fn metadata_on_l1(length: usize) -> B256 {
    let mut metadata = B256::ZERO;
    metadata[0] = METADATA_VERSION;
    metadata[1] = u8::try_from(length).unwrap_or(u8::MAX);
    metadata[3] = 1;
    metadata
}
