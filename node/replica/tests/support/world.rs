//! One replica in one world.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    task::Poll,
    time::Duration,
};

use jsonrpsee::RpcModule;
use lockstep_io::{Clock, Io};
use lockstep_io_memory::MemoryIo;
use lockstep_pipeline::StageError;
use lockstep_replica::{OpenError, Operator, Replica, ReplicaConfig, RolledBack, Status};
use lockstep_store::{Views, tables};
use lockstep_types::{BatchSteps, L1BatchNumber};
use lockstep_vm_toy::ToyVm;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{mpsc, watch};

use super::{
    chain::{Chain, L2},
    disk::Disk,
    upstream::{L1_NODE, MAIN_NODE, Upstream},
};

/// Batches of the chain that most tests follow.
pub(crate) const BATCHES: u32 = 6;

static CHAIN: LazyLock<Arc<Chain>> = LazyLock::new(|| Arc::new(Chain::new(BATCHES)));

/// All rows by table name.
pub(crate) type Tables = BTreeMap<&'static str, Vec<(Vec<u8>, Vec<u8>)>>;

type Ended = Arc<Mutex<Option<Result<(), StageError>>>>;

/// A disk, a network, and time.
pub(crate) struct World {
    pub(crate) memory: MemoryIo,
    pub(crate) disk: Disk,
    pub(crate) upstream: Upstream,
    pub(crate) config: ReplicaConfig,
}

/// A replica that runs.
pub(crate) struct Running {
    memory: MemoryIo,
    pub(crate) status: watch::Receiver<Status>,
    rpc: RpcModule<()>,
    pub(crate) operator: Operator,
    pub(crate) rolled_back: watch::Receiver<Option<RolledBack>>,
    ended: Ended,
}

impl World {
    pub(crate) fn new() -> Self {
        let memory = MemoryIo::new(1);
        let upstream = Upstream::new(CHAIN.clone());
        let answers = upstream.clone();
        memory.http.set_script(move |endpoint, request| answers.answer(endpoint, request));
        let mut config = ReplicaConfig::new(L2, vec![MAIN_NODE], vec![L1_NODE]);
        // The toy chain announces commitments that nobody can compute.
        config.commitments = None;
        Self { memory, disk: Disk::default(), upstream, config }
    }

    fn io(&self) -> Io {
        Io { stores: Arc::new(self.disk.clone()), ..self.memory.io() }
    }

    pub(crate) fn open(&self) -> Result<Replica, OpenError> {
        self.memory.block_on(Box::pin(self.opening()))
    }

    fn opening(&self) -> impl Future<Output = Result<Replica, OpenError>> + use<> {
        let vm = Arc::new(ToyVm::default());
        Replica::open(self.config.clone(), self.io(), vm.clone(), vm)
    }

    /// As [`open`](Self::open); `None` if it takes longer than `limit`.
    pub(crate) fn open_within(&self, limit: Duration) -> Option<Result<Replica, OpenError>> {
        let clock: &dyn Clock = &self.memory.clock;
        self.memory.block_on(async {
            lockstep_io::node_select! {
                opened = Box::pin(self.opening()) => Some(opened),
                () = clock.sleep(limit) => None,
            }
        })
    }

    pub(crate) fn start(&self) -> Running {
        self.run(self.open().unwrap())
    }

    pub(crate) fn run(&self, replica: Replica) -> Running {
        let (status, rpc, operator) = (replica.status(), replica.rpc(), replica.operator());
        let rolled_back = replica.rolled_back();
        let ended = Ended::default();
        let io = self.memory.io();
        let (stop, told) = (io.tasks.shutdown(), ended.clone());
        let run = Box::pin(async move {
            let end = Box::pin(replica.run(stop)).await;
            *told.lock().unwrap() = Some(end);
        });
        drop(io.tasks.spawn("replica", run));
        Running { memory: self.memory.clone(), status, rpc, operator, rolled_back, ended }
    }

    /// The process dies; the next one finds the disk.
    pub(crate) fn restart(&mut self, running: Running) {
        self.kill(Some(running));
    }

    /// As [`restart`](Self::restart), also if nothing runs.
    pub(crate) fn kill(&mut self, running: Option<Running>) {
        drop(running);
        self.memory = self.memory.restart();
        self.disk.next_life();
    }

    pub(crate) fn sleep(&self, time: Duration) {
        let clock: &dyn Clock = &self.memory.clock;
        self.memory.block_on(clock.sleep(time));
    }

    /// Lets others run `count` times.
    pub(crate) fn yields(&self, count: usize) {
        let mut left = count;
        let future = std::future::poll_fn(|cx| match left.checked_sub(1) {
            None => Poll::Ready(()),
            Some(less) => {
                left = less;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        self.memory.block_on(future);
    }

    /// Kills whatever runs and gives everything that is stored.
    pub(crate) fn dump(&mut self, running: Option<Running>) -> Tables {
        self.kill(running);
        let (views, _writers) = self.views();
        let view = views.now();
        let rows = |table| view.dump(table).collect::<Result<Vec<_>, _>>().unwrap();
        tables::ALL.iter().map(|table| (table.name, rows(*table))).collect()
    }

    /// As [`dump`](Self::dump): the stored steps of a batch.
    pub(crate) fn steps(&mut self, running: Running, batch: u32) -> BatchSteps {
        self.restart(running);
        let (views, _writers) = self.views();
        views.now().steps(L1BatchNumber(batch)).unwrap()
    }

    fn views(&self) -> (Views, lockstep_store::Writers) {
        lockstep_store::open(&self.disk).unwrap()
    }
}

/// What a subscriber is sent.
pub(crate) struct Subscription(mpsc::Receiver<Box<RawValue>>);

impl Subscription {
    /// The results that have been pushed since this was asked last.
    pub(crate) fn pushed(&mut self) -> Vec<Value> {
        let mut pushed = Vec::new();
        while let Ok(message) = self.0.try_recv() {
            let mut message: Value = serde_json::from_str(message.get()).unwrap();
            pushed.push(message["params"]["result"].take());
        }
        pushed
    }
}

impl Running {
    /// The result of an API call.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = request.to_string();
        let answer = self.memory.block_on(self.rpc.raw_json_request(&request, 1));
        let mut answer: Value = serde_json::from_str(answer.unwrap().0.get()).unwrap();
        assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
        answer["result"].take()
    }

    /// Subscribes with room for `room` messages.
    pub(crate) fn subscribe(&self, params: Value, room: usize) -> Subscription {
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params});
        let request = request.to_string();
        let answer = self.memory.block_on(self.rpc.raw_json_request(&request, room)).unwrap();
        assert!(answer.0.get().contains("result"), "{}", answer.0);
        Subscription(answer.1)
    }

    pub(crate) fn head(&self) -> u32 {
        let text = self.ask("eth_blockNumber", json!([]));
        u32::from_str_radix(text.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// The halt's code.
    pub(crate) fn halted(&self) -> Option<(&'static str, String)> {
        match &*self.status.borrow() {
            Status::Halted { code, reason } => Some((code, reason.clone())),
            Status::Running | Status::Stopping => None,
        }
    }

    /// What `run` returned, once it has.
    pub(crate) fn end(&self) -> Option<Result<(), StageError>> {
        self.ended.lock().unwrap().clone()
    }

    /// Lets time pass until `what` holds or `limit` is over; says whether it holds.
    pub(crate) fn within(&self, limit: Duration, what: impl Fn(&Self) -> bool) -> bool {
        let clock: &dyn Clock = &self.memory.clock;
        let start = clock.mono();
        loop {
            if what(self) {
                return true;
            }
            if clock.mono().since(start) >= limit {
                return false;
            }
            self.memory.block_on(clock.sleep(Duration::from_millis(100)));
        }
    }

    /// Follows until block `head`, at most two minutes.
    #[track_caller]
    pub(crate) fn follow_to(&self, head: u32) {
        let done = self.within(Duration::from_secs(120), |running| running.head() >= head);
        assert!(done, "head is {}, status {:?}", self.head(), self.status.borrow());
    }

    /// A block with its transactions, by the API.
    pub(crate) fn block(&self, number: u32) -> Value {
        self.ask("eth_getBlockByNumber", json!([format!("{number:#x}"), true]))
    }

    /// What the API says of a batch.
    pub(crate) fn batch(&self, number: u32) -> Value {
        self.ask("zks_getL1BatchDetails", json!([number]))
    }
}
