//! Protects the time that a call and an estimate take: those that were recorded and succeed, on the
//! state that their chain ends with, kept in memory. What reading a database and answering over a
//! socket take comes on top.
//!
//! Besides times it says how often the state was read.

#![expect(clippy::unwrap_used, reason = "the tests' modules are compiled here as no tests")]

// What the tests of `lockstep_vm_era` load and run recorded chains with.
#[path = "../../node/vm_era/tests/recorded_chain/batches.rs"]
mod batches;
#[path = "../../node/vm_era/tests/recorded_chain/chain.rs"]
mod chain;

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use criterion::{Criterion, criterion_group, criterion_main};
use lockstep_testvectors::{Recording, recordings_for};
use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, L1BatchNumber, L2BlockNumber, LeafIndex, StorageSlot, U256,
    UnixSeconds,
};
use lockstep_vm::{
    BatchEnv, EstimateRules, Estimated, SimulatedTx, SimulationEnd, SimulationEnv, Simulator, Stop,
    StorageError, VmStorage,
};
use lockstep_vm_era::EraVm;
use serde_json::Value;

use crate::{
    batches::Batch,
    chain::{Chain, State},
};

const RULES: EstimateRules =
    EstimateRules { acceptable_overestimation: 1_000, scale_per_mille: 1_300 };

/// A state that counts how often it is read.
#[derive(Clone, Debug)]
struct Counted {
    state: Arc<State>,
    reads: Arc<AtomicUsize>,
}

impl Counted {
    fn count(&self) -> &State {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &self.state
    }
}

impl VmStorage for Counted {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        Ok(self.count().value(slot))
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        Ok(self.count().slots.get(slot).map(|(_, index)| *index))
    }

    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        Ok(self.count().codes.get(hash).cloned())
    }
}

/// The block after the last recorded one.
fn pending(chain: &Chain) -> SimulationEnv {
    let index = chain.batches.len() - 1;
    let BatchEnv {
        chain_id,
        version,
        number,
        fee_input,
        base_contracts,
        settlement_layer,
        interop_fee,
        ..
    } = chain.env(index);
    let last = chain.batches[index].last().expect("a batch has blocks");
    let timestamp = UnixSeconds(last.parts.params.timestamp.0 + 1);
    SimulationEnv {
        chain_id,
        version,
        batch: L1BatchNumber(number.0),
        batch_timestamp: timestamp,
        block: L2BlockNumber(last.parts.params.number.0 + 1),
        block_timestamp: timestamp,
        parent: last.parts.claimed_hash.expect("recorded with its hash"),
        block_info_before: None,
        fee_input,
        base_fee_per_gas: None,
        base_contracts,
        settlement_layer,
        interop_fee,
    }
}

fn after(chain: &Chain) -> Counted {
    let vm = EraVm::default();
    let mut state = Arc::new(chain.genesis());
    for index in 0..chain.batches.len() {
        let batch = Batch::recorded(chain, index);
        let ran = batch.run(&vm, &state).expect("it was recorded");
        Arc::make_mut(&mut state).advance(&batch, &ran);
    }
    Counted { state, reads: Arc::default() }
}

/// The requests of a method that were recorded and name a target.
fn requests(recording: &Recording, method: &str) -> Vec<SimulatedTx> {
    let golden = recording.golden_api();
    let asked = golden.iter().filter(|one| one.method == method && one.answer.result().is_some());
    let mut txs: Vec<SimulatedTx> = Vec::new();
    for request in asked.map(|one| &one.params[0]) {
        let tx = SimulatedTx {
            from: field(request, "from").unwrap_or_default(),
            to: field::<Address>(request, "to"),
            value: field::<U256>(request, "value").unwrap_or_default(),
            input: field::<Bytes>(request, "data").unwrap_or_default(),
            gas_per_pubdata_limit: 50_000,
            ..SimulatedTx::default()
        };
        if tx.to.is_some() && !txs.contains(&tx) {
            txs.push(tx);
        }
    }
    txs
}

fn field<T: serde::de::DeserializeOwned>(request: &Value, name: &str) -> Option<T> {
    serde_json::from_value(request.get(name)?.clone()).ok()
}

/// Name, whether it did what it was asked to, and how often it read.
#[expect(clippy::print_stderr, reason = "a bench says what it measured")]
fn say_reads(name: &str, state: &Counted, vm: &EraVm) {
    let reads = state.reads.swap(0, Ordering::Relaxed);
    eprintln!("{name}: {reads} reads of the state; caches: {:?}", vm.caches());
}

fn short(tx: &SimulatedTx) -> String {
    let input = tx.input.get(..4).map(|selector| Bytes::copy_from_slice(selector).to_string());
    format!("{:.8}… {}", tx.to.unwrap_or_default(), input.unwrap_or_default())
}

fn calls(criterion: &mut Criterion) {
    for recording in recordings_for("measuring calls") {
        let chain = Chain::load(&recording);
        let (env, state) = (pending(&chain), after(&chain));
        let (vm, stop) = (EraVm::default(), Stop::default());

        let mut group = criterion.benchmark_group(format!("call {}", recording.name()));
        for tx in requests(&recording, "eth_call") {
            let run = || vm.call(&env, &tx, Box::new(state.clone()), false, &stop).unwrap();
            if !matches!(run().end, SimulationEnd::Success { output } if !output.is_empty()) {
                continue;
            }
            state.reads.store(0, Ordering::Relaxed);
            run();
            say_reads(&short(&tx), &state, &vm);
            group.bench_function(short(&tx), |bencher| bencher.iter(|| black_box(run())));
        }
        group.finish();

        let mut group = criterion.benchmark_group(format!("estimate {}", recording.name()));
        group.sample_size(20);
        for tx in requests(&recording, "eth_estimateGas") {
            let run = || vm.estimate(&env, &tx, Box::new(state.clone()), &RULES, &stop).unwrap();
            if !matches!(run(), Estimated::Gas(_)) {
                continue;
            }
            state.reads.store(0, Ordering::Relaxed);
            run();
            say_reads(&short(&tx), &state, &vm);
            group.bench_function(short(&tx), |bencher| bencher.iter(|| black_box(run())));
        }
        group.finish();
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
