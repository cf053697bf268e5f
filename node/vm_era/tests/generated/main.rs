//! Transactions that nobody recorded: batches of them run on our operator and on the crates' legacy
//! machine with every output compared, and on the crates' fast machine; and the state goes on from
//! batch to batch, from where a recorded chain ends.
//!
//! A fixed number is run by default. `LOCKSTEP_GENERATED_TXS` says how many instead (the full
//! number is 20000), `LOCKSTEP_GENERATED_SEED` from which seed; the report names both.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../recorded_chain/batches.rs"]
mod batches;
#[path = "../recorded_chain/chain.rs"]
mod chain;
mod evm;
mod generator;
mod inputs;
mod sign;

use std::sync::Arc;

use lockstep_testvectors::{Recording, recordings_for};
use lockstep_types::{
    B256, BatchTip, BytecodeHash, FeeInput, L1BatchNumber, L2BlockHash, L2BlockNumber,
    ProtocolVersion, StateRoot, StorageSlot, Transaction, TxCommon, TxOutcome, TxStatus, U256,
    UnixSeconds,
    block::{BlockHashInput, block_hash},
    bytecode::BytecodeKind,
};
use lockstep_vm::{BatchEnv, BlockEnv, OpenBatch, Vm, VmError};
use lockstep_vm_era::{EraVm, EraVmConfig, VmMode};
use lockstep_wire::{
    en::TransactionJson,
    tx_hash::{Checked, check_transaction},
};
use rand::{Rng, seq::SliceRandom};

use crate::{
    batches::{Batch, Ran},
    chain::{Chain, State},
    generator::{Counts, Drawn, Generator, Kind, Prices, Recorded},
    sign::Envelope,
};

const TXS: usize = 600;
const SEED: u64 = 1;

fn vm(mode: VmMode) -> EraVm {
    EraVm::new(EraVmConfig { mode, ..EraVmConfig::default() })
}

#[expect(clippy::disallowed_methods, reason = "tests have no config to be handed")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

/// The last batch and block.
#[derive(Clone, Copy, Debug)]
struct Head {
    batch: L1BatchNumber,
    block: L2BlockNumber,
    hash: L2BlockHash,
    timestamp: UnixSeconds,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Report {
    txs: usize,
    batches: usize,
    fast_batches: usize,
    halted: usize,
    reverted: usize,
    succeeded: usize,
    /// Reverted, with next to nothing of the gas left.
    used_up: usize,
    kinds: Counts<(Kind, &'static str)>,
    envelopes: Counts<Option<Envelope>>,
}

impl Report {
    fn count(&mut self, drawn: &Drawn, outcome: &TxOutcome) {
        self.txs += 1;
        let has_succeeded = outcome.status == TxStatus::Success;
        let left = U256::from(outcome.gas_refunded) * U256::from(20);
        let end = if has_succeeded {
            self.succeeded += 1;
            "succeeded"
        } else if left < drawn.tx.gas_limit() {
            self.reverted += 1;
            self.used_up += 1;
            "used up its gas"
        } else {
            self.reverted += 1;
            "reverted"
        };
        *self.kinds.entry((drawn.kind, end)).or_default() += 1;
        *self.envelopes.entry(drawn.envelope).or_default() += 1;
    }

    #[expect(clippy::print_stderr, reason = "for whoever wants to know")]
    fn print(&self, seed: u64) {
        for ((kind, end), count) in &self.kinds {
            eprintln!("  {kind:?} {end}: {count}");
        }
        let Self { txs, batches, fast_batches, halted, reverted, used_up, .. } = self;
        eprintln!(
            "{txs} transactions in {batches} batches ({fast_batches} on the fast machine too), \
             {halted} halted, {reverted} reverted ({used_up} with no gas left), 0 differences, \
             seed {seed}"
        );
    }

    fn check_spread(&self) {
        let of_kind = |kind| self.kinds.keys().any(|(seen, _)| *seen == kind);
        let missing = Kind::ALL.map(|(kind, _)| kind).into_iter().filter(|kind| !of_kind(*kind));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::new(), "kinds that never came");
        for envelope in Envelope::ALL.map(Some).into_iter().chain([None]) {
            assert!(self.envelopes.contains_key(&envelope), "no {envelope:?}");
        }
        for kind in [Kind::EvmDeploy, Kind::EvmCall, Kind::EraDeploy, Kind::Precompile] {
            for end in ["succeeded", "reverted"] {
                assert!(self.kinds.contains_key(&(kind, end)), "no {kind:?} {end}");
            }
        }
        // The bootloader keeps most of the gas of a priority operation that fails.
        for end in ["succeeded", "used up its gas"] {
            assert!(self.kinds.contains_key(&(Kind::Priority, end)), "no priority operation {end}");
        }
        assert!(self.succeeded * 3 > self.txs, "too few succeed");
        assert!(self.reverted * 10 > self.txs, "too few revert");
        assert!(self.used_up > 0, "none uses up its gas");
        assert!(self.halted > 0, "no batch was halted");
        assert!(self.fast_batches > 0, "no batch on the fast machine");
    }
}

/// A chain that goes on with generated transactions.
struct Run {
    shadow: EraVm,
    own: EraVm,
    fast: EraVm,
    legacy: EraVm,
    template: BatchEnv,
    state: Arc<State>,
    head: Head,
    generator: Generator,
    report: Report,
    seed: u64,
}

impl Run {
    /// Goes on where `recording` ends, with accounts that have funds.
    fn after(recording: &Recording, seed: u64) -> Self {
        let chain = Chain::load(recording);
        let own = vm(VmMode::Own);
        let mut state = Arc::new(chain.genesis());
        let (mut calls, mut serial_id) = (Vec::new(), 0);
        for index in 0..chain.batches.len() {
            let batch = Batch::recorded(&chain, index);
            let ran = batch.run(&own, &state).unwrap();
            Arc::make_mut(&mut state).advance(&batch, &ran);
            for tx in batch.txs() {
                match &tx.common {
                    TxCommon::L2(_) => {
                        let call = tx.execute.to.map(|to| (to, tx.execute.calldata.clone()));
                        calls.extend(call);
                    }
                    TxCommon::Priority(common) => serial_id = common.serial_id + 1,
                    TxCommon::Upgrade(_) => {}
                }
            }
        }
        let of_era = |hash: &BytecodeHash| matches!(hash.kind(), Some(BytecodeKind::Era { .. }));
        let codes = state.codes.iter().filter(|(hash, _)| of_era(hash));
        let codes = codes.map(|(_, code)| code.clone()).collect();
        let template = chain.env(chain.batches.len() - 1);
        let recorded = Recorded { calls, codes };
        let generator = Generator::new(seed, recorded, template.chain_id, serial_id);
        let funds = generator.known.accounts.iter().map(|account| {
            (StorageSlot::balance(account.address), B256::from(U256::from(1) << 100))
        });
        let mut funds: Vec<_> = funds.collect();
        funds.sort_unstable();
        Arc::make_mut(&mut state).write(&funds);
        let last = chain.batches.last().unwrap().last().unwrap();
        let head = Head {
            batch: template.number,
            block: last.parts.params.number,
            hash: last.parts.claimed_hash.unwrap(),
            timestamp: last.parts.params.timestamp,
        };
        Self {
            shadow: vm(VmMode::Shadow),
            own,
            fast: vm(VmMode::Fast),
            legacy: vm(VmMode::Legacy),
            template,
            state,
            head,
            generator,
            report: Report::default(),
            seed,
        }
    }

    fn env(&mut self) -> BatchEnv {
        let rng = &mut self.generator.rng;
        // Gas for a byte: about 60 like on the recorded chain, 10, 3 000, and 50 000, the most.
        let usual = self.template.fee_input.fair_pubdata_price.unwrap();
        let pubdata_prices =
            [usual, usual, usual, 1_000_000_000, 300_000_000_000, 7_000_000_000_000];
        let fee_input = FeeInput {
            fair_pubdata_price: pubdata_prices.choose(rng).copied(),
            ..self.template.fee_input
        };
        let env = BatchEnv {
            number: self.head.batch.next(),
            timestamp: UnixSeconds(self.head.timestamp.0 + rng.gen_range(1..5)),
            previous_root: StateRoot(B256::new(rng.r#gen())),
            fee_input,
            ..self.template.clone()
        };
        let base_fee = self.own.limits(env.version, &fee_input).unwrap().base_fee_per_gas;
        let gas_per_pubdata = fee_input.fair_pubdata_price.unwrap().div_ceil(base_fee);
        self.generator.prices = Prices { base_fee, gas_per_pubdata };
        env
    }

    fn first_block(&self, env: &BatchEnv) -> BlockEnv {
        BlockEnv {
            number: self.head.block.next(),
            timestamp: env.timestamp,
            parent: self.head.hash,
            virtual_block_count: 1,
            interop_roots: Vec::new(),
        }
    }

    /// Draws a batch of up to `txs_max` transactions and runs it on all machines.
    fn batch(&mut self, txs_max: usize) {
        let before = self.generator.known.clone();
        let env = self.env();
        let first = self.first_block(&env);
        let mut batch = Batch { env, blocks: vec![(first, Vec::new())] };
        let mut open = batch.open(&self.shadow, &self.state).unwrap();
        let mut outcomes = vec![Vec::new()];
        let sizes = [20, 30, 40, 60, 80, 120, 200];
        let count = (*sizes.choose(&mut self.generator.rng).unwrap()).min(txs_max);
        let halts = self.generator.rng.gen_bool(0.15);
        let halts_at = halts.then(|| self.generator.rng.gen_range(0..count));
        let is_traced = self.generator.rng.gen_bool(0.25);
        self.generator.starves_publishing = self.generator.rng.gen_bool(0.25);
        for index in 0..count {
            if !batch.blocks.last().unwrap().1.is_empty() && self.generator.rng.gen_bool(0.1) {
                self.start_block(&mut batch, open.as_mut());
                outcomes.push(Vec::new());
            }
            let drawn = if halts_at == Some(index) {
                self.generator.next_impossible()
            } else {
                self.generator.next()
            };
            let tx = &drawn.tx;
            assert_eq!(check_transaction(tx, batch.env.chain_id), Ok(Checked::Whole));
            batch.blocks.last_mut().unwrap().1.push(tx.clone());
            let ran = if is_traced {
                open.run_tx_traced(tx).map(|traced| traced.outcome)
            } else {
                open.run_tx(tx)
            };
            match ran {
                Ok(outcome) => {
                    assert!(
                        !drawn.is_impossible,
                        "{} is in a block: {outcome:?}",
                        self.shown(&drawn)
                    );
                    self.generator.learn(&drawn, &outcome);
                    self.report.count(&drawn, &outcome);
                    outcomes.last_mut().unwrap().push(outcome);
                }
                Err(VmError::Halted { .. }) => {
                    self.check_halted(&batch, &outcomes, &ran.unwrap_err());
                    self.generator.known = before;
                    return;
                }
                Err(error) => panic!("{error}: {}", self.shown(&drawn)),
            }
        }
        self.start_block(&mut batch, open.as_mut());
        outcomes.push(Vec::new());
        let own = Ran::new(outcomes, open.seal().unwrap_or_else(|error| panic!("{error}")));
        if self.can_be_fast() {
            check_same(&batch, &own, &batch.run(&self.fast, &self.state).unwrap());
            self.report.fast_batches += 1;
        }
        self.go_on(&batch, &own);
    }

    /// Whether the fast machine of the crates can be compared in this batch.
    ///
    /// After a transaction that ran out of gas with bytecodes that were not known, it publishes
    /// those of later transactions uncompressed: it looks for them in its own cache, where it finds
    /// them, does not see that the attempt to publish them compressed has failed, and leaves them in
    /// the bootloader's memory. The legacy machine looks into the state and takes the attempt back.
    fn can_be_fast(&self) -> bool {
        !self.generator.starves_publishing
    }

    fn shown(&self, drawn: &Drawn) -> String {
        let Drawn { kind, tx, .. } = drawn;
        format!("seed {}, transaction {}, {kind:?}: {}", self.seed, self.report.txs, json(tx))
    }

    fn start_block(&mut self, batch: &mut Batch, open: &mut dyn OpenBatch) {
        let (last, txs) = batch.blocks.last().unwrap();
        let env = BlockEnv {
            number: last.number.next(),
            timestamp: UnixSeconds(last.timestamp.0 + self.generator.rng.gen_range(0..3)),
            parent: hash_of(last, txs, batch.env.version),
            virtual_block_count: 1,
            interop_roots: Vec::new(),
        };
        open.start_block(env.clone()).unwrap();
        batch.blocks.push((env, Vec::new()));
    }

    /// Checks that every machine refuses the last transaction of `batch` in the same words, after
    /// the same outcomes.
    fn check_halted(&mut self, batch: &Batch, outcomes: &[Vec<TxOutcome>], error: &VmError) {
        let fast = self.can_be_fast().then_some(&self.fast);
        for vm in [&self.own, &self.legacy].into_iter().chain(fast) {
            let mut open = batch.open(vm, &self.state).unwrap();
            let mut seen = Vec::new();
            let ended = batch.run_blocks(open.as_mut(), &mut seen);
            let last = json(batch.txs().last().unwrap());
            assert_eq!(ended.as_ref(), Err(error), "seed {}, {vm:?}: {last}", self.seed);
            assert_eq!(comparable(&seen), comparable(outcomes));
        }
        self.report.halted += 1;
    }

    fn go_on(&mut self, batch: &Batch, ran: &Ran) {
        Arc::make_mut(&mut self.state).advance(batch, ran);
        let (last, txs) = batch.blocks.last().unwrap();
        self.head = Head {
            batch: batch.env.number,
            block: last.number,
            hash: hash_of(last, txs, batch.env.version),
            timestamp: last.timestamp,
        };
        self.report.batches += 1;
    }
}

fn hash_of(block: &BlockEnv, txs: &[Transaction], version: ProtocolVersion) -> L2BlockHash {
    let tx_hashes: Vec<_> = txs.iter().map(Transaction::hash).collect();
    let BlockEnv { number, timestamp, parent, .. } = *block;
    block_hash(&BlockHashInput { number, timestamp, parent, tx_hashes: &tx_hashes }, version)
}

/// Outcomes without what the machines tell in different forms.
fn comparable(outcomes: &[Vec<TxOutcome>]) -> Vec<Vec<TxOutcome>> {
    let plain = |outcome: &TxOutcome| TxOutcome { writes: Vec::new(), ..outcome.clone() };
    outcomes.iter().map(|txs| txs.iter().map(plain).collect()).collect()
}

fn check_same(batch: &Batch, own: &Ran, other: &Ran) {
    let outcomes = |ran: &Ran| comparable(&ran.outcomes).concat();
    for ((tx, own), other) in batch.txs().zip(outcomes(own)).zip(outcomes(other)) {
        assert_eq!(own, other, "{}", json(tx));
    }
    let tip = |ran: &Ran| BatchTip { writes: Vec::new(), ..ran.tip.clone() };
    assert_eq!(tip(own), tip(other));
}

fn json(tx: &Transaction) -> String {
    serde_json::to_string(&TransactionJson::from(tx)).unwrap()
}

/// The machine below ours does not have these instructions and gives up at them, ours must not: a
/// contract with one of them may be in any batch.
#[test]
fn code_with_an_instruction_for_static_memory_panics_and_nothing_else_does() {
    for recording in recordings_for("running instructions for static memory") {
        let mut run = Run::after(&recording, SEED);
        let env = run.env();
        let mut batch = Batch { blocks: vec![(run.first_block(&env), Vec::new())], env };
        let mut open = batch.open(&run.shadow, &run.state).unwrap();
        for (index, condition) in (0..8).map(|index| (index, 0)).chain((1..8).map(|c| (0, c))) {
            let drawn = run.generator.static_memory(index, condition);
            batch.blocks[0].1.push(drawn.tx.clone());
            let outcome = open.run_tx(&drawn.tx).unwrap();
            assert!(matches!(outcome.status, TxStatus::Reverted { .. }), "{outcome:?}");
            run.generator.learn(&drawn, &outcome);
        }
        run.start_block(&mut batch, open.as_mut());
        open.seal().unwrap();
    }
}

#[test]
fn generated_transactions_end_alike_on_every_machine() {
    let txs = setting("LOCKSTEP_GENERATED_TXS").map_or(TXS, |txs| usize::try_from(txs).unwrap());
    let seed = setting("LOCKSTEP_GENERATED_SEED").unwrap_or(SEED);
    for recording in recordings_for("running generated transactions") {
        let mut run = Run::after(&recording, seed);
        while run.report.txs < txs {
            run.batch(txs - run.report.txs);
        }
        run.report.print(seed);
        run.report.check_spread();
    }
}
