//! The writers: each writes its own tables, all through the one write half of the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockstep_io::{
    Durability, Seq, StoreError, StoreName, Stores, WriteSet, WriteStore, call_site,
    store::OpenStore,
};
use lockstep_types::{
    B256, BatchClaim, BatchCommitment, BatchHeader, BatchSteps, BatchWrite, BlockHeader,
    BytecodeHash, Bytes, CommitmentInputs, HashedKey, L1BatchNumber, L1Check, L2BlockNumber,
    Receipt, StepTx, Transaction,
};

use crate::{
    LAYOUT,
    closed::Closed,
    codec::{
        ChainIdentity, SlotInfo, StoredBytecode, TxPosition, encode, log_rows, position_key,
        state_key,
    },
    error::StoreResult,
    rollback::RollbackWriter,
    tables,
    view::{
        AGREED_KEY, CHAIN_KEY, COMPARED_KEY, HEAD_KEY, LAYOUT_KEY, Latest, PRECOMMITS_KEY,
        SEALED_KEY, Views,
    },
};

/// Name of the node's store.
const STORE: &str = "chain";

/// Opens the node's store.
///
/// # Errors
///
/// [`StoreFault`](crate::StoreFault): locked by another process, written by another release, or what the disk said.
pub fn open(stores: &dyn Stores) -> StoreResult<(Views, Writers)> {
    let (reader, writer) = open_halves(stores)?;
    let latest = Arc::new(Latest::default());
    let views = Views::new(reader, latest.clone());
    views.now().identity()?;
    Ok((views, Writers::new(writer, latest)))
}

#[track_caller]
fn open_halves(stores: &dyn Stores) -> Result<OpenStore, StoreError> {
    call_site::note();
    stores.open(&StoreName(STORE.to_owned()), &tables::schema())
}

/// The write half of the store, shared by the writers. A write is one call; nobody waits for
/// anything else while holding it.
#[derive(Clone, Debug)]
pub struct SharedWriter {
    store: Arc<Mutex<Shared>>,
    generation: u64,
    latest: Arc<Latest>,
}

#[derive(Debug)]
struct Shared {
    writer: Box<dyn WriteStore>,
    /// Of the writers that may write.
    generation: u64,
}

impl SharedWriter {
    #[track_caller]
    pub(crate) fn write(&self, set: WriteSet, durability: Durability) -> StoreResult<Seq> {
        let mut store = self.lock()?;
        if store.generation != self.generation {
            return Err(StoreError::Fenced.into());
        }
        call_site::note();
        let written = store.writer.write(set, durability);
        let written = lockstep_io::planted!("X03", written, written.or(Ok(Seq(0))));
        let written = lockstep_io::planted!("X04", written, unless_full(written));
        // Also after a write that failed: nobody knows what is there then.
        self.latest.outdate();
        Ok(written?)
    }

    /// Views from now on belong to a new generation of the chain: blocks were taken away.
    pub(crate) fn begin_generation(&self) {
        self.latest.begin_generation();
    }

    /// A writer that takes the place of all others: theirs are refused from now on.
    pub(crate) fn renew(&self) -> StoreResult<Self> {
        let mut store = self.lock()?;
        store.generation += 1;
        let (generation, latest) = (store.generation, self.latest.clone());
        Ok(Self { store: self.store.clone(), generation, latest })
    }

    /// Closes the store and opens it again, because a write failed (C5): `views` and writers made
    /// by [`renew`](Self::renew) are of the new one. May be tried again if it fails; until it
    /// succeeds nothing is read and nothing written.
    pub(crate) fn reopen(&self, views: &Views, stores: &dyn Stores) -> StoreResult<()> {
        self.store.clear_poison();
        let mut store = self.lock()?;
        // It is closed when nobody holds any part of it.
        views.replace(Arc::new(Closed));
        store.writer = Box::new(Closed);
        let (reader, writer) = open_halves(stores)?;
        store.writer = writer;
        views.replace(reader);
        drop(store);
        views.now().identity()?;
        Ok(())
    }

    fn lock(&self) -> Result<MutexGuard<'_, Shared>, StoreError> {
        // A panic while writing leaves the store in the state of a failed write.
        self.store.lock().map_err(|_poisoned: PoisonError<_>| StoreError::Poisoned)
    }
}

/// What was written, if a full disk, and what follows from it, were nothing to stop at.
fn unless_full(written: Result<Seq, StoreError>) -> Result<Seq, StoreError> {
    let goes_on = matches!(written, Err(StoreError::Full(_) | StoreError::Poisoned));
    if goes_on { Ok(Seq(0)) } else { written }
}

/// All writers. Each exists once and is handed to its component.
#[derive(Debug)]
pub struct Writers {
    /// For the executor, and for genesis.
    pub chain: ChainWriter,
    /// For the tree.
    pub tree: TreeWriter,
    /// For what the main node claims.
    pub claims: ClaimsWriter,
    /// For L1 steps.
    pub steps: StepsWriter,
    /// For going back to an earlier batch, while no component writes.
    pub rollback: RollbackWriter,
    /// For commitments.
    pub commitments: CommitmentsWriter,
    /// For comparisons with L1.
    pub l1_checks: L1ChecksWriter,
}

impl Writers {
    /// The writers of one store, of which `latest` is the newest view.
    pub(crate) fn new(writer: Box<dyn WriteStore>, latest: Arc<Latest>) -> Self {
        let store = Arc::new(Mutex::new(Shared { writer, generation: 0 }));
        Self::sharing(SharedWriter { store, generation: 0, latest })
    }

    pub(crate) fn sharing(shared: SharedWriter) -> Self {
        Self {
            chain: ChainWriter(shared.clone()),
            tree: TreeWriter(shared.clone()),
            claims: ClaimsWriter(shared.clone()),
            steps: StepsWriter(shared.clone()),
            rollback: RollbackWriter::new(shared.clone()),
            commitments: CommitmentsWriter(shared.clone()),
            l1_checks: L1ChecksWriter(shared),
        }
    }
}

/// A block that was run, to be persisted.
#[derive(Clone, Debug)]
pub struct BlockRecord {
    /// Header.
    pub header: BlockHeader,
    /// Transactions, in order.
    pub transactions: Vec<Transaction>,
    /// Receipts, in order: one a transaction, and the fictive block's own.
    pub receipts: Vec<Receipt>,
    /// Slots that the block changed, with what they hold after it. Ascending by key.
    pub state: Vec<(HashedKey, B256)>,
    /// Bytecodes that the block made known, or that its batch is run with, as stored.
    pub bytecodes: Vec<(BytecodeHash, Bytes)>,
}

/// A batch that was sealed, to be persisted together with its last block.
#[derive(Clone, Debug)]
pub struct BatchRecord {
    /// Header.
    pub header: BatchHeader,
    /// What the tree must learn, in canonical order of slots.
    pub writes: Vec<BatchWrite>,
    /// The first index that the batch assigned: writes with this one or a later one are initial.
    pub first_new_index: lockstep_types::LeafIndex,
    /// What the commitment is computed from.
    pub commitment_inputs: CommitmentInputs,
}

/// The state before the first block.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// Which chain.
    pub identity: ChainIdentity,
    /// Block 0.
    pub block: BlockRecord,
    /// Batch 0.
    pub batch: BatchRecord,
}

/// Writes blocks, batches, state and bytecodes.
#[derive(Debug)]
pub struct ChainWriter(SharedWriter);

impl ChainWriter {
    /// Persists genesis; durable when it returns. The tree's first version goes with it, so that
    /// a data directory either has all of genesis or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault); nothing of it is there then, or all of it (C5).
    pub fn persist_genesis(&mut self, genesis: &Genesis, tree: WriteSet) -> StoreResult<()> {
        let mut set = WriteSet::new();
        set.put(tables::META, LAYOUT_KEY, encode(&LAYOUT));
        set.put(tables::META, CHAIN_KEY, encode(&genesis.identity));
        put_block(&mut set, &genesis.block);
        put_batch(&mut set, &genesis.batch);
        set.append(tree);
        self.0.write(set, Durability::Synced)?;
        Ok(())
    }

    /// Persists a block, and with the last block of a batch the batch, and moves the cursors:
    /// all or nothing.
    ///
    /// Survives process death when it returns. Power loss may take the newest blocks, which are
    /// then fetched again.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault); the writer is of no more use then (C5).
    pub fn persist_block(
        &mut self,
        block: &BlockRecord,
        batch: Option<&BatchRecord>,
    ) -> StoreResult<()> {
        let mut set = WriteSet::new();
        put_block(&mut set, block);
        if let Some(batch) = batch {
            assert_eq!(batch.header.last_block, block.header.params.number);
            put_batch(&mut set, batch);
        }
        lockstep_io::planted!("X01", (), {
            let changes = set.changes.drain(..2).collect();
            self.0.write(WriteSet { changes }, Durability::Buffered)?;
        });
        self.0.write(set, Durability::Buffered)?;
        Ok(())
    }
}

/// Writes tree nodes and roots.
#[derive(Debug)]
pub struct TreeWriter(SharedWriter);

impl TreeWriter {
    /// Persists a version of the tree.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault), as [`ChainWriter::persist_block`].
    pub fn persist(&mut self, set: WriteSet) -> StoreResult<()> {
        self.0.write(set, Durability::Buffered)?;
        Ok(())
    }
}

/// Writes what the main node claims of batches, and how far its claims were confirmed.
#[derive(Debug)]
pub struct ClaimsWriter(SharedWriter);

impl ClaimsWriter {
    /// Persists claims and, if the root was equal to ours, the cursor of agreed batches.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault), as [`ChainWriter::persist_block`].
    pub fn persist(
        &mut self,
        claims: &[BatchClaim],
        agreed: Option<L1BatchNumber>,
    ) -> StoreResult<()> {
        let mut set = WriteSet::new();
        for claim in claims {
            set.put(tables::CLAIMS, claim.number.0.to_be_bytes(), encode(claim));
        }
        if let Some(agreed) = agreed {
            set.put(tables::CURSORS, AGREED_KEY, encode(&agreed));
        }
        self.0.write(set, Durability::Buffered)?;
        Ok(())
    }
}

impl ClaimsWriter {
    /// Persists claims whose commitments were compared with ours, and up to which batch all were.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault), as [`ChainWriter::persist_block`].
    pub fn persist_compared(
        &mut self,
        claims: &[BatchClaim],
        compared: L1BatchNumber,
    ) -> StoreResult<()> {
        let mut set = WriteSet::new();
        for claim in claims {
            set.put(tables::CLAIMS, claim.number.0.to_be_bytes(), encode(claim));
        }
        set.put(tables::CURSORS, COMPARED_KEY, encode(&compared));
        self.0.write(set, Durability::Buffered)?;
        Ok(())
    }
}

/// Writes commitments as this replica computed them.
#[derive(Debug)]
pub struct CommitmentsWriter(SharedWriter);

impl CommitmentsWriter {
    /// Persists commitments. Power loss may take the newest, which are then computed again.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault), as [`ChainWriter::persist_block`].
    pub fn persist(&mut self, commitments: &[BatchCommitment]) -> StoreResult<()> {
        let mut set = WriteSet::new();
        for one in commitments {
            set.put(tables::COMMITMENTS, one.number.0.to_be_bytes(), encode(one));
        }
        self.0.write(set, Durability::Buffered)?;
        Ok(())
    }
}

/// Writes what became of comparing batches with their commit transactions.
#[derive(Debug)]
pub struct L1ChecksWriter(SharedWriter);

impl L1ChecksWriter {
    /// Persists outcomes. Power loss may take the newest, which are then compared again.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault), as [`ChainWriter::persist_block`].
    pub fn persist(&mut self, checks: &[(L1BatchNumber, L1Check)]) -> StoreResult<()> {
        let mut set = WriteSet::new();
        for (batch, check) in checks {
            set.put(tables::L1_CHECKS, batch.0.to_be_bytes(), encode(check));
        }
        self.0.write(set, Durability::Buffered)?;
        Ok(())
    }
}

/// Writes L1 steps of batches, and precommits of blocks.
#[derive(Debug)]
pub struct StepsWriter(SharedWriter);

impl StepsWriter {
    /// Persists the steps of batches; durable when it returns.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault), as [`ChainWriter::persist_block`].
    pub fn persist(&mut self, steps: &[(L1BatchNumber, BatchSteps)]) -> StoreResult<()> {
        let mut set = WriteSet::new();
        for (batch, steps) in steps {
            set.put(tables::STEPS, batch.0.to_be_bytes(), encode(steps));
        }
        self.0
            .write(set, lockstep_io::planted!("X02", Durability::Synced, Durability::Buffered))?;
        Ok(())
    }
}

impl StepsWriter {
    /// Persists which transactions precommitted blocks, or that none did, and the batch up to which
    /// that is known for good. Power loss may take the newest, which are then asked for again.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](crate::StoreFault), as [`ChainWriter::persist_block`].
    pub fn persist_precommits(
        &mut self,
        precommits: &[(L2BlockNumber, Option<StepTx>)],
        known: Option<L1BatchNumber>,
    ) -> StoreResult<()> {
        let mut set = WriteSet::new();
        for (block, tx) in precommits {
            let key = block.0.to_be_bytes();
            match tx {
                Some(tx) => set.put(tables::PRECOMMITS, key, encode(tx)),
                None => set.delete(tables::PRECOMMITS, key),
            }
        }
        if let Some(known) = known {
            set.put(tables::CURSORS, PRECOMMITS_KEY, encode(&known));
        }
        self.0.write(set, Durability::Buffered)?;
        Ok(())
    }
}

fn put_block(set: &mut WriteSet, record: &BlockRecord) {
    let BlockRecord { header, transactions, receipts, state, bytecodes } = record;
    let number = header.params.number;
    let key = number.0.to_be_bytes();
    set.put(tables::BLOCKS, key, encode(header));
    set.put(tables::BLOCK_NUMBERS, header.hash.bytes(), encode(&number));
    for (index, tx) in (0..).zip(transactions) {
        let position = TxPosition { block: number, index };
        set.put(tables::TRANSACTIONS, position_key(position), encode(tx));
        set.put(tables::TX_POSITIONS, tx.hash().bytes(), encode(&position));
    }
    for (index, receipt) in (0..).zip(receipts) {
        let position = TxPosition { block: number, index };
        set.put(tables::RECEIPTS, position_key(position), encode(receipt));
    }
    for (key, row) in log_rows(number, receipts) {
        set.put(tables::LOG_INDEX, key, row);
    }
    let mut journal = Vec::with_capacity(state.len() * 32);
    for (slot, value) in state {
        set.put(tables::STATE, state_key(slot, number), value.as_slice());
        journal.extend_from_slice(slot.bytes());
    }
    set.put(tables::BLOCK_WRITES, key, journal);
    for (hash, code) in bytecodes {
        let row = StoredBytecode { since: number, code: code.clone() };
        set.put(tables::BYTECODES, hash.bytes(), encode(&row));
    }
    set.put(tables::CURSORS, HEAD_KEY, encode(&number));
}

fn put_batch(set: &mut WriteSet, record: &BatchRecord) {
    let BatchRecord { header, writes, first_new_index, commitment_inputs } = record;
    let key = header.number.0.to_be_bytes();
    set.put(tables::BATCHES, key, encode(header));
    set.put(tables::BATCH_WRITES, key, encode(writes));
    set.put(tables::COMMITMENT_INPUTS, key, encode(commitment_inputs));
    for write in writes.iter().filter(|write| write.leaf_index >= *first_new_index) {
        let info = SlotInfo { leaf_index: write.leaf_index, batch: header.number };
        set.put(tables::SLOTS, write.hashed_key.bytes(), encode(&info));
    }
    set.put(tables::CURSORS, SEALED_KEY, encode(&header.number));
}
