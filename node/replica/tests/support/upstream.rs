//! The main node and L1 of a toy chain, over JSON-RPC.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use lockstep_io::{EndpointId, HttpRequest, NetError};
use lockstep_io_memory::Answer;
use lockstep_types::{
    Address, B256, ChainId, L2BlockNumber, U256, block::legacy_block_hash, keccak256,
};
use lockstep_wire::Announced;
use serde_json::{Value, json};

use super::chain::{Chain, L1, L2};

/// Endpoint of the main node.
pub(crate) const MAIN_NODE: EndpointId = EndpointId(0);
/// Endpoint of L1.
pub(crate) const L1_NODE: EndpointId = EndpointId(1);
/// Another endpoint of the main node.
pub(crate) const OTHER_MAIN_NODE: EndpointId = EndpointId(2);

/// Endpoint of the gateway.
pub(crate) const GATEWAY_NODE: EndpointId = EndpointId(3);
/// Chain id of the gateway.
pub(crate) const GATEWAY: ChainId = ChainId(506);

/// L1 block of the commit of batch 1; each step of a batch is 10 blocks after the one before, and
/// each batch one block after the one before.
pub(crate) const FIRST_L1_BLOCK: u64 = 1_000;

/// Changes an honest result: method, parameters, result.
pub(crate) type Twist = Arc<dyn Fn(&str, &Value, &mut Value) + Send + Sync>;
/// Answers in place of an endpoint.
pub(crate) type Failure = Arc<dyn Fn(EndpointId) -> Option<Result<Answer, NetError>> + Send + Sync>;

/// What a test may change while the replica runs.
#[derive(Clone)]
pub(crate) struct Knobs {
    /// The chain that the main node has.
    pub(crate) chain: Arc<Chain>,
    /// The chain that its other endpoint has.
    pub(crate) other: Arc<Chain>,
    /// The newest block that the main node has.
    pub(crate) tip: u32,
    /// The newest batch with a root, and the newest with a commitment.
    pub(crate) root_until: u32,
    /// The newest batch whose L1 steps are made.
    pub(crate) steps_until: u32,
    /// Latest, safe and finalized of L1.
    pub(crate) l1_tags: (u64, Option<u64>, Option<u64>),
    /// The same of the gateway.
    pub(crate) gateway_tags: (u64, Option<u64>, Option<u64>),
    /// The newest block that is precommitted: blocks are, two at a time. 0: none is.
    pub(crate) precommitted: u32,
    /// Batches that settle on the gateway.
    pub(crate) on_gateway: Range<u32>,
    pub(crate) twist: Option<Twist>,
    pub(crate) failure: Option<Failure>,
}

/// Both upstreams. Clones share everything.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) chain: Arc<Chain>,
    knobs: Arc<Mutex<Knobs>>,
}

pub(crate) fn diamond() -> Value {
    json!("0xd1a0000000000000000000000000000000000001")
}

/// The chain's contract on the gateway.
fn gateway_diamond() -> Value {
    json!("0xd1a0000000000000000000000000000000000506")
}

/// Hash of the L1 transaction that makes a step.
pub(crate) fn step_hash(kind: &str, batch: u32) -> B256 {
    keccak256(format!("{kind} {batch}"))
}

impl Upstream {
    /// Everything is there and final.
    pub(crate) fn new(chain: Arc<Chain>) -> Self {
        let batches = u32::try_from(chain.batches.len()).unwrap();
        let knobs = Knobs {
            chain: chain.clone(),
            other: chain.clone(),
            tip: chain.tip(),
            root_until: batches,
            steps_until: batches,
            l1_tags: (9_000, Some(8_000), Some(7_000)),
            gateway_tags: (9_000, Some(8_000), Some(7_000)),
            precommitted: 0,
            on_gateway: 0..0,
            twist: None,
            failure: None,
        };
        Self { chain, knobs: Arc::new(Mutex::new(knobs)) }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.knobs.lock().unwrap());
    }

    /// Every endpoint has `chain` from now on, whole.
    pub(crate) fn switch_to(&self, chain: &Arc<Chain>) {
        self.set(|knobs| {
            (knobs.chain, knobs.other) = (chain.clone(), chain.clone());
            knobs.tip = chain.tip();
            knobs.root_until = u32::try_from(chain.batches.len()).unwrap();
            knobs.steps_until = knobs.root_until;
        });
    }

    /// Lies as `twist` says, until told otherwise.
    pub(crate) fn twist(&self, twist: impl Fn(&str, &Value, &mut Value) + Send + Sync + 'static) {
        self.set(|knobs| knobs.twist = Some(Arc::new(twist)));
    }

    /// Lies about block `number`.
    pub(crate) fn twist_block(
        &self,
        number: u32,
        twist: impl Fn(&mut Value) + Send + Sync + 'static,
    ) {
        self.twist(move |method, params, result| {
            if method == "en_syncL2Block" && params[0] == json!(number) && !result.is_null() {
                twist(result);
            }
        });
    }

    /// Is honest again.
    pub(crate) fn be_honest(&self) {
        self.set(|knobs| (knobs.twist, knobs.failure) = (None, None));
    }

    pub(crate) fn answer(
        &self,
        endpoint: EndpointId,
        request: &HttpRequest,
    ) -> Result<Answer, NetError> {
        let knobs = self.knobs.lock().unwrap().clone();
        if let Some(failed) = knobs.failure.as_ref().and_then(|failure| failure(endpoint)) {
            return failed;
        }
        let body: Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        let one = |call: &Value| {
            let (method, params) = (call["method"].as_str().unwrap(), &call["params"]);
            let mut result = match endpoint {
                MAIN_NODE => main_node(&knobs, &knobs.chain, method, params),
                OTHER_MAIN_NODE => main_node(&knobs, &knobs.other, method, params),
                L1_NODE => settlement_layer(&knobs, false, method, params),
                GATEWAY_NODE => settlement_layer(&knobs, true, method, params),
                EndpointId(other) => panic!("no endpoint {other}"),
            };
            if let Some(twist) = &knobs.twist {
                // Methods of settlement layers are told apart by a prefix.
                let prefix = match endpoint {
                    L1_NODE => "l1:",
                    GATEWAY_NODE => "gateway:",
                    OTHER_MAIN_NODE => "other:",
                    EndpointId(_) => "",
                };
                twist(&format!("{prefix}{method}"), params, &mut result);
            }
            json!({"jsonrpc": "2.0", "id": call["id"], "result": result})
        };
        let answer = match body.as_array() {
            Some(calls) => calls.iter().map(one).collect(),
            None => one(&body),
        };
        Ok(Answer::ok(answer.to_string()))
    }
}

fn main_node(knobs: &Knobs, chain: &Chain, method: &str, params: &Value) -> Value {
    let tip = knobs.tip.min(chain.tip());
    let number = || u32::try_from(params[0].as_u64().unwrap()).unwrap();
    let hash = || params[0].as_str().unwrap().parse::<B256>().unwrap();
    match method {
        "eth_chainId" => json!(format!("{:#x}", L2.0)),
        "zks_L1ChainId" => json!(format!("{:#x}", L1.0)),
        "eth_blockNumber" => json!(format!("{tip:#x}")),
        "en_genesisConfig" => json!(chain.genesis),
        "zks_getMainContract" => diamond(),
        "zks_getBatchFeeInput" => {
            json!({"l1_gas_price": 7, "fair_l2_gas_price": 250, "fair_pubdata_price": 9})
        }
        "zks_getFeeParams" => json!({}),
        "zks_getBytecodeByHash" => {
            chain.bytecodes.get(&hash()).map_or(Value::Null, |code| json!(code.to_vec()))
        }
        "eth_getStorageAt" => {
            assert_eq!(params[2], json!("0x0"), "only genesis is asked for");
            let key: U256 = params[1].as_str().unwrap().parse().unwrap();
            let found =
                chain.contracts.iter().find(|(at, _)| U256::from_be_bytes(at.into_word().0) == key);
            json!(found.map_or(B256::ZERO, |(_, hash)| *hash))
        }
        "en_syncL2Block" => match number() {
            0 => panic!("block 0 is never asked for"),
            n if n > tip => Value::Null,
            n => json!(chain.blocks[n as usize - 1]),
        },
        "zks_getL1BatchDetails" => batch_details(knobs, chain, number()),
        "zks_getBlockDetails" => match number() {
            n if n > tip => Value::Null,
            n => block_details(knobs, chain, n),
        },
        method if Announced::METHODS.contains(&method) => Value::Null,
        other => panic!("the main node is asked for {other}"),
    }
}

fn batch_details(knobs: &Knobs, chain: &Chain, number: u32) -> Value {
    let batch = (number as usize).checked_sub(1).and_then(|i| chain.batches.get(i));
    let Some(batch) = batch.filter(|batch| batch.last_block <= knobs.tip) else {
        return Value::Null;
    };
    let has_root = number <= knobs.root_until;
    let step = |kind| (number <= knobs.steps_until).then(|| step_hash(kind, number));
    let at = (number <= knobs.steps_until).then_some("2024-01-01T00:00:00Z");
    let settles_on = if knobs.on_gateway.contains(&number) { GATEWAY } else { L1 };
    let chain_id = at.map(|_| settles_on.0);
    json!({
        "number": number, "timestamp": batch.timestamp, "l1TxCount": 9, "l2TxCount": 0,
        "rootHash": has_root.then_some(batch.root.0),
        "commitment": has_root.then_some(batch.commitment),
        "status": "verified",
        "commitTxHash": step("commit"), "committedAt": at, "commitChainId": chain_id,
        "proveTxHash": step("prove"), "provenAt": at, "proveChainId": chain_id,
        "executeTxHash": step("execute"), "executedAt": at, "executeChainId": chain_id,
        "l1GasPrice": 7, "l2FairGasPrice": 250, "fairPubdataPrice": 9,
        "baseSystemContractsHashes": {
            "bootloader": chain.genesis.bootloader_hash,
            "default_aa": chain.genesis.default_aa_hash,
        },
    })
}

/// L1 or the gateway.
fn settlement_layer(knobs: &Knobs, is_gateway: bool, method: &str, params: &Value) -> Value {
    let (id, tags) = if is_gateway { (GATEWAY, knobs.gateway_tags) } else { (L1, knobs.l1_tags) };
    match method {
        "eth_chainId" => json!(format!("{:#x}", id.0)),
        "eth_getBlockByNumber" => {
            let (latest, safe, finalized) = tags;
            let number = match params[0].as_str().unwrap() {
                "latest" => Some(latest),
                "safe" => safe,
                "finalized" => finalized,
                other => panic!("a settlement layer is asked for block {other}"),
            };
            number.map_or(Value::Null, |number| json!({"number": format!("{number:#x}")}))
        }
        "eth_getTransactionReceipt" => {
            let hash = params[0].as_str().unwrap().parse::<B256>().unwrap();
            let precommit = (1..=knobs.chain.tip())
                .find(|end| hash == step_hash("precommit", *end))
                .map(|end| precommit_receipt(knobs, end));
            precommit.unwrap_or_else(|| step_receipt(knobs, is_gateway, hash))
        }
        "eth_getTransactionByHash" => Value::Null, // A test that needs one twists it.
        "eth_call" if is_gateway => {
            assert_eq!(params[0]["to"], json!(format!("{:#042x}", 0x10002)));
            let word = gateway_diamond().as_str().unwrap().trim_start_matches("0x").to_owned();
            json!(format!("0x{word:0>64}"))
        }
        other => panic!("a settlement layer is asked for {other}"),
    }
}

fn step_receipt(knobs: &Knobs, is_gateway: bool, hash: B256) -> Value {
    let contract = if is_gateway { gateway_diamond() } else { diamond() };
    let kinds = [
        ("commit", "BlockCommit(uint256,bytes32,bytes32)"),
        ("prove", "BlocksVerification(uint256,uint256)"),
        ("execute", "BlockExecution(uint256,bytes32,bytes32)"),
    ];
    for ((kind, event), delay) in kinds.into_iter().zip([0, 10, 20]) {
        for (number, batch) in (1_u32..).zip(&knobs.chain.batches) {
            let is_here = knobs.on_gateway.contains(&number) == is_gateway;
            if step_hash(kind, number) != hash || !is_here {
                continue;
            }
            let n = |number: u32| B256::from(U256::from(number));
            let mut topics = vec![keccak256(event), n(number)];
            if kind == "prove" {
                topics[1] = n(number - 1);
                topics.push(n(number));
            } else {
                topics.extend([batch.root.0, batch.commitment]);
            }
            let block = FIRST_L1_BLOCK + u64::from(number) + delay;
            let log = json!({"address": contract, "topics": topics, "data": "0x"});
            return json!({
                "transactionHash": hash, "blockNumber": format!("{block:#x}"),
                "status": "0x1", "logs": [log],
            });
        }
    }
    Value::Null
}

/// The block at which the precommit of block `number` ends: an even one, or the end of its batch.
fn precommit_end(chain: &Chain, number: u32) -> u32 {
    let block = &chain.blocks[number as usize - 1];
    if block.last_in_batch { number } else { number.next_multiple_of(2) }
}

fn precommit_receipt(knobs: &Knobs, end: u32) -> Value {
    let block = &knobs.chain.blocks[end as usize - 1];
    let n = |number: u32| B256::from(U256::from(number));
    let event = keccak256("BatchPrecommitmentSet(uint256,uint256,bytes32)");
    let topics = [event, n(block.l1_batch_number), n(end)];
    let log = json!({
        "address": diamond(), "topics": topics, "data": knobs.chain.precommitments[end as usize - 1],
    });
    json!({
        "transactionHash": step_hash("precommit", end),
        "blockNumber": format!("{:#x}", FIRST_L1_BLOCK + u64::from(end)),
        "status": "0x1", "logs": [log],
    })
}

fn block_details(knobs: &Knobs, chain: &Chain, number: u32) -> Value {
    let (hash, timestamp) = match number {
        0 => (legacy_block_hash(L2BlockNumber(0)).0, 0),
        n => {
            let block = &chain.blocks[n as usize - 1];
            (block.hash.unwrap(), block.timestamp)
        }
    };
    let is_precommitted = (1..=knobs.precommitted).contains(&number);
    let precommit = is_precommitted.then(|| step_hash("precommit", precommit_end(chain, number)));
    json!({
        "precommitTxHash": precommit,
        "precommittedAt": precommit.map(|_| "2024-01-01T00:00:00Z"),
        "precommitChainId": precommit.map(|_| L1.0),
        "number": number, "l1BatchNumber": 0, "timestamp": timestamp, "l1TxCount": 0,
        "l2TxCount": 0, "rootHash": hash, "status": "sealed",
        "l1GasPrice": 7, "l2FairGasPrice": 250, "operatorAddress": Address::ZERO,
        "baseSystemContractsHashes": {
            "bootloader": chain.genesis.bootloader_hash,
            "default_aa": chain.genesis.default_aa_hash,
        },
    })
}
