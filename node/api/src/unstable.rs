//! `unstable_*`: what follows from a node that holds no transactions back and makes no proofs.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{L1BatchNumber, PubdataType};
use lockstep_wire::zks::L1ToL2TxsStatus;
use serde_json::Value;

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

pub(crate) fn register(methods: &mut Methods) {
    methods.add_constant("unstable_unconfirmedTxsCount", 0);
    methods.add_constant("unstable_supportsUnsafeDepositFilter", true);
    methods.add("unstable_l1ToL2TxsStatus", |_, _| Ok(L1ToL2TxsStatus::default()));
    methods.add_constant("unstable_getTeeProofs", Vec::<Value>::new());
    methods.add("unstable_getDataAvailabilityDetails", availability);
}

/// None of a batch whose pubdata L1 has, or nobody. Where it went otherwise is not known here.
fn availability(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<Value>> {
    let number = L1BatchNumber(params.next()?);
    let Some(batch) = call.view.batch(number)? else { return Ok(None) };
    match call.header(batch.first_block)?.params.pubdata_params.pubdata_type {
        PubdataType::Rollup | PubdataType::NoDa => Ok(None),
        PubdataType::Avail
        | PubdataType::Celestia
        | PubdataType::Eigen
        | PubdataType::ObjectStore => Err(ApiError::NotImplemented),
    }
}
