//! What and where the chain is.

use lockstep_types::{Address, U256};
use serde::Serialize;

use crate::{
    call::{Call, Methods},
    error::ApiResult,
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("eth_chainId", |call, _| Ok(U256::from(call.identity()?.l2_chain_id.0)));
    methods.add("eth_blockNumber", |call, _| Ok(U256::from(call.head()?.0)));
    methods.add("eth_protocolVersion", |call, _| protocol_version(call));
    methods.add("eth_syncing", |call, _| syncing(call));
    methods.add_constant("eth_accounts", Vec::<Address>::new());
    methods.add_constant("eth_getCompilers", Vec::<String>::new());
    methods.add_constant("eth_coinbase", Address::ZERO);
    methods.add_constant("eth_hashrate", U256::ZERO);
    methods.add_constant("eth_mining", false);
}

/// The version of the newest block. Patches of a version are not known here.
fn protocol_version(call: &Call) -> ApiResult<String> {
    let version = call.header(call.head()?)?.params.version;
    Ok(format!("zks/0.{}.0", version.0))
}

/// Answer of `eth_syncing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Syncing {
    /// `false`.
    No(bool),
    /// How many.
    #[serde(rename_all = "camelCase")]
    Yes {
        /// Where the chain begins.
        starting_block: U256,
        /// The newest block.
        current_block: U256,
        /// The newest block of the main node.
        highest_block: U256,
    },
}

/// Whether blocks are missing that the main node has.
pub(crate) fn syncing(call: &Call) -> ApiResult<Syncing> {
    let head = call.view.head()?.map_or(0, |head| head.0);
    let tip = call.tip.map_or(head, |tip| tip.0);
    if tip.saturating_sub(head) <= call.config.in_step_lag_max {
        return Ok(Syncing::No(false));
    }
    Ok(Syncing::Yes {
        starting_block: U256::ZERO,
        current_block: U256::from(head),
        highest_block: U256::from(tip),
    })
}
