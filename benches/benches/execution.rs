//! Protects the time that a batch takes to run: opened, every transaction, sealed. On our own
//! operator, and on the two machines of the crates that it replaces.
//!
//! "recorded" runs every third batch of a recorded chain one after the other, each on the state that
//! the batch before it left; all of them would take the legacy machine minutes. "transfers" is a
//! batch of 50 base-token transfers after the chain. At the end the ratios are said.

#![expect(clippy::unwrap_used, reason = "the tests' modules are compiled here as no tests")]

// What the tests of `lockstep_vm_era` load and run recorded chains with.
#[path = "../../node/vm_era/tests/recorded_chain/batches.rs"]
mod batches;
#[path = "../../node/vm_era/tests/recorded_chain/chain.rs"]
mod chain;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_rlp::Encodable;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use k256::ecdsa::SigningKey;
use lockstep_testvectors::recordings_for;
use lockstep_types::{
    Address, B256, Bytes, StorageSlot, Transaction, U256, UnixSeconds,
    block::{BlockHashInput, block_hash},
    keccak256,
};
use lockstep_vm::{BatchEnv, BlockEnv};
use lockstep_vm_era::{EraVm, EraVmConfig, VmMode};
use lockstep_wire::tx_hash::decode_raw;

use crate::{
    batches::Batch,
    chain::{Chain, State},
};

const TRANSFERS: u64 = 50;
/// One of so many recorded batches is run.
const STRIDE: usize = 3;
const MACHINES: [(&str, VmMode); 3] =
    [("own", VmMode::Own), ("fast", VmMode::Fast), ("legacy", VmMode::Legacy)];

/// A batch with the state that it is run on.
struct Prepared {
    batch: Batch,
    state: Arc<State>,
}

/// The batches of a chain, and the state after them.
fn prepared(chain: &Chain) -> (Vec<Prepared>, Arc<State>) {
    let vm = EraVm::default();
    let mut state = Arc::new(chain.genesis());
    let mut all = Vec::new();
    for index in 0..chain.batches.len() {
        let batch = Batch::recorded(chain, index);
        let ran = batch.run(&vm, &state).expect("it was recorded");
        let mut after = (*state).clone();
        after.advance(&batch, &ran);
        all.push(Prepared { batch, state });
        state = Arc::new(after);
    }
    (all, state)
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).expect("it is a number below the order")
}

fn sender() -> Address {
    let point = key().verifying_key().to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

/// An EIP-1559 transfer to somebody new.
fn transfer(env: &BatchEnv, nonce: u64) -> Transaction {
    let to = Address::from_word(keccak256(nonce.to_be_bytes()));
    let (gas, price) = (1_000_000_u64, 10_u64.pow(10));
    let no_accesses: Vec<Bytes> = Vec::new();
    let input = Bytes::new();
    let mut fields: Vec<&dyn Encodable> =
        vec![&env.chain_id.0, &nonce, &price, &price, &gas, &to, &1_000_u64, &input, &no_accesses];
    let digest = keccak256(encoded(&fields));
    let (signature, parity) = key().sign_prehash_recoverable(&digest.0).expect("the key is good");
    let (r, s) = signature.split_bytes();
    let (r, s) = (U256::from_be_slice(&r), U256::from_be_slice(&s));
    let parity = u64::from(parity.to_byte());
    fields.extend([&parity as &dyn Encodable, &r, &s]);
    decode_raw(&encoded(&fields).into(), env.chain_id).expect("it was signed")
}

fn encoded(fields: &[&dyn Encodable]) -> Vec<u8> {
    let mut bytes = vec![2];
    alloy_rlp::encode_list::<&dyn Encodable, dyn Encodable>(fields, &mut bytes);
    bytes
}

/// A batch of transfers after the recorded ones.
fn transfers(chain: &Chain, after: &Arc<State>) -> Prepared {
    let mut state = (**after).clone();
    state.write(&[(StorageSlot::balance(sender()), B256::from(U256::from(1) << 100))]);
    let index = chain.batches.len() - 1;
    let last = &chain.batches[index].last().expect("a batch has blocks").parts.params;
    let parent = chain.batches[index].last().and_then(|block| block.parts.claimed_hash);
    let timestamp = UnixSeconds(last.timestamp.0 + 1);
    let before = chain.env(index);
    let env = BatchEnv { number: before.number.next(), timestamp, ..before };
    let txs: Vec<_> = (0..TRANSFERS).map(|nonce| transfer(&env, nonce)).collect();
    let first = BlockEnv {
        number: last.number.next(),
        timestamp,
        parent: parent.expect("recorded with its hash"),
        virtual_block_count: 1,
        interop_roots: Vec::new(),
    };
    let tx_hashes: Vec<_> = txs.iter().map(Transaction::hash).collect();
    let BlockEnv { number, parent, .. } = first;
    let input = BlockHashInput { number, timestamp, parent, tx_hashes: &tx_hashes };
    let parent = block_hash(&input, env.version);
    let fictive = BlockEnv { number: number.next(), parent, ..first.clone() };
    let batch = Batch { env, blocks: vec![(first, txs), (fictive, Vec::new())] };
    Prepared { batch, state: Arc::new(state) }
}

/// Runs `batches` on every machine; the time is that of one batch.
fn compare(criterion: &mut Criterion, name: &str, batches: &[Prepared]) {
    let count = u32::try_from(batches.len()).expect("there are few");
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(1));
    let mut fastest = Vec::new();
    for (machine, mode) in MACHINES {
        let vm = EraVm::new(EraVmConfig { mode, ..EraVmConfig::default() });
        let mut best = Duration::MAX;
        group.bench_function(machine, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let start = Instant::now();
                    for Prepared { batch, state } in batches {
                        black_box(batch.run(&vm, state).expect("it has run before"));
                    }
                    let per_batch = start.elapsed() / count;
                    best = best.min(per_batch);
                    total += per_batch;
                }
                total
            });
        });
        fastest.push((machine, best));
    }
    group.finish();
    say_ratios(name, &fastest);
}

#[expect(clippy::print_stderr, reason = "a bench says what it measured")]
fn say_ratios(name: &str, fastest: &[(&str, Duration)]) {
    let [(_, own), others @ ..] = fastest else { return };
    for (machine, took) in others.iter().filter(|(_, took)| *took < Duration::MAX) {
        let ratio = own.as_secs_f64() / took.as_secs_f64();
        eprintln!("{name}: own/{machine} {ratio:.3} (best rounds: {own:?}, {took:?} a batch)");
    }
}

fn execution(criterion: &mut Criterion) {
    for recording in recordings_for("measuring execution") {
        let chain = Chain::load(&recording);
        let (recorded, after) = prepared(&chain);
        let sampled: Vec<_> = recorded.into_iter().step_by(STRIDE).collect();
        compare(criterion, &format!("recorded {}", recording.name()), &sampled);
        let batch = transfers(&chain, &after);
        compare(criterion, &format!("transfers after {}", recording.name()), &[batch]);
    }
}

criterion_group!(benches, execution);
criterion_main!(benches);
