//! Addresses that only the main node can name.

use lockstep_wire::Announced;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    call::Methods,
    error::{ApiError, ApiResult},
};

pub(super) fn register(methods: &mut Methods, announced: &watch::Receiver<Announced>) {
    // Where the reference node has no `null`, what is not known is a method that is not there.
    add(methods, announced, "zks_getMainContract", |said| known(said.main_contract));
    add(methods, announced, "zks_getBridgeContracts", |said| known(said.bridges.clone()));
    add(methods, announced, "zks_getBaseTokenL1Address", |said| known(said.base_token));
    add(methods, announced, "zks_getBridgehubContract", |said| Ok(said.bridgehub));
    add(methods, announced, "zks_getL2Multicall3", |said| Ok(said.multicall3));
    add(methods, announced, "zks_getTestnetPaymaster", |said| Ok(said.testnet_paymaster));
    add(methods, announced, "zks_getTimestampAsserter", |said| Ok(said.timestamp_asserter));
    add(methods, announced, "en_getEcosystemContracts", |said| known(said.ecosystem.clone()));
    add(methods, announced, "en_whitelistedTokensForAA", |said| Ok(said.tokens_for_aa.clone()));
}

fn known<T>(value: Option<T>) -> ApiResult<T> {
    value.ok_or(ApiError::NotImplemented)
}

/// Adds a method that is answered from what the main node said last.
fn add<T: Serialize>(
    methods: &mut Methods,
    announced: &watch::Receiver<Announced>,
    name: &'static str,
    answer: impl Fn(&Announced) -> ApiResult<T> + Clone + Send + Sync + 'static,
) {
    let announced = announced.clone();
    methods.add(name, move |_, _| answer(&announced.borrow()));
}
