//! What only the main node can say.

use lockstep_types::Address;
use lockstep_wire::{
    Announced,
    en::{BridgeContracts, EcosystemContracts},
};
use serde_json::{Value, json};

use super::sample::world;

const NOT_IMPLEMENTED: (i64, &str) = (-32_601, "Method not implemented");

#[test]
fn before_the_main_node_has_spoken_there_is_null_or_no_method() {
    let world = world();
    for method in [
        "zks_getBridgehubContract",
        "zks_getL2Multicall3",
        "zks_getTestnetPaymaster",
        "zks_getTimestampAsserter",
    ] {
        assert_eq!(world.ask(method, json!([])), Value::Null, "{method}");
    }
    assert_eq!(world.ask("en_whitelistedTokensForAA", json!([])), json!([]));
    for method in [
        "zks_getMainContract",
        "zks_getBridgeContracts",
        "zks_getBaseTokenL1Address",
        "en_getEcosystemContracts",
    ] {
        let (code, message) = world.error(method, json!([]));
        assert_eq!((code, message.as_str()), NOT_IMPLEMENTED, "{method}");
    }
}

#[test]
fn what_the_main_node_said_last_is_handed_on() {
    let world = world();
    let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(Address::repeat_byte);
    world.announced.send_replace(Announced {
        genesis: None,
        main_contract: Some(a),
        bridgehub: Some(b),
        ecosystem: Some(EcosystemContracts {
            bridgehub_proxy_addr: Some(b),
            ..EcosystemContracts::default()
        }),
        bridges: Some(BridgeContracts {
            l1_shared_default_bridge: Some(c),
            ..BridgeContracts::default()
        }),
        base_token: Some(d),
        testnet_paymaster: Some(e),
        timestamp_asserter: Some(f),
        multicall3: Some(a),
        tokens_for_aa: vec![b, c],
    });
    for (method, expected) in [
        ("zks_getMainContract", json!(a)),
        ("zks_getBridgehubContract", json!(b)),
        ("zks_getBaseTokenL1Address", json!(d)),
        ("zks_getTestnetPaymaster", json!(e)),
        ("zks_getTimestampAsserter", json!(f)),
        ("zks_getL2Multicall3", json!(a)),
        ("en_whitelistedTokensForAA", json!([b, c])),
    ] {
        assert_eq!(world.ask(method, json!([])), expected, "{method}");
    }
    let ecosystem = world.ask("en_getEcosystemContracts", json!([]));
    assert_eq!(ecosystem["bridgehub_proxy_addr"], json!(b));
    assert_eq!(ecosystem["server_notifier_addr"], Value::Null);
    let bridges = world.ask("zks_getBridgeContracts", json!([]));
    assert_eq!(bridges["l1SharedDefaultBridge"], json!(c));
    assert_eq!(bridges["l2LegacySharedBridge"], Value::Null);
}
