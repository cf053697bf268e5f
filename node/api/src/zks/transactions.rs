//! `zks_getTransactionDetails`.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{B256, Finality, StepTx, Transaction, TxCommon, TxHash, TxStatus, U256};
use lockstep_wire::{
    time::rfc3339,
    zks::{TransactionDetails, TransactionStatus},
};

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    forward::PendingTxs,
};

pub(super) fn register(methods: &mut Methods, pending: &Arc<PendingTxs>) {
    let waiting = Arc::clone(pending);
    methods.add("zks_getTransactionDetails", move |call, params| details(call, params, &waiting));
}

/// How far a transaction has come, and what it paid. Its steps are those of its batch.
fn details(
    call: &Call,
    params: &mut ParamsSequence<'_>,
    pending: &PendingTxs,
) -> ApiResult<Option<TransactionDetails>> {
    let hash = TxHash(params.next::<B256>()?);
    let Some(position) = call.view.tx_position(&hash)? else {
        return Ok(pending.get(call, &hash)?.map(|tx| waiting(&tx)));
    };
    let tx = call.transaction(position)?;
    let missing = ApiError::Missing { what: "a receipt", block: position.block };
    let receipt = call.view.receipt(position)?.ok_or(missing)?;
    let header = call.header(position.block)?;
    let steps = call.view.steps(header.params.batch)?;
    let gas_used = tx.gas_limit().saturating_sub(U256::from(receipt.gas_refunded));
    let hash_of = |step: &Option<StepTx>| step.as_ref().map(|tx| tx.tx_hash);
    Ok(Some(TransactionDetails {
        is_l1_originated: match tx.common {
            TxCommon::L2(_) => false,
            TxCommon::Priority(_) | TxCommon::Upgrade(_) => true,
        },
        status: status(&receipt.status, &steps.execute),
        fee: gas_used.saturating_mul(tx.effective_gas_price(header.base_fee_per_gas)),
        gas_per_pubdata: tx.gas_per_pubdata_limit(),
        initiator_address: tx.initiator(),
        received_at: rfc3339(tx.received_at_ms),
        eth_commit_tx_hash: hash_of(&steps.commit),
        eth_prove_tx_hash: hash_of(&steps.prove),
        eth_execute_tx_hash: hash_of(&steps.execute),
        eth_precommit_tx_hash: hash_of(&call.view.precommit(position.block)?),
    }))
}

/// Of a transaction that was handed on and is in no block yet.
fn waiting(tx: &Transaction) -> TransactionDetails {
    TransactionDetails {
        is_l1_originated: false,
        status: TransactionStatus::Pending,
        fee: U256::ZERO,
        gas_per_pubdata: tx.gas_per_pubdata_limit(),
        initiator_address: tx.initiator(),
        received_at: rfc3339(tx.received_at_ms),
        eth_commit_tx_hash: None,
        eth_prove_tx_hash: None,
        eth_execute_tx_hash: None,
        eth_precommit_tx_hash: None,
    }
}

fn status(own: &TxStatus, execute: &Option<StepTx>) -> TransactionStatus {
    match own {
        TxStatus::Reverted { .. } => TransactionStatus::Failed,
        TxStatus::Success => match execute.as_ref().map(|tx| tx.finality) {
            Some(Finality::Finalized) => TransactionStatus::Verified,
            Some(Finality::FastFinalized) => TransactionStatus::FastFinalized,
            Some(Finality::Pending) | None => TransactionStatus::Included,
        },
    }
}
