//! `zks_*`.

mod batches;
mod bytecodes;
mod contracts;
mod details;
mod log_proofs;
mod proofs;
mod transactions;
mod versions;

use std::sync::Arc;

use lockstep_types::U256;
use lockstep_wire::Announced;
use tokio::sync::watch;

use crate::{call::Methods, forward::PendingTxs};

pub(crate) fn register(
    methods: &mut Methods,
    announced: &watch::Receiver<Announced>,
    pending: &Arc<PendingTxs>,
) {
    methods.add("zks_L1ChainId", |call, _| Ok(U256::from(call.identity()?.l1_chain_id.0)));
    batches::register(methods);
    bytecodes::register(methods);
    details::register(methods);
    contracts::register(methods, announced);
    log_proofs::register(methods);
    proofs::register(methods);
    transactions::register(methods, pending);
    versions::register(methods);
}
