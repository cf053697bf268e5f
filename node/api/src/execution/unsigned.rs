//! `eth_fillTransaction`: all that a transaction lacks but its signature.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{StorageSlot, U256, storage::Nonces};
use lockstep_wire::eth::{CallRequest, FilledParts, FilledTransaction};

use super::{Engine, Simulation, request::Origin, simulate::estimate};
use crate::{
    call::Methods,
    error::{ApiError, ApiResult},
};

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    methods.add_simulation(engine, "eth_fillTransaction", fill);
}

/// What is given stays; the nonce is the sender's next, the gas what an estimate says, and the
/// price the base fee of the pending block, without a tip. The type is 0x2 unless one is named or
/// `gasPrice` is given.
fn fill(
    simulation: &Simulation<'_>,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<FilledTransaction> {
    let request: CallRequest = params.next()?;
    let transaction_type = transaction_type(&request)?;
    let from = request.from.ok_or_else(|| {
        ApiError::BadRequest("`from` is missing: the nonce is that of the sender".to_owned())
    })?;
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => {
            let slot = StorageSlot::nonces(from);
            Nonces::from_value(simulation.call.view.slot_at(&slot, simulation.call.head()?)?).tx
        }
    };
    let base_fee = U256::from(super::fees::base_fee(simulation)?);
    let gas = match request.gas {
        Some(gas) => gas,
        None => {
            let request = CallRequest { transaction_type: None, ..request.clone() };
            U256::from(estimate(simulation, request, None, Origin::L2)?.gas_limit)
        }
    };
    let has_one_price = transaction_type != 2;
    let price = request.max_fee_per_gas.or(request.gas_price).unwrap_or(base_fee);
    let tip = request.max_priority_fee_per_gas.unwrap_or_default();
    let tx = FilledParts {
        transaction_type,
        chain_id: U256::from(simulation.call.identity()?.l2_chain_id.0),
        from,
        to: request.to,
        nonce,
        gas,
        gas_price: has_one_price.then_some(price),
        max_fee_per_gas: (!has_one_price).then_some(price),
        max_priority_fee_per_gas: (!has_one_price).then_some(tip),
        value: request.value.unwrap_or_default(),
        input: request.input.or(request.data).unwrap_or_default(),
    };
    Ok(FilledTransaction { raw: tx.unsigned(), tx })
}

fn transaction_type(request: &CallRequest) -> ApiResult<u64> {
    let named = match request.transaction_type {
        Some(named) => u64::try_from(named).unwrap_or(u64::MAX),
        None if request.eip712_meta.is_some() => 0x71,
        None if request.gas_price.is_some() => 0,
        None => 2,
    };
    if named <= 2 {
        return Ok(named);
    }
    let text = format!("type {named:#x} cannot be filled: use 0x0, 0x1 or 0x2");
    Err(ApiError::BadRequest(text))
}
