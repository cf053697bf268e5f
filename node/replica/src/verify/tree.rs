//! The state tree: the writes of a batch follow from its blocks, the stored version follows from
//! the version before and the writes, and the root is the announced one.

use std::collections::BTreeMap;

use lockstep_io::Par;
use lockstep_store::{ChainView, tables};
use lockstep_tree::{TreeError, recompute};
use lockstep_types::{B256, BatchHeader, HashedKey, L1BatchNumber, LeafIndex};

use super::{Finding, VerifyError, needed};

/// Checks a sealed batch, genesis too; `None` if all is as it must be.
///
/// 1. The journals of the batch's blocks and the values of the state before and after give the
///    batch's writes, no more and no fewer; indices are those of the slots.
/// 2. The tree after the batch, computed again from the tree before and the writes, has the stored
///    root, and each stored node of that version is the computed one, byte by byte.
/// 3. The root is the one that the main node announced, if it has.
///
/// # Errors
///
/// [`VerifyError`] if rows are missing or cannot be read.
pub fn check_tree(
    view: &ChainView,
    batch: L1BatchNumber,
    par: &dyn Par,
) -> Result<Option<Finding>, VerifyError> {
    let found = |what: String| Ok(Some(Finding { batch, what }));
    let key = batch.0.to_be_bytes();
    let header = needed(view.batch(batch)?, tables::BATCHES, &key)?;
    let writes = needed(view.batch_writes(batch)?, tables::BATCH_WRITES, &key)?;

    let mut changed = changed_by_blocks(view, &header)?;
    for write in &writes {
        let slot = write.hashed_key;
        match changed.remove(&slot) {
            None => return found(format!("slot {slot} is written, and no block changed it")),
            Some(value) if value != write.value => {
                let written = write.value;
                return found(format!(
                    "slot {slot} is {written} in the writes, {value} in the state"
                ));
            }
            Some(_) => {}
        }
        let info = view.slot_info(&slot)?;
        if info.map(|info| info.leaf_index) != Some(write.leaf_index) {
            let index = write.leaf_index;
            return found(format!(
                "slot {slot} has index {index} in the writes, {info:?} in slots"
            ));
        }
    }
    if let Some((slot, value)) = changed.first_key_value() {
        return found(format!("slot {slot} was changed to {value}, and is not in the writes"));
    }

    let again = match recompute(view.raw(), batch, &writes, par) {
        Ok(again) => again,
        Err(TreeError::Store(disk)) => return Err(TreeError::Store(disk).into()),
        Err(damage) => return found(damage.to_string()),
    };
    if let Some(difference) = again.difference {
        return found(difference);
    }
    let next = LeafIndex(again.root.leaf_count + 1);
    if next != header.next_leaf_index {
        let stored = header.next_leaf_index;
        return found(format!("the next index is {stored} in the header, {next} in the tree"));
    }
    let announced = view.claim(batch)?.and_then(|claim| claim.root);
    match announced.filter(|announced| *announced != again.root.root) {
        None => Ok(None),
        Some(theirs) => {
            found(format!("the root is {} here and {theirs} at the main node", again.root.root))
        }
    }
}

/// Slots that hold something else after the batch than before, with what they hold.
fn changed_by_blocks(
    view: &ChainView,
    header: &BatchHeader,
) -> Result<BTreeMap<HashedKey, B256>, VerifyError> {
    let mut changed = BTreeMap::new();
    for number in (header.first_block.0..=header.last_block.0).map(lockstep_types::L2BlockNumber) {
        let key = number.0.to_be_bytes();
        for slot in needed(view.block_writes(number)?, tables::BLOCK_WRITES, &key)? {
            changed.insert(slot, B256::ZERO);
        }
    }
    let before = header.first_block.prev();
    let mut same = Vec::new();
    for (slot, value) in &mut changed {
        *value = view.value_at(slot, header.last_block)?;
        let earlier = before.map(|before| view.value_at(slot, before)).transpose()?;
        // Genesis writes slots that hold zero, too.
        let is_same = earlier == Some(*value);
        if is_same {
            same.push(*slot);
        }
    }
    for slot in same {
        changed.remove(&slot);
    }
    Ok(changed)
}
