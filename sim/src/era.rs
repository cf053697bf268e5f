//! A recorded chain as main node and L1, for runs with the real EraVM.
//!
//! Everything served was answered by a real main node and a real L1; only heights above the head
//! are not there yet. What the node stores in the end must be what a node stores to which nothing
//! happens.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lockstep_io::{EndpointId, HttpRequest};
use lockstep_replica::CommitmentRule;
use lockstep_testvectors::{MainNodeRecording, Recording, recordings_for};
use lockstep_types::ChainId;
use lockstep_vm_era::EraVm;
use serde_json::{Value, json};

use crate::{
    memo::Memo,
    model::{Answer, Tag},
    net::Server,
};

/// Endpoint of the main node.
pub(crate) const MAIN_NODE: EndpointId = EndpointId(0);
/// Endpoint of L1.
pub(crate) const L1_NODE: EndpointId = EndpointId(1);

/// Blocks that are there when the world begins, and how long it takes until there is another.
const FIRST_HEAD: u32 = 3;
const BLOCK_TIME: Duration = Duration::from_millis(400);

/// Batches of a run.
const BATCHES_MAX: u32 = 6;

static CHAIN: OnceLock<Option<EraChain>> = OnceLock::new();

/// A recorded chain, ready to be served. Clones share everything.
#[derive(Clone, Debug)]
pub struct EraChain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    main_node: MainNodeRecording,
    l1: L1,
    chain_id: ChainId,
    /// Batch of each block, from block 0.
    batches: Vec<u32>,
    vm: EraVm,
    memo: Memo,
}

/// L1 by what is asked for.
#[derive(Debug)]
struct L1 {
    chain_id: u64,
    blocks: Vec<Value>,
    receipts: BTreeMap<String, Value>,
    txs: BTreeMap<String, Value>,
    calls: Vec<Value>,
    finalized: usize,
}

impl EraChain {
    /// The first recorded chain that has an L1; `None`, and a word on stderr, if there is none.
    /// Loaded once in a process: call it before forking.
    pub fn shared() -> Option<Self> {
        let load = || recordings_for("EraVM in the simulator").iter().find_map(Self::load);
        CHAIN.get_or_init(load).clone()
    }

    fn load(recording: &Recording) -> Option<Self> {
        let main_node = recording.main_node();
        let l1 = recording.l1()?;
        let chain_id = main_node.answer("eth_chainId", &json!([]))?.parse::<String>();
        let chain_id = u64::from_str_radix(chain_id.trim_start_matches("0x"), 16).ok()?;
        let batch = |block: u32| {
            let answer = main_node.answer("en_syncL2Block", &json!([block, true]))?;
            let block: Value = serde_json::from_str(answer.result()?).ok()?;
            u32::try_from(block.get("l1BatchNumber")?.as_u64()?).ok()
        };
        let batches = (0..=main_node.head()).map(|block| batch(block).unwrap_or(0)).collect();
        let by = |key: &str, values: Vec<Value>| -> BTreeMap<String, Value> {
            let entry = |value: Value| Some((value.get(key)?.as_str()?.to_lowercase(), value));
            values.into_iter().filter_map(entry).collect()
        };
        let txs = l1.blocks.iter().filter_map(|block| block["transactions"].as_array());
        let txs = by("hash", txs.flatten().cloned().collect());
        let l1 = L1 {
            chain_id: l1.chain_id,
            receipts: by("transactionHash", l1.receipts),
            txs,
            calls: l1.calls,
            finalized: usize::try_from(l1.finalized).unwrap_or(0),
            blocks: l1.blocks,
        };
        let (name, chain_id) = (recording.name(), ChainId(chain_id));
        let vm = EraVm::default();
        let memo = Memo::default();
        Some(Self(Arc::new(Inner { name, main_node, l1, chain_id, batches, vm, memo })))
    }

    /// Name of the recording.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The chain's id.
    pub(crate) fn chain_id(&self) -> ChainId {
        self.0.chain_id
    }

    /// The VM; its cache of programs is shared by all runs of a process.
    pub(crate) fn vm(&self) -> EraVm {
        self.0.vm.clone()
    }

    /// What computes commitments; what is known of them is shared by all runs of a process, too.
    pub(crate) fn commitment_rule(&self, seed: u64) -> CommitmentRule {
        self.0.memo.rule(seed)
    }

    /// The newest block in the end: a run is a few batches long.
    pub(crate) fn head(&self) -> u32 {
        let blocks = self.0.batches.iter().take_while(|batch| **batch <= BATCHES_MAX).count();
        u32::try_from(blocks).map_or(0, |blocks| blocks.saturating_sub(1))
    }

    /// The newest batch that is sealed in the end, as far as its details are recorded.
    pub(crate) fn newest_batch(&self) -> u32 {
        let last = self.0.batches.last().copied().unwrap_or(0).min(BATCHES_MAX);
        let is_there = |batch: &u32| {
            let details = self.0.main_node.answer("zks_getL1BatchDetails", &json!([batch]));
            details.and_then(|answer| answer.result()).is_some_and(|text| text != "null")
        };
        (1..=last).rev().find(is_there).unwrap_or(0)
    }

    /// What the API says of the newest batch in the end.
    pub(crate) fn newest_status(&self) -> String {
        let details =
            self.0.main_node.answer("zks_getL1BatchDetails", &json!([self.newest_batch()]));
        let details = details.map_or(Value::Null, |answer| answer.parse::<Value>());
        details["status"].as_str().unwrap_or_default().to_owned()
    }

    fn head_at(&self, now: Duration) -> u32 {
        let grown = now.as_millis() / BLOCK_TIME.as_millis();
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        FIRST_HEAD.saturating_add(grown).min(self.head())
    }

    fn main_node(&self, head: u32, method: &str, params: &Value) -> Value {
        let number = || {
            let first = params.get(0)?;
            let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
            let number = first.as_u64().or_else(|| first.as_str().and_then(hex))?;
            u32::try_from(number).ok()
        };
        let batch_of = |block: u32| {
            let at = usize::try_from(block).unwrap_or(usize::MAX);
            self.0.batches.get(at).copied().unwrap_or(u32::MAX)
        };
        let sealed = if head < self.0.main_node.head() {
            batch_of(head + 1).saturating_sub(1)
        } else {
            u32::MAX
        };
        match (method, number()) {
            ("eth_blockNumber", _) => return json!({"result": format!("{head:#x}")}),
            ("en_syncL2Block" | "zks_getBlockDetails" | "eth_getBlockByNumber", Some(block))
                if block > head =>
            {
                return json!({"result": null});
            }
            ("zks_getL1BatchDetails", Some(batch)) if batch > sealed => {
                return json!({"result": null});
            }
            _ => {}
        }
        use lockstep_testvectors::Answer as Recorded;
        match self.0.main_node.answer(method, params) {
            Some(Recorded::Result(text)) => {
                let result: Value = serde_json::from_str(text.get()).unwrap_or(Value::Null);
                json!({"result": result})
            }
            Some(Recorded::Error(error)) => {
                json!({"error": {"code": error.code, "message": error.message}})
            }
            None if method.starts_with("en_sync") || method.starts_with("zks_get") => {
                json!({"result": null})
            }
            None => not_recorded(method),
        }
    }
}

fn not_recorded(method: &str) -> Value {
    json!({"error": {"code": -32_601, "message": format!("not recorded: {method}")}})
}

impl L1 {
    fn answer(&self, method: &str, params: &Value) -> Value {
        let text = |at: usize| params.get(at).and_then(Value::as_str).unwrap_or_default();
        let last = self.blocks.len().saturating_sub(1);
        let number = |tag: &str| match tag {
            "latest" | "pending" => last,
            "earliest" => 0,
            "safe" | "finalized" => self.finalized,
            hex => usize::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap_or(usize::MAX),
        };
        let of = |found: Option<&Value>| json!({"result": found});
        match method {
            "eth_chainId" => json!({"result": format!("{:#x}", self.chain_id)}),
            "eth_blockNumber" => json!({"result": format!("{last:#x}")}),
            "eth_getBlockByNumber" => of(self.blocks.get(number(text(0)))),
            "eth_getTransactionByHash" => of(self.txs.get(&text(0).to_lowercase())),
            "eth_getTransactionReceipt" => of(self.receipts.get(&text(0).to_lowercase())),
            "eth_call" => {
                let key = |call: &Value| {
                    let word =
                        |name: &str| call.get(name).and_then(Value::as_str).map(str::to_lowercase);
                    (word("to"), word("data").or_else(|| word("input")))
                };
                let wanted = params.get(0).map(key);
                let found = self.calls.iter().find(|call| Some(key(&call["params"])) == wanted);
                match found {
                    Some(call) if call.get("error").is_some() => json!({"error": call["error"]}),
                    Some(call) => json!({"result": call["result"]}),
                    None => not_recorded(method),
                }
            }
            other => not_recorded(other),
        }
    }
}

impl Server for EraChain {
    fn answer(&self, now: Duration, endpoint: EndpointId, request: &HttpRequest) -> Answer {
        let body = request.body.as_deref().unwrap_or_default();
        let asked: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let one = |call: &Value| {
            let method = call["method"].as_str().unwrap_or_default();
            let mut answer = if endpoint == L1_NODE {
                self.0.l1.answer(method, &call["params"])
            } else {
                self.main_node(self.head_at(now), method, &call["params"])
            };
            answer["jsonrpc"] = json!("2.0");
            answer["id"] = call["id"].clone();
            answer
        };
        let answer = match asked.as_array() {
            Some(calls) => calls.iter().map(one).collect(),
            None => one(&asked),
        };
        let body = answer.to_string().into();
        Answer { status: 200, headers: Vec::new(), body, tag: Tag::Honest }
    }
}
