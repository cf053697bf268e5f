//! `ots_*`: what the explorer Otterscan asks for, at its API level 8.
//!
//! What happened inside transactions is shown as on Ethereum: see
//! [`ethereum`](crate::trace::ethereum).

mod accounts;
mod blocks;
mod inside;
mod search;

use std::sync::Arc;

use crate::{call::Methods, execution::Engine};

/// The level of the API that this is.
const API_LEVEL: u32 = 8;

pub(crate) fn register(methods: &mut Methods) {
    methods.add_constant("ots_getApiLevel", API_LEVEL);
    blocks::register(methods);
    accounts::register(methods);
    search::register(methods);
}

/// Adds the methods that run transactions again.
pub(crate) fn register_traces(methods: &mut Methods, engine: &Arc<Engine>) {
    inside::register(methods, engine);
}
