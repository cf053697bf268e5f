//! A stored version of the tree, computed again.

use std::collections::BTreeMap;

use lockstep_io::{Dir, KeyRange, Par, View, store::Change};
use lockstep_store::tables::{TREE_NODES, TREE_ROOTS};
use lockstep_types::{BatchWrite, L1BatchNumber};

use crate::{Tree, TreeError, TreeRoot};

/// Computes the version of `batch` again from the version before and from what the batch wrote, and
/// compares every row of it with what is stored. `None`: all are equal; otherwise what is not.
///
/// Nodes of the version before are held against the hashes that their parents say on the way. If
/// this holds for each batch from genesis on, every node that is stored is as it must be.
///
/// Nothing is written and nothing is cached.
///
/// # Errors
///
/// [`TreeError`], also if the writes do not continue the version before.
pub fn recompute(
    view: &dyn View,
    batch: L1BatchNumber,
    writes: &[BatchWrite],
    par: &dyn Par,
) -> Result<Recomputed, TreeError> {
    let tree = Tree::before(view, batch)?;
    let extension = tree.extend(view, batch, writes, par)?;
    let root = TreeRoot { root: extension.root, leaf_count: extension.leaf_count };
    let mut expected = BTreeMap::new();
    for change in extension.write_set.changes {
        if let Change::Put { table, key, value } = change {
            expected.insert((table.index, key), value);
        }
    }
    let mut difference = None;
    let mut note = |what: &str, key: &[u8]| {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        difference.get_or_insert_with(|| format!("{what}, key {key}"));
    };
    let first = batch.0.to_be_bytes();
    let range = match batch.0.checked_add(1) {
        Some(after) => KeyRange::new(first, after.to_be_bytes()),
        None => KeyRange::from(first),
    };
    for (table, name) in [(TREE_ROOTS, "the root's row"), (TREE_NODES, "a node")] {
        for row in view.scan(table, range.clone(), Dir::Up) {
            let (key, stored) = row?;
            match expected.remove(&(table.index, key.clone())) {
                Some(value) if value[..] == stored[..] => {}
                Some(_) => note(&format!("{name} is not what the writes lead to"), &key),
                None => note(&format!("{name} is there that the writes do not lead to"), &key),
            }
        }
    }
    if let Some(((_, key), _)) = expected.first_key_value() {
        note("a row that the writes lead to is missing", key);
    }
    Ok(Recomputed { root, difference })
}

/// What computing a version again gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recomputed {
    /// The version, as it follows from the writes.
    pub root: TreeRoot,
    /// The first stored row that is not as it must be, in words.
    pub difference: Option<String>,
}
