//! Genesis that is not what it is announced to be.

use std::time::Duration;

use lockstep_io::Clock;
use lockstep_io_memory::Answer;
use serde_json::{Value, json};

use crate::support::world::World;

/// Opens against a main node that lies; gives the error, after having seen that nothing is stored.
fn refused(twist: impl Fn(&str, &Value, &mut Value) + Send + Sync + 'static) -> String {
    let mut world = World::new();
    world.upstream.twist(twist);
    let error = world.open().unwrap_err().to_string();
    let rows: usize = world.dump(None).values().map(Vec::len).sum();
    assert_eq!(rows, 0, "{error}");
    world.upstream.be_honest();
    world.start().follow_to(world.upstream.chain.tip());
    error
}

fn refused_field(field: &'static str, value: Value) -> String {
    refused(move |method, _, result| {
        if method == "en_genesisConfig" {
            assert_ne!(result[field], value);
            result[field] = value.clone();
        }
    })
}

#[test]
fn a_wrong_announcement_is_refused_with_both_values() {
    let chain = World::new().upstream.chain;
    let config = &chain.genesis;
    let other = "0x1111111111111111111111111111111111111111111111111111111111111111";
    let shown = [
        (
            refused_field("genesis_root_hash", json!(other)),
            other,
            config.genesis_root_hash.to_string(),
        ),
        (
            refused_field("genesis_commitment", json!(other)),
            other,
            config.genesis_commitment.to_string(),
        ),
        (
            refused_field("rollup_last_leaf_index", json!(77)),
            "77",
            config.rollup_last_leaf_index.to_string(),
        ),
        (refused_field("l2_chain_id", json!(5)), "5", "271".to_owned()),
    ];
    for (error, theirs, ours) in shown {
        assert!(error.contains(theirs) && error.contains(&ours), "{error}");
    }
    let error = refused_field("protocol_version", json!("0.31.0"));
    assert!(error.contains("v31"), "{error}");
    let error = refused_field("protocol_version", json!("29"));
    assert!(error.contains("\"29\""), "{error}");
    let error = refused_field("default_aa_hash", json!(config.bootloader_hash));
    assert!(error.contains("commitment"), "{error}");
}

#[test]
fn wrong_code_is_refused() {
    let chain = World::new().upstream.chain;
    let hash = chain.genesis.bootloader_hash;
    let error = refused(move |method, params, result| {
        if method == "zks_getBytecodeByHash" && params[0] == json!(hash) {
            *result = json!(vec![7; 32]);
        }
    });
    assert!(error.contains(&hash.to_string()), "{error}");
    let error = refused(move |method, params, result| {
        if method == "zks_getBytecodeByHash" && params[0] == json!(hash) {
            *result = Value::Null;
        }
    });
    assert!(error.contains(&hash.to_string()), "{error}");
    // Another account's code: the root differs.
    let error = refused(move |method, params, result| {
        if method == "eth_getStorageAt" && params[1] == json!("0x0") {
            *result = json!(hash);
        }
    });
    assert!(error.contains("state root"), "{error}");
}

#[test]
fn a_main_node_of_another_chain_is_refused_before_anything_is_stored() {
    let error = refused(|method, _, result| {
        if method == "eth_chainId" {
            *result = json!("0x5");
        }
    });
    assert!(error.contains("chain 5") && error.contains("271"), "{error}");
    assert!(error.contains("--l2-chain-id"), "{error}");
}

#[test]
fn after_genesis_a_main_node_of_another_chain_halts_and_what_is_there_is_served() {
    let mut world = World::new();
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    let head = running.head();
    world.restart(running);
    world.upstream.twist(|method, _, result| {
        if method == "eth_chainId" {
            *result = json!("0x5");
        }
    });
    let running = world.start();
    assert!(running.within(Duration::from_secs(60), |running| running.halted().is_some()));
    let (code, reason) = running.halted().unwrap();
    assert_eq!((code, running.head()), ("upstream_lie", head));
    assert!(reason.contains("chain 5") && reason.contains("271"), "{reason}");
}

#[test]
fn genesis_waits_for_a_silent_main_node() {
    let world = World::new();
    let clock = world.memory.clock.clone();
    world.upstream.set(|knobs| {
        knobs.failure = Some(std::sync::Arc::new(move |_| {
            (clock.mono().0 < 90_000_000_000).then(|| Ok(Answer::status(502)))
        }));
    });
    let running = world.start();
    assert!(world.memory.clock.mono().0 >= 90_000_000_000);
    running.follow_to(world.upstream.chain.tip());
}

#[test]
fn a_directory_of_another_chain_is_refused() {
    let mut world = World::new();
    let running = world.start();
    running.follow_to(3);
    world.restart(running);
    world.config.l2_chain_id = lockstep_types::ChainId(5);
    let error = world.open().unwrap_err().to_string();
    assert!(error.contains("271") && error.contains('5'), "{error}");
}
