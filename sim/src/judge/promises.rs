//! S4: what the node must not forget is durable before it goes on.

use lockstep_io::{Durability, WriteSet, store::Change};
use lockstep_store::tables;

use super::{Observation, Violation};

/// Key of the rollback under way in the table of cursors.
pub(super) const ROLLBACK_KEY: &[u8] = b"rollback";

/// What was promised so far.
#[derive(Debug, Default)]
pub(super) struct Promises {
    has_rolled_back: bool,
}

impl Promises {
    /// Whether a rollback has begun at any time.
    pub(super) fn has_rolled_back(&self) -> bool {
        self.has_rolled_back
    }

    pub(super) fn see(&mut self, what: &Observation<'_>) -> Option<Violation> {
        let Observation::Written { set, durability, result: Ok(_) } = what else { return None };
        self.has_rolled_back |= set.changes.iter().any(is_about_rollback);
        let promise = promise(set)?;
        match durability {
            Durability::Synced => None,
            Durability::Buffered => {
                let detail = format!("{promise} was written, and power loss could take it");
                Some(Violation::new("S4", promise, detail))
            }
        }
    }
}

fn is_about_rollback(change: &Change) -> bool {
    match change {
        Change::Put { table, key, .. } | Change::Delete { table, key } => {
            *table == tables::CURSORS && key == ROLLBACK_KEY
        }
        Change::DeleteRange { .. } => false,
    }
}

/// What a write set promises: genesis, a step on L1, or that a rollback begins or is over.
fn promise(set: &WriteSet) -> Option<&'static str> {
    set.changes.iter().find_map(|change| match change {
        Change::Put { table, .. } if *table == tables::META => Some("genesis"),
        Change::Put { table, .. } if *table == tables::STEPS => Some("a step on L1"),
        change if is_about_rollback(change) => Some("a rollback"),
        Change::Put { .. } | Change::Delete { .. } | Change::DeleteRange { .. } => None,
    })
}
