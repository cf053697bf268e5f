//! S6 while a rollback begins: it goes back to where the main node's chain leaves ours, and not one
//! batch further.

use std::time::Duration;

use lockstep_io::store::Change;
use lockstep_store::{codec::decode, tables};
use lockstep_types::L1BatchNumber;

use super::{Heads, Observation, Violation, promises::ROLLBACK_KEY};
use crate::model::{BatchId, LieKind, Model};

/// Judges the beginning of a rollback. `heads` is as of before the write; `is_stood_by` says that an
/// endpoint never lies and can always be asked, so that no lie is a reason.
pub(super) fn see(
    now: Duration,
    what: &Observation<'_>,
    heads: &Heads,
    model: &Model,
    is_stood_by: bool,
) -> Option<Violation> {
    let Observation::Written { set, result: Ok(_), .. } = what else { return None };
    let to = set.changes.iter().find_map(|change| match change {
        Change::Put { table, key, value } if *table == tables::CURSORS && key == ROLLBACK_KEY => {
            decode::<L1BatchNumber>(value).ok()
        }
        Change::Put { .. } | Change::Delete { .. } | Change::DeleteRange { .. } => None,
    })?;
    // A batch with another root is run again; and who tells two chains, one answer this and one
    // that, may be taken for one that has left ours.
    if [LieKind::B4Root, LieKind::B6Equivocation].iter().any(|lie| model.told().contains(lie)) {
        return None;
    }
    let chain = model.chain();
    let place = heads.between(chain, now, now).pop()?;
    let sealed = place.sealed(chain);
    let leaves_at = |branch: &[BatchId]| {
        let blocks = |id: &BatchId| chain.batch(*id).blocks.iter().map(|block| block.hash);
        let is_same = |ours: &BatchId, theirs: &BatchId| {
            // A fork may begin with a batch like the old one: nobody can tell them apart.
            ours == theirs || blocks(ours).eq(blocks(theirs))
        };
        let common =
            place.branch.iter().zip(branch).take_while(|(ours, theirs)| is_same(ours, theirs));
        u32::try_from(common.count()).unwrap_or(u32::MAX).min(sealed)
    };
    let is_right = if is_stood_by {
        model.history().iter().any(|(_, view)| leaves_at(&view.branch) == to.0)
    } else {
        model.views().any(|view| leaves_at(&view.branch) == to.0)
    };
    (!is_right).then(|| {
        let detail = format!("from batch {sealed} back to {to}, where no chain leaves ours");
        Violation::new("S6", "rolled back too far", detail)
    })
}
