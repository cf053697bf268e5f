//! `web3_*`.

use crate::call::Methods;

pub(crate) fn register(methods: &mut Methods) {
    let version = concat!("lockstep/v", env!("CARGO_PKG_VERSION"));
    methods.add_constant("web3_clientVersion", version);
}
