//! `net_*`.

use lockstep_types::U256;

use crate::call::Methods;

pub(crate) fn register(methods: &mut Methods) {
    methods.add("net_version", |call, _| Ok(call.identity()?.l2_chain_id.0.to_string()));
    methods.add_constant("net_peerCount", U256::ZERO);
    methods.add_constant("net_listening", false);
}
