//! What the checkers' tests share: a store with some batches, and upstreams that can be twisted.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_io::{
    BoxFuture, Clock, Durability, EndpointId, HttpRequest, NetError, StoreName, Stores, WriteSet,
};
use lockstep_io_memory::{Answer, MemoryIo};
use lockstep_pipeline::StageError;
use lockstep_store::{ChainIdentity, Views, Writers, codec::encode, tables};
use lockstep_types::{
    B256, BatchCommitment, BatchHeader, ChainId, Commitment, L1BatchNumber, L2BlockNumber,
    LeafIndex, ProtocolVersion, Quirk, QuirkCheck, Quirks, StateRoot, UnixSeconds, keccak256,
};
use lockstep_upstream::{RpcClient, UpstreamConfig};
use serde_json::{Value, json};

use crate::RootOf;

pub(crate) const L2: ChainId = ChainId(271);
pub(crate) const L1_CHAIN: ChainId = ChainId(9);
pub(crate) const MAIN_NODE: EndpointId = EndpointId(0);
pub(crate) const L1_NODE: EndpointId = EndpointId(1);
pub(crate) const GATEWAY_NODE: EndpointId = EndpointId(2);

/// Batches in the store, besides genesis.
pub(crate) const BATCHES: u32 = 4;

pub(crate) fn root(batch: u32) -> StateRoot {
    StateRoot(keccak256(format!("root {batch}")))
}

pub(crate) fn commitment(batch: u32) -> Commitment {
    Commitment(keccak256(format!("commitment {batch}")))
}

pub(crate) fn row(batch: u32) -> BatchCommitment {
    BatchCommitment {
        number: L1BatchNumber(batch),
        commitment: commitment(batch),
        pass_through_hash: B256::ZERO,
        meta_hash: B256::ZERO,
        aux_hash: B256::ZERO,
        l2_to_l1_root: B256::ZERO,
        diffs: None,
    }
}

pub(crate) fn header(batch: u32) -> BatchHeader {
    BatchHeader {
        number: L1BatchNumber(batch),
        timestamp: UnixSeconds(1_700_000_000 + u64::from(batch)),
        version: ProtocolVersion(29),
        first_block: L2BlockNumber(batch * 2),
        last_block: L2BlockNumber(batch * 2 + 1),
        l1_tx_count: 3,
        l2_tx_count: 0,
        next_leaf_index: LeafIndex(84 + u64::from(batch)),
        priority_ops_hash: keccak256([]),
    }
}

pub(crate) fn identity() -> ChainIdentity {
    ChainIdentity {
        l2_chain_id: L2,
        l1_chain_id: L1_CHAIN,
        genesis_root: root(0),
        genesis_commitment: commitment(0),
    }
}

pub(crate) fn root_of() -> RootOf {
    Arc::new(|_, batch| Ok((batch.0 <= BATCHES).then(|| root(batch.0))))
}

/// Changes what an endpoint says: endpoint, method, parameters, result.
pub(crate) type Twist = Arc<dyn Fn(EndpointId, &str, &Value, &mut Value) + Send + Sync>;
/// Answers in place of an endpoint.
pub(crate) type Failure = Arc<dyn Fn(EndpointId) -> Option<Result<Answer, NetError>> + Send + Sync>;
type Say = Arc<dyn Fn(EndpointId, &str, &Value) -> Value + Send + Sync>;
type Ended = Arc<Mutex<Option<StageError>>>;

/// A disk, a network, and time.
pub(crate) struct World {
    pub(crate) memory: MemoryIo,
    /// Differences that are known.
    pub(crate) quirks: Arc<Quirks>,
    twist: Arc<Mutex<Option<Twist>>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl World {
    /// With a made-up table: `check` of batch `batch` is known to differ.
    pub(crate) fn knowing(self, check: QuirkCheck, batch: u32) -> Self {
        let quirk = Quirk {
            chain_id: L2,
            batch: L1BatchNumber(batch),
            block: None,
            transaction: None,
            check,
            why: "made up".to_owned(),
            source: "https://example.org".to_owned(),
        };
        Self { quirks: Arc::new(Quirks::of_chain(&[quirk], L2).unwrap()), ..self }
    }

    /// Headers of all batches are stored; `say` answers.
    pub(crate) fn new(
        say: impl Fn(EndpointId, &str, &Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let memory = MemoryIo::new(1);
        let mut set = WriteSet::new();
        for batch in 0..=BATCHES {
            set.put(tables::BATCHES, batch.to_be_bytes(), encode(&header(batch)));
        }
        let name = StoreName("chain".to_owned());
        let (reader, mut writer) = memory.stores.open(&name, &tables::schema()).unwrap();
        writer.write(set, Durability::Synced).unwrap();
        drop((reader, writer));
        let (twist, failure) = (Arc::default(), Arc::default());
        let world = Self { memory, quirks: Arc::default(), twist, failure };
        let (twist, failure) = (world.twist.clone(), world.failure.clone());
        let say: Say = Arc::new(say);
        world.memory.http.set_script(move |endpoint, request| {
            let failed = failure.lock().unwrap().clone();
            if let Some(failed) = failed.and_then(|failure| failure(endpoint)) {
                return failed;
            }
            let twist = twist.lock().unwrap().clone();
            answer(endpoint, request, &say, twist.as_ref())
        });
        world
    }

    pub(crate) fn store(&self) -> (Views, Writers) {
        lockstep_store::open(&self.memory.stores).unwrap()
    }

    pub(crate) fn client(&self, name: &'static str, endpoint: EndpointId) -> RpcClient {
        let config = UpstreamConfig { attempts_max: 2, ..UpstreamConfig::default() };
        RpcClient::new(&self.memory.io(), name, vec![endpoint], config)
    }

    /// Lies as `twist` says, until told otherwise.
    pub(crate) fn twist(
        &self,
        twist: impl Fn(EndpointId, &str, &Value, &mut Value) + Send + Sync + 'static,
    ) {
        *self.twist.lock().unwrap() = Some(Arc::new(twist));
    }

    pub(crate) fn fail(
        &self,
        failure: impl Fn(EndpointId) -> Option<Result<Answer, NetError>> + Send + Sync + 'static,
    ) {
        *self.failure.lock().unwrap() = Some(Arc::new(failure));
    }

    pub(crate) fn be_honest(&self) {
        *self.twist.lock().unwrap() = None;
        *self.failure.lock().unwrap() = None;
    }

    /// Runs a checker beside; how it ended is in what is returned.
    pub(crate) fn run(&self, checker: BoxFuture<'static, StageError>) -> Ended {
        let ended = Ended::default();
        let told = ended.clone();
        let task = Box::pin(async move {
            let end = checker.await;
            *told.lock().unwrap() = Some(end);
        });
        drop(self.memory.io().tasks.spawn("checker", task));
        ended
    }

    pub(crate) fn sleep(&self, seconds: u64) {
        let clock: &dyn Clock = &self.memory.clock;
        self.memory.block_on(clock.sleep(Duration::from_secs(seconds)));
    }
}

fn answer(
    endpoint: EndpointId,
    request: &HttpRequest,
    say: &Say,
    twist: Option<&Twist>,
) -> Result<Answer, NetError> {
    let body: Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
    let one = |call: &Value| {
        let (method, params) = (call["method"].as_str().unwrap(), &call["params"]);
        let mut result = say(endpoint, method, params);
        if let Some(twist) = twist {
            twist(endpoint, method, params, &mut result);
        }
        json!({"jsonrpc": "2.0", "id": call["id"], "result": result})
    };
    let answer = match body.as_array() {
        Some(calls) => calls.iter().map(one).collect(),
        None => one(&body),
    };
    Ok(Answer::ok(answer.to_string()))
}

/// What `zks_getL1BatchDetails` says of a batch, without steps.
pub(crate) fn details(batch: u32) -> Value {
    json!({
        "number": batch, "timestamp": header(batch).timestamp.0, "l1TxCount": 3, "l2TxCount": 0,
        "rootHash": root(batch).0, "commitment": commitment(batch).0, "status": "sealed",
        "l1GasPrice": 7, "l2FairGasPrice": 250,
        "baseSystemContractsHashes": {"bootloader": B256::ZERO, "default_aa": B256::ZERO},
    })
}
