//! State of accounts at any block. The block is the newest where none is named.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{
    Address, B256, Bytes, L2BlockNumber, StorageSlot, U256, address, keccak256, storage::Nonces,
};
use lockstep_wire::{
    eth::{BlockId, BlockNumberOrTag},
    quantity,
};
use serde::Deserialize;

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    forward::PendingTxs,
};

/// Why there is no `eth_getProof`.
const NO_ETH_PROOF: &str = "eth_getProof is not available: the state tree is not Ethereum's, and \
     has roots of batches, not of blocks; use zks_getProof(address, keys, l1BatchNumber)";

pub(super) fn register(methods: &mut Methods, pending: &Arc<PendingTxs>) {
    methods.add("eth_getBalance", balance);
    let waiting = Arc::clone(pending);
    methods.add("eth_getTransactionCount", move |call, params| {
        transaction_count(call, params, &waiting)
    });
    methods.add("eth_getCode", code);
    methods.add("eth_getStorageAt", storage_at);
    methods.add("eth_getProof", |_, _| Err::<(), _>(ApiError::Instead(NO_ETH_PROOF)));
}

fn balance(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<U256> {
    let account: Address = params.next()?;
    let block = call.state_block(params.optional_next()?)?;
    Ok(call.view.slot_at(&StorageSlot::balance(account), block)?.into())
}

/// With the transactions that were handed on from here, if the pending block is meant.
fn transaction_count(
    call: &Call,
    params: &mut ParamsSequence<'_>,
    pending: &PendingTxs,
) -> ApiResult<U256> {
    let account: Address = params.next()?;
    let id: Option<BlockId> = params.optional_next()?;
    let block = call.state_block(id)?;
    let nonces = Nonces::from_value(call.view.slot_at(&StorageSlot::nonces(account), block)?);
    if is_contract(call, account, block)? {
        return Ok(nonces.deployment);
    }
    let is_pending = id.is_none_or(|id| id == BlockId::Number(BlockNumberOrTag::Pending));
    match u32::try_from(nonces.tx) {
        Ok(next) if is_pending => Ok(U256::from(pending.nonce_after(account, next))),
        Ok(_) | Err(_) => Ok(nonces.tx),
    }
}

/// Whether `account` has code and cannot send transactions: such accounts count the contracts that
/// they deployed.
fn is_contract(call: &Call, account: Address, block: L2BlockNumber) -> ApiResult<bool> {
    if call.view.slot_at(&StorageSlot::code_hash(account), block)?.is_zero() {
        return Ok(false);
    }
    let account_info = StorageSlot::new(address::CONTRACT_DEPLOYER, account_info_key(account));
    Ok(call.view.slot_at(&account_info, block)?.is_zero())
}

/// Where the deployer holds which kind of account `account` is: a mapping at its slot 0.
fn account_info_key(account: Address) -> B256 {
    keccak256([account.into_word().0, [0; 32]].concat())
}

fn code(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Bytes> {
    let account: Address = params.next()?;
    let block = call.state_block(params.optional_next()?)?;
    let Some((hash, stored)) = call.view.code_at(account, block)? else {
        return Ok(Bytes::new());
    };
    Ok(Bytes::copy_from_slice(hash.displayed(&stored.code)))
}

/// A slot's key: a number, or all of its 32 bytes.
#[derive(Debug, Deserialize)]
struct SlotKey(#[serde(with = "quantity::lenient")] U256);

fn storage_at(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<B256> {
    let account: Address = params.next()?;
    let SlotKey(key) = params.next()?;
    let block = call.state_block(params.optional_next()?)?;
    Ok(call.view.slot_at(&StorageSlot::new(account, key.into()), block)?)
}
