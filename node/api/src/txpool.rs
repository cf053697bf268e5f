//! `txpool_*`: the pool of a node that has none. Transactions are handed on to the main node, which
//! does not show its pool.

use serde_json::json;

use crate::call::Methods;

pub(crate) fn register(methods: &mut Methods) {
    methods.add_constant("txpool_status", json!({"pending": "0x0", "queued": "0x0"}));
    for name in ["txpool_content", "txpool_contentFrom", "txpool_inspect"] {
        methods.add_constant(name, json!({"pending": {}, "queued": {}}));
    }
}
