//! From what a client writes to a transaction that can be run.

use lockstep_types::{PaymasterParams, U256};
use lockstep_vm::{SimulatedKind, SimulatedTx};
use lockstep_wire::eth::CallRequest;

use crate::error::{ApiError, ApiResult};

/// Highest gas for a byte of pubdata where a request names none, or zero.
pub(super) const GAS_PER_PUBDATA: u64 = 50_000;
/// The same for what is requested on L1, where a request has the fields of EIP-712 without it; one
/// that has none of them is taken like any other, as the reference node does.
pub(super) const GAS_PER_PUBDATA_FROM_L1: u64 = 800;

/// Who puts the transaction into a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    L1,
    L2,
}

/// The transaction that `request` describes; it may use at most `gas_max`.
pub(super) fn transaction(
    request: CallRequest,
    origin: Origin,
    gas_max: u64,
) -> ApiResult<SimulatedTx> {
    let kind = kind(&request, origin)?;
    let gas_limit = match request.gas {
        Some(gas) => {
            let gas = u64::try_from(gas).ok().filter(|gas| *gas <= gas_max);
            Some(gas.ok_or_else(|| ApiError::run("exceeds block gas limit"))?)
        }
        None => None,
    };
    let gas_price = request.max_fee_per_gas.or(request.gas_price);
    let default = match (origin, &request.eip712_meta) {
        (Origin::L1, Some(_)) => GAS_PER_PUBDATA_FROM_L1,
        (Origin::L1, None) | (Origin::L2, _) => GAS_PER_PUBDATA,
    };
    let meta = request.eip712_meta.unwrap_or_default();
    let named = meta.gas_per_pubdata.filter(|gas| !gas.is_zero());
    let gas_per_pubdata_limit = named.map_or(Ok(default), |gas| narrow(gas, "gasPerPubdata"))?;
    let nonce = match (request.nonce, origin) {
        (Some(nonce), Origin::L2) => Some(narrow(nonce, "nonce")?),
        (Some(_), Origin::L1) | (None, _) => None,
    };
    let factory_deps = meta.factory_deps.unwrap_or_default();
    let paymaster = meta.paymaster_params.map(|params| PaymasterParams {
        paymaster: params.paymaster,
        input: params.paymaster_input.0,
    });
    Ok(SimulatedTx {
        kind,
        from: request.from.unwrap_or_default(),
        to: request.to,
        nonce,
        gas_limit,
        gas_price,
        gas_per_pubdata_limit,
        value: request.value.unwrap_or_default(),
        input: request.input.or(request.data).unwrap_or_default(),
        factory_deps: factory_deps.into_iter().map(|dep| dep.0).collect(),
        paymaster: paymaster.unwrap_or_default(),
        signature: meta.custom_signature.map(|bytes| bytes.0).filter(|bytes| !bytes.is_empty()),
    })
}

fn kind(request: &CallRequest, origin: Origin) -> ApiResult<SimulatedKind> {
    if origin == Origin::L1 {
        return Ok(SimulatedKind::Priority);
    }
    if request.eip712_meta.is_some() {
        return Ok(SimulatedKind::Eip712);
    }
    let Some(named) = request.transaction_type else {
        let is_1559 = request.max_fee_per_gas.is_some();
        return Ok(if is_1559 { SimulatedKind::Eip1559 } else { SimulatedKind::Legacy });
    };
    match u8::try_from(named) {
        Ok(0x00) => Ok(SimulatedKind::Legacy),
        Ok(0x01) => Ok(SimulatedKind::Eip2930),
        Ok(0x02) => Ok(SimulatedKind::Eip1559),
        Ok(0x71) => Ok(SimulatedKind::Eip712),
        Ok(_) | Err(_) => {
            let text = format!("type {named:#x} cannot be run: use 0x0, 0x1, 0x2 or 0x71");
            Err(ApiError::BadRequest(text))
        }
    }
}

/// `number`, if it fits.
pub(super) fn narrow<T: TryFrom<U256>>(number: U256, name: &str) -> ApiResult<T> {
    let text = || ApiError::BadRequest(format!("`{name}` is too large: {number:#x}"));
    T::try_from(number).map_err(|_only_overflow_is_left| text())
}
