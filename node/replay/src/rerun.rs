//! Running a batch and making of it what the store should hold, and the comparison with that.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_store::{BatchRecord, BlockRecord, ChainView, StoreFault, tables};
use lockstep_types::{
    B256, BatchHeader, BatchTip, BatchWrite, BlockHeader, BlockParams, BytecodeHash, Bytes,
    CommitmentInputs, HashedKey, L1BatchNumber, L2BlockHash, LeafIndex, Receipt, StorageSlot,
    StorageWrite, Transaction, TxOutcome, TxStatus, address,
    alloy_primitives::b256,
    block::{BlockHashInput, block_hash},
    keccak256,
    log::bloom_of,
};
use lockstep_vm::{BatchEnv, BatchLimits, BlockEnv, OpenBatch, Stop, Vm, VmStorage as _};

use crate::{
    batch::{Replayer, StoredBatch, header_of, state_before},
    compare::{Left, StoredBlock},
    error::{Difference, ReplayError},
    state::StateAt,
};

/// `MarkedAsKnown(bytes32 bytecodeHash, bool sentToL1)`.
const MARKED_AS_KNOWN: B256 =
    b256!("c94722ff13eacf53547c4741dab5228353a05938ffcdd5d4a2d533ae0e618287");

/// A block to run: what the main node decided, and the transactions.
#[derive(Clone, Copy, Debug)]
pub struct RerunBlock<'a> {
    /// What the main node decided.
    pub params: &'a BlockParams,
    /// Hash of the block before.
    pub parent: L2BlockHash,
    /// Transactions, in order.
    pub transactions: &'a [Transaction],
}

/// A slot that the batch has written.
#[derive(Clone, Copy, Debug)]
struct Written {
    before: B256,
    now: B256,
}

/// Runs the blocks of a batch and makes the records that the store should hold of them.
///
/// Two things are not in the records: contract addresses in receipts, which follow from the
/// transactions and from what is stored, not from running; and code that a transaction neither
/// brought nor made.
#[derive(Debug)]
pub struct Rerun {
    vm: Option<Box<dyn OpenBatch>>,
    limits: BatchLimits,
    below: StateAt,
    next_leaf_index: LeafIndex,
    slots: BTreeMap<StorageSlot, Written>,
    /// Of the first block.
    params: Option<BlockParams>,
    l1_tx_count: u32,
    l2_tx_count: u32,
    priority_ops_hash: B256,
}

impl Rerun {
    /// Opens a batch on the state `below`; its first initial write gets `next_leaf_index`.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Vm`].
    pub fn open(
        vm: &dyn Vm,
        env: BatchEnv,
        first: &RerunBlock<'_>,
        below: StateAt,
        next_leaf_index: LeafIndex,
    ) -> Result<Self, ReplayError> {
        let limits = vm.limits(env.version, &env.fee_input)?;
        let opened = vm.open_batch(env, block_env(first), Box::new(below.fresh()))?;
        Ok(Self {
            vm: Some(opened),
            limits,
            below,
            next_leaf_index,
            slots: BTreeMap::new(),
            params: None,
            l1_tx_count: 0,
            l2_tx_count: 0,
            priority_ops_hash: keccak256([]),
        })
    }

    /// Runs the next block; with the fictive one comes the batch.
    ///
    /// # Errors
    ///
    /// [`ReplayError`], also for a block after the fictive one.
    pub fn run(
        &mut self,
        block: &RerunBlock<'_>,
        stop: &Stop,
    ) -> Result<(BlockRecord, Option<BatchRecord>), ReplayError> {
        let params = block.params;
        let mut vm = self.vm.take().ok_or(ReplayError::NoBatch(params.batch))?;
        if self.params.is_none() {
            self.params = Some(params.clone());
        } else {
            vm.start_block(block_env(block))?;
        }
        let first_tx_index_in_batch = self.l1_tx_count + self.l2_tx_count;
        let l1_tx_count_before = self.l1_tx_count;
        let mut left = LeftByBlock::default();
        for tx in block.transactions {
            if stop.is_due() {
                return Err(ReplayError::Stopped);
            }
            let outcome = vm.run_tx(tx)?;
            self.count(tx);
            left.add(tx, outcome);
        }
        let tip = if params.is_fictive {
            Some(vm.seal()?)
        } else {
            self.vm = Some(vm);
            None
        };
        if let Some(tip) = &tip {
            left.add_tip(tip);
        }
        let state = self.end_block(&left.writes)?;
        let l1_tx_count = self.l1_tx_count - l1_tx_count_before;
        let tx_hashes: Vec<_> = block.transactions.iter().map(Transaction::hash).collect();
        let (number, timestamp, parent) = (params.number, params.timestamp, block.parent);
        let input = BlockHashInput { number, timestamp, parent, tx_hashes: &tx_hashes };
        let header = BlockHeader {
            params: params.clone(),
            hash: block_hash(&input, params.version),
            parent,
            l1_tx_count,
            l2_tx_count: count(block.transactions.len()) - l1_tx_count,
            first_tx_index_in_batch,
            base_fee_per_gas: self.limits.base_fee_per_gas,
            gas_per_pubdata_limit: self.limits.gas_per_pubdata_limit,
            gas_limit: self.limits.gas_limit,
            gas_used: left.gas_used,
            logs_bloom: bloom_of(left.receipts.iter().flat_map(|receipt| &receipt.events)),
            event_count: left.event_count,
            l2_to_l1_log_count: left.log_count,
        };
        let batch = tip.map(|tip| self.seal(&header, tip)).transpose()?;
        let transactions = block.transactions.to_vec();
        let LeftByBlock { receipts, bytecodes, .. } = left;
        Ok((BlockRecord { header, transactions, receipts, state, bytecodes }, batch))
    }

    fn count(&mut self, tx: &Transaction) {
        if tx.is_priority() {
            self.l1_tx_count += 1;
            let link = [self.priority_ops_hash.0, tx.hash().0.0].concat();
            self.priority_ops_hash = keccak256(link);
        } else {
            self.l2_tx_count += 1;
        }
    }

    /// Slots that a block changed with what they hold after it, ascending by key.
    fn end_block(
        &mut self,
        writes: &[StorageWrite],
    ) -> Result<Vec<(HashedKey, B256)>, ReplayError> {
        let last: BTreeMap<_, _> = writes.iter().map(|write| (write.slot, write.value)).collect();
        let mut changed = Vec::new();
        for (slot, value) in last {
            let before = match self.slots.get(&slot) {
                Some(written) => written.now,
                None => self.below.read(&slot)?,
            };
            if before != value {
                self.slots.entry(slot).or_insert(Written { before, now: before }).now = value;
                changed.push((slot.hashed_key(), value));
            }
        }
        changed.sort_unstable();
        Ok(changed)
    }

    /// The batch that ends with the block of `last`.
    fn seal(&mut self, last: &BlockHeader, tip: BatchTip) -> Result<BatchRecord, ReplayError> {
        let first = self.params.as_ref().expect("a block was run");
        let changed: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, written)| written.before != written.now)
            .map(|(slot, written)| (*slot, *written))
            .collect();
        let ours: Vec<_> = changed.iter().map(|(slot, written)| (*slot, written.now)).collect();
        let what = "writes of the batch by its blocks, and by the VM's own account";
        Difference::check_list(last.params.number, None, what, &ours, &tip.final_writes)?;

        let first_new_index = self.next_leaf_index;
        let mut writes = Vec::with_capacity(changed.len());
        for (slot, written) in &changed {
            let known = self.below.leaf_index(slot).map_err(lockstep_vm::VmError::from)?;
            let leaf_index = known.unwrap_or(self.next_leaf_index);
            if known.is_none() {
                self.next_leaf_index = LeafIndex(self.next_leaf_index.0 + 1);
            }
            writes.push(BatchWrite {
                hashed_key: slot.hashed_key(),
                leaf_index,
                value: written.now,
            });
        }
        let header = BatchHeader {
            number: first.batch,
            timestamp: first.timestamp,
            version: first.version,
            first_block: first.number,
            last_block: last.params.number,
            l1_tx_count: self.l1_tx_count,
            l2_tx_count: self.l2_tx_count,
            next_leaf_index: self.next_leaf_index,
            priority_ops_hash: self.priority_ops_hash,
        };
        let commitment_inputs = CommitmentInputs {
            system_logs: tip.system_logs,
            pubdata: tip.pubdata,
            bootloader_heap: tip.bootloader_heap,
            changed: changed.iter().map(|(slot, written)| (*slot, written.before)).collect(),
        };
        Ok(BatchRecord { header, writes, first_new_index, commitment_inputs })
    }
}

/// What the transactions of a block have left so far.
#[derive(Debug, Default)]
struct LeftByBlock {
    receipts: Vec<Receipt>,
    writes: Vec<StorageWrite>,
    bytecodes: Vec<(BytecodeHash, Bytes)>,
    gas_used: u64,
    event_count: u32,
    log_count: u32,
}

impl LeftByBlock {
    fn add(&mut self, tx: &Transaction, outcome: TxOutcome) {
        self.note_bytecodes(tx, &outcome);
        let gas_limit = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
        let gas_used = gas_limit.saturating_sub(outcome.gas_refunded);
        self.gas_used = self.gas_used.saturating_add(gas_used);
        let TxOutcome { status, gas_refunded, events, l2_to_l1_logs, writes, .. } = outcome;
        self.add_receipt(Receipt {
            status,
            gas_refunded,
            contract_address: None,
            first_event_index: 0,
            events,
            first_l2_to_l1_log_index: 0,
            l2_to_l1_logs,
        });
        self.writes.extend(writes);
    }

    /// The fictive block's own share.
    fn add_tip(&mut self, tip: &BatchTip) {
        self.add_receipt(Receipt {
            status: TxStatus::Success,
            gas_refunded: 0,
            contract_address: None,
            first_event_index: 0,
            events: tip.events.clone(),
            first_l2_to_l1_log_index: 0,
            l2_to_l1_logs: tip.l2_to_l1_logs.clone(),
        });
        self.writes.extend_from_slice(&tip.writes);
    }

    fn add_receipt(&mut self, mut receipt: Receipt) {
        receipt.first_event_index = self.event_count;
        receipt.first_l2_to_l1_log_index = self.log_count;
        self.event_count += count(receipt.events.len());
        self.log_count += count(receipt.l2_to_l1_logs.len());
        self.receipts.push(receipt);
    }

    /// Keeps the bytecodes that `tx` made known, as far as their code came with it.
    fn note_bytecodes(&mut self, tx: &Transaction, outcome: &TxOutcome) {
        for hash in marked_as_known(outcome) {
            let made = outcome.made_bytecodes.iter().find(|(made, _)| *made == hash.0);
            let made = made.map(|(_, code)| code);
            let brought = || tx.execute.factory_deps.iter().find(|dep| hash.is_of(dep));
            if let Some(code) = made.or_else(brought) {
                self.bytecodes.push((hash, code.clone()));
            }
        }
    }
}

/// Bytecodes that became known in a transaction.
fn marked_as_known(outcome: &TxOutcome) -> impl Iterator<Item = BytecodeHash> {
    let marks = outcome.events.iter().filter(|event| {
        event.address == address::KNOWN_CODES_STORAGE
            && event.topics.first() == Some(&MARKED_AS_KNOWN)
    });
    marks.filter_map(|event| event.topics.get(1).copied().map(BytecodeHash))
}

impl Replayer {
    /// Runs a sealed batch other than genesis again and compares everything that is stored of it
    /// and follows from running: headers, receipts (without contract addresses, which follow from
    /// the rest), changed state, bytecodes, what the tree learns, and what the commitment is
    /// computed from. The block hashes are computed again as well.
    ///
    /// Takes as long as running the batch took. Batches do not depend on each other here.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Differs`] with the first difference, [`ReplayError::Open`] for a batch that
    /// is not sealed, and whatever keeps the batch from being run.
    pub fn re_execute(
        &self,
        view: &Arc<ChainView>,
        number: L1BatchNumber,
        stop: &Stop,
    ) -> Result<(), ReplayError> {
        let batch = StoredBatch::find(view, number)?.ok_or(ReplayError::NoBatch(number))?;
        if !batch.is_sealed {
            return Err(ReplayError::Open(number));
        }
        let env = self.batch_env(view, &batch)?;
        let before = number.prev().ok_or(ReplayError::NoBatch(number))?;
        let next_leaf_index = batch_row(view, before)?.next_leaf_index;
        let mut rerun: Option<Rerun> = None;
        for block in batch.blocks() {
            let header = header_of(view, block)?;
            let stored = StoredBlock::load(view, block)?;
            let (params, parent) = (&header.params, header.parent);
            let to_run = RerunBlock { params, parent, transactions: &stored.transactions };
            let run = match &mut rerun {
                Some(run) => run,
                None => {
                    let below = state_before(view, &batch)?;
                    let env = env.clone();
                    rerun.insert(Rerun::open(&*self.vm, env, &to_run, below, next_leaf_index)?)
                }
            };
            let (record, sealed) = run.run(&to_run, stop)?;
            check_block(view, &header, &stored, &record)?;
            if let Some(sealed) = sealed {
                check_batch(view, &sealed)?;
            }
        }
        Ok(())
    }
}

fn check_block(
    view: &ChainView,
    header: &BlockHeader,
    stored: &StoredBlock,
    run: &BlockRecord,
) -> Result<(), ReplayError> {
    let block = header.params.number;
    for (index, (run, stored_receipt)) in run.receipts.iter().zip(&stored.receipts).enumerate() {
        let tx = stored.transactions.get(index).map(Transaction::hash);
        let Receipt { status, gas_refunded, events, l2_to_l1_logs, .. } = run;
        let left = Left { status, gas_refunded: *gas_refunded, events, l2_to_l1_logs };
        left.check(block, tx, stored_receipt)?;
        let place =
            |receipt: &Receipt| (receipt.first_event_index, receipt.first_l2_to_l1_log_index);
        Difference::check(block, tx, "first indices", &place(run), &place(stored_receipt))?;
    }
    let (ours, theirs) = (run.receipts.len(), stored.receipts.len());
    Difference::check(block, None, "number of receipts", &ours, &theirs)?;
    Difference::check(block, None, "header", &run.header, header)?;
    Difference::check_list(
        block,
        None,
        "changed state",
        &run.state,
        &changed_state(view, header)?,
    )?;
    for (hash, code) in &run.bytecodes {
        let stored = view.bytecode(hash)?.map(|stored| stored.code);
        Difference::check(block, None, "bytecode", &Some(code), &stored.as_ref())?;
    }
    Ok(())
}

/// Slots that a block changed, with what they hold after it, as stored.
fn changed_state(
    view: &ChainView,
    header: &BlockHeader,
) -> Result<Vec<(HashedKey, B256)>, StoreFault> {
    let number = header.params.number;
    let key = number.0.to_be_bytes();
    let journal = view.raw().get(tables::BLOCK_WRITES, &key)?;
    let journal =
        journal.ok_or_else(|| StoreFault::corrupt(tables::BLOCK_WRITES, &key, "it is missing"))?;
    let keys = journal.chunks_exact(32).map(|key| HashedKey(B256::from_slice(key)));
    keys.map(|key| Ok((key, view.value_at(&key, number)?))).collect()
}

fn check_batch(view: &ChainView, run: &BatchRecord) -> Result<(), ReplayError> {
    let number = run.header.number;
    let block = run.header.last_block;
    let key = number.0.to_be_bytes();
    let missing = |table| StoreFault::corrupt(table, &key, "it is missing");
    let stored = batch_row(view, number)?;
    Difference::check(block, None, "header of the batch", &run.header, &stored)?;
    let writes = view.batch_writes(number)?.ok_or_else(|| missing(tables::BATCH_WRITES))?;
    Difference::check_list(block, None, "writes of the batch", &run.writes, &writes)?;
    let stored = view.commitment_inputs(number)?;
    let stored = stored.ok_or_else(|| missing(tables::COMMITMENT_INPUTS))?;
    let CommitmentInputs { system_logs, pubdata, bootloader_heap, changed } =
        &run.commitment_inputs;
    Difference::check_list(block, None, "system logs", system_logs, &stored.system_logs)?;
    Difference::check(block, None, "pubdata", &pubdata, &&stored.pubdata)?;
    let what = "words of the bootloader's heap";
    Difference::check_list(block, None, what, bootloader_heap, &stored.bootloader_heap)?;
    let what = "slots before the batch";
    Difference::check_list(block, None, what, changed, &stored.changed)?;
    Ok(())
}

fn batch_row(view: &ChainView, number: L1BatchNumber) -> Result<BatchHeader, StoreFault> {
    view.batch(number)?.ok_or_else(|| {
        StoreFault::corrupt(tables::BATCHES, &number.0.to_be_bytes(), "it is missing")
    })
}

fn block_env(block: &RerunBlock<'_>) -> BlockEnv {
    BlockEnv {
        number: block.params.number,
        timestamp: block.params.timestamp,
        parent: block.parent,
        virtual_block_count: block.params.virtual_block_count,
        interop_roots: block.params.interop_roots.clone(),
    }
}

/// Counts in a block fit in 32 bits: a batch holds 10 000 transactions at most.
fn count(count: usize) -> u32 {
    u32::try_from(count).expect("counts in a block fit in 32 bits")
}
