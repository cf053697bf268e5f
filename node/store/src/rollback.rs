//! Back to the end of an earlier batch.
//!
//! The first write set says where to, and takes away what is derived from batches: claims, steps
//! and the tree. It is durable before anything else happens, so a rollback that was begun is always
//! finished, also by another process. Blocks go after it, newest first, some in each write set, with
//! all their rows, and each batch goes with its last block: after every write set the store is one
//! that could have been reached by following the chain that far. A view that was made before keeps
//! what it shows; one that is made meanwhile shows a whole, shorter chain.
//!
//! What remains in the end is, row by row, what following the chain to the end of that batch gives.

use lockstep_io::{Dir, Durability, KeyRange, Stores, Table, WriteSet};
use lockstep_types::{BatchHeader, L1BatchNumber, L2BlockNumber};

use crate::{
    ChainView, StoreFault, StoreResult, Views, Writers,
    codec::{StoredBytecode, decode, encode, log_rows, state_key},
    tables,
    view::{AGREED_KEY, COMPARED_KEY, HEAD_KEY, PRECOMMITS_KEY, ROLLBACK_KEY, SEALED_KEY},
    writers::SharedWriter,
};

/// Tables with a row for each batch that go in the first write set. The tree's go with them; its
/// own crate says which rows those are.
const BY_BATCH: [Table; 4] =
    [tables::CLAIMS, tables::STEPS, tables::COMMITMENTS, tables::L1_CHECKS];

/// Tables whose keys begin with the number of a block.
const BY_BLOCK: [Table; 5] = [
    tables::BLOCKS,
    tables::TRANSACTIONS,
    tables::RECEIPTS,
    tables::BLOCK_WRITES,
    tables::PRECOMMITS,
];

/// Takes the chain back to the end of an earlier batch, and writers back from components.
#[derive(Debug)]
pub struct RollbackWriter(SharedWriter);

impl RollbackWriter {
    pub(crate) fn new(shared: SharedWriter) -> Self {
        Self(shared)
    }

    /// New writers, this one included. Those that were given out before are refused from now on,
    /// so components that have ended, or should have, change nothing any more.
    ///
    /// # Errors
    ///
    /// [`StoreFault`] if a writer panicked.
    pub fn renew(self) -> StoreResult<Writers> {
        Ok(Writers::sharing(self.0.renew()?))
    }

    /// Closes the store and opens it again in `stores`, after a write failed (C5). `views`, which
    /// are those of the store, and writers from [`renew`](Self::renew) are of the new one then.
    ///
    /// # Errors
    ///
    /// [`StoreFault`]: [`Locked`](lockstep_io::StoreError::Locked) as long as somebody holds a view
    /// of the store as it was. It may be tried again; until it succeeds nothing can be read.
    pub fn reopen(&mut self, views: &Views, stores: &dyn Stores) -> StoreResult<()> {
        self.0.reopen(views, stores)
    }

    /// Begins the rollback to the end of batch `to`, which must be sealed; durable when it returns.
    /// `tree` truncates the tree to `to`. [`finish`](Self::finish) must follow before any component
    /// writes; should the process die between, then in the next one.
    ///
    /// # Errors
    ///
    /// [`StoreFault`]; the writer is of no more use then (C5).
    pub fn begin(
        &mut self,
        view: &ChainView,
        to: L1BatchNumber,
        tree: WriteSet,
    ) -> StoreResult<()> {
        assert!(view.sealed_batch()? >= Some(to), "only a sealed batch has an end to go back to");
        let mut set = WriteSet::new();
        set.put(tables::CURSORS, ROLLBACK_KEY, encode(&to));
        let agreed = (AGREED_KEY, view.agreed_batch()?);
        let compared = (COMPARED_KEY, view.compared_batch()?);
        let precommits = (PRECOMMITS_KEY, view.precommits_batch()?);
        for (key, reached) in [agreed, compared, precommits] {
            if reached <= Some(to) {
                continue;
            }
            if to == L1BatchNumber(0) {
                set.delete(tables::CURSORS, key); // As before the first comparison.
            } else {
                set.put(tables::CURSORS, key, encode(&to));
            }
        }
        let above = to.next().0.to_be_bytes();
        for table in BY_BATCH {
            set.delete_range(table, KeyRange::from(above));
        }
        set.append(tree);
        self.0.write(set, Durability::Synced)?;
        Ok(())
    }

    /// Finishes the rollback that was begun, if one was; durable when it returns. Says which batch
    /// is the newest now.
    ///
    /// A write set is closed when it has `changes_max` changes; a block is not divided, nor is the
    /// end of a batch: they were written in one, too. Reads the rows that go and, once, the whole
    /// table of bytecodes.
    ///
    /// # Errors
    ///
    /// [`StoreFault`]; the writer is of no more use then, and the rollback is finished when the
    /// store is opened again.
    pub fn finish(
        &mut self,
        views: &Views,
        changes_max: usize,
    ) -> StoreResult<Option<L1BatchNumber>> {
        let Some(to) = views.now().rollback_target()? else { return Ok(None) };
        let end = batch(&views.now(), to)?.last_block;
        loop {
            let view = views.now();
            let head = view.head()?.ok_or_else(|| {
                StoreFault::corrupt(tables::CURSORS, HEAD_KEY, "a rollback has no head to begin at")
            })?;
            if head <= end {
                break;
            }
            let mut set = newest_blocks(&view, head, end, changes_max)?;
            lockstep_io::planted!("X11", (), set.delete(tables::CURSORS, ROLLBACK_KEY));
            self.0.write(set, Durability::Buffered)?;
        }
        lockstep_io::planted!("X08", self.0.begin_generation(), ());
        self.forget_bytecodes(&views.now(), end, changes_max)?;
        let mut set = WriteSet::new();
        set.delete(tables::CURSORS, ROLLBACK_KEY);
        self.0.write(set, Durability::Synced)?;
        Ok(Some(to))
    }

    /// Takes away the bytecodes that only blocks after `end` brought.
    fn forget_bytecodes(
        &mut self,
        view: &ChainView,
        end: L2BlockNumber,
        changes_max: usize,
    ) -> StoreResult<()> {
        let mut set = WriteSet::new();
        for row in view.raw().scan(tables::BYTECODES, KeyRange::all(), Dir::Up) {
            let (key, value) = row?;
            let stored: StoredBytecode = decode(&value)
                .map_err(|bad| StoreFault::malformed(tables::BYTECODES, &key, bad))?;
            if stored.since > end {
                set.delete(tables::BYTECODES, key);
            }
            if set.changes.len() >= changes_max.max(1) {
                self.0.write(std::mem::take(&mut set), Durability::Buffered)?;
            }
        }
        if !set.is_empty() {
            self.0.write(set, Durability::Buffered)?;
        }
        Ok(())
    }
}

/// What takes away the newest blocks, from `head` down, but none up to `end`: at least one.
fn newest_blocks(
    view: &ChainView,
    head: L2BlockNumber,
    end: L2BlockNumber,
    changes_max: usize,
) -> StoreResult<WriteSet> {
    let mut set = WriteSet::new();
    let mut newest = newest_batch(view)?;
    let mut kept = head;
    while kept > end && (kept == head || set.changes.len() < changes_max) {
        if newest.last_block == kept {
            newest = without_batch(view, &newest, &mut set)?;
        }
        without_block(view, kept, &mut set)?;
        kept = kept.prev().expect("genesis is never taken away");
    }
    let first = kept.next().0.to_be_bytes();
    for table in BY_BLOCK {
        set.delete_range(table, KeyRange::from(first));
    }
    set.put(tables::CURSORS, HEAD_KEY, encode(&kept));
    set.put(tables::CURSORS, SEALED_KEY, encode(&newest.number));
    Ok(set)
}

/// Adds what takes away the rows of a block that are not in a table by blocks.
fn without_block(view: &ChainView, number: L2BlockNumber, set: &mut WriteSet) -> StoreResult<()> {
    let key = number.0.to_be_bytes();
    let missing = |table| StoreFault::corrupt(table, &key, "it is missing");
    let header = view.block(number)?.ok_or_else(|| missing(tables::BLOCKS))?;
    set.delete(tables::BLOCK_NUMBERS, header.hash.bytes());
    for tx in view.transactions(number)? {
        lockstep_io::planted!("X07", set.delete(tables::TX_POSITIONS, tx.hash().bytes()), ());
    }
    for (row, _) in log_rows(number, &view.receipts(number)?) {
        set.delete(tables::LOG_INDEX, row);
    }
    for slot in view.block_writes(number)?.ok_or_else(|| missing(tables::BLOCK_WRITES))? {
        set.delete(tables::STATE, state_key(&slot, number));
    }
    Ok(())
}

/// Adds what takes away `last`, the newest batch, and gives the one before it.
fn without_batch(
    view: &ChainView,
    last: &BatchHeader,
    set: &mut WriteSet,
) -> StoreResult<BatchHeader> {
    let key = last.number.0.to_be_bytes();
    let before = batch(view, last.number.prev().expect("genesis is never taken away"))?;
    let writes = view.batch_writes(last.number)?;
    let writes = writes.ok_or_else(|| {
        StoreFault::corrupt(tables::BATCH_WRITES, &key, "it is missing, and needed to roll back")
    })?;
    for write in writes.iter().filter(|write| write.leaf_index >= before.next_leaf_index) {
        set.delete(tables::SLOTS, write.hashed_key.bytes());
    }
    for table in [tables::BATCHES, tables::BATCH_WRITES, tables::COMMITMENT_INPUTS] {
        set.delete(table, key);
    }
    Ok(before)
}

fn newest_batch(view: &ChainView) -> StoreResult<BatchHeader> {
    let number = view.sealed_batch()?.ok_or_else(|| {
        StoreFault::corrupt(tables::CURSORS, SEALED_KEY, "a rollback has no sealed batch")
    })?;
    batch(view, number)
}

fn batch(view: &ChainView, number: L1BatchNumber) -> StoreResult<BatchHeader> {
    view.batch(number)?.ok_or_else(|| {
        StoreFault::corrupt(tables::BATCHES, &number.0.to_be_bytes(), "it is missing")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_place_in_a_rollback() {
        for table in tables::ALL {
            let by_batch = BY_BATCH.contains(table);
            let by_block = BY_BLOCK.contains(table);
            let otherwise = match table.name {
                "meta" => true, // What it says holds for every block.
                "cursors" | "block_numbers" | "tx_positions" | "state" | "slots" | "batches"
                | "batch_writes" | "commitment_inputs" | "bytecodes" | "log_index" => true,
                "tree_nodes" | "tree_roots" => true, // The tree's own crate.
                _ => false,
            };
            let places = [by_batch, by_block, otherwise].into_iter().filter(|place| *place);
            assert_eq!(places.count(), 1, "{} is not rolled back", table.name);
        }
    }
}
