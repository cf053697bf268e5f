//! A store, the methods over it, and somebody who asks.

use std::sync::Arc;

use futures::future::join_all;
use lockstep_io::{Io, Par, Tasks, WriteSet};
use lockstep_io_memory::MemoryIo;
use lockstep_store::{BatchRecord, BlockRecord, Genesis, Views, Writers};
use lockstep_tree::{Tree, TreeConfig};
use lockstep_types::{L1BatchNumber, L2BlockNumber};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    Announced, ApiConfig, ApiContext, Execution, FilterSeams, Sources, SyncStatus,
    call::{Call, Methods},
    error::ApiResult,
    eth, register,
};

pub(super) struct World {
    pub(super) views: Views,
    pub(super) writers: Writers,
    pub(super) tip: watch::Sender<Option<L2BlockNumber>>,
    pub(super) announced: watch::Sender<Announced>,
    pub(super) io: MemoryIo,
    module: jsonrpsee::RpcModule<()>,
}

impl World {
    pub(super) fn new(config: ApiConfig) -> Self {
        let io = MemoryIo::new(0);
        let tasks = io.io().tasks;
        Self::with_sources(io, tasks, config, None)
    }

    /// With all methods; what is run, runs on `tasks`.
    pub(super) fn executing(
        io: MemoryIo,
        tasks: Arc<dyn Tasks>,
        config: ApiConfig,
        execution: Execution,
    ) -> Self {
        Self::with_sources(io, tasks, config, Some(execution))
    }

    fn with_sources(
        io: MemoryIo,
        tasks: Arc<dyn Tasks>,
        config: ApiConfig,
        execution: Option<Execution>,
    ) -> Self {
        let (announced, watched) = watch::channel(Announced::default());
        let Io { clock, entropy, .. } = io.io();
        let filters = Some(FilterSeams { clock, entropy });
        let sources = Sources { announced: watched, execution, filters };
        let world = Self::with_methods(io, tasks, config, |methods| register(methods, sources));
        Self { announced, ..world }
    }

    /// With one more method, that does what `method` does.
    pub(super) fn with_method(
        name: &'static str,
        method: impl Fn(&Call) -> ApiResult<u32> + Clone + Send + Sync + 'static,
    ) -> Self {
        let io = MemoryIo::new(0);
        let tasks = io.io().tasks;
        Self::with_methods(io, tasks, ApiConfig::default(), |methods| {
            eth::register(methods);
            methods.add(name, move |call, _| method(call));
        })
    }

    fn with_methods(
        io: MemoryIo,
        tasks: Arc<dyn Tasks>,
        config: ApiConfig,
        fill: impl FnOnce(&mut Methods),
    ) -> Self {
        let (views, writers) = lockstep_store::open(&*io.io().stores).unwrap();
        let (tip, sync) = watch::channel(None);
        let sync = SyncStatus(sync);
        let context = ApiContext { views: views.clone(), tasks, config, sync };
        let mut methods = Methods::new(context);
        fill(&mut methods);
        let (announced, _) = watch::channel(Announced::default());
        Self { views, writers, tip, announced, io, module: methods.into_module() }
    }

    pub(super) fn persist_genesis(&mut self, genesis: &Genesis) {
        let tree = self.extend_tree(&genesis.batch);
        self.writers.chain.persist_genesis(genesis, tree).unwrap();
    }

    pub(super) fn persist(&mut self, block: &BlockRecord, batch: Option<&BatchRecord>) {
        self.writers.chain.persist_block(block, batch).unwrap();
    }

    /// Goes back to the end of a batch; the tree must not have more.
    pub(super) fn roll_back(&mut self, to: L1BatchNumber) {
        let view = self.views.now();
        self.writers.rollback.begin(&view, to, WriteSet::new()).unwrap();
        assert_eq!(self.writers.rollback.finish(&self.views, usize::MAX), Ok(Some(to)));
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

struct InOrder;

impl Par for InOrder {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(f);
    }
}
