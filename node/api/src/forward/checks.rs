//! What is looked at before a transaction is handed on. Order and words are the reference node's.

use lockstep_types::{
    Address, Bytes, L2Common, ProtocolVersion, StorageSlot, Transaction, TxCommon, TxType, U256,
    address::CONTRACT_DEPLOYER,
};
use lockstep_wire::tx_hash::{decode_raw, typed_data_signer};

use super::pending::next_nonce;
use crate::{
    error::{ApiError, ApiResult},
    execution::{self, Simulation},
};

/// Gas without which nothing runs.
const INTRINSIC_GAS: u64 = 14_070;
/// Key of the deployer that holds 1 where EVM code may be deployed.
const EVM_ALLOWED: u64 = 1;
/// Words of a transaction in the ABI's encoding beside what may be longer than a word.
const BASE_WORDS: usize = 1 + 19 + 5;
const WORD_BYTES: usize = 32;

/// Bounds of what is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of a transaction in the ABI's encoding.
    pub(super) bytes_max: usize,
    /// A nonce may be this much above the sender's next.
    pub(super) nonce_ahead_max: u32,
}

/// Reads `raw` and looks at everything that needs no run of it.
///
/// # Errors
///
/// [`ApiError::Run`], with code 3: what is wrong.
pub(super) fn check(
    simulation: &Simulation<'_>,
    raw: &Bytes,
    bounds: Bounds,
) -> ApiResult<Transaction> {
    let chain_id = simulation.call.identity()?.l2_chain_id;
    let tx = decode_raw(raw, chain_id).map_err(|error| execution::unreadable(&error))?;
    let TxCommon::L2(common) = &tx.common else {
        return Err(ApiError::BadAnswer("signed bytes gave a transaction from L1"));
    };
    check_shape(simulation, &tx, common, bounds)?;
    check_gas(simulation, &tx, common)?;
    check_nonce(simulation, common, bounds)?;
    check_funds(simulation, &tx, common)?;
    if common.tx_type == TxType::Eip712 {
        let signer = typed_data_signer(&tx, chain_id);
        check_signer(simulation, common, signer)?;
    }
    Ok(tx)
}

fn unreadable(reason: impl std::fmt::Display) -> ApiError {
    ApiError::run(&format!("Failed to serialize transaction: {reason}"))
}

/// That its fields are in the bounds of what can be handed on.
fn check_shape(
    simulation: &Simulation<'_>,
    tx: &Transaction,
    common: &L2Common,
    bounds: Bounds,
) -> ApiResult<()> {
    let fee = &common.fee;
    let is_wide = |number: U256| number > U256::from(u64::MAX);
    for (name, number) in [
        ("max fee per gas", fee.max_fee_per_gas),
        ("max fee per pubdata byte", fee.gas_per_pubdata_limit),
        ("max priority fee per gas", fee.max_priority_fee_per_gas),
    ] {
        if is_wide(number) {
            return Err(unreadable(format_args!("{name} higher than 2^64-1")));
        }
    }
    if fee.gas_per_pubdata_limit.is_zero() {
        return Err(unreadable("gas per pub data limit is zero"));
    }
    if tx.execute.to.is_none() && !may_deploy_evm(simulation)? {
        return Err(unreadable("toAddressIsNull"));
    }
    let words = |bytes: usize| bytes.div_ceil(WORD_BYTES);
    let bytes = WORD_BYTES
        * (BASE_WORDS
            + words(tx.execute.calldata.len())
            + words(common.signature.len())
            + words(common.paymaster.input.len())
            + tx.execute.factory_deps.len());
    if bytes > bounds.bytes_max {
        let max = bounds.bytes_max;
        return Err(unreadable(format_args!("oversized data. max: {max}; actual: {bytes}")));
    }
    Ok(())
}

/// Whether transactions without a target may deploy EVM code.
fn may_deploy_evm(simulation: &Simulation<'_>) -> ApiResult<bool> {
    let slot = StorageSlot::new(CONTRACT_DEPLOYER, U256::from(EVM_ALLOWED).into());
    let call = simulation.call;
    Ok(U256::from_be_bytes(call.view.slot_at(&slot, call.head()?)?.0) == U256::from(1))
}

fn check_gas(simulation: &Simulation<'_>, tx: &Transaction, common: &L2Common) -> ApiResult<()> {
    let call = simulation.call;
    let version = call.header(call.head()?)?.params.version;
    let prices = simulation.current_fees()?;
    let limits = simulation.execution.vm.limits(version, &prices)?;
    let fee = &common.fee;
    if fee.gas_limit > U256::from(limits.gas_limit) {
        return Err(ApiError::run("exceeds block gas limit"));
    }
    if fee.max_fee_per_gas < U256::from(prices.fair_l2_gas_price / 2) {
        return Err(ApiError::run("max fee per gas less than block base fee"));
    }
    if fee.max_fee_per_gas < fee.max_priority_fee_per_gas {
        return Err(ApiError::run("max priority fee per gas higher than max fee per gas"));
    }
    let (given, allowed) = (tx.execute.factory_deps.len(), factory_deps_max(version));
    if given > allowed {
        let text = format!(
            "too many factory dependencies in the transaction. {given} provided, while only \
             {allowed} allowed"
        );
        return Err(ApiError::run(&text));
    }
    if fee.gas_limit < U256::from(INTRINSIC_GAS) {
        return Err(ApiError::run("intrinsic gas too low"));
    }
    Ok(())
}

/// Bytecodes that may come with a transaction.
fn factory_deps_max(version: ProtocolVersion) -> usize {
    if version >= ProtocolVersion::GATEWAY { 64 } else { 32 }
}

fn check_nonce(simulation: &Simulation<'_>, common: &L2Common, bounds: Bounds) -> ApiResult<()> {
    let next = next_nonce(simulation.call, common.initiator)?;
    let last = next.saturating_add(bounds.nonce_ahead_max);
    let actual = common.nonce;
    let word = match actual {
        nonce if nonce < next => "low",
        nonce if nonce > last => "high",
        _ => return Ok(()),
    };
    let text = format!("nonce too {word}. allowed nonce range: {next} - {last}, actual: {actual}");
    Err(ApiError::run(&text))
}

/// That who pays can; a paymaster's means are its own business.
fn check_funds(simulation: &Simulation<'_>, tx: &Transaction, common: &L2Common) -> ApiResult<()> {
    if common.paymaster.paymaster != Address::ZERO {
        return Ok(());
    }
    let call = simulation.call;
    let slot = StorageSlot::balance(common.initiator);
    let balance: U256 = call.view.slot_at(&slot, call.head()?)?.into();
    let fee = common.fee.gas_limit.saturating_mul(common.fee.max_fee_per_gas);
    let value = tx.execute.value;
    if balance >= fee.saturating_add(value) {
        return Ok(());
    }
    let text = format!(
        "insufficient funds for gas + value. balance: {balance}, fee: {fee}, value: {value}"
    );
    Err(ApiError::run(&text))
}

/// That an account without code, which looks at signatures as every such account does, has signed.
/// What other accounts accept shows when the transaction runs.
fn check_signer(
    simulation: &Simulation<'_>,
    common: &L2Common,
    signer: Option<Address>,
) -> ApiResult<()> {
    let call = simulation.call;
    let code = call.view.slot_at(&StorageSlot::code_hash(common.initiator), call.head()?)?;
    if !code.is_zero() || signer == Some(common.initiator) {
        return Ok(());
    }
    Err(ApiError::run(
        "failed to validate the transaction. reason: Validation revert: Account validation error: \
         Account validation returned invalid magic value. Most often this means that the \
         signature is incorrect",
    ))
}
