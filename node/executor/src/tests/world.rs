//! A disk, a chain of toy blocks, and an executor over both.

use std::sync::Arc;

use futures::FutureExt;
use lockstep_io::{Durability, Par, StoreName, Stores, WriteSet};
use lockstep_io_memory::MemoryStores;
use lockstep_pipeline::{Stage, StageError};
use lockstep_store::{BatchRecord, BlockRecord, ChainIdentity, ChainView, Genesis, Views, tables};
use lockstep_types::{
    Address, B256, BaseSystemContracts, BatchHeader, BatchWrite, BlockHeader, BlockParams,
    BlockToRun, Bloom, BytecodeHash, Bytes, ChainId, Commitment, CommitmentInputs, Execute, Fee,
    FeeInput, FetchedBlock, HashedKey, L1BatchNumber, L2BlockHash, L2BlockNumber, L2Common,
    LeafIndex, ObsoletePriority, PaymasterParams, PriorityCommon, ProtocolVersion, PubdataParams,
    SealedBatch, StateRoot, StorageSlot, Transaction, TxCommon, TxHash, TxType, U256, UnixSeconds,
    block::{BlockHashInput, block_hash},
    keccak256,
};
use lockstep_vm::Vm;
use lockstep_vm_toy::{Op, Program, ToyVm};
use tokio::sync::watch;

use crate::Executor;

pub(super) const CHAIN: ChainId = ChainId(270);
pub(super) const GAS: u64 = 10_000;

/// One index after another.
struct InOrder;

impl Par for InOrder {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(f);
    }
}

/// Stands for what the tree would say.
pub(super) fn root_of(batch: L1BatchNumber) -> StateRoot {
    StateRoot(keccak256(batch.0.to_be_bytes()))
}

pub(super) fn code(byte: u8) -> (BytecodeHash, Bytes) {
    let code = Bytes::from(vec![byte; 96]);
    (BytecodeHash::of_era(&code).unwrap(), code)
}

pub(super) fn account(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

pub(super) fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

pub(super) fn slot(target: u8, key: u64) -> StorageSlot {
    StorageSlot::new(account(target), word(key))
}

pub(super) fn call(target: u8, ops: &[Op]) -> Execute {
    Execute {
        to: Some(account(target)),
        calldata: Program(ops.to_vec()).encode(),
        value: U256::ZERO,
        factory_deps: Vec::new(),
    }
}

/// Makes blocks that follow one another.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) number: L2BlockNumber,
    pub(super) batch: L1BatchNumber,
    pub(super) parent: L2BlockHash,
    pub(super) version: ProtocolVersion,
    txs: u64,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self {
            number: L2BlockNumber(1),
            batch: L1BatchNumber(1),
            parent: genesis_params_and_hash().1,
            version: ProtocolVersion(29),
            txs: 0,
        }
    }

    pub(super) fn l2(&mut self, sender: u8, execute: Execute) -> Transaction {
        self.txs += 1;
        let common = L2Common {
            hash: TxHash(keccak256(self.txs.to_be_bytes())),
            nonce: u32::try_from(self.txs).unwrap(),
            fee: Fee {
                gas_limit: U256::from(GAS),
                max_fee_per_gas: U256::from(1),
                max_priority_fee_per_gas: U256::ZERO,
                gas_per_pubdata_limit: U256::from(50_000),
            },
            initiator: account(sender),
            signature: Bytes::from(vec![1; 65]),
            tx_type: TxType::Eip712,
            input: None,
            paymaster: PaymasterParams::default(),
        };
        let common = TxCommon::L2(Box::new(common));
        Transaction { common, execute, received_at_ms: self.txs, raw: None }
    }

    pub(super) fn priority(&mut self, sender: u8, execute: Execute) -> Transaction {
        self.txs += 1;
        let common = PriorityCommon {
            hash: TxHash(keccak256(self.txs.to_le_bytes())),
            sender: account(sender),
            serial_id: self.txs,
            max_fee_per_gas: U256::from(1),
            gas_limit: U256::from(GAS),
            gas_per_pubdata_limit: U256::from(800),
            to_mint: U256::ZERO,
            refund_recipient: account(sender),
            eth_block: 5,
            obsolete: ObsoletePriority::default(),
        };
        let common = TxCommon::Priority(Box::new(common));
        Transaction { common, execute, received_at_ms: self.txs, raw: None }
    }

    /// The next block of the open batch.
    pub(super) fn block(&mut self, transactions: Vec<Transaction>) -> BlockToRun {
        self.next(transactions, false)
    }

    /// A block with one transaction for each of `programs`, run as account `target`.
    pub(super) fn programs(&mut self, target: u8, programs: &[&[Op]]) -> BlockToRun {
        let txs = programs.iter().map(|ops| self.l2(0xee, call(target, ops))).collect();
        self.block(txs)
    }

    /// The block that ends the batch.
    pub(super) fn end(&mut self) -> BlockToRun {
        let block = self.next(Vec::new(), true);
        self.batch = self.batch.next();
        block
    }

    fn next(&mut self, transactions: Vec<Transaction>, is_fictive: bool) -> BlockToRun {
        let mut params = genesis_params_and_hash().0;
        params.number = self.number;
        params.batch = self.batch;
        params.is_fictive = is_fictive;
        params.version = self.version;
        params.timestamp = UnixSeconds(1_000 + u64::from(self.number.0));
        let tx_hashes: Vec<_> = transactions.iter().map(Transaction::hash).collect();
        let input = BlockHashInput {
            number: params.number,
            timestamp: params.timestamp,
            parent: self.parent,
            tx_hashes: &tx_hashes,
        };
        let hash = block_hash(&input, params.version);
        let block = FetchedBlock { params, hash, parent: self.parent, transactions };
        self.number = self.number.next();
        self.parent = hash;
        BlockToRun { block, bytecodes: Vec::new() }
    }
}

fn genesis_params_and_hash() -> (BlockParams, L2BlockHash) {
    let params = BlockParams {
        number: L2BlockNumber(0),
        batch: L1BatchNumber(0),
        is_fictive: true,
        timestamp: UnixSeconds(1_000),
        fee_input: FeeInput {
            l1_gas_price: 1,
            fair_l2_gas_price: 250,
            fair_pubdata_price: Some(1),
        },
        base_system_contracts: BaseSystemContracts {
            bootloader: code(1).0,
            default_account: code(2).0,
            evm_emulator: None,
        },
        fee_account: account(0xfe),
        virtual_block_count: 1,
        version: ProtocolVersion(29),
        pubdata_params: PubdataParams::default(),
        pubdata_bytes_max: None,
        interop_roots: Vec::new(),
        settlement_layer: None,
        interop_fee: None,
    };
    let hash = lockstep_types::block::legacy_block_hash(L2BlockNumber(0));
    (params, hash)
}

/// Genesis with `state`.
fn genesis(state: &[(StorageSlot, B256)]) -> Genesis {
    let (params, hash) = genesis_params_and_hash();
    let mut sorted = state.to_vec();
    sorted.sort_unstable();
    let write = |(slot, value): &(StorageSlot, B256), index| BatchWrite {
        hashed_key: slot.hashed_key(),
        leaf_index: LeafIndex(index),
        value: *value,
    };
    let writes: Vec<_> = sorted.iter().zip(1..).map(|(row, index)| write(row, index)).collect();
    let mut rows: Vec<_> = writes.iter().map(|write| (write.hashed_key, write.value)).collect();
    rows.sort_unstable();
    let header = BlockHeader {
        params: params.clone(),
        hash,
        parent: L2BlockHash::default(),
        l1_tx_count: 0,
        l2_tx_count: 0,
        first_tx_index_in_batch: 0,
        base_fee_per_gas: 0,
        gas_per_pubdata_limit: 0,
        gas_limit: 0,
        gas_used: 0,
        logs_bloom: Bloom::ZERO,
        event_count: 0,
        l2_to_l1_log_count: 0,
    };
    let batch = BatchHeader {
        number: params.batch,
        timestamp: params.timestamp,
        version: params.version,
        first_block: params.number,
        last_block: params.number,
        l1_tx_count: 0,
        l2_tx_count: 0,
        next_leaf_index: LeafIndex(u64::try_from(writes.len()).unwrap() + 1),
        priority_ops_hash: keccak256([]),
    };
    Genesis {
        identity: ChainIdentity {
            l2_chain_id: CHAIN,
            l1_chain_id: ChainId(9),
            genesis_root: root_of(L1BatchNumber(0)),
            genesis_commitment: Commitment::default(),
        },
        block: BlockRecord {
            header,
            transactions: Vec::new(),
            receipts: Vec::new(),
            state: rows,
            bytecodes: vec![code(1), code(2)],
        },
        batch: BatchRecord {
            header: batch,
            writes,
            first_new_index: LeafIndex(1),
            commitment_inputs: CommitmentInputs::default(),
        },
    }
}

/// A disk with an executor on it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: MemoryStores,
    views: Views,
    executor: Executor,
    pub(super) roots: watch::Sender<(L1BatchNumber, StateRoot)>,
}

/// Everything on a disk, by table.
pub(super) type Dump = Vec<(&'static str, Vec<(Vec<u8>, Vec<u8>)>)>;

impl World {
    pub(super) fn new(state: &[(StorageSlot, B256)]) -> Self {
        let disk = MemoryStores::new();
        let (views, mut writers) = lockstep_store::open(&disk).unwrap();
        writers.chain.persist_genesis(&genesis(state), WriteSet::new()).unwrap();
        drop((views, writers));
        Self::open(disk).unwrap()
    }

    /// What the next process makes of the disk.
    pub(super) fn open(disk: MemoryStores) -> Result<Self, StageError> {
        Self::open_with(disk, Arc::new(ToyVm::default()))
    }

    pub(super) fn open_with(disk: MemoryStores, vm: Arc<dyn Vm>) -> Result<Self, StageError> {
        let (views, writers) = lockstep_store::open(&disk).unwrap();
        let sealed = views.now().sealed_batch().unwrap().unwrap();
        let roots = watch::Sender::new((sealed, root_of(sealed)));
        let executor = Executor::open(vm, CHAIN, views.clone(), writers.chain, roots.subscribe())?;
        Ok(Self { disk, views, executor, roots })
    }

    pub(super) fn restart(self) -> Self {
        let disk = self.kill();
        Self::open(disk).unwrap()
    }

    /// Drops everything but the disk.
    pub(super) fn kill(self) -> MemoryStores {
        self.disk
    }

    pub(super) fn view(&self) -> ChainView {
        self.views.now()
    }

    /// Whether the executor would take `item` now.
    pub(super) fn is_ready(&mut self, item: &BlockToRun) -> bool {
        match self.executor.ready(item).now_or_never() {
            Some(ready) => {
                assert_eq!(ready, Ok(()));
                true
            }
            None => false,
        }
    }

    pub(super) fn try_run(&mut self, item: BlockToRun) -> Result<Option<SealedBatch>, StageError> {
        assert!(self.is_ready(&item), "block {} has to wait", item.block.params.number);
        let sealed = self.executor.process(item, &InOrder)?;
        if let Some(batch) = &sealed {
            let number = batch.header.number;
            self.roots.send_replace((number, root_of(number)));
        }
        Ok(sealed)
    }

    /// Runs a block without telling the tree.
    pub(super) fn run_unrooted(&mut self, item: BlockToRun) -> Option<SealedBatch> {
        self.executor.process(item, &InOrder).unwrap()
    }

    pub(super) fn run(&mut self, item: BlockToRun) {
        assert!(!item.block.params.is_fictive);
        assert!(self.try_run(item).unwrap().is_none(), "a batch is sealed early");
    }

    pub(super) fn seal(&mut self, item: BlockToRun) -> SealedBatch {
        self.try_run(item).unwrap().expect("a batch is sealed")
    }

    pub(super) fn value(&self, slot: StorageSlot, block: u32) -> B256 {
        self.view().slot_at(&slot, L2BlockNumber(block)).unwrap()
    }

    pub(super) fn leaf_index(&self, slot: StorageSlot) -> Option<(u64, u32)> {
        let info = self.view().slot_info(&slot.hashed_key()).unwrap();
        info.map(|info| (info.leaf_index.0, info.batch.0))
    }

    /// Keys of the state table at `block`.
    pub(super) fn changed_at(&self, block: u32) -> Vec<HashedKey> {
        let rows = self.view().dump(tables::STATE).map(Result::unwrap).collect::<Vec<_>>();
        let at = rows.into_iter().filter(|(key, _)| key[32..] == block.to_be_bytes());
        at.map(|(key, _)| HashedKey(B256::from_slice(&key[..32]))).collect()
    }

    pub(super) fn dump(&self) -> Dump {
        let view = self.view();
        let rows = |table| view.dump(table).map(Result::unwrap).collect();
        tables::ALL.iter().map(|table| (table.name, rows(*table))).collect()
    }

    pub(super) fn head(&self) -> L2BlockNumber {
        let (head, hash) = self.executor.head();
        let stored = self.view().block(head).unwrap().unwrap();
        assert_eq!((self.view().head().unwrap(), stored.hash), (Some(head), hash));
        assert_eq!(self.executor.progress().borrow().head, head);
        head
    }
}

/// Writes straight to a disk that nobody has open.
pub(super) fn damage(disk: &MemoryStores, set: WriteSet) {
    let (_, mut writer) = disk.open(&StoreName("chain".to_owned()), &tables::schema()).unwrap();
    writer.write(set, Durability::Synced).unwrap();
}
