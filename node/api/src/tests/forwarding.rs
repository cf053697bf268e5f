//! Transactions that clients send.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_rlp::{Encodable, Header};
use k256::ecdsa::SigningKey;
use lockstep_io::{Clock, HttpRequest, NetError};
use lockstep_io_memory::{Answer, MemoryIo};
use lockstep_types::{
    Address, B256, Bytes, StorageSlot, Transaction, TxType, U256, address::CONTRACT_DEPLOYER,
    keccak256,
};
use lockstep_vm_toy::{Op, Program, ToyVm};
use lockstep_wire::tx_hash::decode_raw;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    sample::{Block, CONTRACT, genesis, params, receipt},
    world::World,
};
use crate::{ApiConfig, ApiContext, Execution};

const CHAIN: u64 = 270;
const FUNDS: u64 = 1_000_000_000;

/// What a wallet may choose.
#[derive(Clone)]
struct Wallet {
    chain: u64,
    nonce: u64,
    tip: U256,
    price: U256,
    gas: U256,
    to: Option<Address>,
    value: u64,
    input: Bytes,
}

impl Default for Wallet {
    fn default() -> Self {
        Self {
            chain: CHAIN,
            nonce: 3,
            tip: U256::ZERO,
            price: U256::from(10),
            gas: U256::from(100_000),
            to: Some(CONTRACT),
            value: 5,
            input: Bytes::from_static(b"data"),
        }
    }
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn sender() -> Address {
    let point = key().verifying_key().to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

fn list(prefix: &[u8], items: &[&dyn Encodable]) -> Vec<u8> {
    let payload_length = items.iter().map(|item| item.length()).sum();
    let mut out = prefix.to_vec();
    Header { list: true, payload_length }.encode(&mut out);
    items.iter().for_each(|item| item.encode(&mut out));
    out
}

impl Wallet {
    /// The signed bytes of an EIP-1559 transaction.
    fn sign(&self) -> Bytes {
        let to = self.to.map_or_else(Bytes::new, |to| Bytes::copy_from_slice(to.as_slice()));
        let accesses = Vec::<Bytes>::new();
        let Self { chain, nonce, tip, price, gas, value, input, .. } = self;
        let mut items: Vec<&dyn Encodable> =
            vec![chain, nonce, tip, price, gas, &to, value, input, &accesses];
        let digest = keccak256(list(&[2], &items));
        let (signature, id) = key().sign_prehash_recoverable(digest.as_slice()).unwrap();
        let parity = u64::from(id.is_y_odd());
        let r = U256::from_be_slice(&signature.r().to_bytes());
        let s = U256::from_be_slice(&signature.s().to_bytes());
        items.extend([&parity as &dyn Encodable, &r, &s]);
        list(&[2], &items).into()
    }
}

fn read(raw: &Bytes) -> Transaction {
    decode_raw(raw, lockstep_types::ChainId(CHAIN)).unwrap()
}

fn word(number: u64) -> B256 {
    U256::from(number).into()
}

/// A chain whose account has funds and has sent three transactions.
fn world_with(config: ApiConfig) -> World {
    let io = MemoryIo::new(0);
    let execution = Execution {
        clock: io.io().clock,
        vm: Arc::new(ToyVm::default()),
        simulator: Arc::new(ToyVm::default()),
        fees: watch::channel(None).1,
    };
    let change = |context| ApiContext { config, ..context };
    let mut world = World::with_context(io, Some(execution), change);
    let state = vec![
        (StorageSlot::balance(sender()), word(FUNDS)),
        (StorageSlot::nonces(sender()), word(3)),
    ];
    let mut genesis = genesis(state);
    let base = params(0, 0, true).base_system_contracts;
    let code = Bytes::from(vec![0; 32]);
    genesis.block.bytecodes = vec![(base.bootloader, code.clone()), (base.default_account, code)];
    world.persist_genesis(&genesis);
    world
}

fn world() -> World {
    world_with(ApiConfig::default())
}

/// What the main node was asked, as method and parameters.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

fn call_of(request: &HttpRequest) -> (String, Value, Value) {
    let call: Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
    (call["method"].as_str().unwrap().to_owned(), call["params"].clone(), call["id"].clone())
}

/// A main node that answers the n-th question with `answer`.
fn main_node(
    world: &World,
    answer: impl Fn(usize, &Value) -> Result<Value, NetError> + Send + Sync + 'static,
) -> Asked {
    let asked = Asked::default();
    let told = Arc::clone(&asked);
    world.io.http.set_script(move |_, request| {
        let (method, params, id) = call_of(request);
        let mut asked = asked.lock().unwrap();
        let said = answer(asked.len(), &params);
        asked.push((method, params));
        let mut said = said?;
        said["id"] = id;
        said["jsonrpc"] = json!("2.0");
        Ok(Answer::ok(said.to_string()))
    });
    told
}

/// A main node that takes everything.
fn taking(world: &World) -> Asked {
    main_node(world, |_, params| {
        let raw: Bytes = params[0].as_str().unwrap().parse().unwrap();
        Ok(json!({"result": keccak256(&raw)}))
    })
}

/// A block with a transaction of the account.
fn include(world: &mut World, number: u32, raw: &Bytes, nonce: u64) {
    let block = Block {
        number,
        batch: 1,
        transactions: vec![(read(raw), receipt(Vec::new()))],
        state: vec![(StorageSlot::nonces(sender()), word(nonce))],
        ..Block::default()
    };
    let mut record = block.record();
    record.header.gas_used = 0;
    world.persist(&record, None);
}

fn count(world: &World, block: &str) -> Value {
    world.ask("eth_getTransactionCount", json!([sender(), block]))
}

#[test]
fn a_transaction_is_handed_on_and_known_until_it_is_in_a_block() {
    let mut world = world();
    let asked = taking(&world);
    let mut pending = world.subscribe(json!(["newPendingTransactions"]), 10);
    let raw = Wallet::default().sign();
    let hash = json!(keccak256(&raw));
    assert_eq!(world.ask("eth_sendRawTransaction", json!([raw])), hash);
    let expected = [("eth_sendRawTransaction".to_owned(), json!([raw]))];
    assert_eq!(*asked.lock().unwrap(), expected);

    assert_eq!((count(&world, "pending"), count(&world, "latest")), (json!("0x4"), json!("0x3")));
    let shown = world.ask("eth_getTransactionByHash", json!([hash]));
    assert_eq!((&shown["from"], &shown["nonce"]), (&json!(sender()), &json!("0x3")));
    assert!(shown["blockHash"].is_null() && shown["blockNumber"].is_null());
    let details = world.ask("zks_getTransactionDetails", json!([hash]));
    assert_eq!((&details["status"], &details["fee"]), (&json!("pending"), &json!("0x0")));
    assert!(world.ask("eth_getTransactionReceipt", json!([hash])).is_null());
    assert_eq!(world.pushed(&mut pending), std::slice::from_ref(&hash));

    include(&mut world, 1, &raw, 4);
    assert_eq!((count(&world, "pending"), count(&world, "latest")), (json!("0x4"), json!("0x4")));
    let mined = world.ask("eth_getTransactionByHash", json!([hash]));
    assert_eq!(mined["blockNumber"], "0x1");
    assert_eq!(world.ask("zks_getTransactionDetails", json!([hash]))["status"], "included");
    assert_eq!(world.pushed(&mut pending), [json!(null); 0], "it was told of before");
    assert_eq!(world.ask("txpool_status", json!([]))["pending"], "0x0");
}

#[test]
fn the_pool_is_what_was_handed_on() {
    let world = world();
    taking(&world);
    let send = |nonce: u64| {
        let raw = Wallet { nonce, ..Wallet::default() }.sign();
        world.ask("eth_sendRawTransaction", json!([raw]))
    };
    let hashes = [3, 4, 6].map(send);
    assert_eq!(count(&world, "pending"), "0x5", "there is none with nonce 5");
    let status = world.ask("txpool_status", json!([]));
    assert_eq!(status, json!({"pending": "0x2", "queued": "0x1"}));
    let content = world.ask("txpool_content", json!([]));
    let of_sender = |part: &str| content[part][format!("{:#x}", sender())].clone();
    assert_eq!(of_sender("pending")["4"]["hash"], hashes[1]);
    assert_eq!(of_sender("queued")["6"]["hash"], hashes[2]);
    let from = world.ask("txpool_contentFrom", json!([sender()]));
    assert_eq!(from["pending"]["3"]["hash"], hashes[0]);
    let nobody = world.ask("txpool_contentFrom", json!([CONTRACT]));
    assert_eq!(nobody, json!({"pending": {}, "queued": {}}));
    let inspected = world.ask("txpool_inspect", json!([]));
    let line = &inspected["pending"][format!("{:#x}", sender())]["3"];
    let expected = format!("{CONTRACT:#x}: 5 wei + 100000 gas × 10 wei");
    assert_eq!(*line, expected);
    // A second one with the same nonce takes the place of the first.
    let dearer = Wallet { price: U256::from(11), ..Wallet::default() }.sign();
    world.ask("eth_sendRawTransaction", json!([dearer]));
    assert!(world.ask("eth_getTransactionByHash", json!([hashes[0]])).is_null());
    assert_eq!(world.ask("txpool_status", json!([])), status);
}

#[test]
fn the_oldest_are_forgotten_when_there_are_too_many() {
    let world = world_with(ApiConfig { pending_txs_max: 2, ..ApiConfig::default() });
    taking(&world);
    let send = |nonce: u64| {
        let raw = Wallet { nonce, ..Wallet::default() }.sign();
        world.ask("eth_sendRawTransaction", json!([raw]))
    };
    let hashes = [3, 4, 5].map(send);
    assert!(world.ask("eth_getTransactionByHash", json!([hashes[0]])).is_null());
    assert!(world.ask("eth_getTransactionByHash", json!([hashes[2]])).is_object());
    assert_eq!(count(&world, "pending"), "0x3");
}

#[test]
fn what_is_surely_wrong_is_not_handed_on() {
    let world = world_with(ApiConfig { tx_bytes_max: 2_000, ..ApiConfig::default() });
    let asked = taking(&world);
    let wallet = Wallet::default;
    let much = U256::from(u64::MAX);
    for (wallet, message) in [
        (Wallet { chain: 1, ..wallet() }, "Failed to serialize transaction: wrong chain id 1"),
        (
            Wallet { price: much + U256::from(1), ..wallet() },
            "Failed to serialize transaction: max fee per gas higher than 2^64-1",
        ),
        (Wallet { to: None, ..wallet() }, "Failed to serialize transaction: toAddressIsNull"),
        (
            Wallet { input: vec![1; 2_000].into(), ..wallet() },
            "Failed to serialize transaction: oversized data. max: 2000; actual: 2912",
        ),
        (Wallet { gas: much, ..wallet() }, "exceeds block gas limit"),
        (Wallet { price: U256::from(3), ..wallet() }, "max fee per gas less than block base fee"),
        (
            Wallet { tip: U256::from(11), ..wallet() },
            "max priority fee per gas higher than max fee per gas",
        ),
        (Wallet { gas: U256::from(14_069), ..wallet() }, "intrinsic gas too low"),
        (Wallet { nonce: 2, ..wallet() }, "nonce too low. allowed nonce range: 3 - 53, actual: 2"),
        (
            Wallet { nonce: 54, ..wallet() },
            "nonce too high. allowed nonce range: 3 - 53, actual: 54",
        ),
        (
            Wallet { value: FUNDS, ..wallet() },
            "insufficient funds for gas + value. balance: 1000000000, fee: 1000000, value: \
             1000000000",
        ),
    ] {
        let answer = world.call("eth_sendRawTransaction", &json!([wallet.sign()]));
        let expected = json!({"code": 3, "message": message, "data": "0x"});
        assert_eq!(answer["error"], expected, "{answer}");
    }
    for raw in ["0x", "0x04c0", "0x02c0", "0xc0"] {
        let (code, message) = world.error("eth_sendRawTransaction", json!([raw]));
        assert_eq!(code, 3);
        assert!(message.starts_with("Failed to serialize transaction: "), "{message}");
    }
    assert_eq!(world.error("eth_sendRawTransaction", json!([])).0, -32_602);
    assert_eq!(world.error("eth_sendRawTransaction", json!(["0x1"])).0, -32_602);
    assert_eq!(*asked.lock().unwrap(), []);
}

#[test]
fn evm_code_may_be_deployed_where_the_chain_allows_it() {
    let mut world = world();
    taking(&world);
    let raw = Wallet { to: None, ..Wallet::default() }.sign();
    assert_eq!(world.error("eth_sendRawTransaction", json!([raw])).0, 3);
    let allowed = StorageSlot::new(CONTRACT_DEPLOYER, word(1));
    let block = Block { number: 1, batch: 1, state: vec![(allowed, word(1))], ..Block::default() };
    world.persist(&block.record(), None);
    assert_eq!(world.ask("eth_sendRawTransaction", json!([raw])), json!(keccak256(&raw)));
}

#[test]
fn what_the_main_node_refuses_is_told_in_its_words_and_not_remembered() {
    let world = world();
    main_node(&world, |_, _| {
        let error = json!({"code": 3, "message": "nonce too low. allowed", "data": "0x12"});
        Ok(json!({"error": error}))
    });
    let raw = Wallet::default().sign();
    let answer = world.call("eth_sendRawTransaction", &json!([raw]));
    let expected = json!({"code": 3, "message": "nonce too low. allowed", "data": "0x12"});
    assert_eq!(answer["error"], expected);
    assert!(world.ask("eth_getTransactionByHash", json!([keccak256(&raw)])).is_null());
    assert_eq!(count(&world, "pending"), "0x3");
}

#[test]
fn a_transaction_whose_first_try_was_lost_is_known_at_the_second() {
    let known = |hash: B256| format!("known transaction. transaction with hash {hash} is already");
    let raw = Wallet::default().sign();
    let hash = keccak256(&raw);
    for is_lost in [true, false] {
        let world = world();
        let asked = main_node(&world, move |index, _| match (index, is_lost) {
            (0, true) => Err(NetError::Reset("gone".to_owned())),
            _ => Ok(json!({"error": {"code": 3, "message": known(hash)}})),
        });
        let answer = world.call("eth_sendRawTransaction", &json!([raw]));
        if is_lost {
            assert_eq!(answer["result"], json!(hash));
            assert_eq!(count(&world, "pending"), "0x4");
        } else {
            assert_eq!(answer["error"]["message"], known(hash));
        }
        assert_eq!(asked.lock().unwrap().len(), if is_lost { 2 } else { 1 });
    }
}

#[test]
fn a_main_node_that_does_not_answer_is_told_of() {
    let world = world();
    let (code, text) = world.error("eth_sendRawTransaction", json!([Wallet::default().sign()]));
    assert_eq!(code, -32_000);
    assert!(text.contains("did not answer") && text.contains("send it again"), "{text}");
}

#[test]
fn a_client_can_wait_for_the_receipt() {
    let mut world = world();
    taking(&world);
    let raw = Wallet::default().sign();
    let answer = world.start("eth_sendRawTransactionSync", &json!([raw, 5_000]));
    assert_eq!(*answer.lock().unwrap(), None);
    let block = Block { number: 1, batch: 1, ..Block::default() };
    world.persist(&block.record(), None);
    world.io.runtime.run_until_idle();
    assert_eq!(*answer.lock().unwrap(), None);
    let began = world.io.clock.mono();
    include(&mut world, 2, &raw, 4);
    world.io.runtime.run_until_idle();
    let answer = answer.lock().unwrap().take().unwrap();
    assert_eq!(answer["result"]["transactionHash"], json!(keccak256(&raw)));
    assert_eq!(answer["result"]["blockNumber"], "0x2");
    assert_eq!(world.io.clock.mono(), began, "nobody polls");
}

#[test]
fn a_client_does_not_wait_for_ever() {
    let world = world();
    taking(&world);
    let raw = Wallet::default().sign();
    let clock: &dyn Clock = &world.io.clock;
    let began = clock.mono();
    let (code, text) = world.error("eth_sendRawTransactionSync", json!([raw]));
    let hash = keccak256(&raw);
    assert_eq!((code, text), (4, format!("Transaction {hash} timeout waiting for receipt")));
    assert_eq!(clock.mono().since(began), Duration::from_secs(2));
    let (code, text) = world.error("eth_sendRawTransactionSync", json!([raw, "0x2711"]));
    let expected = "Invalid timeout. Max timeout is 10000ms";
    assert_eq!((code, text.as_str()), (-32_602, expected));
}

#[test]
fn detailed_output_is_the_main_nodes() {
    let world = world();
    let raw = Wallet::default().sign();
    let output = json!({"transactionHash": keccak256(&raw), "storageLogs": [], "events": []});
    let said = output.clone();
    let asked = main_node(&world, move |_, _| Ok(json!({"result": said})));
    let method = "unstable_sendRawTransactionWithDetailedOutput";
    assert_eq!(world.ask(method, json!([raw])), output);
    assert_eq!(asked.lock().unwrap()[0].0, method);
    assert_eq!(count(&world, "pending"), "0x4");
}

#[test]
fn typed_data_must_be_signed_by_an_account_that_has_no_code() {
    // What wallets send is in the tests of `wire`; here it is signed by somebody else.
    let world = world();
    let asked = taking(&world);
    let empty = Vec::<Bytes>::new();
    let none = Bytes::new();
    let (r, s) = (U256::from(1), U256::from(2));
    let from = sender();
    let items: [&dyn Encodable; 16] = [
        &3_u64,
        &0_u64,
        &10_u64,
        &100_000_u64,
        &CONTRACT,
        &5_u64,
        &none,
        &CHAIN,
        &none,
        &none,
        &CHAIN,
        &from,
        &50_000_u64,
        &empty,
        &none,
        &empty,
    ];
    let mut items = items.to_vec();
    items[7] = &27_u64;
    items[8] = &r;
    items[9] = &s;
    let raw = Bytes::from(list(&[TxType::Eip712.byte()], &items));
    let (code, text) = world.error("eth_sendRawTransaction", json!([raw]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("signature is incorrect"), "{text}");
    assert_eq!(*asked.lock().unwrap(), []);
}

fn running(ops: &[Op]) -> Wallet {
    Wallet { input: Program(ops.to_vec()).encode(), ..Wallet::default() }
}

#[test]
fn a_transaction_that_no_block_could_include_is_not_handed_on() {
    let halting = running(&[Op::Halt]).sign();
    let world = world();
    let asked = taking(&world);
    let answer = world.call("eth_sendRawTransaction", &json!([halting]));
    let expected = json!({"code": 3, "message": "the program halts", "data": "0x"});
    assert_eq!(answer["error"], expected, "{answer}");
    assert_eq!(count(&world, "pending"), "0x3");
    // One that is undone is included all the same, and so is one whose turn has not come yet.
    for wallet in [running(&[Op::Revert]), Wallet { nonce: 9, ..running(&[]) }] {
        let raw = wallet.sign();
        let sent = world.ask("eth_sendRawTransaction", json!([raw]));
        assert_eq!(sent, json!(keccak256(&raw)));
    }
    assert_eq!(asked.lock().unwrap().len(), 2);

    let config = ApiConfig { runs_before_handing_on: false, ..ApiConfig::default() };
    let world = world_with(config);
    taking(&world);
    let sent = world.ask("eth_sendRawTransaction", json!([halting]));
    assert_eq!(sent, json!(keccak256(&halting)), "it was not run");
}

#[test]
fn a_signed_transaction_can_be_traced_without_being_sent() {
    let mut world = world();
    let asked = taking(&world);
    let ops = [Op::Write { key: 5, value: 7 }, Op::Return { key: 5 }];
    let wallet = running(&ops);
    let raw = wallet.sign();
    let both = json!(["trace", "stateDiff"]);
    let shown = world.ask("trace_rawTransaction", json!([raw, both]));
    assert_eq!(shown["output"], json!(word(7)));
    let action = json!({
        "callType": "call", "from": sender(), "gas": "0x186a0", "input": wallet.input,
        "to": CONTRACT, "value": "0x5",
    });
    assert_eq!(shown["trace"][0]["action"], action);
    let contract = CONTRACT.to_string().to_lowercase();
    let slot = &shown["stateDiff"][&contract]["storage"][word(5).to_string()]["*"];
    assert_eq!(slot["to"], json!(word(7)), "{shown}");
    assert!(shown["vmTrace"].is_null());
    assert_eq!(*asked.lock().unwrap(), []);
    assert_eq!(count(&world, "pending"), "0x3");

    let error = |world: &World, wallet: Wallet| {
        world.error("trace_rawTransaction", json!([wallet.sign(), ["trace"]]))
    };
    let halts = error(&world, running(&[Op::Halt]));
    assert_eq!(halts, (3, "the program halts".to_owned()));
    let (code, text) = error(&world, Wallet { chain: 1, ..Wallet::default() });
    assert_eq!((code, &*text), (3, "Failed to serialize transaction: wrong chain id 1"));
    let too_much = error(&world, Wallet { gas: U256::from(u64::MAX), ..Wallet::default() });
    assert_eq!(too_much, (3, "exceeds block gas limit".to_owned()));
    let (code, text) = world.error("trace_rawTransaction", json!([raw, ["vmTrace"]]));
    assert!(code == -32_602 && text.contains("structLog"), "{text}");
    // A transaction that is in a block already is run as if its turn were now.
    include(&mut world, 1, &raw, 4);
    let again = world.ask("trace_rawTransaction", json!([raw, ["trace"]]));
    assert_eq!(again["trace"], shown["trace"]);
}
