//! `snapshots_*`: this node makes none.

use lockstep_wire::zks::AllSnapshots;
use serde_json::Value;

use crate::call::Methods;

pub(crate) fn register(methods: &mut Methods) {
    methods.add("snapshots_getAllSnapshots", |_, _| Ok(AllSnapshots::default()));
    methods.add_constant("snapshots_getSnapshot", Value::Null);
}
