//! A small chain of toy blocks, and what runs them again.
//!
//! Batch 1 has blocks 1 to 3, batch 2 has blocks 4 and 5; the last of each is fictive. Block 6 is
//! in batch 3, which is open.

use std::{
    collections::BTreeMap,
    panic::panic_any,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lockstep_io::{
    BoxFuture, TaskHandle, Tasks,
    tasks::{CpuJob, DiskJob},
};
use lockstep_io_memory::MemoryIo;
use lockstep_replay::{
    Replayer, Rerun, RerunBlock, StateAt, StoredBatch, TraceWish, base_contracts,
};
use lockstep_store::ChainView;
use lockstep_types::{
    B256, Bytes, FeeInput, L1BatchNumber, L2BlockHash, L2BlockNumber, LeafIndex, ProtocolVersion,
    StorageSlot, Transaction, TxType, U256, address::SYSTEM_CONTEXT, block::legacy_block_hash,
};
use lockstep_vm::{
    BatchEnv, BatchLimits, BlockEnv, EstimateRules, Estimated, GasEstimate, OpenBatch, Simulated,
    SimulatedTx, SimulationEnd, SimulationEnv, Simulator, Stop, Trace, Vm, VmError, VmStorage,
};
use lockstep_vm_toy::{Op, Program, ToyVm};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    sample::{ALICE, CONTRACT, genesis, l2_tx, params},
    world::World,
};
use crate::{ApiConfig, ApiContext, CurrentFees, Execution, Serving};

/// What a test may choose.
pub(super) struct Setup {
    pub(super) config: ApiConfig,
    pub(super) vm: Arc<dyn Vm>,
    pub(super) simulator: Arc<dyn Simulator>,
    /// How long each job takes.
    pub(super) delay: Option<Duration>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: ApiConfig::default(),
            vm: Arc::new(ToyVm::default()),
            simulator: Arc::new(ToyVm::default()),
            delay: None,
        }
    }
}

/// The chain, and how busy jobs have been.
pub(super) struct Toy {
    pub(super) world: World,
    pub(super) fees: watch::Sender<Option<CurrentFees>>,
    pub(super) load: Load,
    number: u32,
    batch: u32,
    parent: L2BlockHash,
    next_leaf_index: LeafIndex,
    open: Option<Rerun>,
    txs: u8,
}

pub(super) fn word(number: u64) -> B256 {
    U256::from(number).into()
}

/// What the system context says of a block.
pub(super) fn block_info(number: u64) -> [B256; 2] {
    let info: U256 = (U256::from(number) << 128) | U256::from(1_000 + number);
    [info.into(), word(7 * number)]
}

impl Toy {
    pub(super) fn new(setup: Setup) -> Self {
        Self::serving(setup, Serving::default())
    }

    /// With limits of answers.
    pub(super) fn serving(setup: Setup, serving: Serving) -> Self {
        let io = MemoryIo::new(0);
        let (fees, watched) = watch::channel(None);
        let Setup { config, vm, simulator, delay } = setup;
        let clock = io.io().clock;
        let execution = Execution { clock, vm, simulator, fees: watched };
        let load = Load::default();
        let tasks: Arc<dyn Tasks> = match delay {
            None => io.io().tasks,
            Some(delay) => Arc::new(Later { io: io.clone(), delay, load: load.clone() }),
        };
        let change = |context| ApiContext { tasks, config, serving, ..context };
        let world = World::with_context(io, Some(execution), change);
        let mut toy = Self {
            world,
            fees,
            load,
            number: 1,
            batch: 1,
            parent: legacy_block_hash(L2BlockNumber(0)),
            next_leaf_index: LeafIndex(2),
            open: None,
            txs: 0,
        };
        toy.fill();
        toy
    }

    fn fill(&mut self) {
        let mut genesis = genesis(vec![(StorageSlot::balance(ALICE), word(100))]);
        let base = params(0, 0, true).base_system_contracts;
        let code = Bytes::from(vec![0; 32]);
        genesis.block.bytecodes =
            vec![(base.bootloader, code.clone()), (base.default_account, code)];
        self.world.persist_genesis(&genesis);
        self.block(&[&[Op::Write { key: 5, value: 10 }]]);
        self.block(&[
            &[Op::Add { key: 5, amount: 1 }],
            &[Op::Write { key: 5, value: 99 }, Op::Revert],
        ]);
        self.end();
        self.block(&[&[Op::Add { key: 5, amount: 1 }]]);
        self.end();
        self.block(&[&[Op::Add { key: 5, amount: 1 }]]);
    }

    /// A block with a transaction for each program.
    pub(super) fn block(&mut self, programs: &[&[Op]]) {
        let tx = |(id, ops): (u8, &&[Op])| {
            let mut tx = l2_tx(id, TxType::Eip1559);
            tx.execute.calldata = Program(ops.to_vec()).encode();
            tx
        };
        let txs: Vec<_> = (self.txs + 1..).zip(programs).map(tx).collect();
        self.txs += u8::try_from(txs.len()).unwrap();
        self.add(&txs, false);
    }

    /// The block that ends the batch.
    pub(super) fn end(&mut self) {
        self.add(&[], true);
        self.batch += 1;
    }

    fn add(&mut self, transactions: &[Transaction], is_fictive: bool) {
        let params = params(self.number, self.batch, is_fictive);
        let block = RerunBlock { params: &params, parent: self.parent, transactions };
        let mut run = match self.open.take() {
            Some(run) => run,
            None => self.open_batch(&block),
        };
        let (mut record, batch) = run.run(&block, &Stop::default()).unwrap();
        for (key, value) in [9, 10].into_iter().zip(block_info(u64::from(self.number))) {
            let slot = StorageSlot::new(SYSTEM_CONTEXT, word(key)).hashed_key();
            record.state.retain(|(written, _)| *written != slot);
            record.state.push((slot, value));
        }
        record.state.sort_unstable();
        self.world.persist(&record, batch.as_ref());
        self.parent = record.header.hash;
        self.number += 1;
        match batch {
            Some(batch) => {
                self.world.grow_tree(&batch);
                self.next_leaf_index = batch.header.next_leaf_index;
            }
            None => self.open = Some(run),
        }
    }

    fn open_batch(&self, block: &RerunBlock<'_>) -> Rerun {
        let params = block.params;
        let view = Arc::new(self.world.views.now());
        let before = params.batch.prev().unwrap();
        let root = lockstep_tree::root_of(view.raw(), before).unwrap().unwrap().root;
        let env = BatchEnv {
            chain_id: view.identity().unwrap().unwrap().l2_chain_id,
            version: params.version,
            number: params.batch,
            timestamp: params.timestamp,
            previous_root: root,
            fee_input: params.fee_input,
            fee_account: params.fee_account,
            base_contracts: Arc::new(base_contracts(&view, &params.base_system_contracts).unwrap()),
            pubdata_params: params.pubdata_params,
            settlement_layer: None,
            interop_fee: U256::ZERO,
        };
        let below = StateAt::new(view, params.number.prev().unwrap(), params.batch);
        Rerun::open(&ToyVm::default(), env, block, below, self.next_leaf_index).unwrap()
    }

    /// What runs batches of this chain again.
    fn replayer() -> Replayer {
        let root = |view: &ChainView, batch| {
            Ok(lockstep_tree::root_of(view.raw(), batch).unwrap().map(|row| row.root))
        };
        Replayer::new(Arc::new(ToyVm::default()), Arc::new(root))
    }

    /// Bytes that the traces of a batch take.
    pub(super) fn trace_bytes(&self, batch: u32) -> usize {
        let view = Arc::new(self.world.views.now());
        let batch = StoredBatch::find(&view, L1BatchNumber(batch)).unwrap().unwrap();
        let wish =
            TraceWish { batch: batch.number, block: batch.first_block, bytes_max: usize::MAX };
        Self::replayer().trace(&view, &wish, &Stop::default()).unwrap().bytes
    }

    pub(super) fn hash(&self, block: u32) -> B256 {
        self.world.views.now().block(L2BlockNumber(block)).unwrap().unwrap().hash.0
    }

    pub(super) fn tx_hash(&self, block: u32, index: usize) -> B256 {
        self.world.views.now().transactions(L2BlockNumber(block)).unwrap()[index].hash().0
    }
}

/// A call of the contract that returns what slot 5 holds.
pub(super) fn read_five() -> Value {
    json!({"to": CONTRACT, "data": Program(vec![Op::Return { key: 5 }]).encode()})
}

/// How many jobs of a name run at once, and how many did at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Load(Arc<Mutex<BTreeMap<&'static str, (usize, usize)>>>);

impl Load {
    pub(super) fn most(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).map_or(0, |(_, most)| *most)
    }

    fn begin(&self, name: &'static str) {
        let mut load = self.0.lock().unwrap();
        let (now, most) = load.entry(name).or_default();
        *now += 1;
        *most = (*most).max(*now);
    }

    fn end(&self, name: &'static str) {
        self.0.lock().unwrap().entry(name).or_default().0 -= 1;
    }
}

/// Jobs take time.
#[derive(Debug)]
struct Later {
    io: MemoryIo,
    delay: Duration,
    load: Load,
}

impl Tasks for Later {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        self.io.io().tasks.spawn(name, task)
    }

    fn cpu(&self, name: &'static str, job: CpuJob) -> TaskHandle {
        self.io.io().tasks.cpu(name, job)
    }

    fn disk(&self, name: &'static str, job: DiskJob) -> TaskHandle {
        let (end, handle) = TaskHandle::new();
        let (io, delay, load) = (self.io.io(), self.delay, self.load.clone());
        load.begin(name);
        let task = async move {
            io.clock.sleep(delay).await;
            let ended = io.tasks.disk(name, job).await;
            load.end(name);
            // Nobody waits for it any more: nobody needs to know.
            drop(end.send(ended));
        };
        drop(self.io.io().tasks.spawn(name, Box::pin(task)));
        handle
    }

    fn shutdown(&self) -> lockstep_io::Stop {
        self.io.io().tasks.shutdown()
    }
}

/// A toy that counts the batches that it opens, and can be told to panic.
#[derive(Debug, Default)]
pub(super) struct CountingVm {
    toy: ToyVm,
    opened: AtomicUsize,
    panics: bool,
}

impl CountingVm {
    pub(super) fn panicking() -> Self {
        Self { panics: true, ..Self::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Vm for CountingVm {
    fn supports(&self, version: ProtocolVersion) -> bool {
        self.toy.supports(version)
    }

    fn limits(&self, version: ProtocolVersion, fees: &FeeInput) -> Result<BatchLimits, VmError> {
        self.toy.limits(version, fees)
    }

    fn open_batch(
        &self,
        env: BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Box<dyn OpenBatch>, VmError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "the vm panics");
        self.toy.open_batch(env, first_block, storage)
    }
}

/// Runs nothing: ends as it is told, and remembers what it was asked and what the state held.
#[derive(Clone, Debug)]
pub(super) struct Probe(Arc<Mutex<Probed>>);

#[derive(Debug)]
pub(super) struct Probed {
    /// `None` panics.
    pub(super) end: Option<SimulationEnd>,
    pub(super) slots: Vec<StorageSlot>,
    pub(super) codes: Vec<lockstep_types::BytecodeHash>,
    pub(super) env: Option<SimulationEnv>,
    pub(super) tx: Option<SimulatedTx>,
    pub(super) rules: Option<EstimateRules>,
    pub(super) values: Vec<B256>,
    pub(super) bytecodes: Vec<Option<Bytes>>,
    pub(super) estimate: GasEstimate,
}

impl Probe {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Probed {
            end: Some(SimulationEnd::Success { output: Bytes::new() }),
            slots: Vec::new(),
            codes: Vec::new(),
            env: None,
            tx: None,
            rules: None,
            values: Vec::new(),
            bytecodes: Vec::new(),
            estimate: GasEstimate { gas_limit: 1, base_fee_per_gas: 2, gas_per_pubdata: 3 },
        })))
    }

    /// A chain on which this runs.
    pub(super) fn toy(&self) -> Toy {
        Toy::new(Setup { simulator: Arc::new(self.clone()), ..Setup::default() })
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Probed) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    fn probe(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        mut storage: Box<dyn VmStorage>,
    ) -> SimulationEnd {
        let end = self.with(|probed| {
            probed.env = Some(env.clone());
            probed.tx = Some(tx.clone());
            let slots = probed.slots.iter();
            probed.values = slots.map(|slot| storage.value(slot).unwrap()).collect();
            let codes = probed.codes.iter();
            probed.bytecodes = codes.map(|code| storage.bytecode(code).unwrap()).collect();
            probed.end.clone()
        });
        end.unwrap_or_else(|| panic_any("the simulator panics"))
    }
}

impl Simulator for Probe {
    fn can_simulate(&self, _version: ProtocolVersion) -> bool {
        true
    }

    fn call(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        _stop: &Stop,
    ) -> Result<Simulated, VmError> {
        Ok(Simulated {
            end: self.probe(env, tx, storage),
            gas_used: 77,
            pubdata: 0,
            events: Vec::new(),
            writes: Vec::new(),
            made_bytecodes: Vec::new(),
            trace: with_trace.then(Trace::default),
        })
    }

    fn check(
        &self,
        env: &SimulationEnv,
        tx: &Transaction,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        let tx = SimulatedTx { from: tx.initiator(), to: tx.execute.to, ..SimulatedTx::default() };
        self.call(env, &tx, storage, with_trace, stop)
    }

    fn run_unsigned(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.call(env, tx, storage, with_trace, stop)
    }

    fn estimate(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        rules: &EstimateRules,
        _stop: &Stop,
    ) -> Result<Estimated, VmError> {
        let end = self.probe(env, tx, storage);
        self.with(|probed| probed.rules = Some(*rules));
        match end {
            SimulationEnd::Success { output: _ } => {
                Ok(Estimated::Gas(self.with(|probed| probed.estimate)))
            }
            end @ (SimulationEnd::Reverted { .. }
            | SimulationEnd::Refused { .. }
            | SimulationEnd::Stopped) => Ok(Estimated::Fails(end)),
        }
    }
}

#[test]
fn the_toy_chain_has_two_sealed_batches_and_an_open_one() {
    let toy = Toy::new(Setup::default());
    let view = Arc::new(toy.world.views.now());
    let find = |batch| StoredBatch::find(&view, L1BatchNumber(batch)).unwrap().unwrap();
    let blocks = [1, 2, 3].map(|batch| (find(batch).first_block.0, find(batch).last_block.0));
    assert_eq!(blocks, [(1, 3), (4, 5), (6, 6)]);
    let env = Toy::replayer().batch_env(&view, &find(2)).unwrap();
    let root = lockstep_tree::root_of(view.raw(), L1BatchNumber(1)).unwrap().unwrap().root;
    assert_eq!((env.previous_root, env.number), (root, L1BatchNumber(2)));
}
