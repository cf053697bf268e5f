//! A chain that goes on with generated transactions, batch by batch, on all machines.

use std::{collections::VecDeque, sync::Arc};

use lockstep_testvectors::Recording;
use lockstep_types::{
    Address, B256, BatchTip, BytecodeHash, Bytes, ChainId, DaValidator, FeeInput, InteropRoot,
    L1BatchNumber, L2BlockHash, L2BlockNumber, ProtocolVersion, PubdataParams, PubdataType,
    SettlementLayer, StateRoot, StorageSlot, Transaction, TxCommon, TxOutcome, U256, UnixSeconds,
    address,
    block::{BlockHashInput, block_hash, legacy_block_hash},
    bytecode::BytecodeKind,
    keccak256,
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
    chain::{Chain, State, context_slots},
    contracts::Contracts,
    generator::{Drawn, Generator, Prices, Recorded},
    inputs,
    report::Report,
};

/// Chain of those runs that begin with contracts.
const CHAIN: ChainId = ChainId(270);
/// Bytes of code that one priority operation publishes, about.
const PUBLISHED_BYTES: usize = 150_000;
/// Interop roots of a block, at most; of a batch there may be a hundred.
const ROOTS_MAX: usize = 3;
const BATCH_ROOTS_MAX: usize = 100;

fn vm(mode: VmMode) -> EraVm {
    EraVm::new(EraVmConfig { mode, ..EraVmConfig::default() })
}

/// The last batch and block.
#[derive(Clone, Copy, Debug)]
struct Head {
    batch: L1BatchNumber,
    block: L2BlockNumber,
    hash: L2BlockHash,
    timestamp: UnixSeconds,
}

/// A chain that goes on with generated transactions.
pub(crate) struct Run {
    pub(crate) shadow: EraVm,
    own: EraVm,
    fast: EraVm,
    legacy: EraVm,
    template: BatchEnv,
    pub(crate) state: Arc<State>,
    head: Head,
    pub(crate) generator: Generator,
    pub(crate) report: Report,
    seed: u64,
    /// What comes first in the next batch.
    due: VecDeque<Drawn>,
    /// Of the open batch.
    root_count: usize,
}

impl Run {
    /// Goes on where `recording` ends, with accounts that have funds.
    pub(crate) fn after(recording: &Recording, seed: u64) -> Self {
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
        let last = chain.batches.last().unwrap().last().unwrap();
        let head = Head {
            batch: template.number,
            block: last.parts.params.number,
            hash: last.parts.claimed_hash.unwrap(),
            timestamp: last.parts.params.timestamp,
        };
        Self::new(template, Arc::unwrap_or_clone(state), head, recorded, (seed, serial_id))
    }

    /// Begins with nothing but the contracts of a version.
    pub(crate) fn of(contracts: &Contracts, seed: u64) -> Self {
        let mut state = State::default();
        let mut slots: Vec<_> = context_slots(CHAIN.0).into();
        for (place, contract) in &contracts.genesis {
            state.add_code(&contract.code);
            slots.push((StorageSlot::code_hash(*place), contract.hash.0));
            slots.push((StorageSlot::known_code(contract.hash.0), word(1)));
        }
        slots.sort_unstable();
        slots.dedup();
        state.write(&slots);
        let template = BatchEnv {
            chain_id: CHAIN,
            version: contracts.version,
            number: L1BatchNumber(0),
            timestamp: UnixSeconds(1_700_000_000),
            previous_root: StateRoot(B256::ZERO),
            fee_input: FeeInput {
                l1_gas_price: 1_000_000_000,
                fair_l2_gas_price: 100_000_000,
                fair_pubdata_price: Some(6_000_000_000),
            },
            fee_account: Address::repeat_byte(0xfe),
            base_contracts: Arc::clone(&contracts.base),
            pubdata_params: PubdataParams {
                validator: DaValidator::Address(Address::ZERO),
                pubdata_type: PubdataType::Rollup,
            },
            settlement_layer: None,
            interop_fee: U256::ZERO,
        };
        let number = L2BlockNumber(0);
        let (batch, timestamp) = (template.number, template.timestamp);
        let head = Head { batch, block: number, hash: legacy_block_hash(number), timestamp };
        let codes = contracts.genesis.values().map(|contract| contract.code.clone()).collect();
        let recorded = Recorded { calls: inputs::views(), codes };
        let mut run = Self::new(template, state, head, recorded, (seed, 0));
        run.follow_version();
        run
    }

    fn new(
        template: BatchEnv,
        mut state: State,
        head: Head,
        recorded: Recorded,
        (seed, serial_id): (u64, u64),
    ) -> Self {
        let generator = Generator::new(seed, recorded, template.chain_id, serial_id);
        let funds = generator.known.accounts.iter().map(|account| {
            (StorageSlot::balance(account.address), B256::from(U256::from(1) << 100))
        });
        let mut funds: Vec<_> = funds.collect();
        funds.sort_unstable();
        state.write(&funds);
        Self {
            shadow: vm(VmMode::Shadow),
            own: vm(VmMode::Own),
            fast: vm(VmMode::Fast),
            legacy: vm(VmMode::Legacy),
            template,
            state: Arc::new(state),
            head,
            generator,
            report: Report::default(),
            seed,
            due: VecDeque::new(),
            root_count: 0,
        }
    }

    /// Whatever else goes with the version of the template.
    fn follow_version(&mut self) {
        self.generator.has_evm = self.template.base_contracts.evm_emulator.is_some();
        if self.generator.has_evm {
            // Whether EVM code may be deployed is the chain's admin's to say.
            let allowed = StorageSlot::new(address::CONTRACT_DEPLOYER, word(1));
            Arc::make_mut(&mut self.state).write(&[(allowed, word(1))]);
        }
    }

    /// Publishes what `next` brings, and goes over to its version with the next batch.
    pub(crate) fn upgrade(&mut self, next: &Contracts) {
        let places = next.genesis.iter().map(|(place, contract)| (*place, contract.hash));
        let is_new = |(place, hash): &(Address, BytecodeHash)| self.code_hash(place) != hash.0;
        let places: Vec<_> = places.filter(is_new).collect();
        let mut codes: Vec<Bytes> = Vec::new();
        for contract in next.genesis.values() {
            let is_known = !self.state.value(&StorageSlot::known_code(contract.hash.0)).is_zero();
            if !is_known && !codes.contains(&contract.code) {
                codes.push(contract.code.clone());
            }
        }
        while !codes.is_empty() {
            let mut bytes = 0;
            let fits = codes.iter().take_while(|code| {
                bytes += code.len();
                bytes <= PUBLISHED_BYTES
            });
            let count = fits.count().clamp(1, 20);
            let env = self.env();
            let drawn = self.generator.publish(codes.drain(..count).collect());
            self.due.push_back(drawn);
            self.batch_in(env, 1, false);
        }
        self.template.version = next.version;
        self.template.base_contracts = Arc::clone(&next.base);
        self.follow_version();
        let drawn = self.generator.upgrade(next.version.0, &places);
        self.due.push_back(drawn);
        self.batch(5, false);
        for (place, hash) in &places {
            assert_eq!(self.code_hash(place), hash.0, "{place} in {}", next.version);
        }
    }

    fn code_hash(&self, place: &Address) -> B256 {
        self.state.value(&StorageSlot::code_hash(*place))
    }

    pub(crate) fn env(&mut self) -> BatchEnv {
        let rng = &mut self.generator.rng;
        // Gas for a byte: about 60 like on the recorded chain, 10, 3 000, 50 000, the most, or none.
        // The crates' machines give up where computation costs nothing either.
        let usual = self.template.fee_input.fair_pubdata_price.unwrap();
        let pubdata_prices =
            [usual, usual, usual, 1_000_000_000, 300_000_000_000, 7_000_000_000_000, 0];
        let fair_pubdata_price = *pubdata_prices.choose(rng).unwrap();
        let fee_input =
            FeeInput { fair_pubdata_price: Some(fair_pubdata_price), ..self.template.fee_input };
        let version = self.template.version;
        let withholds = rng.gen_bool(0.2) && version >= ProtocolVersion::GATEWAY;
        let pubdata_type =
            if withholds { PubdataType::NoDa } else { self.template.pubdata_params.pubdata_type };
        let validator = match version.0 {
            31.. => scheme(rng, withholds),
            _ if withholds => DaValidator::Address(Address::ZERO),
            _ => self.template.pubdata_params.validator,
        };
        let (settlement_layer, interop_fee) = match version.0 {
            31.. => (Some(settlement_layer(rng)), U256::from(rng.gen_range(0..3_u8))),
            _ => (None, U256::ZERO),
        };
        let env = BatchEnv {
            number: self.head.batch.next(),
            timestamp: UnixSeconds(self.head.timestamp.0 + rng.gen_range(1..5)),
            previous_root: StateRoot(B256::new(rng.r#gen())),
            fee_input,
            pubdata_params: PubdataParams { validator, pubdata_type },
            settlement_layer,
            interop_fee,
            ..self.template.clone()
        };
        let base_fee = self.own.limits(env.version, &fee_input).unwrap().base_fee_per_gas;
        let gas_per_pubdata = fair_pubdata_price
            .checked_div(base_fee)
            .map_or(0, |gas| gas + u64::from(!fair_pubdata_price.is_multiple_of(base_fee)));
        self.generator.prices = Prices { base_fee, gas_per_pubdata };
        env
    }

    pub(crate) fn first_block(&mut self, env: &BatchEnv) -> BlockEnv {
        self.root_count = 0;
        let number = self.head.block.next();
        // An upgrade may be due, and before it there is no contract that takes roots.
        let interop_roots =
            if self.due.is_empty() { self.interop_roots(number) } else { Vec::new() };
        BlockEnv {
            number,
            timestamp: env.timestamp,
            parent: self.head.hash,
            virtual_block_count: 1,
            interop_roots,
        }
    }

    /// Roots that a block brings, if the version knows any.
    fn interop_roots(&mut self, block: L2BlockNumber) -> Vec<InteropRoot> {
        let left = BATCH_ROOTS_MAX - self.root_count;
        let rng = &mut self.generator.rng;
        if self.template.version < ProtocolVersion::INTEROP || !rng.gen_bool(0.3) {
            return Vec::new();
        }
        let count = rng.gen_range(1..=ROOTS_MAX).min(left);
        self.root_count += count;
        let root = |index: usize| InteropRoot {
            chain_id: 500 + u32::try_from(index).expect("there are few"),
            block_number: block.0,
            sides: vec![keccak256([block.0.to_be_bytes().as_slice(), &[1]].concat())],
        };
        (0..count).map(root).collect()
    }

    /// Draws a batch of up to `txs_max` transactions, perhaps of none, and runs it on all machines.
    /// What is due comes first. With `may_halt`, the batch may end with a transaction that no block can have.
    pub(crate) fn batch(&mut self, txs_max: usize, may_halt: bool) {
        let env = self.env();
        self.batch_in(env, txs_max, may_halt);
    }

    fn batch_in(&mut self, env: BatchEnv, txs_max: usize, may_halt: bool) {
        let before = self.generator.known.clone();
        let first = self.first_block(&env);
        let mut batch = Batch { env, blocks: vec![(first, Vec::new())] };
        let mut open = batch.open(&self.shadow, &self.state).unwrap();
        let mut outcomes = vec![Vec::new()];
        let sizes = [0, 20, 30, 40, 60, 80, 120, 200];
        let mut count = (*sizes.choose(&mut self.generator.rng).unwrap()).min(txs_max);
        if !self.due.is_empty() {
            count = count.max(1);
        }
        // One is halted at once, so that every run has one.
        let halts = self.generator.rng.gen_bool(0.15) || self.report.halted == 0;
        let halts = halts && may_halt && count > 0;
        let halts_at = halts.then(|| self.generator.rng.gen_range(0..count));
        let is_traced = self.generator.rng.gen_bool(0.25);
        self.generator.starves_publishing = self.generator.rng.gen_bool(0.25);
        for index in 0..count {
            if !batch.blocks.last().unwrap().1.is_empty() && self.generator.rng.gen_bool(0.1) {
                self.start_block(&mut batch, open.as_mut(), false);
                outcomes.push(Vec::new());
            }
            let drawn = match self.due.pop_front() {
                Some(drawn) => drawn,
                None if halts_at == Some(index) => self.generator.next_impossible(),
                None => self.generator.next(),
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
                    let is_possible = !drawn.is_impossible;
                    assert!(is_possible, "{} is in a block: {outcome:?}", self.shown(&drawn));
                    self.generator.learn(&drawn, &outcome);
                    self.report.count(batch.env.version, &drawn, &outcome);
                    outcomes.last_mut().unwrap().push(outcome);
                }
                Err(VmError::Halted { .. }) if drawn.is_impossible => {
                    self.check_halted(&batch, &outcomes, &ran.unwrap_err());
                    self.generator.known = before;
                    return;
                }
                Err(error) => panic!("{error}: {}", self.shown(&drawn)),
            }
        }
        if count > 0 {
            self.start_block(&mut batch, open.as_mut(), true);
            outcomes.push(Vec::new());
        }
        let sealed = open.seal().unwrap_or_else(|error| {
            panic!("seed {}, v{}: {error}", self.seed, batch.env.version.0)
        });
        let own = Ran::new(outcomes, sealed);
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
        self.fast.supports(self.template.version) && !self.generator.starves_publishing
    }

    fn shown(&self, drawn: &Drawn) -> String {
        let Drawn { kind, tx, .. } = drawn;
        format!("seed {}, transaction {}, {kind:?}: {}", self.seed, self.report.txs, json(tx))
    }

    pub(crate) fn start_block(
        &mut self,
        batch: &mut Batch,
        open: &mut dyn OpenBatch,
        is_fictive: bool,
    ) {
        let version = batch.env.version;
        let (last, txs) = batch.blocks.last().unwrap();
        let number = last.number.next();
        let (parent, timestamp) = (hash_of(last, txs, version), last.timestamp);
        let interop_roots = if is_fictive { Vec::new() } else { self.interop_roots(number) };
        let least = u64::from(version < ProtocolVersion::INTEROP);
        let env = BlockEnv {
            number,
            timestamp: UnixSeconds(timestamp.0 + self.generator.rng.gen_range(least..3)),
            parent,
            virtual_block_count: 1,
            interop_roots,
        };
        open.start_block(env.clone()).unwrap();
        batch.blocks.push((env, Vec::new()));
    }

    /// Checks that every machine refuses the last transaction of `batch` in the same words, after
    /// the same outcomes.
    fn check_halted(&mut self, batch: &Batch, outcomes: &[Vec<TxOutcome>], error: &VmError) {
        let fast = self.can_be_fast().then_some(&self.fast);
        let machines = [&self.own, &self.legacy].into_iter().chain(fast);
        for vm in machines.filter(|vm| vm.supports(batch.env.version)) {
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

/// A commitment scheme for a batch from v31 on. The L1 messenger finds what it is to commit to in
/// what the operator hands over, so all of it must be there, or the scheme must ask for nothing.
fn scheme(rng: &mut impl Rng, withholds: bool) -> DaValidator {
    let (nothing, hash, blobs) = (1, 2, 3);
    DaValidator::Scheme(if withholds {
        nothing
    } else if rng.gen_bool(0.5) {
        hash
    } else {
        blobs
    })
}

/// Where a batch from v31 on is settled: as a rule where the one before was.
fn settlement_layer(rng: &mut impl Rng) -> SettlementLayer {
    let is_usual = rng.gen_bool(0.9);
    if is_usual { SettlementLayer::L1(ChainId(9)) } else { SettlementLayer::Gateway(ChainId(506)) }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
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
