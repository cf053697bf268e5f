//! A batch that is being run: the VM, what it has changed, and what has been counted.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_pipeline::StageError;
use lockstep_store::{BatchRecord, BlockRecord, ChainView};
use lockstep_types::{
    B256, BlockHeader, BlockParams, BytecodeHash, Bytes, ChainId, Event, L2BlockHash,
    L2BlockNumber, L2ToL1Log, LeafIndex, ProtocolVersion, Receipt, SealedBatch, StateRoot,
    StorageWrite, Transaction, TxOutcome, TxStatus, U256, address, alloy_primitives::b256,
    keccak256, log::bloom_of,
};
use lockstep_vm::{BaseContracts, BatchEnv, BatchLimits, BlockEnv, OpenBatch, Vm, VmError};

use crate::{
    changes::Changes,
    contract_address::{Deployments, contract_address},
    seal,
    state::StateAfter,
};

/// `MarkedAsKnown(bytes32 bytecodeHash, bool sentToL1)`.
const MARKED_AS_KNOWN: B256 =
    b256!("c94722ff13eacf53547c4741dab5228353a05938ffcdd5d4a2d533ae0e618287");

/// A block to run: what the main node decided, and the transactions.
#[derive(Clone, Copy, Debug)]
pub struct RunBlock<'a> {
    /// What the main node decided.
    pub params: &'a BlockParams,
    /// Hash of the block.
    pub hash: L2BlockHash,
    /// Hash of the block before.
    pub parent: L2BlockHash,
    /// Transactions, in order.
    pub transactions: &'a [Transaction],
}

/// What a batch begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) chain_id: ChainId,
    pub(crate) previous_root: StateRoot,
    pub(crate) base_contracts: Arc<BaseContracts>,
    /// A view in which the batch before is sealed.
    pub(crate) view: Arc<ChainView>,
    /// The last block of the batch before.
    pub(crate) state_block: L2BlockNumber,
    /// Index for the first slot that the batch writes for the first time.
    pub(crate) next_leaf_index: LeafIndex,
    /// Bytecodes that came with the first block and are not in `view`.
    pub(crate) bytecodes: BTreeMap<BytecodeHash, Bytes>,
}

/// A batch that is being run.
#[derive(Debug)]
pub struct OpenRun {
    vm: Option<Box<dyn OpenBatch>>,
    limits: BatchLimits,
    pub(crate) view: Arc<ChainView>,
    pub(crate) changes: Changes,
    /// The first block's, which hold for the batch.
    pub(crate) params: BlockParams,
    pub(crate) next_leaf_index: LeafIndex,
    pub(crate) l1_tx_count: u32,
    pub(crate) l2_tx_count: u32,
    pub(crate) priority_ops_hash: B256,
    /// Bytecodes that earlier blocks of the batch made known.
    made_known: Vec<BytecodeHash>,
    is_first_block: bool,
}

/// What running a block gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) block: BlockRecord,
    /// With the fictive block: the sealed batch.
    pub(crate) sealed: Option<(BatchRecord, SealedBatch)>,
}

/// What a block has gathered so far.
#[derive(Debug, Default)]
struct Gathered {
    receipts: Vec<Receipt>,
    writes: Vec<StorageWrite>,
    bytecodes: Vec<(BytecodeHash, Bytes)>,
    gas_used: u64,
    event_count: u32,
    log_count: u32,
}

impl Gathered {
    fn receipt(
        &mut self,
        status: TxStatus,
        gas_refunded: u64,
        events: Vec<Event>,
        logs: Vec<L2ToL1Log>,
    ) -> &mut Receipt {
        let receipt = Receipt {
            status,
            gas_refunded,
            contract_address: None,
            first_event_index: self.event_count,
            first_l2_to_l1_log_index: self.log_count,
            events,
            l2_to_l1_logs: logs,
        };
        self.event_count += count(receipt.events.len());
        self.log_count += count(receipt.l2_to_l1_logs.len());
        self.receipts.push(receipt);
        self.receipts.last_mut().expect("a receipt was just added")
    }
}

impl OpenRun {
    /// Opens the batch of `first` with it.
    pub(crate) fn open(
        vm: &dyn Vm,
        first: RunBlock<'_>,
        opening: Opening,
    ) -> Result<Self, StageError> {
        let params = first.params;
        let newest = lockstep_io::planted!("X30", params.version, newest_of(vm, params.version));
        let env = BatchEnv {
            chain_id: opening.chain_id,
            version: newest,
            number: params.batch,
            timestamp: params.timestamp,
            previous_root: opening.previous_root,
            fee_input: params.fee_input,
            fee_account: params.fee_account,
            base_contracts: opening.base_contracts,
            pubdata_params: params.pubdata_params,
            settlement_layer: params.settlement_layer,
            interop_fee: params.interop_fee.unwrap_or(U256::ZERO),
        };
        let state = || {
            let (view, codes) = (opening.view.clone(), opening.bytecodes.clone());
            StateAfter::new(view, opening.state_block, codes)
        };
        let limits = vm.limits(newest, &params.fee_input).map_err(|e| fault(params, e))?;
        let machine = vm
            .open_batch(env, block_env(first), Box::new(state()))
            .map_err(|error| fault(params, error))?;
        Ok(Self {
            vm: Some(machine),
            limits,
            view: opening.view.clone(),
            changes: Changes::new(state()),
            params: params.clone(),
            next_leaf_index: opening.next_leaf_index,
            l1_tx_count: 0,
            l2_tx_count: 0,
            priority_ops_hash: keccak256([]),
            made_known: Vec::new(),
            is_first_block: true,
        })
    }

    /// Runs the next block of the batch; the fictive one seals it. `bytecodes`, which came with it
    /// and are not in the store, are stored with it.
    pub(crate) fn run(
        &mut self,
        block: RunBlock<'_>,
        bytecodes: &[(BytecodeHash, Bytes)],
    ) -> Result<Ran, StageError> {
        let params = block.params;
        let mut vm = self.vm.take().ok_or_else(|| StageError::Inconsistent {
            block: params.number,
            detail: "the batch is sealed or failed already".to_owned(),
        })?;
        if !self.is_first_block {
            vm.start_block(block_env(block)).map_err(|error| fault(params, error))?;
        }
        self.is_first_block = false;
        let first_tx_index_in_batch = self.l1_tx_count + self.l2_tx_count;
        let l1_tx_count_before = self.l1_tx_count;

        let mut gathered = Gathered::default();
        for (hash, code) in bytecodes {
            if !self.made_known.contains(hash) {
                self.made_known.push(*hash);
                gathered.bytecodes.push((*hash, code.clone()));
            }
        }
        let mut deployments = Deployments::default();
        for tx in block.transactions {
            let outcome = vm.run_tx(tx).map_err(|error| fault(params, error))?;
            self.gather(tx, outcome, &mut gathered, &mut deployments)?;
        }
        let tip = if params.is_fictive {
            Some(vm.seal().map_err(|error| fault(params, error))?)
        } else {
            self.vm = Some(vm);
            None
        };
        if let Some(tip) = &tip {
            gathered.receipt(TxStatus::Success, 0, tip.events.clone(), tip.l2_to_l1_logs.clone());
            gathered.writes.extend_from_slice(&tip.writes);
        }

        let state = self.changes.end_block(gathered.writes)?;
        let l1_tx_count = self.l1_tx_count - l1_tx_count_before;
        let header = BlockHeader {
            params: params.clone(),
            hash: block.hash,
            parent: block.parent,
            l1_tx_count,
            l2_tx_count: count(block.transactions.len()) - l1_tx_count,
            first_tx_index_in_batch,
            base_fee_per_gas: self.limits.base_fee_per_gas,
            gas_per_pubdata_limit: self.limits.gas_per_pubdata_limit,
            gas_limit: self.limits.gas_limit,
            gas_used: gathered.gas_used,
            logs_bloom: bloom_of(gathered.receipts.iter().flat_map(|receipt| &receipt.events)),
            event_count: gathered.event_count,
            l2_to_l1_log_count: gathered.log_count,
        };
        let sealed = tip.map(|tip| seal::seal(self, &header, tip)).transpose()?;
        let block = BlockRecord {
            header,
            transactions: block.transactions.to_vec(),
            receipts: gathered.receipts,
            state,
            bytecodes: gathered.bytecodes,
        };
        Ok(Ran { block, sealed })
    }

    /// Counts a transaction and keeps what it left.
    fn gather(
        &mut self,
        tx: &Transaction,
        outcome: TxOutcome,
        gathered: &mut Gathered,
        deployments: &mut Deployments,
    ) -> Result<(), StageError> {
        let contract_address = contract_address(tx, &mut self.changes, deployments)?;
        deployments.note(&outcome.events);
        self.note_bytecodes(tx, &outcome, gathered)?;
        if tx.is_priority() {
            self.l1_tx_count += 1;
            let link = [self.priority_ops_hash.0, tx.hash().0.0].concat();
            self.priority_ops_hash = keccak256(link);
        } else {
            self.l2_tx_count += 1;
        }
        let gas_limit = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
        gathered.gas_used =
            gathered.gas_used.saturating_add(gas_limit.saturating_sub(outcome.gas_refunded));
        let TxOutcome { status, gas_refunded, events, l2_to_l1_logs, writes, .. } = outcome;
        gathered.receipt(status, gas_refunded, events, l2_to_l1_logs).contract_address =
            contract_address;
        gathered.writes.extend(writes);
        Ok(())
    }

    /// Keeps the bytecodes that a transaction made known and the store does not have yet.
    fn note_bytecodes(
        &mut self,
        tx: &Transaction,
        outcome: &TxOutcome,
        gathered: &mut Gathered,
    ) -> Result<(), StageError> {
        for event in &outcome.events {
            let marked = event.address == address::KNOWN_CODES_STORAGE
                && event.topics.first() == Some(&MARKED_AS_KNOWN);
            let (true, Some(hash)) = (marked, event.topics.get(1)) else { continue };
            let hash = BytecodeHash(*hash);
            if self.made_known.contains(&hash) || self.view.bytecode(&hash)?.is_some() {
                continue;
            }
            let made = outcome.made_bytecodes.iter().find(|(made, _)| *made == hash.0);
            let code = made
                .map(|(_, code)| code.clone())
                .or_else(|| tx.execute.factory_deps.iter().find(|dep| hash.is_of(dep)).cloned());
            let Some(code) = code else {
                return Err(StageError::Inconsistent {
                    block: self.params.number,
                    detail: format!(
                        "transaction {} makes bytecode {hash} known, which came with nothing",
                        tx.hash()
                    ),
                });
            };
            self.made_known.push(hash);
            gathered.bytecodes.push((hash, code));
        }
        Ok(())
    }
}

/// The newest version up to `version` that can be run.
fn newest_of(vm: &dyn Vm, version: ProtocolVersion) -> ProtocolVersion {
    (0..=version.0).rev().map(ProtocolVersion).find(|one| vm.supports(*one)).unwrap_or(version)
}

fn block_env(block: RunBlock<'_>) -> BlockEnv {
    BlockEnv {
        number: block.params.number,
        timestamp: block.params.timestamp,
        parent: block.parent,
        virtual_block_count: block.params.virtual_block_count,
        interop_roots: block.params.interop_roots.clone(),
    }
}

/// What a failure of the VM means for the pipeline.
fn fault(params: &BlockParams, error: VmError) -> StageError {
    match error {
        VmError::UnknownVersion(version) => {
            StageError::UnknownVersion { block: params.number, version }
        }
        VmError::Halted { .. }
        | VmError::TipFailed { .. }
        | VmError::BadInput { .. }
        | VmError::Storage(_)
        | VmError::Diverged { .. } => StageError::Execution(error),
    }
}

/// Counts in a block fit in 32 bits: a batch holds 10 000 transactions at most.
fn count(count: usize) -> u32 {
    u32::try_from(count).expect("counts in a block fit in 32 bits")
}
