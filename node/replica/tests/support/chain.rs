//! A small chain of toy transactions, made the straight way.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_commitment::genesis_commitment;
use lockstep_types::{
    Address, B256, BaseSystemContracts, BlockParams, BytecodeHash, Bytes, ChainId, Execute,
    FeeInput, L1BatchNumber, L2BlockHash, L2BlockNumber, PriorityCommon, ProtocolVersion,
    PubdataParams, StateRoot, Transaction, TxCommon, TxHash, U256, UnixSeconds,
    address::genesis_contracts,
    block::{BlockHashInput, block_hash, legacy_block_hash},
    keccak256, status_hash,
    transaction::ObsoletePriority,
};
use lockstep_vm::{BaseContracts, BatchEnv, BlockEnv, Contract, OpenBatch, Vm};
use lockstep_vm_toy::{Op, Program, ToyVm};
use lockstep_wire::{SyncBlock, en::GenesisConfig};

use super::{state::State, word};

pub(crate) const L2: ChainId = ChainId(271);
pub(crate) const L1: ChainId = ChainId(9);
pub(crate) const VERSION: ProtocolVersion = ProtocolVersion(29);
/// Blocks of a batch, the fictive one included.
pub(crate) const BATCH_BLOCKS: u32 = 4;
const TXS_PER_BLOCK: u64 = 3;
const FEES: FeeInput =
    FeeInput { l1_gas_price: 7, fair_l2_gas_price: 250, fair_pubdata_price: Some(9) };

/// A batch as the main node knows it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) root: StateRoot,
    pub(crate) commitment: B256,
    pub(crate) timestamp: u64,
    pub(crate) last_block: u32,
}

/// How a chain differs from the first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fork {
    /// The last batch that is as in the first chain.
    pub(crate) common: u32,
    /// By how much its transactions are others; many are those of other blocks.
    pub(crate) shift: u64,
    /// Blocks of a batch, the fictive one included.
    pub(crate) batch_blocks: u32,
    /// The first batch with another EVM emulator.
    pub(crate) emulator_from: u32,
}

impl Fork {
    /// A chain that is the first one up to batch `common`, and then has the transactions of later
    /// blocks earlier, longer batches, and the other EVM emulator later.
    pub(crate) fn after(common: u32) -> Self {
        Self { common, shift: 2, batch_blocks: 5, emulator_from: 5.max(common + 1) }
    }

    const NONE: Self =
        Self { common: u32::MAX, shift: 0, batch_blocks: BATCH_BLOCKS, emulator_from: 4 };
}

/// The chain, whole.
#[derive(Debug)]
pub(crate) struct Chain {
    fork: Fork,
    pub(crate) genesis: GenesisConfig,
    pub(crate) contracts: Vec<(Address, B256)>,
    pub(crate) bytecodes: BTreeMap<B256, Bytes>,
    /// Block 1 first.
    pub(crate) blocks: Vec<SyncBlock>,
    /// Batch 1 first.
    pub(crate) batches: Vec<Batch>,
    /// What a precommit of each block tells; block 1 first.
    pub(crate) precommitments: Vec<B256>,
    /// After the last batch.
    pub(crate) state: State,
}

/// EraVM code that is told apart by `name`.
fn code(name: &str) -> (BytecodeHash, Bytes) {
    let code = Bytes::copy_from_slice(keccak256(name).as_slice());
    (BytecodeHash::of_era(&code).unwrap(), code)
}

fn base_contracts(emulator: &str) -> BaseContracts {
    let contract = |name: &str| {
        let (hash, code) = code(name);
        Contract { hash, code }
    };
    BaseContracts {
        bootloader: contract("bootloader"),
        default_account: contract("account"),
        evm_emulator: Some(contract(emulator)),
    }
}

fn hashes(contracts: &BaseContracts) -> BaseSystemContracts {
    BaseSystemContracts {
        bootloader: contracts.bootloader.hash,
        default_account: contracts.default_account.hash,
        evm_emulator: contracts.evm_emulator.as_ref().map(|contract| contract.hash),
    }
}

impl Chain {
    /// A chain of `batches` batches. From batch 4 on it has another EVM emulator.
    pub(crate) fn new(batches: u32) -> Self {
        Self::forked(batches, Fork::NONE)
    }

    /// A chain of `batches` batches that leaves the first one as `fork` says.
    pub(crate) fn forked(batches: u32, fork: Fork) -> Self {
        let deployed = ["zero", "one", "two"].map(code);
        let addresses = genesis_contracts();
        let at = |index: usize| addresses[index * 5];
        let contracts: Vec<_> =
            deployed.iter().enumerate().map(|(i, (hash, _))| (at(i), hash.0)).collect();
        let names = ["bootloader", "account", "emulator", "new emulator", "zero", "one", "two"];
        let bytecodes = names.map(code).map(|(hash, code)| (hash.0, code)).into();
        let state = State::genesis(&contracts);
        let base = hashes(&base_contracts("emulator"));
        let commitment =
            genesis_commitment(state.next_index(), state.root(), &base, VERSION).unwrap();
        let genesis = GenesisConfig {
            protocol_version: "0.29.4".to_owned(),
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
        let mut chain = Self {
            fork,
            genesis,
            contracts,
            bytecodes,
            blocks: Vec::new(),
            batches: Vec::new(),
            precommitments: Vec::new(),
            state,
        };
        for number in 1..=batches {
            chain.add_batch(L1BatchNumber(number));
        }
        chain
    }

    pub(crate) fn tip(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap()
    }

    fn parent(&self) -> L2BlockHash {
        match self.blocks.last() {
            None => legacy_block_hash(L2BlockNumber(0)),
            Some(block) => L2BlockHash(block.hash.unwrap()),
        }
    }

    fn add_batch(&mut self, batch: L1BatchNumber) {
        let Fork { shift, batch_blocks, emulator_from, .. } =
            if batch.0 <= self.fork.common { Fork::NONE } else { self.fork };
        let emulator = if batch.0 < emulator_from { "emulator" } else { "new emulator" };
        let base = base_contracts(emulator);
        let params = |number: u32, is_fictive| BlockParams {
            number: L2BlockNumber(number),
            batch,
            is_fictive,
            timestamp: UnixSeconds(1_700_000_000 + u64::from(number)),
            fee_input: FEES,
            base_system_contracts: hashes(&base),
            fee_account: Address::repeat_byte(0xfe),
            virtual_block_count: u32::from(!is_fictive),
            version: VERSION,
            pubdata_params: PubdataParams::default(),
            pubdata_bytes_max: Some(100_000),
            interop_roots: Vec::new(),
            settlement_layer: None,
            interop_fee: None,
        };
        let first = params(self.tip() + 1, false);
        let timestamp = first.timestamp;
        let previous_root = self.state.root();
        let mut vm: Option<Box<dyn OpenBatch>> = None;
        let mut ended = B256::ZERO;
        for index in 0..batch_blocks {
            let is_fictive = index + 1 == batch_blocks;
            let params = params(self.tip() + 1, is_fictive);
            let env = BlockEnv {
                number: params.number,
                timestamp: params.timestamp,
                parent: self.parent(),
                virtual_block_count: params.virtual_block_count,
                interop_roots: Vec::new(),
            };
            if let Some(vm) = &mut vm {
                vm.start_block(env).unwrap();
            } else {
                let batch_env = BatchEnv {
                    chain_id: L2,
                    version: VERSION,
                    number: batch,
                    timestamp,
                    previous_root,
                    fee_input: FEES,
                    fee_account: params.fee_account,
                    base_contracts: Arc::new(base.clone()),
                    pubdata_params: params.pubdata_params,
                    settlement_layer: None,
                    interop_fee: U256::ZERO,
                };
                let state = Box::new(self.state.clone());
                vm = Some(ToyVm::default().open_batch(batch_env, env, state).unwrap());
            }
            let count = if is_fictive { 0 } else { TXS_PER_BLOCK };
            let first = u64::from(params.number.0) * TXS_PER_BLOCK + shift;
            let txs: Vec<_> = (first..first + count).map(transaction).collect();
            for tx in &txs {
                let outcome = vm.as_mut().unwrap().run_tx(tx).unwrap();
                ended = status_hash(ended, tx.hash(), &outcome.status);
            }
            self.push(&params, &txs);
            self.precommitments.push(ended);
        }
        let tip = vm.unwrap().seal().unwrap();
        self.state.apply(&tip.final_writes);
        self.batches.push(Batch {
            root: self.state.root(),
            commitment: keccak256(format!("commitment {batch} {}", self.state.root())),
            timestamp: timestamp.0,
            last_block: self.tip(),
        });
    }

    fn push(&mut self, params: &BlockParams, txs: &[Transaction]) {
        let tx_hashes: Vec<_> = txs.iter().map(Transaction::hash).collect();
        let input = BlockHashInput {
            number: params.number,
            timestamp: params.timestamp,
            parent: self.parent(),
            tx_hashes: &tx_hashes,
        };
        let hash = block_hash(&input, params.version);
        self.blocks.push(SyncBlock::new(params, Some(hash), Some(txs)));
    }
}

/// The `index`-th priority operation.
fn transaction(index: u64) -> Transaction {
    let key = index % 5;
    let ops = match index % 6 {
        0 => vec![Op::Write { key: index, value: index }, Op::Emit { topic: key, data: index }],
        1 => vec![Op::Add { key, amount: index }, Op::Send { key, value: index }],
        2 => vec![Op::Deploy { dep: 0, account: 0x20_000 + index }],
        3 => vec![Op::Write { key, value: 1 }, Op::Revert],
        4 => vec![Op::Write { key, value: 0 }, Op::Burn { gas: 50 }],
        _ => vec![Op::Add { key: 1, amount: 1 }, Op::Write { key: 1_000 + index, value: 5 }],
    };
    let dep = Bytes::copy_from_slice(word(index + 1).as_slice());
    let mut common = PriorityCommon {
        hash: TxHash::default(),
        sender: Address::repeat_byte(u8::try_from(index % 3 + 1).unwrap()),
        serial_id: index,
        max_fee_per_gas: U256::from(500),
        gas_limit: U256::from(1_000_000),
        gas_per_pubdata_limit: U256::from(800),
        to_mint: U256::from(11),
        refund_recipient: Address::repeat_byte(9),
        eth_block: 77,
        obsolete: ObsoletePriority::default(),
    };
    let execute = Execute {
        to: Some(Address::repeat_byte(0xcc)),
        calldata: Program(ops).encode(),
        value: U256::from(3),
        factory_deps: vec![dep],
    };
    common.hash = canonical_hash(&common, &execute);
    let common = TxCommon::Priority(Box::new(common));
    Transaction { common, execute, received_at_ms: 1_700_000_000_000 + index, raw: None }
}

/// Keccak-256 of the ABI encoding of `L2CanonicalTransaction`.
fn canonical_hash(common: &PriorityCommon, execute: &Execute) -> TxHash {
    let address = |address: Address| U256::from_be_bytes(address.into_word().0);
    let data_words = execute.calldata.len().div_ceil(32);
    let dep_count = execute.factory_deps.len();
    let data_at = 19 * 32;
    let signature_at = data_at + 32 + data_words * 32;
    let deps_at = signature_at + 32;
    let paymaster_at = deps_at + 32 + dep_count * 32;
    let mut words = vec![
        U256::from(32),
        U256::from(255),
        address(common.sender),
        address(execute.to.unwrap()),
        common.gas_limit,
        common.gas_per_pubdata_limit,
        common.max_fee_per_gas,
        U256::ZERO,
        U256::ZERO,
        U256::from(common.serial_id),
        execute.value,
        common.to_mint,
        address(common.refund_recipient),
        U256::ZERO,
        U256::ZERO,
    ];
    let offsets = [data_at, signature_at, deps_at, paymaster_at, paymaster_at + 32];
    words.extend(offsets.map(U256::from));
    words.push(U256::from(execute.calldata.len()));
    let mut data = execute.calldata.to_vec();
    data.resize(data_words * 32, 0);
    words.extend(data.chunks(32).map(U256::from_be_slice));
    words.extend([U256::ZERO, U256::from(dep_count)]);
    for dep in &execute.factory_deps {
        words.push(U256::from_be_bytes(BytecodeHash::of_era(dep).unwrap().0.0));
    }
    words.extend([U256::ZERO, U256::ZERO]);
    TxHash(keccak256(words.iter().flat_map(U256::to_be_bytes::<32>).collect::<Vec<_>>()))
}
