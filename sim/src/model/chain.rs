//! The tree of batches, made the straight way: a VM on a map, one batch after the other.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_commitment::genesis_commitment;
use lockstep_types::{
    Address, B256, BaseSystemContracts, BlockParams, BytecodeHash, Bytes, ChainId, Event, FeeInput,
    L1BatchNumber, L2BlockHash, L2BlockNumber, L2ToL1Log, LeafIndex, ProtocolVersion,
    PubdataParams, StateRoot, StorageSlot, Transaction, TxHash, TxOutcome, U256, UnixSeconds,
    address::genesis_contracts,
    block::{BlockHashInput, block_hash, legacy_block_hash},
    keccak256,
};
use lockstep_vm::{BaseContracts, BatchEnv, BlockEnv, Contract, OpenBatch, Vm};
use lockstep_vm_toy::ToyVm;
use lockstep_wire::{SyncBlock, en::GenesisConfig};
use serde_json::{Value, json};

use super::{
    Dice, ModelPlan,
    state::State,
    txs::{self, ACCOUNTS, Mix},
};

/// The chain.
pub(crate) const L2: ChainId = ChainId(271);
/// The chain that it settles on.
pub(crate) const L1: ChainId = ChainId(9);
/// The chain that it settles on for a while.
pub(crate) const ELSEWHERE: ChainId = ChainId(506);
/// A version that no build knows.
const UNKNOWN_VERSION: ProtocolVersion = ProtocolVersion(99);
/// Code names of genesis, and of what upgrades and forks bring.
const CODES: [&str; 8] =
    ["bootloader", "account", "emulator", "new bootloader", "new emulator", "zero", "one", "two"];

/// A batch by its place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub usize);

/// A block as it is, with what running it gave.
#[derive(Clone, Debug)]
pub struct Block {
    /// What the main node decided.
    pub params: BlockParams,
    /// Its hash.
    pub hash: L2BlockHash,
    /// The hash of the block before.
    pub parent: L2BlockHash,
    /// In order.
    pub txs: Vec<Transaction>,
    /// What each transaction left.
    pub outcomes: Vec<TxOutcome>,
    /// What ending the batch left, in its last block.
    pub tip_events: Vec<Event>,
    /// See [`tip_events`](Self::tip_events).
    pub tip_logs: Vec<L2ToL1Log>,
    /// Slots written in the block, with what they hold after it.
    pub writes: BTreeMap<StorageSlot, B256>,
    /// As the main node hands it on.
    pub json: Arc<Value>,
}

/// A batch as it is.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its number.
    pub number: u32,
    /// The batch before; `None`: genesis.
    pub parent: Option<BatchId>,
    /// With the fictive one at the end.
    pub blocks: Vec<Block>,
    /// The root after it.
    pub root: StateRoot,
    /// What L1 is told of it.
    pub commitment: B256,
    /// When it was opened.
    pub timestamp: u64,
    /// Priority operations.
    pub l1_tx_count: u32,
    /// Other transactions.
    pub l2_tx_count: u32,
    /// The state after it.
    pub state: Arc<State>,
    /// Priority operations up to its end.
    priority_count: u64,
}

/// A batch before it is run.
#[derive(Clone, Debug)]
pub(crate) struct BatchDraft {
    /// Timestamps and transactions, without the fictive block.
    pub(crate) blocks: Vec<(u64, Vec<Transaction>)>,
    /// Timestamp of the fictive block.
    pub(crate) end: u64,
    pub(crate) version: ProtocolVersion,
    pub(crate) fees: FeeInput,
    pub(crate) fee_account: Address,
}

/// A way from genesis through the tree.
pub type Branch = Vec<BatchId>;

/// Every batch of every fork.
#[derive(Clone, Debug)]
pub struct Chain {
    /// What it is like.
    pub plan: ModelPlan,
    seed: u64,
    /// As the main node tells it.
    pub genesis: GenesisConfig,
    /// Contracts of genesis with their code hashes.
    pub contracts: Vec<(Address, B256)>,
    /// The state of genesis.
    pub genesis_state: Arc<State>,
    /// Code of base system contracts and of genesis.
    pub bytecodes: BTreeMap<B256, Bytes>,
    batches: Vec<Batch>,
    by_hash: BTreeMap<L2BlockHash, (BatchId, usize)>,
}

impl Chain {
    /// Genesis of a chain of `plan`; content follows from the plan alone.
    pub fn new(plan: &ModelPlan) -> Self {
        let deployed = ["zero", "one", "two"].map(code);
        let addresses = genesis_contracts();
        let contracts: Vec<_> =
            deployed.iter().enumerate().map(|(i, (hash, _))| (addresses[i * 5], hash.0)).collect();
        let bytecodes = CODES.map(code).map(|(hash, code)| (hash.0, code)).into();
        let state = State::genesis(&contracts);
        let version = ProtocolVersion(plan.version);
        let base = hashes(&base_contracts(version, version));
        let commitment = genesis_commitment(state.next_index(), state.root(), &base, version)
            .expect("chains begin with a version that has a genesis");
        let genesis = GenesisConfig {
            protocol_version: format!("0.{}.4", plan.version),
            genesis_root_hash: state.root().0,
            rollup_last_leaf_index: state.next_index().0,
            genesis_commitment: commitment.0,
            bootloader_hash: base.bootloader.0,
            default_aa_hash: base.default_account.0,
            evm_emulator_hash: base.evm_emulator.map(|hash| hash.0),
            l1_chain_id: L1.0,
            l2_chain_id: L2.0,
            recursion_scheduler_level_vk_hash: None,
            fflonk_snark_wrapper_vk_hash: None,
            fee_account: Address::repeat_byte(0xfe),
            dummy_verifier: true,
            l1_batch_commit_data_generator_mode: "Rollup".to_owned(),
        };
        Self {
            seed: plan.chain,
            plan: plan.clone(),
            genesis,
            contracts,
            genesis_state: Arc::new(state),
            bytecodes,
            batches: Vec::new(),
            by_hash: BTreeMap::new(),
        }
    }

    /// A batch.
    pub fn batch(&self, id: BatchId) -> &Batch {
        &self.batches[id.0]
    }

    /// Every batch with its place.
    pub fn batches(&self) -> impl Iterator<Item = (BatchId, &Batch)> {
        self.batches.iter().enumerate().map(|(index, batch)| (BatchId(index), batch))
    }

    /// A block by its hash, of any fork, with its batch.
    pub fn block_by_hash(&self, hash: &L2BlockHash) -> Option<(BatchId, &Block)> {
        let (id, index) = self.by_hash.get(hash)?;
        Some((*id, &self.batch(*id).blocks[*index]))
    }

    /// Block `number` of `branch`, with its batch; `None` for genesis and beyond the end.
    pub fn block(&self, branch: &[BatchId], number: u32) -> Option<(BatchId, &Block)> {
        let at = branch.partition_point(|id| self.last_block(*id) < number);
        let id = *branch.get(at)?;
        let blocks = &self.batch(id).blocks;
        let first = blocks.first()?.params.number.0;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        Some((id, blocks.get(index)?))
    }

    /// Number of the last block of a batch.
    pub fn last_block(&self, id: BatchId) -> u32 {
        self.batch(id).blocks.last().map_or(0, |block| block.params.number.0)
    }

    /// Number of the last block of `branch`.
    pub fn tip(&self, branch: &[BatchId]) -> u32 {
        branch.last().map_or(0, |id| self.last_block(*id))
    }

    /// The state after `parent`.
    pub fn state(&self, parent: Option<BatchId>) -> &Arc<State> {
        parent.map_or(&self.genesis_state, |id| &self.batch(id).state)
    }

    /// The trunk: what comes if nothing happens.
    pub fn trunk(&mut self) -> Branch {
        let mut dice = Dice::new(self.seed, "trunk");
        let mut branch = Vec::new();
        for _ in 0..self.plan.batch_count {
            let draft = self.draft(branch.last().copied(), &mut dice);
            branch.push(self.add(branch.last().copied(), &draft));
        }
        branch
    }

    /// A draft of the batch after `parent`.
    pub(crate) fn draft(&self, parent: Option<BatchId>, dice: &mut Dice) -> BatchDraft {
        let plan = &self.plan;
        let number = parent.map_or(0, |id| self.batch(id).number) + 1;
        let version = self.version(number);
        let state = self.state(parent);
        let mut serial = parent.map_or(0, |id| self.batch(id).priority_count);
        let nonce_of = |index: u8| {
            let held = state.value(&StorageSlot::nonces(txs::account(index)));
            u64::from_be_bytes(held.0[24..].try_into().expect("eight bytes are eight bytes"))
        };
        let mut nonces: Vec<u64> =
            if plan.signed_txs == 0 { Vec::new() } else { (0..ACCOUNTS).map(nonce_of).collect() };
        let mix = Mix {
            deploys: plan.deploys.into(),
            reverts: plan.reverts.into(),
            new_keys: plan.new_keys.into(),
            others: 5,
        };
        let mut time = self.time_after(parent);
        let mut blocks = Vec::new();
        let is_empty =
            dice.chance(plan.empty_batches.into(), 10) && version == self.version(number - 1);
        let count = if is_empty { 0 } else { dice.between_u32(1, plan.blocks_max.max(1)) };
        for index in 0..count {
            time += dice.between(1, 3);
            let mut list = Vec::new();
            if index == 0 && number > 1 && version != self.version(number - 1) {
                list.push(txs::upgrade(version));
            }
            for _ in 0..dice.between_u32(1, plan.txs_max.max(1)) {
                if dice.chance(plan.signed_txs.into(), 10) {
                    let who = dice.index(nonces.len());
                    let index = u8::try_from(who).expect("there are few accounts");
                    list.push(txs::signed(dice, L2, index, nonces[who], mix));
                    nonces[who] += 1;
                } else {
                    list.push(txs::priority_op(self.seed, serial, mix));
                    serial += 1;
                }
            }
            blocks.push((time, list));
        }
        BatchDraft {
            blocks,
            end: time + 1,
            version,
            fees: FeeInput {
                // The hash of a block does not bind it, and forks may share blocks.
                l1_gas_price: 7 + u64::from(number % 3),
                fair_l2_gas_price: 250,
                fair_pubdata_price: Some(9),
            },
            fee_account: Address::repeat_byte(0xfe),
        }
    }

    /// The same batch again, as a draft.
    pub(crate) fn redraft(&self, id: BatchId) -> BatchDraft {
        let batch = self.batch(id);
        let (last, others) = batch.blocks.split_last().expect("a batch has a block");
        let params = &last.params;
        BatchDraft {
            blocks: others
                .iter()
                .map(|block| (block.params.timestamp.0, block.txs.clone()))
                .collect(),
            end: params.timestamp.0,
            version: params.version,
            fees: params.fee_input,
            fee_account: params.fee_account,
        }
    }

    fn version(&self, number: u32) -> ProtocolVersion {
        let plan = &self.plan;
        if plan.unknown_version_at > 0 && number >= plan.unknown_version_at {
            UNKNOWN_VERSION
        } else if plan.upgrade_at > 1 && number >= plan.upgrade_at {
            ProtocolVersion(plan.version + 1)
        } else {
            ProtocolVersion(plan.version)
        }
    }

    fn time_after(&self, parent: Option<BatchId>) -> u64 {
        let last = parent.and_then(|id| self.batch(id).blocks.last());
        last.map_or(1_700_000_000, |block| block.params.timestamp.0)
    }

    fn hash_after(&self, parent: Option<BatchId>) -> L2BlockHash {
        let last = parent.and_then(|id| self.batch(id).blocks.last());
        last.map_or_else(|| legacy_block_hash(L2BlockNumber(0)), |block| block.hash)
    }

    /// Runs `draft` after `parent` and puts it in the tree.
    pub(crate) fn add(&mut self, parent: Option<BatchId>, draft: &BatchDraft) -> BatchId {
        let (batch, state) = self.run(parent, draft);
        // The hash of the last block binds everything before it: it is the same batch.
        let last = batch.blocks.last().and_then(|block| self.by_hash.get(&block.hash));
        if let Some((same, _)) = last {
            return *same;
        }
        let id = BatchId(self.batches.len());
        for (index, block) in batch.blocks.iter().enumerate() {
            // Forks may share blocks; the first one stands for all.
            self.by_hash.entry(block.hash).or_insert((id, index));
        }
        self.batches.push(Batch { state: Arc::new(state), ..batch });
        id
    }

    fn run(&self, parent: Option<BatchId>, draft: &BatchDraft) -> (Batch, State) {
        let number = parent.map_or(0, |id| self.batch(id).number) + 1;
        let mut state = State::clone(self.state(parent));
        let previous_root = state.root();
        // A build that knows no version runs nothing of it; the model has to run something.
        let (first_version, version) = (ProtocolVersion(self.plan.version), draft.version);
        let base = base_contracts(first_version, version);
        let mut run = Run {
            draft,
            base: hashes(&base),
            next: parent.map_or(0, |id| self.last_block(id)) + 1,
            batch: L1BatchNumber(number),
            parent: self.hash_after(parent),
            vm: None,
            blocks: Vec::new(),
            opening: Some(BatchEnv {
                chain_id: L2,
                version,
                number: L1BatchNumber(number),
                timestamp: UnixSeconds(draft.blocks.first().map_or(draft.end, |block| block.0)),
                previous_root,
                fee_input: draft.fees,
                fee_account: draft.fee_account,
                base_contracts: Arc::new(base.clone()),
                pubdata_params: PubdataParams::default(),
                settlement_layer: None,
                interop_fee: U256::ZERO,
            }),
            state: state.clone(),
        };
        for (time, txs) in &draft.blocks {
            run.block(*time, txs, false);
        }
        let final_writes = run.block(draft.end, &[], true).expect("the last block ends the batch");
        let blocks = run.blocks;
        state.apply(&final_writes);
        let txs = || blocks.iter().flat_map(|block| &block.txs);
        let l1_txs = txs().filter(|tx| tx.is_priority()).count();
        let l2_txs = txs().count() - l1_txs;
        let count = |count: usize| u32::try_from(count).expect("batches are small");
        let priority_before = parent.map_or(0, |id| self.batch(id).priority_count);
        let root = state.root();
        let batch = Batch {
            number,
            parent,
            root,
            commitment: keccak256(format!("commitment {number} {root}")),
            timestamp: blocks.first().map_or(0, |block| block.params.timestamp.0),
            l1_tx_count: count(l1_txs),
            l2_tx_count: count(l2_txs),
            priority_count: priority_before + u64::from(count(l1_txs)),
            blocks,
            state: Arc::default(),
        };
        (batch, state)
    }

    /// The index that the first new slot after `parent` gets.
    pub fn next_index(&self, parent: Option<BatchId>) -> LeafIndex {
        self.state(parent).next_index()
    }
}

/// A batch that is being run.
struct Run<'a> {
    draft: &'a BatchDraft,
    base: BaseSystemContracts,
    next: u32,
    batch: L1BatchNumber,
    parent: L2BlockHash,
    vm: Option<Box<dyn OpenBatch>>,
    opening: Option<BatchEnv>,
    state: State,
    blocks: Vec<Block>,
}

impl Run<'_> {
    /// Runs a block; with the last one, gives what the batch changed.
    fn block(
        &mut self,
        time: u64,
        txs: &[Transaction],
        is_fictive: bool,
    ) -> Option<Vec<(StorageSlot, B256)>> {
        let version = self.draft.version;
        let params = BlockParams {
            number: L2BlockNumber(self.next),
            batch: self.batch,
            is_fictive,
            timestamp: UnixSeconds(time),
            fee_input: self.draft.fees,
            base_system_contracts: self.base,
            fee_account: self.draft.fee_account,
            virtual_block_count: u32::from(!is_fictive),
            version,
            pubdata_params: PubdataParams::default(),
            pubdata_bytes_max: (version >= ProtocolVersion::INTEROP).then_some(100_000),
            interop_roots: Vec::new(),
            settlement_layer: None,
            interop_fee: None,
        };
        let env = BlockEnv {
            number: params.number,
            timestamp: params.timestamp,
            parent: self.parent,
            virtual_block_count: params.virtual_block_count,
            interop_roots: Vec::new(),
        };
        match (&mut self.vm, self.opening.take()) {
            (None, Some(opening)) => {
                let vm = ToyVm::new(ProtocolVersion(u16::MAX));
                let state = Box::new(self.state.clone());
                self.vm = Some(vm.open_batch(opening, env, state).expect("a batch can be opened"));
            }
            (Some(vm), _) => vm.start_block(env).expect("blocks follow each other"),
            (None, None) => unreachable!("a batch is sealed once"),
        }
        let vm = self.vm.as_mut().expect("a batch is open");
        let run = |tx| vm.run_tx(tx).expect("the model's transactions can be in a block");
        let outcomes: Vec<_> = txs.iter().map(run).collect();
        let tip = is_fictive.then(|| {
            let vm = self.vm.take().expect("a batch is open");
            vm.seal().expect("a batch can be sealed")
        });
        let writes = outcomes.iter().flat_map(|outcome| &outcome.writes);
        let writes = writes.chain(tip.iter().flat_map(|tip| &tip.writes));
        let writes = writes.map(|write| (write.slot, write.value)).collect();
        let tx_hashes: Vec<TxHash> = txs.iter().map(Transaction::hash).collect();
        let input = BlockHashInput {
            number: params.number,
            timestamp: params.timestamp,
            parent: self.parent,
            tx_hashes: &tx_hashes,
        };
        let hash = block_hash(&input, version);
        let json = json!(SyncBlock::new(&params, Some(hash), Some(txs)));
        let (events, logs) = tip
            .as_ref()
            .map_or_else(Default::default, |tip| (tip.events.clone(), tip.l2_to_l1_logs.clone()));
        self.blocks.push(Block {
            params,
            hash,
            parent: self.parent,
            txs: txs.to_vec(),
            outcomes,
            tip_events: events,
            tip_logs: logs,
            writes,
            json: Arc::new(json),
        });
        self.parent = hash;
        self.next += 1;
        tip.map(|tip| tip.final_writes)
    }
}

/// EraVM code that is told apart by `name`.
fn code(name: &str) -> (BytecodeHash, Bytes) {
    let code = Bytes::copy_from_slice(keccak256(name).as_slice());
    (BytecodeHash::of_era(&code).expect("a word is code"), code)
}

/// What runs batches of `version` on a chain that began with `first`.
fn base_contracts(first: ProtocolVersion, version: ProtocolVersion) -> BaseContracts {
    let contract = |name: &str| {
        let (hash, code) = code(name);
        Contract { hash, code }
    };
    let is_new = version > first;
    BaseContracts {
        bootloader: contract(if is_new { "new bootloader" } else { "bootloader" }),
        default_account: contract("account"),
        evm_emulator: Some(contract(if is_new { "new emulator" } else { "emulator" })),
    }
}

fn hashes(contracts: &BaseContracts) -> BaseSystemContracts {
    BaseSystemContracts {
        bootloader: contracts.bootloader.hash,
        default_account: contracts.default_account.hash,
        evm_emulator: contracts.evm_emulator.as_ref().map(|contract| contract.hash),
    }
}
