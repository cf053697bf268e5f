//! How far blocks and batches have come.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{
    B256, BatchSteps, BlockHeader, Finality, L1BatchNumber, L2BlockNumber, StepTx, UnixSeconds,
};
use lockstep_wire::{
    en::VersionName,
    zks::{BlockDetails, BlockStatus, DetailsBase, L1BatchDetails, TxFinality},
};

use crate::{
    call::{Call, Methods},
    error::ApiResult,
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("zks_getBlockDetails", block_details);
    methods.add("zks_getL1BatchDetails", batch_details);
}

fn block_details(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<BlockDetails>> {
    let number = L2BlockNumber(params.next()?);
    let Some(header) = call.view.block(number)? else { return Ok(None) };
    let steps = call.view.steps(header.params.batch)?;
    let own = Own {
        timestamp: header.params.timestamp,
        l1_tx_count: header.l1_tx_count,
        l2_tx_count: header.l2_tx_count,
        root_hash: Some(header.hash.0),
        status: block_status(number, &steps),
    };
    Ok(Some(BlockDetails {
        number: number.0,
        l1_batch_number: header.params.batch.0,
        base: base(own, &header, steps, call.view.precommit(number)?),
        operator_address: header.params.fee_account,
        protocol_version: Some(VersionName(header.params.version)),
    }))
}

/// Of a sealed batch. Prices and contracts are the same in all its blocks.
fn batch_details(
    call: &Call,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Option<L1BatchDetails>> {
    let number = L1BatchNumber(params.next()?);
    let Some(batch) = call.view.batch(number)? else { return Ok(None) };
    let header = call.header(batch.first_block)?;
    let steps = call.view.steps(number)?;
    let is_final = number == L1BatchNumber(0) || steps.is_final();
    let own = Own {
        timestamp: batch.timestamp,
        l1_tx_count: batch.l1_tx_count,
        l2_tx_count: batch.l2_tx_count,
        root_hash: lockstep_tree::root_of(call.view.raw(), number)?.map(|tree| tree.root.0),
        status: if is_final { BlockStatus::Verified } else { BlockStatus::Sealed },
    };
    Ok(Some(L1BatchDetails {
        number: number.0,
        commitment: commitment(call, number)?,
        base: base(own, &header, steps, None),
    }))
}

/// What L1 should hold for a batch: ours for genesis, as the main node claims it for others.
fn commitment(call: &Call, number: L1BatchNumber) -> ApiResult<Option<B256>> {
    if number == L1BatchNumber(0) {
        return Ok(Some(call.identity()?.genesis_commitment.0));
    }
    Ok(call.view.claim(number)?.and_then(|claim| claim.commitment).map(|hash| hash.0))
}

fn block_status(number: L2BlockNumber, steps: &BatchSteps) -> BlockStatus {
    if number == L2BlockNumber(0) {
        return BlockStatus::Verified;
    }
    match steps.execute.as_ref().map(|tx| tx.finality) {
        Some(Finality::Finalized) => BlockStatus::Verified,
        Some(Finality::FastFinalized) => BlockStatus::FastFinalized,
        Some(Finality::Pending) | None => BlockStatus::Sealed,
    }
}

/// What blocks and batches each have of their own.
#[derive(Debug)]
struct Own {
    timestamp: UnixSeconds,
    l1_tx_count: u32,
    l2_tx_count: u32,
    root_hash: Option<B256>,
    status: BlockStatus,
}

/// What is shown of a step, in parts.
#[derive(Debug, Default)]
struct Step {
    hash: Option<B256>,
    at: Option<String>,
    finality: Option<TxFinality>,
    chain_id: Option<u64>,
}

impl From<Option<StepTx>> for Step {
    fn from(tx: Option<StepTx>) -> Self {
        let Some(tx) = tx else { return Self::default() };
        Self {
            hash: Some(tx.tx_hash),
            at: Some(tx.at),
            finality: Some(match tx.finality {
                Finality::Pending => TxFinality::Pending,
                Finality::FastFinalized => TxFinality::FastFinalized,
                Finality::Finalized => TxFinality::Finalized,
            }),
            chain_id: Some(tx.chain_id.0),
        }
    }
}

/// `header` is of the block, or of any block of the batch; `precommit` is of the block.
fn base(
    own: Own,
    header: &BlockHeader,
    steps: BatchSteps,
    precommit: Option<StepTx>,
) -> DetailsBase {
    let precommit = Step::from(precommit);
    let commit = Step::from(steps.commit);
    let prove = Step::from(steps.prove);
    let execute = Step::from(steps.execute);
    let fees = &header.params.fee_input;
    DetailsBase {
        timestamp: own.timestamp.0,
        l1_tx_count: u64::from(own.l1_tx_count),
        l2_tx_count: u64::from(own.l2_tx_count),
        root_hash: own.root_hash,
        status: own.status,
        commit_tx_hash: commit.hash,
        committed_at: commit.at,
        commit_tx_finality: commit.finality,
        commit_chain_id: commit.chain_id,
        prove_tx_hash: prove.hash,
        prove_tx_finality: prove.finality,
        proven_at: prove.at,
        prove_chain_id: prove.chain_id,
        execute_tx_hash: execute.hash,
        execute_tx_finality: execute.finality,
        executed_at: execute.at,
        execute_chain_id: execute.chain_id,
        precommit_tx_hash: precommit.hash,
        precommit_tx_finality: precommit.finality,
        precommitted_at: precommit.at,
        precommit_chain_id: precommit.chain_id,
        l1_gas_price: fees.l1_gas_price,
        l2_fair_gas_price: fees.fair_l2_gas_price,
        fair_pubdata_price: fees.fair_pubdata_price,
        base_system_contracts_hashes: header.params.base_system_contracts.into(),
    }
}
