//! Answers about blocks, transactions, receipts, logs and batches against those of the reference
//! node, on recorded chains.
//!
//! Nothing is executed here: what running the blocks would give is taken from the recorded
//! receipts, so this shows what is made of the store, not how the store comes about.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod chain;
mod follower;

use std::collections::BTreeMap;

use jsonrpsee::RpcModule;
use lockstep_api::{Announced, ApiContext, Sources, SyncStatus, rpc_module_with};
use lockstep_io_memory::MemoryIo;
use lockstep_store::Views;
use lockstep_testvectors::{Answer, Exchange, Recording, recordings_for};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::chain::{execute_all, fill};

/// Methods that are answered from what is put in the store here.
const METHODS: [&str; 28] = [
    "en_getEcosystemContracts",
    "en_syncL2Block",
    "en_syncTokens",
    "eth_blockNumber",
    "eth_feeHistory",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getLogs",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_nope",
    "eth_protocolVersion",
    "net_version",
    "rpc_modules",
    "zks_L1BatchNumber",
    "zks_getBaseTokenL1Address",
    "zks_getBlockDetails",
    "zks_getL1BatchDetails",
    "zks_getL2ToL1LogProof",
    "zks_getRawBlockTransactions",
    "zks_getTestnetPaymaster",
    "zks_getTimestampAsserter",
    "zks_getTransactionDetails",
];

/// Depend on when who saw what, not on the chain.
const NOT_COMPARED: [&str; 5] =
    ["receivedAt", "received_timestamp_ms", "committedAt", "provenAt", "executedAt"];

#[test]
fn answers_equal_those_of_the_reference_node() {
    for recording in recordings_for("answers of the API") {
        let io = MemoryIo::new(0);
        let (views, mut writers) = lockstep_store::open(&*io.io().stores).unwrap();
        fill(&mut writers, &recording);
        let module = module(&io, views.clone(), &recording);
        let mut compared = BTreeMap::from(METHODS.map(|method| (method, 0)));
        let (proofs, rest): (Vec<_>, Vec<_>) = recording
            .golden_api()
            .into_iter()
            .partition(|golden| golden.method == "zks_getL2ToL1LogProof");
        for (index, golden) in rest.iter().chain(&proofs).enumerate() {
            if index == rest.len() {
                // The reference node was asked for proofs when all batches were executed.
                execute_all(&mut writers, &views);
            }
            let Some(count) = compared.get_mut(golden.method.as_str()) else { continue };
            compare(golden, &answer(&io, &module, golden));
            *count += 1;
        }
        assert_eq!(compared.values().find(|count| **count == 0), None, "{compared:?}");
        let total: u32 = compared.values().sum();
        assert!(total > 1_000, "{}: only {total} answers", recording.name());
    }
}

/// What another node asks for, as the main node answered it.
#[test]
fn another_node_gets_what_the_main_node_gave_us() {
    const METHODS: [&str; 15] = [
        "en_consensusGlobalConfig",
        "en_genesisConfig",
        "en_getEcosystemContracts",
        "en_getProtocolVersionInfo",
        "en_syncL2Block",
        "en_syncTokens",
        "en_whitelistedTokensForAA",
        "snapshots_getAllSnapshots",
        "zks_L1ChainId",
        "zks_getBlockDetails",
        "zks_getBridgeContracts",
        "zks_getL2Multicall3",
        "zks_getMainContract",
        "zks_getProtocolVersion",
        "zks_getTransactionDetails",
    ];
    for recording in recordings_for("answers of the main node") {
        let io = MemoryIo::new(0);
        let (views, mut writers) = lockstep_store::open(&*io.io().stores).unwrap();
        fill(&mut writers, &recording);
        let module = module(&io, views, &recording);
        let mut compared = BTreeMap::from(METHODS.map(|method| (method, 0)));
        for exchange in recording.main_node().exchanges() {
            let Some(count) = compared.get_mut(exchange.method.as_str()) else { continue };
            let answer = answer(&io, &module, exchange);
            if answer["result"]["ethCommitTxHash"].is_null()
                && exchange.method == "zks_getTransactionDetails"
            {
                continue; // Batches went on after the main node was asked for them.
            }
            compare(exchange, &answer);
            *count += 1;
        }
        assert_eq!(compared.values().find(|count| **count == 0), None, "{compared:?}");
    }
}

/// What the main node says that nobody else can.
fn announced(recording: &Recording) -> Announced {
    let main_node = recording.main_node();
    let mut announced = Announced::default();
    for method in Announced::METHODS {
        let answer = main_node.answer(method, &json!([])).expect("recorded");
        announced.learn(method, answer.result().expect("no error")).unwrap();
    }
    announced
}

/// The methods, with what the main node said.
fn module(io: &MemoryIo, views: Views, recording: &Recording) -> RpcModule<()> {
    let context = ApiContext::new(views, &io.io(), SyncStatus(watch::channel(None).1));
    let announced = watch::channel(announced(recording)).1;
    rpc_module_with(context, Sources { announced, ..Sources::default() })
}

fn answer(io: &MemoryIo, module: &RpcModule<()>, asked: &Exchange) -> Value {
    let (method, params) = (&asked.method, &asked.params);
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = request.to_string();
    let (answer, _) = io.block_on(module.raw_json_request(&request, 1)).unwrap();
    serde_json::from_str(answer.get()).unwrap()
}

#[track_caller]
fn compare(golden: &Exchange, answer: &Value) {
    let Exchange { method, params, answer: expected } = golden;
    match expected {
        Answer::Result(_) => {
            assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
            let mut expected = expected.parse::<Value>();
            if method == "zks_getL1BatchDetails" && expected.is_object() {
                expected["rootHash"] = Value::Null; // There is no tree here.
            }
            assert_eq!(comparable(&answer["result"]), comparable(&expected), "{method} {params}");
        }
        Answer::Error(error) => {
            assert_eq!(answer["error"]["code"], json!(error.code), "{method} {params}");
            assert_eq!(answer["error"]["message"], json!(error.message), "{method} {params}");
        }
    }
}

fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let compared = fields.iter().filter(|(key, _)| !NOT_COMPARED.contains(&key.as_str()));
            compared.map(|(key, value)| (key.clone(), comparable(value))).collect()
        }
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::String(text) => Value::String(text.to_lowercase()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain.clone(),
    }
}
