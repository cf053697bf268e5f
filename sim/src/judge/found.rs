//! What is found on a disk, and where on the model's tree it stands.

use std::collections::BTreeMap;

use lockstep_io_memory::MemoryStores;
use lockstep_store::{ChainView, StoreFault, tables};
use lockstep_types::{B256, L2BlockNumber, StorageSlot, block::legacy_block_hash};

use super::Violation;
use crate::model::{BatchId, Block, Branch, Chain};

/// All rows by table name.
pub type Tables = BTreeMap<&'static str, Vec<(Vec<u8>, Vec<u8>)>>;

/// What is found on a disk.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) view: ChainView,
}

/// Where a chain ends on the model's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Batches up to the one that the newest block is in, which may be open.
    pub(crate) branch: Branch,
    /// The newest block.
    pub(crate) head: u32,
}

impl Found {
    /// Opens a copy of a disk.
    ///
    /// # Errors
    ///
    /// [`StoreFault`]: a disk that no fault was injected into must open.
    pub(crate) fn open(disk: &MemoryStores) -> Result<Self, StoreFault> {
        let (views, _writers) = lockstep_store::open(disk)?;
        Ok(Self { view: views.now() })
    }

    /// Every row.
    ///
    /// # Errors
    ///
    /// [`StoreFault`].
    pub(crate) fn rows(&self) -> Result<Tables, StoreFault> {
        let rows = |table| self.view.dump(table).collect::<Result<Vec<_>, _>>();
        tables::ALL.iter().map(|table| Ok((table.name, rows(*table)?))).collect()
    }

    /// Where it stands; `None` before genesis.
    ///
    /// # Errors
    ///
    /// [`Violation`] of S1 if the newest block is on no branch.
    pub(crate) fn place(&self, chain: &Chain) -> Result<Option<Place>, Violation> {
        let Some(head) = self.view.head().map_err(unreadable)? else { return Ok(None) };
        if head == L2BlockNumber(0) {
            return Ok(Some(Place { branch: Branch::new(), head: 0 }));
        }
        let header = self.view.block(head).map_err(unreadable)?;
        let header = header.ok_or_else(|| {
            Violation::new(
                "S5",
                "head without block",
                format!("block {head} is the newest, and is missing"),
            )
        })?;
        let Some((id, _)) = chain.block_by_hash(&header.hash) else {
            let detail = format!("block {head} has hash {}, which is in no chain", header.hash);
            return Err(Violation::new("S1", "unknown block", detail));
        };
        Ok(Some(Place { branch: branch_of(chain, id), head: head.0 }))
    }
}

/// The way from genesis to a batch.
pub(crate) fn branch_of(chain: &Chain, id: BatchId) -> Branch {
    let mut branch: Branch =
        std::iter::successors(Some(id), |id| chain.batch(*id).parent).collect();
    branch.reverse();
    branch
}

impl Place {
    /// Block `number`, if the place has it.
    pub(crate) fn block<'a>(&self, chain: &'a Chain, number: u32) -> Option<&'a Block> {
        let is_there = number <= self.head;
        chain.block(&self.branch, number).filter(|_| is_there).map(|(_, block)| block)
    }

    /// The hash of block `number`.
    pub(crate) fn hash(&self, chain: &Chain, number: u32) -> Option<B256> {
        match number {
            0 => Some(legacy_block_hash(L2BlockNumber(0)).0),
            _ => self.block(chain, number).map(|block| block.hash.0),
        }
    }

    /// The newest complete batch.
    pub(crate) fn sealed(&self, chain: &Chain) -> u32 {
        let is_whole = |id: &&BatchId| chain.last_block(**id) <= self.head;
        let whole = self.branch.iter().take_while(is_whole).count();
        u32::try_from(whole).unwrap_or(u32::MAX)
    }

    /// The batch of this number, complete or not.
    pub(crate) fn batch(&self, number: u32) -> Option<BatchId> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.branch.get(index).copied()
    }

    /// What `slot` holds after block `number`.
    pub(crate) fn value(&self, chain: &Chain, slot: &StorageSlot, number: u32) -> B256 {
        let mut parent = None;
        for id in &self.branch {
            if chain.last_block(*id) <= number {
                parent = Some(*id);
                continue;
            }
            let blocks = chain.batch(*id).blocks.iter().rev();
            let written = blocks
                .filter(|block| block.params.number.0 <= number)
                .find_map(|block| block.writes.get(slot));
            if let Some(value) = written {
                return *value;
            }
            break;
        }
        chain.state(parent).value(slot)
    }

    /// Every slot that was ever written, with its value now.
    pub(crate) fn slots(&self, chain: &Chain) -> BTreeMap<StorageSlot, B256> {
        let sealed = self.batch(self.sealed(chain));
        let state = chain.state(sealed);
        let mut slots: BTreeMap<_, _> =
            state.slots.iter().map(|(slot, (_, value))| (*slot, *value)).collect();
        if let Some(open) = self.batch(self.sealed(chain) + 1) {
            for block in &chain.batch(open).blocks {
                if block.params.number.0 <= self.head {
                    slots.extend(block.writes.iter().map(|(slot, value)| (*slot, *value)));
                }
            }
        }
        slots
    }
}

/// A disk that cannot be read, although it is well.
pub(crate) fn unreadable(fault: StoreFault) -> Violation {
    Violation::new("S5", "unreadable", fault.to_string())
}
