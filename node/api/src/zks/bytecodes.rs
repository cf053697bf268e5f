//! Bytecodes.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{B256, BytecodeHash};

use crate::{
    call::{Call, Methods},
    error::ApiResult,
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("zks_getBytecodeByHash", bytecode);
}

/// The bytecode as it is stored, as a list of numbers.
fn bytecode(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<Vec<u8>>> {
    let hash = BytecodeHash(params.next::<B256>()?);
    Ok(call.view.bytecode(&hash)?.map(|stored| stored.code.to_vec()))
}
