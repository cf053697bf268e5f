//! State at any block.

use lockstep_types::{B256, L2BlockNumber, block::legacy_block_hash};
use serde_json::json;

use super::sample::{ALICE, CONTRACT, WALLET, world};

#[test]
fn balances_are_those_of_the_block_that_is_named() {
    let world = world();
    let hash = legacy_block_hash(L2BlockNumber(2)).0;
    for (block, balance) in [
        (json!("earliest"), "0x64"),
        (json!("0x0"), "0x64"),
        (json!("0x1"), "0x32"),
        (json!({"blockNumber": "0x2"}), "0x32"),
        (json!({"blockHash": hash}), "0x32"),
        (json!("latest"), "0x14"),
        (json!("committed"), "0x14"),
        (json!("pending"), "0x14"),
        (json!(null), "0x14"),
        (json!("finalized"), "0x64"),
    ] {
        assert_eq!(world.ask("eth_getBalance", json!([ALICE, block])), json!(balance), "{block}");
    }
    assert_eq!(world.ask("eth_getBalance", json!([ALICE])), json!("0x14"));
    assert_eq!(world.ask("eth_getBalance", json!([CONTRACT, "0x1"])), json!("0x0"));
}

#[test]
fn contracts_count_their_deployments_and_others_their_transactions() {
    let world = world();
    for (account, count) in [(ALICE, "0x3"), (CONTRACT, "0x4"), (WALLET, "0x7")] {
        assert_eq!(world.ask("eth_getTransactionCount", json!([account])), json!(count));
        assert_eq!(world.ask("eth_getTransactionCount", json!([account, "0x0"])), json!("0x0"));
    }
}

#[test]
fn code_is_shown_without_padding_from_its_block_on() {
    let world = world();
    assert_eq!(world.ask("eth_getCode", json!([CONTRACT])), json!("0x600100"));
    assert_eq!(world.ask("eth_getCode", json!([CONTRACT, "0x1"])), json!("0x600100"));
    assert_eq!(world.ask("eth_getCode", json!([CONTRACT, "0x0"])), json!("0x"));
    assert_eq!(world.ask("eth_getCode", json!([ALICE])), json!("0x"));
}

#[test]
fn a_slot_is_named_by_a_number_or_by_all_its_bytes() {
    let world = world();
    let seven = json!(B256::with_last_byte(7));
    let full = B256::with_last_byte(5);
    assert_eq!(world.ask("eth_getStorageAt", json!([CONTRACT, "0x5"])), seven);
    assert_eq!(world.ask("eth_getStorageAt", json!([CONTRACT, full, "0x1"])), seven);
    let zero = json!(B256::ZERO);
    assert_eq!(world.ask("eth_getStorageAt", json!([CONTRACT, full, "0x0"])), zero);
    assert_eq!(world.ask("eth_getStorageAt", json!([CONTRACT, "0x6"])), zero);
}
