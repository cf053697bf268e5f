//! `zks_*`.

mod batches;
mod bytecodes;
mod details;
mod proofs;

use lockstep_types::U256;

use crate::call::Methods;

pub(crate) fn register(methods: &mut Methods) {
    methods.add("zks_L1ChainId", |call, _| Ok(U256::from(call.identity()?.l1_chain_id.0)));
    batches::register(methods);
    bytecodes::register(methods);
    details::register(methods);
    proofs::register(methods);
}
