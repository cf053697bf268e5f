//! A store, the methods over it, and somebody who asks.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use lockstep_io::{EndpointId, Io, Par, Tasks, WriteSet};
use lockstep_io_memory::MemoryIo;
use lockstep_store::{BatchRecord, BlockRecord, Genesis, Views, Writers};
use lockstep_tree::{Tree, TreeConfig};
use lockstep_types::{L1BatchNumber, L2BlockNumber};
use lockstep_upstream::{MainNode, RpcClient, UpstreamConfig};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{mpsc, watch};

use crate::{
    Announced, ApiConfig, ApiContext, Execution, FilterSeams, Forwarding, Sources,
    SubscriptionSeams, SyncStatus,
    call::{Call, Methods},
    error::ApiResult,
    eth, for_one_batch,
    forward::PendingTxs,
    register,
};

pub(super) struct World {
    pub(super) views: Views,
    pub(super) writers: Writers,
    pub(super) tip: watch::Sender<Option<L2BlockNumber>>,
    pub(super) announced: watch::Sender<Announced>,
    pub(super) moved: watch::Sender<u64>,
    pub(super) io: MemoryIo,
    module: jsonrpsee::RpcModule<()>,
}

impl World {
    pub(super) fn new(config: ApiConfig) -> Self {
        let io = MemoryIo::new(0);
        let tasks = io.io().tasks;
        Self::with_sources(io, tasks, config, None)
    }

    fn with_sources(
        io: MemoryIo,
        tasks: Arc<dyn Tasks>,
        config: ApiConfig,
        execution: Option<Execution>,
    ) -> Self {
        let context = |context: ApiContext| ApiContext { tasks, config, ..context };
        Self::with_context(io, execution, context)
    }

    /// With all methods; `change` says what differs from the defaults.
    pub(super) fn with_context(
        io: MemoryIo,
        execution: Option<Execution>,
        change: impl FnOnce(ApiContext) -> ApiContext,
    ) -> Self {
        let (announced, watched) = watch::channel(Announced::default());
        let (moves, moved) = watch::channel(0);
        let Io { clock, entropy, .. } = io.io();
        let calls = UpstreamConfig { attempts_max: 1, ..UpstreamConfig::default() };
        let endpoints = vec![EndpointId(0)];
        let main_node = MainNode::new(RpcClient::new(&io.io(), "main node", endpoints, calls));
        let sources = Sources {
            announced: watched,
            execution,
            filters: Some(FilterSeams { clock, entropy }),
            subscriptions: Some(SubscriptionSeams { moved: moved.clone() }),
            forwarding: Some(Forwarding { main_node, moved }),
        };
        let world = Self::with_methods(io, change, |methods| register(methods, sources));
        Self { announced, moved: moves, ..world }
    }

    /// With one more method, that does what `method` does.
    pub(super) fn with_method(
        name: &'static str,
        method: impl Fn(&Call) -> ApiResult<u32> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::with_methods(
            MemoryIo::new(0),
            |context| context,
            |methods| {
                eth::register(methods, &Arc::new(PendingTxs::new(0, 0)));
                methods.add(name, move |call, _| method(call));
            },
        )
    }

    fn with_methods(
        io: MemoryIo,
        change: impl FnOnce(ApiContext) -> ApiContext,
        fill: impl FnOnce(&mut Methods),
    ) -> Self {
        let (views, writers) = lockstep_store::open(&*io.io().stores).unwrap();
        let (tip, sync) = watch::channel(None);
        let sync = SyncStatus(sync);
        let context = change(ApiContext::new(views.clone(), &io.io(), sync));
        let mut methods = Methods::new(context);
        fill(&mut methods);
        let announced = watch::Sender::default();
        let moved = watch::Sender::default();
        Self { views, writers, tip, announced, moved, io, module: methods.into_module() }
    }

    pub(super) fn persist_genesis(&mut self, genesis: &Genesis) {
        let tree = self.extend_tree(&genesis.batch);
        self.writers.chain.persist_genesis(genesis, tree).unwrap();
    }

    pub(super) fn persist(&mut self, block: &BlockRecord, batch: Option<&BatchRecord>) {
        self.writers.chain.persist_block(block, batch).unwrap();
        self.moved.send_modify(|moves| *moves += 1);
    }

    /// Goes back to the end of a batch; the tree must not have more.
    pub(super) fn roll_back(&mut self, to: L1BatchNumber) {
        let view = self.views.now();
        self.writers.rollback.begin(&view, to, WriteSet::new()).unwrap();
        assert_eq!(self.writers.rollback.finish(&self.views, usize::MAX), Ok(Some(to)));
        self.moved.send_modify(|moves| *moves += 1);
    }

    /// Puts a sealed batch in the tree.
    pub(super) fn grow_tree(&mut self, batch: &BatchRecord) {
        let set = self.extend_tree(batch);
        self.writers.tree.persist(set).unwrap();
    }

    fn extend_tree(&self, batch: &BatchRecord) -> WriteSet {
        let view = self.views.now();
        let tree = Tree::open(view.raw(), TreeConfig::default()).unwrap();
        let number: L1BatchNumber = batch.header.number;
        tree.extend(view.raw(), number, &batch.writes, &InOrder).unwrap().write_set
    }

    /// The whole answer.
    pub(super) fn call(&self, method: &str, params: &Value) -> Value {
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let answer = self.module.raw_json_request(&request, 1);
        let (answer, _) = self.io.block_on(answer).unwrap();
        serde_json::from_str(answer.get()).unwrap()
    }

    /// The answer to any text.
    pub(super) fn raw(&self, request: &str) -> String {
        let answered = self.io.block_on(self.module.raw_json_request(request, 1));
        match answered {
            Ok((answer, _)) => answer.get().to_owned(),
            // No server hands on what is no request.
            Err(error) => {
                json!({"error": {"code": -32_700, "message": error.to_string()}}).to_string()
            }
        }
    }

    /// All methods that there are.
    pub(super) fn method_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.module.method_names().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// Asks, and lets the answer come when it comes.
    pub(super) fn start(&self, method: &str, params: &Value) -> Arc<Mutex<Option<Value>>> {
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let (module, answered) = (self.module.clone(), Arc::<Mutex<Option<Value>>>::default());
        let answer = Arc::clone(&answered);
        let asking = async move {
            let (text, _) = module.raw_json_request(&request, 1).await.unwrap();
            *answer.lock().unwrap() = Some(serde_json::from_str(text.get()).unwrap());
        };
        drop(self.io.io().tasks.spawn("client", Box::pin(asking)));
        self.io.runtime.run_until_idle();
        answered
    }

    /// The answers to a batch; `between` is called after each request with its index.
    pub(super) fn batch(
        &mut self,
        requests: &[(&str, Value)],
        mut between: impl FnMut(&mut Self, usize),
    ) -> Vec<Value> {
        let methods = for_one_batch(&self.module);
        let mut answers = Vec::new();
        for (index, (method, params)) in requests.iter().enumerate() {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let request = request.to_string();
            let answer = self.io.block_on(methods.raw_json_request(&request, 1)).unwrap().0;
            answers.push(serde_json::from_str(answer.get()).unwrap());
            between(self, index);
        }
        answers
    }

    /// Subscribes with room for `room` messages that wait.
    #[track_caller]
    pub(super) fn subscribe(&self, params: Value, room: usize) -> Subscription {
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params});
        let answer = self.io.block_on(self.module.raw_json_request(&request.to_string(), room));
        let (answer, messages) = answer.unwrap();
        let answer: Value = serde_json::from_str(answer.get()).unwrap();
        assert!(answer.get("error").is_none(), "{params}: {answer}");
        self.io.runtime.run_until_idle();
        Subscription { id: answer["result"].clone(), messages }
    }

    /// What has been pushed since this was asked last.
    pub(super) fn pushed(&self, subscription: &mut Subscription) -> Vec<Value> {
        let mut pushed = Vec::new();
        self.io.runtime.run_until_idle();
        while let Ok(message) = subscription.messages.try_recv() {
            let message: Value = serde_json::from_str(message.get()).unwrap();
            assert_eq!(message["method"], "eth_subscription");
            assert_eq!(message["params"]["subscription"], subscription.id);
            pushed.push(message["params"]["result"].clone());
            self.io.runtime.run_until_idle();
        }
        pushed
    }

    /// The whole answers to requests that are made at the same time.
    pub(super) fn call_all(&self, requests: &[(&str, Value)]) -> Vec<Value> {
        let one = |(method, params): &(&str, Value)| {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let request = request.to_string();
            async move {
                let (answer, _) = self.module.raw_json_request(&request, 1).await.unwrap();
                serde_json::from_str(answer.get()).unwrap()
            }
        };
        self.io.block_on(join_all(requests.iter().map(one)))
    }

    /// The result.
    #[track_caller]
    pub(super) fn ask(&self, method: &str, params: Value) -> Value {
        let answer = self.call(method, &params);
        assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
        answer["result"].clone()
    }

    /// Code and message of the error.
    #[track_caller]
    pub(super) fn error(&self, method: &str, params: Value) -> (i64, String) {
        let answer = self.call(method, &params);
        let error = answer.get("error").unwrap_or_else(|| panic!("{method} {params}: {answer}"));
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }
}

/// A subscription, as its client sees it.
pub(super) struct Subscription {
    pub(super) id: Value,
    pub(super) messages: mpsc::Receiver<Box<RawValue>>,
}

struct InOrder;

impl Par for InOrder {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(f);
    }
}
