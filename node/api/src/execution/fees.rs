//! Prices for what comes next.

use std::sync::Arc;

use lockstep_types::{FeeInput, ProtocolVersion, U256};
use lockstep_vm::Stop;
use lockstep_wire::zks::BatchFeeInput;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Engine, Simulation};
use crate::{call::Methods, error::ApiResult};

/// Gas on L1 for a byte of pubdata, before v20: pubdata was calldata.
const L1_GAS_PER_PUBDATA: u64 = 17;

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    add(methods, engine, "eth_gasPrice", |simulation| {
        Ok(U256::from(current(simulation)?.base_fee))
    });
    add(methods, engine, "zks_gasPerPubdata", |simulation| {
        let Current { base_fee, fees, version } = current(simulation)?;
        let price = pubdata_price(version, &fees);
        Ok(U256::from(price.div_ceil(u128::from(base_fee.max(1))).max(1)))
    });
    add(methods, engine, "zks_getL1GasPrice", |simulation| {
        Ok(U256::from(current(simulation)?.fees.l1_gas_price))
    });
    add(methods, engine, "zks_getBatchFeeInput", |simulation| {
        let Current { fees, version, .. } = current(simulation)?;
        Ok(BatchFeeInput {
            fair_l2_gas_price: fees.fair_l2_gas_price,
            fair_pubdata_price: u64::try_from(pubdata_price(version, &fees)).unwrap_or(u64::MAX),
            l1_gas_price: fees.l1_gas_price,
        })
    });
    add(methods, engine, "zks_getFeeParams", fee_params);
}

/// Adds a method that runs nothing, and so waits for nobody.
fn add<T: Serialize>(
    methods: &mut Methods,
    engine: &Arc<Engine>,
    name: &'static str,
    method: impl Fn(&Simulation<'_>) -> ApiResult<T> + Clone + Send + Sync + 'static,
) {
    let execution = engine.execution.clone();
    let answer_bytes_max = methods.context.serving.response_bytes_max(name);
    methods.add(name, move |call, _| {
        let stop = &Stop::default();
        method(&Simulation { call, execution: &execution, stop, answer_bytes_max })
    });
}

/// What a unit of gas costs now, and why.
struct Current {
    base_fee: u64,
    fees: FeeInput,
    version: ProtocolVersion,
}

fn current(simulation: &Simulation<'_>) -> ApiResult<Current> {
    let version = simulation.call.header(simulation.call.head()?)?.params.version;
    let fees = simulation.current_fees()?;
    let base_fee = simulation.execution.vm.limits(version, &fees)?.base_fee_per_gas;
    Ok(Current { base_fee, fees, version })
}

/// What a unit of gas costs now, wei.
pub(super) fn base_fee(simulation: &Simulation<'_>) -> ApiResult<u64> {
    Ok(current(simulation)?.base_fee)
}

/// Price of a byte of pubdata, wei.
pub(crate) fn pubdata_price(version: ProtocolVersion, fees: &FeeInput) -> u128 {
    match fees.fair_pubdata_price {
        Some(price) if version >= ProtocolVersion::PUBDATA_PRICE => u128::from(price),
        Some(_) | None => u128::from(fees.l1_gas_price) * u128::from(L1_GAS_PER_PUBDATA),
    }
}

/// As the main node says them. Until it has, such that the current prices follow from them: no
/// overhead of a batch is added to what a unit of gas and a byte of pubdata cost.
fn fee_params(simulation: &Simulation<'_>) -> ApiResult<Value> {
    let said = simulation.execution.fees.borrow().as_ref().and_then(|fees| fees.params.clone());
    if let Some(params) = said {
        return Ok(params);
    }
    let Current { fees, version, .. } = current(simulation)?;
    let minimal_l2_gas_price = fees.fair_l2_gas_price;
    if version < ProtocolVersion::PUBDATA_PRICE {
        let config = json!({"minimal_l2_gas_price": minimal_l2_gas_price});
        return Ok(json!({"V1": {"config": config, "l1_gas_price": fees.l1_gas_price}}));
    }
    Ok(json!({"V2": {
        "config": {
            "minimal_l2_gas_price": minimal_l2_gas_price,
            "compute_overhead_part": 0.0,
            "pubdata_overhead_part": 0.0,
            "batch_overhead_l1_gas": 0,
            "max_gas_per_batch": 1,
            "max_pubdata_per_batch": 1,
        },
        "l1_gas_price": fees.l1_gas_price,
        "l1_pubdata_price": fees.fair_pubdata_price,
        "conversion_ratio": {"numerator": 1, "denominator": 1},
    }}))
}
