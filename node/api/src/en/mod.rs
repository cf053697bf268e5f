//! `en_*`: what another node needs to follow the chain through this one.

mod blocks;
mod genesis;
mod tokens;

use lockstep_wire::Announced;
use serde_json::Value;
use tokio::sync::watch;

use crate::call::Methods;

pub(crate) fn register(methods: &mut Methods, announced: &watch::Receiver<Announced>) {
    blocks::register(methods);
    genesis::register(methods, announced);
    tokens::register(methods, announced);
    // There is no consensus here, which is what a main node without consensus says as well.
    methods.add_constant("en_consensusGlobalConfig", Value::Null);
    methods.add_constant("en_blockMetadata", Value::Null);
}
