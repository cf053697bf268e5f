//! A consistent read of the chain.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
};

use lockstep_io::{Dir, KeyRange, ReadStore, Table, View};
use lockstep_types::{
    Address, B256, BatchClaim, BatchCommitment, BatchHeader, BatchSteps, BatchWrite, BlockHeader,
    BytecodeHash, CommitmentInputs, HashedKey, L1BatchNumber, L1Check, L2BlockHash, L2BlockNumber,
    Receipt, StepTx, StorageSlot, Transaction, TxHash,
};

use crate::{
    LAYOUT,
    codec::{
        ChainIdentity, Decode, SlotInfo, StoredBytecode, TxPosition, block_of_state_key, decode,
        position_key, positions_of, state_key, state_prefix_until, tx_hash,
    },
    error::{StoreFault, StoreResult},
    frugal::{Frugal, Shortfall},
    recent::Recent,
    tables,
};

/// Key of the layout number in [`META`](tables::META).
pub(crate) const LAYOUT_KEY: &[u8] = b"layout";
/// Key of the chain's identity in [`META`](tables::META).
pub(crate) const CHAIN_KEY: &[u8] = b"chain";
/// Key of the newest block in [`CURSORS`](tables::CURSORS).
pub(crate) const HEAD_KEY: &[u8] = b"head";
/// Key of the newest sealed batch in [`CURSORS`](tables::CURSORS).
pub(crate) const SEALED_KEY: &[u8] = b"sealed";
/// Key of the newest batch whose root the main node confirmed, in [`CURSORS`](tables::CURSORS).
pub(crate) const AGREED_KEY: &[u8] = b"agreed";
/// Key of the batch that a rollback under way goes back to, in [`CURSORS`](tables::CURSORS).
pub(crate) const ROLLBACK_KEY: &[u8] = b"rollback";
/// Key of the newest batch whose commitment the main node confirmed, in
/// [`CURSORS`](tables::CURSORS).
pub(crate) const COMPARED_KEY: &[u8] = b"compared";
/// Key of the newest batch whose precommits are known for good, in [`CURSORS`](tables::CURSORS).
pub(crate) const PRECOMMITS_KEY: &[u8] = b"precommits";

/// Gives out views. Clones give out those of the same store, also after it was opened again.
#[derive(Clone, Debug)]
pub struct Views {
    store: Arc<RwLock<Arc<dyn ReadStore>>>,
    latest: Arc<Latest>,
}

impl Views {
    /// Views of `store`; whoever writes to it makes `latest` [`outdated`](Latest::outdate).
    pub(crate) fn new(store: Arc<dyn ReadStore>, latest: Arc<Latest>) -> Self {
        Self { store: Arc::new(RwLock::new(store)), latest }
    }

    /// The chain as it is now, frozen. Costs next to nothing while nothing is written: it is the
    /// same view then. While the store is being opened again, every read of the view fails.
    pub fn now(&self) -> ChainView {
        let mut latest = self.latest.lock();
        let generation = latest.generation;
        let frozen = latest.view.get_or_insert_with(|| {
            let (known, codes) = (Arc::default(), self.latest.codes.clone());
            Arc::new(Frozen { view: self.store().view(), generation, known, codes })
        });
        ChainView(frozen.clone())
    }

    /// Approximate bytes on disk by table.
    pub fn table_bytes(&self) -> Vec<(&'static str, u64)> {
        self.store().table_bytes().into_iter().map(|(table, bytes)| (table.name, bytes)).collect()
    }

    /// Views from now on are of `store`, and none of the one before is kept here.
    pub(crate) fn replace(&self, store: Arc<dyn ReadStore>) {
        let mut latest = self.latest.lock();
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
        latest.generation += 1;
        let view = latest.view.take();
        drop(latest);
        // Perhaps the last that holds the store before.
        drop(view);
        self.latest.codes.clear();
    }

    fn store(&self) -> Arc<dyn ReadStore> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The newest view, shared by all who ask before something is written, and which generation of the
/// chain it belongs to.
#[derive(Debug)]
pub(crate) struct Latest {
    view: Mutex<LatestView>,
    codes: Arc<Codes>,
}

/// Bytecodes that were read recently, by the generation of the chain that they were read from.
/// Calls and batches begin with the same few.
type Codes = Recent<(u64, BytecodeHash), StoredBytecode>;

/// Most bytes of bytecodes that are kept in memory.
const CODE_BYTES_MAX: usize = 64 << 20;

impl Default for Latest {
    fn default() -> Self {
        Self { view: Mutex::default(), codes: Arc::new(Recent::new(CODE_BYTES_MAX)) }
    }
}

#[derive(Debug, Default)]
struct LatestView {
    generation: u64,
    view: Option<Arc<Frozen>>,
}

impl Latest {
    /// Something was written, or may have been. Whoever asks from now on sees it: a view is made
    /// and put here under the same lock.
    pub(crate) fn outdate(&self) {
        // Dropped outside of the lock.
        let view = self.lock().view.take();
        drop(view);
    }

    /// Blocks were taken away, and others may come in their place.
    pub(crate) fn begin_generation(&self) {
        let mut latest = self.lock();
        latest.generation += 1;
        latest.view = None;
        self.codes.clear();
    }

    /// A panic while making a view leaves none.
    fn lock(&self) -> MutexGuard<'_, LatestView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consistent read of the chain: everything asked of one view belongs to one moment. Clones are
/// the same view.
#[derive(Clone, Debug)]
pub struct ChainView(Arc<Frozen>);

#[derive(Debug)]
struct Frozen {
    view: Box<dyn View>,
    generation: u64,
    known: Arc<Known>,
    codes: Arc<Codes>,
}

/// What many ask for, once it has been read. The same for all views of a moment.
#[derive(Debug, Default)]
struct Known {
    identity: OnceLock<Option<ChainIdentity>>,
    head: OnceLock<Option<L2BlockNumber>>,
    sealed: OnceLock<Option<L1BatchNumber>>,
    /// What slots hold after the newest block.
    values: Memo<B256>,
    /// Indices of slots.
    infos: Memo<Option<SlotInfo>>,
}

/// What was read of slots, as long as the moment lasts.
type Memo<T> = Mutex<HashMap<HashedKey, T>>;

/// Most slots of a moment that are remembered: a megabyte or two.
const SLOTS_MAX: usize = 1 << 14;

/// What `memo` remembers of `key`, or what `read` gives, which it remembers then.
fn remembered<T: Copy>(
    memo: &Memo<T>,
    key: &HashedKey,
    read: impl FnOnce() -> StoreResult<T>,
) -> StoreResult<T> {
    // Whatever a panicking thread left is whole.
    let lock = || memo.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = lock().get(key) {
        return Ok(*value);
    }
    let value = read()?;
    let mut memo = lock();
    if memo.len() < SLOTS_MAX {
        memo.insert(*key, value);
    }
    Ok(value)
}

/// What `cell` holds, or what `read` gives, which it holds then.
fn once<T: Copy>(cell: &OnceLock<T>, read: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
    match cell.get() {
        Some(known) => Ok(*known),
        None => read().map(|value| *cell.get_or_init(|| value)),
    }
}

/// Errors of all methods: [`StoreFault`] if the disk fails or a row is damaged. `None` means that
/// there is no such row.
impl ChainView {
    /// The view below, for components with tables of their own.
    pub fn raw(&self) -> &dyn View {
        &*self.0.view
    }

    /// Which generation of the chain this belongs to. It changes when the chain is rolled back, and
    /// only then: in two views of one process and one generation, a block that both have is the same.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The same moment, read only as far as it is in memory and costs little.
    ///
    /// Reading fails when the disk would have to be waited for, or more than `effort` units were
    /// spent: one for each look-up, each scan and each row of one, and one for each 256 bytes of a
    /// value.
    /// [`Shortfall::is_met`] says that this happened, whatever became of the error; then nothing
    /// that was read may be trusted to be complete, and the whole view is to be asked. `None` if
    /// the store cannot tell what is in memory.
    pub fn in_memory(&self, effort: u32) -> Option<(Self, Shortfall)> {
        let view = self.0.view.in_memory()?;
        let shortfall = Shortfall::default();
        let view = Box::new(Frugal::new(view, effort, shortfall.clone()));
        let Frozen { generation, known, codes, .. } = &*self.0;
        let (known, codes) = (known.clone(), codes.clone());
        let frozen = Frozen { view, generation: *generation, known, codes };
        Some((Self(Arc::new(frozen)), shortfall))
    }

    /// Which chain this is; `None` before genesis.
    pub fn identity(&self) -> StoreResult<Option<ChainIdentity>> {
        once(&self.0.known.identity, || {
            let layout: Option<u32> = self.row(tables::META, LAYOUT_KEY)?;
            match layout {
                None => Ok(None),
                Some(LAYOUT) => self.row(tables::META, CHAIN_KEY),
                Some(found) => Err(StoreFault::Layout { found, expected: LAYOUT }),
            }
        })
    }

    /// The newest block; `None` before genesis.
    pub fn head(&self) -> StoreResult<Option<L2BlockNumber>> {
        once(&self.0.known.head, || self.row(tables::CURSORS, HEAD_KEY))
    }

    /// The newest sealed batch; `None` before genesis.
    pub fn sealed_batch(&self) -> StoreResult<Option<L1BatchNumber>> {
        once(&self.0.known.sealed, || self.row(tables::CURSORS, SEALED_KEY))
    }

    /// The newest batch up to which the main node confirmed every root; `None` before the first.
    pub fn agreed_batch(&self) -> StoreResult<Option<L1BatchNumber>> {
        self.row(tables::CURSORS, AGREED_KEY)
    }

    /// The batch that a rollback goes back to which has begun and is not finished; `None` if there
    /// is none.
    pub fn rollback_target(&self) -> StoreResult<Option<L1BatchNumber>> {
        self.row(tables::CURSORS, ROLLBACK_KEY)
    }

    /// The newest batch that is final: executed on its settlement layer, in a block that is final
    /// there. Genesis is. All batches before it were executed too, also where nobody was asked
    /// about them. Reads the steps of the batches after it.
    pub fn final_batch(&self) -> StoreResult<L1BatchNumber> {
        for row in self.raw().scan(tables::STEPS, KeyRange::all(), Dir::Down) {
            let (key, row) = row?;
            let steps: BatchSteps =
                decode(&row).map_err(|bad| StoreFault::malformed(tables::STEPS, &key, bad))?;
            if steps.is_final() {
                return Ok(L1BatchNumber(number_of_key(tables::STEPS, &key)?));
            }
        }
        Ok(L1BatchNumber(0))
    }

    /// The newest batch up to which every announced commitment was found equal to ours; `None`
    /// before the first. May be beyond a batch that was rolled back to: take the smaller.
    pub fn compared_batch(&self) -> StoreResult<Option<L1BatchNumber>> {
        self.row(tables::CURSORS, COMPARED_KEY)
    }

    /// Header of a block.
    pub fn block(&self, number: L2BlockNumber) -> StoreResult<Option<BlockHeader>> {
        self.row(tables::BLOCKS, &number.0.to_be_bytes())
    }

    /// Number of the block with this hash.
    pub fn block_number(&self, hash: &L2BlockHash) -> StoreResult<Option<L2BlockNumber>> {
        self.row(tables::BLOCK_NUMBERS, hash.bytes())
    }

    /// Where the transaction with this hash is.
    pub fn tx_position(&self, hash: &TxHash) -> StoreResult<Option<TxPosition>> {
        self.row(tables::TX_POSITIONS, hash.bytes())
    }

    /// The transaction at `position`.
    pub fn transaction(&self, position: TxPosition) -> StoreResult<Option<Transaction>> {
        self.row(tables::TRANSACTIONS, &position_key(position))
    }

    /// The hash of the transaction at `position`.
    pub fn tx_hash(&self, position: TxPosition) -> StoreResult<Option<TxHash>> {
        let key = position_key(position);
        let Some(row) = self.raw().get(tables::TRANSACTIONS, &key)? else { return Ok(None) };
        let hash = tx_hash(&row);
        hash.map(Some).map_err(|bad| StoreFault::malformed(tables::TRANSACTIONS, &key, bad))
    }

    /// The transactions of a block, in order.
    pub fn transactions(&self, block: L2BlockNumber) -> StoreResult<Vec<Transaction>> {
        self.rows(tables::TRANSACTIONS, positions_of(block))
    }

    /// The receipt at `position`; at the position after the last transaction, the share of a
    /// fictive block itself.
    pub fn receipt(&self, position: TxPosition) -> StoreResult<Option<Receipt>> {
        self.row(tables::RECEIPTS, &position_key(position))
    }

    /// The receipts of a block, in order: one a transaction, and one more in a fictive block.
    pub fn receipts(&self, block: L2BlockNumber) -> StoreResult<Vec<Receipt>> {
        self.rows(tables::RECEIPTS, positions_of(block))
    }

    /// What the slot at `key` held after `block`; zero if it had not been written.
    pub fn value_at(&self, key: &HashedKey, block: L2BlockNumber) -> StoreResult<B256> {
        if self.head()? <= Some(block) {
            remembered(&self.0.known.values, key, || self.read_value_at(key, block))
        } else {
            self.read_value_at(key, block)
        }
    }

    fn read_value_at(&self, key: &HashedKey, block: L2BlockNumber) -> StoreResult<B256> {
        let range = KeyRange::new(state_key(key, L2BlockNumber(0)), state_prefix_until(key, block));
        match self.raw().scan(tables::STATE, range, Dir::Down).next().transpose()? {
            None => Ok(B256::ZERO),
            Some((at, value)) if value.len() == 32 && block_of_state_key(&at).is_some() => {
                Ok(B256::from_slice(&value))
            }
            Some((at, _)) => Err(StoreFault::corrupt(tables::STATE, &at, "not a 32-byte value")),
        }
    }

    /// What `slot` held after `block`; zero if it had not been written.
    pub fn slot_at(&self, slot: &StorageSlot, block: L2BlockNumber) -> StoreResult<B256> {
        self.value_at(&slot.hashed_key(), block)
    }

    /// Index and first batch of the slot at `key`; `None` until the batch that first wrote it has
    /// been sealed.
    pub fn slot_info(&self, key: &HashedKey) -> StoreResult<Option<SlotInfo>> {
        remembered(&self.0.known.infos, key, || self.row(tables::SLOTS, key.bytes()))
    }

    /// Index and first batch of many slots, in their order.
    pub fn slot_infos(&self, keys: &[HashedKey]) -> StoreResult<Vec<Option<SlotInfo>>> {
        let refs: Vec<&[u8]> = keys.iter().map(|key| &key.bytes()[..]).collect();
        let rows = self.raw().multi_get(tables::SLOTS, &refs)?;
        let decode_row = |(key, row): (&[u8], Option<lockstep_io::Value>)| {
            row.map(|bytes| decode(&bytes))
                .transpose()
                .map_err(|malformed| StoreFault::malformed(tables::SLOTS, key, malformed))
        };
        refs.into_iter().zip(rows).map(decode_row).collect()
    }

    /// The bytecode with this hash.
    pub fn bytecode(&self, hash: &BytecodeHash) -> StoreResult<Option<StoredBytecode>> {
        let (key, head) = ((self.generation(), *hash), self.head()?);
        if let Some(known) = self.0.codes.get(&key, |stored| Some(stored.since) <= head) {
            return Ok(Some(known));
        }
        let stored: Option<StoredBytecode> = self.row(tables::BYTECODES, hash.bytes())?;
        if let Some(stored) = &stored {
            self.0.codes.put(key, stored.clone(), stored.code.len());
        }
        Ok(stored)
    }

    /// The code of `account` after `block` with its hash; `None` if it has none.
    pub fn code_at(
        &self,
        account: Address,
        block: L2BlockNumber,
    ) -> StoreResult<Option<(BytecodeHash, StoredBytecode)>> {
        let hash = BytecodeHash(self.slot_at(&StorageSlot::code_hash(account), block)?);
        if hash.0.is_zero() {
            return Ok(None);
        }
        // While an account is being constructed its code hash carries a flag in the second byte.
        let mut deployed = hash;
        deployed.0[1] = 0;
        let code = self.bytecode(&deployed)?;
        Ok(code.map(|code| (deployed, code)))
    }

    /// Header of a sealed batch.
    pub fn batch(&self, number: L1BatchNumber) -> StoreResult<Option<BatchHeader>> {
        self.row(tables::BATCHES, &number.0.to_be_bytes())
    }

    /// What the tree must learn from a sealed batch.
    pub fn batch_writes(&self, number: L1BatchNumber) -> StoreResult<Option<Vec<BatchWrite>>> {
        self.row(tables::BATCH_WRITES, &number.0.to_be_bytes())
    }

    /// The slots that a block changed, ascending.
    pub fn block_writes(&self, number: L2BlockNumber) -> StoreResult<Option<Vec<HashedKey>>> {
        let key = number.0.to_be_bytes();
        let Some(bytes) = self.raw().get(tables::BLOCK_WRITES, &key)? else { return Ok(None) };
        let (keys, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            let detail = format!("{} bytes are no whole keys", bytes.len());
            return Err(StoreFault::corrupt(tables::BLOCK_WRITES, &key, detail));
        }
        Ok(Some(keys.iter().map(|key| HashedKey(B256::new(*key))).collect()))
    }

    /// What the commitment of a sealed batch is computed from.
    pub fn commitment_inputs(
        &self,
        number: L1BatchNumber,
    ) -> StoreResult<Option<CommitmentInputs>> {
        self.row(tables::COMMITMENT_INPUTS, &number.0.to_be_bytes())
    }

    /// What the main node claims of a batch.
    pub fn claim(&self, number: L1BatchNumber) -> StoreResult<Option<BatchClaim>> {
        self.row(tables::CLAIMS, &number.0.to_be_bytes())
    }

    /// The L1 steps of a batch; none if nothing is known.
    pub fn steps(&self, number: L1BatchNumber) -> StoreResult<BatchSteps> {
        Ok(self.row(tables::STEPS, &number.0.to_be_bytes())?.unwrap_or_default())
    }

    /// The transaction that precommitted a block; `None` if none did, as far as is known.
    pub fn precommit(&self, block: L2BlockNumber) -> StoreResult<Option<StepTx>> {
        self.row(tables::PRECOMMITS, &block.0.to_be_bytes())
    }

    /// The newest block that is precommitted for good; `None` if none is. Blocks are precommitted
    /// in order. Reads the precommits of the blocks after it.
    pub fn precommitted_block(&self) -> StoreResult<Option<L2BlockNumber>> {
        for row in self.raw().scan(tables::PRECOMMITS, KeyRange::all(), Dir::Down) {
            let (key, row) = row?;
            let tx: StepTx =
                decode(&row).map_err(|bad| StoreFault::malformed(tables::PRECOMMITS, &key, bad))?;
            if tx.is_final() {
                return Ok(Some(L2BlockNumber(number_of_key(tables::PRECOMMITS, &key)?)));
            }
        }
        Ok(None)
    }

    /// The newest batch up to which all precommits are known for good; `None` before the first.
    pub fn precommits_batch(&self) -> StoreResult<Option<L1BatchNumber>> {
        self.row(tables::CURSORS, PRECOMMITS_KEY)
    }

    /// A batch's commitment as this replica computed it.
    pub fn commitment(&self, number: L1BatchNumber) -> StoreResult<Option<BatchCommitment>> {
        self.row(tables::COMMITMENTS, &number.0.to_be_bytes())
    }

    /// The newest batch whose commitment this replica has computed.
    pub fn newest_commitment(&self) -> StoreResult<Option<L1BatchNumber>> {
        self.newest_batch_in(tables::COMMITMENTS)
    }

    /// What became of comparing a batch with its commit transaction.
    pub fn l1_check(&self, number: L1BatchNumber) -> StoreResult<Option<L1Check>> {
        self.row(tables::L1_CHECKS, &number.0.to_be_bytes())
    }

    /// The newest batch that has been compared with its commit transaction, or been passed over.
    pub fn newest_l1_check(&self) -> StoreResult<Option<L1BatchNumber>> {
        self.newest_batch_in(tables::L1_CHECKS)
    }

    /// Every row of a table: for comparisons and repairs.
    pub fn dump(&self, table: Table) -> impl Iterator<Item = StoreResult<(Vec<u8>, Vec<u8>)>> + '_ {
        let rows = self.raw().scan(table, KeyRange::all(), Dir::Up);
        rows.map(|row| Ok(row.map(|(key, value)| (key, value.to_vec()))?))
    }

    /// The last key of a table whose keys are batch numbers.
    fn newest_batch_in(&self, table: Table) -> StoreResult<Option<L1BatchNumber>> {
        let last = self.raw().scan(table, KeyRange::all(), Dir::Down).next().transpose()?;
        last.map(|(key, _)| number_of_key(table, &key).map(L1BatchNumber)).transpose()
    }

    fn row<T: Decode>(&self, table: Table, key: &[u8]) -> StoreResult<Option<T>> {
        let Some(bytes) = self.raw().get(table, key)? else { return Ok(None) };
        let row = decode(&bytes).map_err(|bad| StoreFault::malformed(table, key, bad))?;
        Ok(Some(row))
    }

    fn rows<T: Decode>(&self, table: Table, range: KeyRange) -> StoreResult<Vec<T>> {
        let scan = self.raw().scan(table, range, Dir::Up);
        scan.map(|row| {
            let (key, bytes) = row?;
            decode(&bytes).map_err(|bad| StoreFault::malformed(table, &key, bad))
        })
        .collect()
    }
}

/// The number that `key` of a table whose keys are numbers of batches or of blocks stands for.
fn number_of_key(table: Table, key: &[u8]) -> StoreResult<u32> {
    match key.first_chunk() {
        Some(number) if key.len() == 4 => Ok(u32::from_be_bytes(*number)),
        Some(_) | None => Err(StoreFault::corrupt(table, key, "its key is no number")),
    }
}
