//! Tokens that bridges made.

use lockstep_types::{
    Address, B256, Bytes, Event, L1BatchNumber, L2BlockHash, TxType, U256,
    address::CONTRACT_DEPLOYER, alloy_primitives::address, keccak256,
};
use lockstep_wire::{
    Announced,
    en::{BridgeContracts, TokenInfo},
};
use serde_json::json;

use super::{
    sample::{Block, l2_tx, receipt, world, world_with},
    world::World,
};
use crate::ApiConfig;

const VAULT: Address = address!("0000000000000000000000000000000000010004");
const LEGACY: Address = Address::repeat_byte(0x1e);

fn word(value: u64) -> B256 {
    U256::from(value).into()
}

fn deployment(by: Address, token: Address) -> Event {
    Event {
        address: CONTRACT_DEPLOYER,
        topics: vec![
            keccak256("ContractDeployed(address,bytes32,address)"),
            by.into_word(),
            B256::repeat_byte(1),
            token.into_word(),
        ],
        data: Bytes::new(),
    }
}

/// A token named "Coin", "C", with so many decimals.
fn beginning(event: &str, token: Address, decimals: u64) -> Event {
    let mut name = [0; 32];
    name[..4].copy_from_slice(b"Coin");
    let mut symbol = [0; 32];
    symbol[0] = b'C';
    let words =
        [word(96), word(160), word(decimals), word(4), B256::new(name), word(1), B256::new(symbol)];
    Event {
        address: token,
        topics: vec![
            keccak256(format!("{event}(address,string,string,uint8)")),
            Address::repeat_byte(0x11).into_word(),
        ],
        data: words.map(|word| word.0).concat().into(),
    }
}

fn add_block(world: &mut World, number: u8, events: Vec<Event>) {
    let transactions = vec![(l2_tx(number, TxType::Eip1559), receipt(events))];
    let mut block =
        Block { number: u32::from(number), batch: 2, transactions, ..Block::default() }.record();
    block.header.hash = L2BlockHash(keccak256(block.header.logs_bloom));
    world.persist(&block, None);
}

fn ask(world: &World, block: Option<u32>) -> Vec<TokenInfo> {
    serde_json::from_value(world.ask("en_syncTokens", json!([block]))).unwrap()
}

fn addresses(tokens: &[TokenInfo]) -> Vec<Address> {
    tokens.iter().map(|token| token.l2_address).collect()
}

#[test]
fn ether_is_always_there_and_tokens_come_with_their_blocks() {
    let mut world = world();
    assert_eq!(
        world.ask("en_syncTokens", json!([])),
        json!([{
            "l1_address": Address::ZERO,
            "l2_address": Address::ZERO,
            "metadata": {"name": "Ether", "symbol": "ETH", "decimals": 18},
        }])
    );
    let [a, b] = [0xa0, 0xb0].map(Address::repeat_byte);
    add_block(&mut world, 4, vec![deployment(VAULT, a), beginning("BridgeInitialize", a, 6)]);
    add_block(&mut world, 5, vec![beginning("BridgeInitialization", b, 8), deployment(VAULT, b)]);
    let all = ask(&world, None);
    assert_eq!(addresses(&all), [Address::ZERO, a, b]);
    assert_eq!(all[1].l1_address, Address::repeat_byte(0x11));
    let metadata = &all[1].metadata;
    assert_eq!((metadata.name.as_str(), metadata.symbol.as_str()), ("Coin", "C"));
    assert_eq!((metadata.decimals, all[2].metadata.decimals), (6, 8));
    assert_eq!(addresses(&ask(&world, Some(3))), [Address::ZERO]);
    assert_eq!(addresses(&ask(&world, Some(4))), [Address::ZERO, a]);
    assert_eq!(ask(&world, Some(99)), all);
}

#[test]
fn what_only_looks_like_a_token_is_none() {
    let mut world = world();
    let token = Address::repeat_byte(0xa0);
    let other = Address::repeat_byte(0xb0);
    let begins = || beginning("BridgeInitialize", token, 6);
    let cut = Event { data: begins().data.slice(..192), ..begins() };
    let far = Event { data: vec![0xff; 224].into(), ..begins() };
    for (number, events) in [
        (4, vec![deployment(other, token), begins()]), // By somebody else.
        (5, vec![deployment(VAULT, token)]),
        (6, vec![deployment(VAULT, other), begins()]),
        (7, vec![deployment(VAULT, token), beginning("Begin", token, 6)]),
        (8, vec![deployment(VAULT, token), cut]),
        (9, vec![deployment(VAULT, token), far]),
        (10, vec![deployment(VAULT, token), beginning("BridgeInitialize", token, 256)]),
        (11, vec![Event { address: other, ..deployment(VAULT, token) }, begins()]),
    ] {
        add_block(&mut world, number, events);
    }
    assert_eq!(addresses(&ask(&world, None)), [Address::ZERO]);
}

#[test]
fn tokens_of_the_legacy_bridge_are_found_once_it_is_known() {
    let mut world = world();
    let token = Address::repeat_byte(0xa0);
    add_block(
        &mut world,
        4,
        vec![deployment(LEGACY, token), beginning("BridgeInitialize", token, 6)],
    );
    assert_eq!(addresses(&ask(&world, None)), [Address::ZERO]);
    let bridges =
        BridgeContracts { l2_legacy_shared_bridge: Some(LEGACY), ..BridgeContracts::default() };
    world.announced.send_replace(Announced { bridges: Some(bridges), ..Announced::default() });
    assert_eq!(addresses(&ask(&world, None)), [Address::ZERO, token]);
}

#[test]
fn many_deployments_take_several_requests_and_each_goes_on_where_the_last_one_ended() {
    let mut world = world_with(ApiConfig { log_rows_max: 0, ..ApiConfig::default() });
    let tokens = [4, 5, 6, 7, 8, 9].map(|number| (number, Address::repeat_byte(0xa0 + number)));
    for (number, token) in tokens {
        let events = vec![deployment(VAULT, token), beginning("BridgeInitialize", token, 6)];
        add_block(&mut world, number, events);
    }
    let mut done = Vec::new();
    let found = loop {
        let answer = world.call("en_syncTokens", &json!([]));
        if let Ok(found) = serde_json::from_value::<Vec<TokenInfo>>(answer["result"].clone()) {
            break found;
        }
        let text = answer["error"]["message"].as_str().unwrap();
        let block = text.strip_prefix("still looking: block ").unwrap();
        let block = block.strip_suffix(" of 10; ask again").unwrap();
        done.push(block.parse::<u32>().unwrap());
        assert!(done.is_sorted_by(|before, after| before < after), "{done:?}");
    };
    assert!(done.len() >= 2, "{done:?}");
    let expected = [Address::ZERO].into_iter().chain(tokens.map(|(_, token)| token));
    assert_eq!(addresses(&found), expected.collect::<Vec<_>>());
    // An earlier block is a matter of memory alone.
    assert_eq!(addresses(&ask(&world, Some(4))), [Address::ZERO, tokens[0].1]);
}

#[test]
fn tokens_of_blocks_that_went_are_gone() {
    let mut world = world();
    let [a, b] = [0xa0, 0xb0].map(Address::repeat_byte);
    add_block(&mut world, 4, vec![deployment(VAULT, a), beginning("BridgeInitialize", a, 6)]);
    assert_eq!(addresses(&ask(&world, None)), [Address::ZERO, a]);
    world.roll_back(L1BatchNumber(1));
    assert_eq!(addresses(&ask(&world, None)), [Address::ZERO]);
    add_block(&mut world, 3, Vec::new());
    add_block(&mut world, 4, vec![deployment(VAULT, b), beginning("BridgeInitialize", b, 6)]);
    assert_eq!(addresses(&ask(&world, None)), [Address::ZERO, b]);
}
