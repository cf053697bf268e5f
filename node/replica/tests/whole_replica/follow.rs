//! Following an honest chain: to the tip, through restarts, and to a stop.

use std::time::Duration;

use serde_json::json;

use crate::support::world::{BATCHES, World};

#[test]
fn the_chain_is_followed_to_its_tip_and_served() {
    let world = World::new();
    let chain = world.upstream.chain.clone();
    let running = world.start();
    running.follow_to(chain.tip());
    let block = running.ask("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["hash"], json!(chain.blocks.last().unwrap().hash));
    let is_final = |running: &crate::support::world::Running| {
        running.batch(BATCHES)["status"] == json!("verified")
    };
    assert!(running.within(Duration::from_secs(60), is_final), "{}", running.batch(BATCHES));
    for (number, batch) in (1..).zip(&chain.batches) {
        let details = running.batch(number);
        assert_eq!(details["rootHash"], json!(batch.root.0), "batch {number}");
        assert_eq!(details["status"], json!("verified"), "batch {number}");
    }
    for (slot, (_, value)) in &chain.state.slots {
        let stored = running.ask("eth_getStorageAt", json!([slot.address, slot.key, "latest"]));
        assert_eq!(stored, json!(value), "{slot:?}");
    }
    assert_eq!(running.ask("eth_syncing", json!([])), json!(false));
}
