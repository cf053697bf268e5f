//! The main node's methods.

use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, ChainId, L1BatchNumber, L2BlockNumber, ProtocolVersion,
};
use lockstep_wire::Announced;

use super::*;
use crate::MainNode;

fn main_node(world: &World, endpoint_count: usize) -> MainNode {
    MainNode::new(world.client(endpoint_count, UpstreamConfig::default()))
}

/// A world where `say` answers, and a main node in it.
fn saying(say: impl Fn(&str, &Value) -> Said + Send + Sync + 'static) -> (World, MainNode) {
    let world = World::new();
    world.serve(move |_, request| Ok(faithful(request, &say)));
    let main_node = main_node(&world, 1);
    (world, main_node)
}

fn block(number: u64) -> Value {
    json!({
        "number": number, "l1BatchNumber": 7, "lastInBatch": true, "timestamp": 1_750_000_001,
        "l1GasPrice": 12, "l2FairGasPrice": 45, "fairPubdataPrice": 9,
        "baseSystemContractsHashes":
            {"bootloader": B256::repeat_byte(1), "default_aa": B256::repeat_byte(2)},
        "operatorAddress": Address::repeat_byte(3), "protocolVersion": "Version25",
        "transactions": [],
    })
}

fn is_malformed<T: std::fmt::Debug>(answer: &Result<T, UpstreamError>) -> bool {
    matches!(answer, Err(UpstreamError::Malformed { .. }))
}

#[test]
fn numbers_are_read_as_nodes_write_them() {
    let (world, main_node) = saying(|method, _| match method {
        "eth_chainId" => result("0x144"),
        "zks_L1ChainId" => result(1),
        "eth_blockNumber" => result("0x94"),
        "zks_L1BatchNumber" => result("0x29"),
        "zks_getMainContract" => result(Address::repeat_byte(5).to_string()),
        _ => panic!("{method}"),
    });
    world.memory.block_on(async {
        assert_eq!(main_node.chain_id().await, Ok(ChainId(324)));
        assert_eq!(main_node.l1_chain_id().await, Ok(ChainId(1)));
        assert_eq!(main_node.block_number().await, Ok(L2BlockNumber(148)));
        assert_eq!(main_node.l1_batch_number().await, Ok(L1BatchNumber(41)));
        assert_eq!(main_node.main_contract().await, Ok(Address::repeat_byte(5)));
    });
}

#[test]
fn a_number_that_is_none_is_malformed() {
    for wrong in [json!(null), json!({}), json!([1]), json!("148"), json!(-1), json!("0x100000000")]
    {
        let said = wrong.clone();
        let (world, main_node) = saying(move |_, _| result(said.clone()));
        let answer = world.memory.block_on(main_node.block_number());
        assert!(is_malformed(&answer), "{wrong}: {answer:?}");
    }
}

#[test]
fn blocks_come_in_order_and_end_at_the_tip() {
    let (world, main_node) = saying(|method, params| {
        assert_eq!((method, &params[1]), ("en_syncL2Block", &json!(true)));
        match params[0].as_u64().unwrap() {
            number @ 0..150 => result(block(number)),
            _ => result(Value::Null),
        }
    });
    let blocks = main_node.sync_blocks(L2BlockNumber(101), 50);
    let blocks = world.memory.block_on(blocks).unwrap();
    let numbers: Vec<_> = blocks.iter().map(|block| block.as_ref().map(|it| it.number)).collect();
    let expected: Vec<_> = (101..150).map(Some).chain([None]).collect();
    assert_eq!(numbers, expected);
    assert_eq!(world.memory.block_on(main_node.sync_blocks(L2BlockNumber(1), 0)), Ok(Vec::new()));
}

#[test]
fn another_block_than_the_one_asked_for_is_no_answer() {
    let (world, main_node) = saying(|_, params| result(block(params[0].as_u64().unwrap() + 1)));
    let answer = world.memory.block_on(main_node.sync_blocks(L2BlockNumber(5), 3));
    assert!(is_malformed(&answer), "{answer:?}");
}

#[test]
fn blocks_before_one_that_cannot_be_read_are_handed_on() {
    let (world, main_node) = saying(|_, params| match params[0].as_u64().unwrap() {
        7 => result(json!({"number": 7, "protocolVersion": "of the future"})),
        number => result(block(number)),
    });
    let blocks = world.memory.block_on(main_node.sync_blocks(L2BlockNumber(5), 10)).unwrap();
    assert_eq!(blocks.len(), 10);
    let has: Vec<_> = blocks.iter().map(Option::is_some).collect();
    assert_eq!(has, [[true, true].as_slice(), &[false; 8]].concat());
    let answer = world.memory.block_on(main_node.sync_blocks(L2BlockNumber(7), 10));
    match answer {
        Err(UpstreamError::Malformed { detail }) => assert!(detail.contains("block 7"), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_that_is_cut_or_flipped_anywhere_is_refused_or_reads_as_something() {
    let whole = block(5).to_string();
    let (mut refused, mut read) = (0, 0);
    for at in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        let Ok(damaged) = String::from_utf8(bytes) else { continue };
        let world = World::new();
        world.serve(move |_, request| {
            let id = &calls(request)[0]["id"];
            Ok(Answer::ok(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{damaged}}}"#)))
        });
        let config = UpstreamConfig { attempts_max: 1, ..Default::default() };
        let main_node = MainNode::new(world.client(1, config));
        match world.memory.block_on(main_node.sync_blocks(L2BlockNumber(5), 1)) {
            Ok(blocks) => {
                read += 1;
                assert!(blocks[0].as_ref().is_none_or(|block| block.number == 5));
            }
            Err(UpstreamError::Malformed { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    // Digits of hashes can be anything; names, quotes and brackets cannot.
    assert!(refused > 300 && read > 100, "{refused} {read}");
}

/// EraVM code of one word, and its hash.
fn code(byte: u8) -> (Bytes, BytecodeHash) {
    let code = vec![byte; 32];
    (code.clone().into(), BytecodeHash::of_era(&code).unwrap())
}

/// The code with the hash of a request.
fn code_of(params: &Value) -> Option<Bytes> {
    let found = (0..10).map(code).find(|(_, hash)| params[0] == json!(hash.0));
    found.map(|(code, _)| code)
}

#[test]
fn bytecodes_come_in_order_and_have_their_hash() {
    let (world, main_node) = saying(|method, params| {
        assert_eq!(method, "zks_getBytecodeByHash");
        result(code_of(params).map(|code| code.to_vec()))
    });
    let hashes = [code(3).1, code(99).1, code(1).1];
    let codes = world.memory.block_on(main_node.bytecodes(&hashes)).unwrap();
    assert_eq!(codes, [Some(code(3).0), None, Some(code(1).0)]);
}

#[test]
fn a_bytecode_with_another_hash_is_a_lie() {
    let (world, main_node) = saying(|_, params| match code_of(params) {
        Some(code) if code[0] == 2 => result(vec![7; 32]),
        code => result(code.map(|code| code.to_vec())),
    });
    let hashes = [1, 2, 3].map(|byte| code(byte).1);
    let answer = world.memory.block_on(main_node.bytecodes(&hashes));
    match answer {
        Err(UpstreamError::Lie { detail }) => {
            assert!(detail.contains(&hashes[1].to_string()), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert!(world.memory.block_on(main_node.bytecodes(&hashes[2..])).is_ok());
}

#[test]
fn a_lie_of_one_endpoint_is_made_good_by_another() {
    let world = World::new();
    let log = world.serve(|endpoint, request| {
        Ok(faithful(request, |_, params| match endpoint {
            0 => result(vec![7; 32]),
            _ => result(code_of(params).map(|code| code.to_vec())),
        }))
    });
    let codes = world.memory.block_on(main_node(&world, 2).bytecodes(&[code(1).1]));
    assert_eq!(codes, Ok(vec![Some(code(1).0)]));
    assert_eq!(endpoints(&log), [0, 1]);
    // An endpoint that does not answer leaves open whether the main node lies.
    world.serve(|endpoint, request| match endpoint {
        0 => Ok(faithful(request, |_, _| result(vec![7; 32]))),
        _ => Err(NetError::TimedOut),
    });
    let answer = world.memory.block_on(main_node(&world, 2).bytecodes(&[code(1).1]));
    assert!(matches!(answer, Err(UpstreamError::Unavailable { .. })), "{answer:?}");
}

#[test]
fn storage_is_asked_for_at_genesis() {
    let (world, main_node) = saying(|method, params| {
        assert_eq!((method, &params[2]), ("eth_getStorageAt", &json!("0x0")));
        assert_eq!(params[0], json!(Address::repeat_byte(2)));
        match params[1].as_str().unwrap() {
            "0x8002" => result(B256::repeat_byte(9).to_string()),
            "0x0" => result("0x0"),
            other => panic!("{other}"),
        }
    });
    let keys = [B256::ZERO, B256::left_padding_from(&[0x80, 0x02])];
    let words = main_node.genesis_storage(Address::repeat_byte(2), &keys);
    let words = world.memory.block_on(words);
    assert_eq!(words, Ok(vec![B256::ZERO, B256::repeat_byte(9)]));
}

fn details(number: &Value) -> Value {
    json!({
        "number": number, "l1BatchNumber": 3, "timestamp": 1, "l1TxCount": 0, "l2TxCount": 1,
        "rootHash": null, "status": "sealed", "l1GasPrice": 1, "l2FairGasPrice": 1,
        "baseSystemContractsHashes":
            {"bootloader": B256::repeat_byte(1), "default_aa": B256::repeat_byte(2)},
        "operatorAddress": Address::ZERO,
    })
}

#[test]
fn details_are_of_what_was_asked_for() {
    let (world, main_node) = saying(|_, params| match params[0].as_u64().unwrap() {
        8 => result(Value::Null),
        _ => result(details(&params[0])),
    });
    world.memory.block_on(async {
        let batches = [9, 8, 4].map(L1BatchNumber);
        let batches = main_node.batch_details(&batches).await.unwrap();
        let numbers: Vec<_> = batches.iter().map(|it| it.as_ref().map(|it| it.number)).collect();
        assert_eq!(numbers, [Some(9), None, Some(4)]);
        let blocks = main_node.block_details(&[8, 5].map(L2BlockNumber)).await.unwrap();
        let numbers: Vec<_> = blocks.iter().map(|it| it.as_ref().map(|it| it.number)).collect();
        assert_eq!(numbers, [None, Some(5)]);
    });
    let (world, main_node) = saying(|_, _| result(details(&json!(5))));
    world.memory.block_on(async {
        assert!(is_malformed(&main_node.batch_details(&[5, 6].map(L1BatchNumber)).await));
        assert!(is_malformed(&main_node.block_details(&[6].map(L2BlockNumber)).await));
    });
}

fn version(number: u64) -> Value {
    json!({
        "minorVersion": number, "timestamp": 17, "bootloaderCodeHash": B256::repeat_byte(1),
        "defaultAccountCodeHash": B256::repeat_byte(2), "evmEmulatorCodeHash": null,
        "l2SystemUpgradeTxHash": B256::repeat_byte(4),
    })
}

#[test]
fn a_protocol_version_is_asked_for_by_the_older_method_if_the_newer_one_fails() {
    let ask = |newer: Said, older: Said| {
        let (world, main_node) = saying(move |method, params| {
            assert_eq!(params, &json!([29]));
            match method {
                "en_getProtocolVersionInfo" => newer.clone(),
                "zks_getProtocolVersion" => older.clone(),
                _ => panic!("{method}"),
            }
        });
        let info = world.memory.block_on(main_node.protocol_version_info(ProtocolVersion(29)));
        info.map(|info| info.map(|info| info.upgrade_tx().unwrap().0))
    };
    let older = json!({
        "version_id": 29, "timestamp": 17,
        "base_system_contracts":
            {"bootloader": B256::repeat_byte(1), "default_aa": B256::repeat_byte(2)},
        "l2_system_upgrade_tx_hash": B256::repeat_byte(5),
    });
    let older = result(older);
    let is_newer = Ok(Some(B256::repeat_byte(4)));
    let is_older = Ok(Some(B256::repeat_byte(5)));
    assert_eq!(ask(result(version(29)), older.clone()), is_newer);
    assert_eq!(ask(result(Value::Null), older.clone()), Ok(None));
    assert_eq!(ask(error(-32_601, "Method not found"), older.clone()), is_older);
    assert_eq!(ask(result("nonsense"), older.clone()), is_older);
    assert_eq!(ask(result(version(28)), older), is_older);
    let unknown = error(-32_601, "Method not found");
    assert_eq!(ask(unknown.clone(), result(Value::Null)), Ok(None));
    assert!(matches!(ask(unknown.clone(), unknown), Err(UpstreamError::Rejected { .. })));
}

#[test]
fn what_the_main_node_does_not_say_stays_as_it_was() {
    let address = Address::repeat_byte(5);
    let (world, main_node) = saying(move |method, _| match method {
        "zks_getMainContract" => result(address.to_string()),
        "zks_getBridgehubContract" => json!({"result": null}),
        "zks_getL2Multicall3" => result("not an address"),
        "en_whitelistedTokensForAA" => json!({"result": [address]}),
        _ => error(-32_601, "Method not found"),
    });
    let before = Announced {
        bridgehub: Some(address),
        multicall3: Some(address),
        base_token: Some(address),
        ..Announced::default()
    };
    let mut said = before.clone();
    world.memory.block_on(main_node.learn_announced(&mut said)).unwrap();
    let expected = Announced {
        bridgehub: None,
        main_contract: Some(address),
        tokens_for_aa: vec![address],
        ..before
    };
    assert_eq!(said, expected);
}

#[test]
fn a_silent_main_node_says_nothing_more() {
    let world = World::new();
    world.serve(|_, _| Err(NetError::Connect("down".to_owned())));
    let main_node = main_node(&world, 1);
    let mut said = Announced::default();
    let end = world.memory.block_on(main_node.learn_announced(&mut said));
    assert!(matches!(end, Err(UpstreamError::Unavailable { .. })), "{end:?}");
    assert_eq!(said, Announced::default());
}
