//! A store with a chain of toy blocks.

use std::sync::Arc;

use lockstep_io::WriteSet;
use lockstep_io_memory::MemoryStores;
use lockstep_store::{BatchRecord, BlockRecord, ChainIdentity, ChainView, Genesis, Views, Writers};
use lockstep_types::{
    Address, B256, BaseSystemContracts, BatchHeader, BlockHeader, BlockParams, Bloom, BytecodeHash,
    Bytes, ChainId, Commitment, CommitmentInputs, Execute, Fee, FeeInput, L1BatchNumber,
    L2BlockHash, L2BlockNumber, L2Common, LeafIndex, PaymasterParams, ProtocolVersion,
    PubdataParams, StateRoot, StorageSlot, Transaction, TxCommon, TxHash, TxType, U256,
    UnixSeconds, block::legacy_block_hash, keccak256,
};
use lockstep_vm::{BatchEnv, Stop, Vm};
use lockstep_vm_toy::{Op, Program, ToyVm};

use crate::{Replayer, Rerun, RerunBlock, StateAt, base_contracts};

/// Stands for what the tree would say.
pub(super) fn root_of(batch: L1BatchNumber) -> StateRoot {
    StateRoot(keccak256(batch.0.to_be_bytes()))
}

pub(super) fn replayer(vm: impl Vm + 'static) -> Replayer {
    Replayer::new(Arc::new(vm), Arc::new(|_, batch| Ok(Some(root_of(batch)))))
}

pub(super) fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

pub(super) const TARGET: Address = Address::repeat_byte(0xc0);
pub(super) const SENDER: Address = Address::repeat_byte(0xa1);

pub(super) fn slot(key: u64) -> StorageSlot {
    StorageSlot::new(TARGET, word(key))
}

fn code(byte: u8) -> (BytecodeHash, Bytes) {
    let code = Bytes::from(vec![byte; 96]);
    (BytecodeHash::of_era(&code).unwrap(), code)
}

/// A chain, and the batch that is being added to it.
pub(super) struct Chain {
    pub(super) views: Views,
    writers: Writers,
    /// What was persisted, from block 1 on.
    records: Vec<(BlockRecord, Option<BatchRecord>)>,
    number: L2BlockNumber,
    batch: L1BatchNumber,
    parent: L2BlockHash,
    next_leaf_index: LeafIndex,
    txs: u64,
    open: Option<Rerun>,
}

impl Chain {
    pub(super) fn new() -> Self {
        let disk = MemoryStores::new();
        let (views, mut writers) = lockstep_store::open(&disk).unwrap();
        writers.chain.persist_genesis(&genesis(), WriteSet::new()).unwrap();
        Self {
            views,
            writers,
            records: Vec::new(),
            number: L2BlockNumber(1),
            batch: L1BatchNumber(1),
            parent: legacy_block_hash(L2BlockNumber(0)),
            next_leaf_index: LeafIndex(1),
            txs: 0,
            open: None,
        }
    }

    pub(super) fn view(&self) -> Arc<ChainView> {
        Arc::new(self.views.now())
    }

    pub(super) fn tx(&mut self, ops: &[Op]) -> Transaction {
        self.txs += 1;
        let common = L2Common {
            hash: TxHash(keccak256(self.txs.to_be_bytes())),
            nonce: 0,
            fee: Fee {
                gas_limit: U256::from(10_000),
                max_fee_per_gas: U256::from(1),
                max_priority_fee_per_gas: U256::ZERO,
                gas_per_pubdata_limit: U256::from(50_000),
            },
            initiator: SENDER,
            signature: Bytes::new(),
            tx_type: TxType::Eip712,
            input: None,
            paymaster: PaymasterParams::default(),
        };
        let execute = Execute {
            to: Some(TARGET),
            calldata: Program(ops.to_vec()).encode(),
            value: U256::ZERO,
            factory_deps: Vec::new(),
        };
        let common = TxCommon::L2(Box::new(common));
        Transaction { common, execute, received_at_ms: 0, raw: None }
    }

    /// A block with one transaction for each program.
    pub(super) fn block(&mut self, programs: &[&[Op]]) {
        let txs: Vec<_> = programs.iter().map(|ops| self.tx(ops)).collect();
        self.add(&txs, false);
    }

    /// The block that ends the batch.
    pub(super) fn end(&mut self) {
        self.add(&[], true);
        self.batch = self.batch.next();
    }

    pub(super) fn add(&mut self, transactions: &[Transaction], is_fictive: bool) {
        let mut params = params();
        params.number = self.number;
        params.batch = self.batch;
        params.is_fictive = is_fictive;
        params.timestamp = UnixSeconds(1_000 + u64::from(self.number.0));
        let block = RerunBlock { params: &params, parent: self.parent, transactions };
        let mut run = match self.open.take() {
            Some(run) => run,
            None => self.open_batch(&block),
        };
        let (record, batch): (BlockRecord, _) = run.run(&block, &Stop::default()).unwrap();
        self.writers.chain.persist_block(&record, batch.as_ref()).unwrap();
        self.parent = record.header.hash;
        self.number = self.number.next();
        match &batch {
            Some(batch) => self.next_leaf_index = batch.header.next_leaf_index,
            None => self.open = Some(run),
        }
        self.records.push((record, batch));
    }

    fn open_batch(&self, block: &RerunBlock<'_>) -> Rerun {
        let params = block.params;
        let view = self.view();
        let env = BatchEnv {
            chain_id: ChainId(270),
            version: params.version,
            number: params.batch,
            timestamp: params.timestamp,
            previous_root: root_of(params.batch.prev().unwrap()),
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

    /// Block `number` and the batch that it ends are stored as `change` has them.
    pub(super) fn tampered(
        mut self,
        number: usize,
        change: impl FnOnce(&mut BlockRecord, Option<&mut BatchRecord>),
    ) -> Arc<ChainView> {
        let (block, batch) = &mut self.records[number - 1];
        change(block, batch.as_mut());
        // The later ones again, so that the cursors are where they were.
        for (block, batch) in &self.records[number - 1..] {
            self.writers.chain.persist_block(block, batch.as_ref()).unwrap();
        }
        self.view()
    }
}

fn params() -> BlockParams {
    BlockParams {
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
        fee_account: Address::repeat_byte(0xfe),
        virtual_block_count: 1,
        version: ProtocolVersion(29),
        pubdata_params: PubdataParams::default(),
        pubdata_bytes_max: None,
        interop_roots: Vec::new(),
        settlement_layer: None,
        interop_fee: None,
    }
}

fn genesis() -> Genesis {
    let params = params();
    let batch = BatchHeader {
        number: params.batch,
        timestamp: params.timestamp,
        version: params.version,
        first_block: params.number,
        last_block: params.number,
        l1_tx_count: 0,
        l2_tx_count: 0,
        next_leaf_index: LeafIndex(1),
        priority_ops_hash: keccak256([]),
    };
    let header = BlockHeader {
        params,
        hash: legacy_block_hash(L2BlockNumber(0)),
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
    Genesis {
        identity: ChainIdentity {
            l2_chain_id: ChainId(270),
            l1_chain_id: ChainId(9),
            genesis_root: root_of(L1BatchNumber(0)),
            genesis_commitment: Commitment::default(),
        },
        block: BlockRecord {
            header,
            transactions: Vec::new(),
            receipts: Vec::new(),
            state: Vec::new(),
            bytecodes: vec![code(1), code(2)],
        },
        batch: BatchRecord {
            header: batch,
            writes: Vec::new(),
            first_new_index: LeafIndex(1),
            commitment_inputs: CommitmentInputs::default(),
        },
    }
}
