//! `web3_*`.

use lockstep_types::{Bytes, keccak256};

use crate::call::Methods;

pub(crate) fn register(methods: &mut Methods) {
    let version = concat!("lockstep/v", env!("CARGO_PKG_VERSION"));
    methods.add_constant("web3_clientVersion", version);
    methods.add("web3_sha3", |_, params| Ok(keccak256(params.next::<Bytes>()?)));
}
