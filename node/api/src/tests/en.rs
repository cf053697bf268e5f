//! What another node needs to follow the chain through this one.

use lockstep_types::{
    Address, B256, BytecodeHash, L2BlockNumber, ProtocolVersion, Transaction, TxCommon, TxHash,
    TxType, U256, UpgradeCommon, address, block::legacy_block_hash,
};
use lockstep_wire::{
    Announced, SyncBlock, SyncBlockParts,
    en::{GenesisConfig, ProtocolVersionInfo, ZksProtocolVersion},
};
use serde_json::{Value, json};

use super::{
    sample::{Block, l2_tx, receipt, world},
    world::World,
};

#[test]
fn a_block_is_handed_on_as_it_came() {
    let world = world();
    let view = world.views.now();
    for number in 1..=3 {
        let answer = world.ask("en_syncL2Block", json!([number, true]));
        let block: SyncBlock = serde_json::from_value(answer).unwrap();
        let parts = SyncBlockParts::try_from(block).unwrap();
        let number = L2BlockNumber(number);
        let header = view.block(number).unwrap().unwrap();
        assert_eq!(parts.params, header.params);
        assert_eq!(parts.claimed_hash, Some(legacy_block_hash(number)));
        assert_eq!(parts.transactions, Some(view.transactions(number).unwrap()));
    }
    let without = world.ask("en_syncL2Block", json!([1, false]));
    assert_eq!(without["transactions"], Value::Null);
    assert_eq!(without["l1BatchNumber"], json!(1));
    assert_eq!(world.ask("en_syncL2Block", json!([4, true])), Value::Null);
    assert_eq!(world.error("en_syncL2Block", json!(["0x1", true])).0, -32_602);
}

#[test]
fn the_last_block_of_a_batch_is_the_one_without_transactions() {
    let world = world();
    let is_last = |number: u32| {
        let block = world.ask("en_syncL2Block", json!([number, false]));
        block["lastInBatch"].as_bool().unwrap()
    };
    assert_eq!([0, 1, 2, 3].map(is_last), [true, false, true, false]);
}

#[test]
fn genesis_is_described_from_the_store_and_completed_by_the_main_node() {
    let world = world();
    let ask = || -> GenesisConfig {
        serde_json::from_value(world.ask("en_genesisConfig", json!([]))).unwrap()
    };
    let own = ask();
    assert_eq!(own.version(), Ok(ProtocolVersion(29)));
    assert_eq!((own.l1_chain_id, own.l2_chain_id, own.rollup_last_leaf_index), (9, 270, 3));
    assert_eq!(own.genesis_commitment, B256::repeat_byte(0x6c));
    assert_eq!(own.bootloader_hash, B256::repeat_byte(0xb0));
    assert_eq!(own.default_aa_hash, B256::repeat_byte(0xda));
    assert_eq!((own.evm_emulator_hash, own.dummy_verifier), (None, false));
    assert_eq!(own.l1_batch_commit_data_generator_mode, "Rollup");

    let said = GenesisConfig {
        protocol_version: "0.29.4".to_owned(),
        recursion_scheduler_level_vk_hash: Some(B256::repeat_byte(1)),
        dummy_verifier: true,
        l1_batch_commit_data_generator_mode: "Validium".to_owned(),
        ..own.clone()
    };
    // What is stored was checked; a main node that says something else now changes nothing.
    let wrong = GenesisConfig {
        genesis_commitment: B256::ZERO,
        fee_account: Address::repeat_byte(9),
        ..said.clone()
    };
    world.announced.send_replace(Announced { genesis: Some(wrong), ..Announced::default() });
    assert_eq!(ask(), said);
    let other = GenesisConfig { protocol_version: "0.30.1".to_owned(), ..said };
    world.announced.send_replace(Announced { genesis: Some(other), ..Announced::default() });
    assert_eq!(ask().protocol_version, "0.29.0");
}

/// The small chain goes on with v30 in block 4: its first transaction is the upgrade.
fn upgraded() -> World {
    let mut world = world();
    let mut upgrade = l2_tx(0x41, TxType::Legacy);
    upgrade.common = TxCommon::Upgrade(Box::new(UpgradeCommon {
        hash: TxHash(B256::repeat_byte(0x41)),
        sender: address::FORCE_DEPLOYER,
        upgrade: ProtocolVersion(30),
        max_fee_per_gas: U256::ZERO,
        gas_limit: U256::from(10_000),
        gas_per_pubdata_limit: U256::from(800),
        to_mint: U256::ZERO,
        refund_recipient: Address::ZERO,
        eth_block: 0,
        eth_hash: B256::ZERO,
    }));
    for (number, txs) in [(4, vec![upgrade]), (5, vec![l2_tx(0x51, TxType::Legacy)])] {
        let with_receipt = |tx: Transaction| (tx, receipt(Vec::new()));
        let transactions = txs.into_iter().map(with_receipt).collect();
        let mut block = Block { number, batch: 2, transactions, ..Block::default() }.record();
        block.header.params.version = ProtocolVersion(30);
        // A patch of the version brings another bootloader.
        let bootloader = BytecodeHash(B256::repeat_byte(u8::try_from(number).unwrap()));
        block.header.params.base_system_contracts.bootloader = bootloader;
        world.persist(&block, None);
    }
    world
}

#[test]
fn versions_are_found_in_the_blocks() {
    let world = upgraded();
    let ask = |version: Value| -> Option<ProtocolVersionInfo> {
        let answer = world.ask("en_getProtocolVersionInfo", json!([version]));
        serde_json::from_value(answer).unwrap()
    };
    let first = ask(json!(29)).unwrap();
    assert_eq!(first.version(), ProtocolVersion(29));
    assert_eq!((first.timestamp, first.upgrade_tx()), (1_000, None));
    assert_eq!(first.bootloader_code_hash, B256::repeat_byte(0xb0));
    let second = ask(json!(30)).unwrap();
    assert_eq!((second.timestamp, second.minor_version), (1_004, 30));
    assert_eq!(second.upgrade_tx(), Some(TxHash(B256::repeat_byte(0x41))));
    assert_eq!(second.bootloader_code_hash, B256::repeat_byte(5), "of the newest block");
    assert_eq!(ask(Value::Null).as_ref(), Some(&second));
    assert_eq!((ask(json!(28)), ask(json!(31)), ask(json!(65_535))), (None, None, None));
    assert_eq!(world.error("en_getProtocolVersionInfo", json!([65_536])).0, -32_602);
}

#[test]
fn the_older_shape_says_the_same() {
    let world = upgraded();
    for version in [json!(29), json!(30), Value::Null] {
        let new = world.ask("en_getProtocolVersionInfo", json!([version]));
        let old = world.ask("zks_getProtocolVersion", json!([version]));
        let new: ProtocolVersionInfo = serde_json::from_value(new).unwrap();
        let old: ZksProtocolVersion = serde_json::from_value(old).unwrap();
        assert_eq!(ProtocolVersionInfo::try_from(old), Ok(new));
    }
    assert_eq!(world.ask("zks_getProtocolVersion", json!([31])), Value::Null);
}
