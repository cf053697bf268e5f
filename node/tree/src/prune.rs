//! Forgetting old versions.
//!
//! Each node says which version of its path it replaced, so what a version made superfluous is
//! found by reading that version's own nodes.

use lockstep_io::{Dir, KeyRange, View, WriteSet};
use lockstep_store::tables::{TREE_NODES, TREE_ROOTS};
use lockstep_types::L1BatchNumber;

use crate::{
    TreeError,
    load::root_row,
    node_codec::{decode_node, decode_node_key, encode_node_key, encode_root_key},
    path::NodeKey,
};

/// What to persist so that the version before `batch` is forgotten. Versions are forgotten one by
/// one, oldest first: older ones that are still there would lose nodes that they need.
///
/// Reads every node that `batch` made.
///
/// # Errors
///
/// [`TreeError::NoVersion`] if `batch` is not stored, otherwise [`TreeError::Store`] or
/// [`TreeError::Corrupt`].
pub fn prune(view: &dyn View, batch: L1BatchNumber) -> Result<WriteSet, TreeError> {
    root_row(view, batch.0)?.ok_or(TreeError::NoVersion(batch))?;
    let mut set = WriteSet::new();
    let Some(before) = batch.prev() else { return Ok(set) };
    set.delete(TREE_ROOTS, encode_root_key(before.0));
    for entry in view.scan(TREE_NODES, KeyRange::prefix(&batch.0.to_be_bytes()), Dir::Up) {
        let (bytes, value) = entry?;
        let corrupt = |detail| TreeError::corrupt(TREE_NODES, &bytes, detail);
        let key = decode_node_key(&bytes).map_err(corrupt)?;
        let row = decode_node(&key, &value).map_err(corrupt)?;
        if let Some(version) = row.replaces {
            set.delete(TREE_NODES, encode_node_key(&NodeKey { version, path: key.path }));
        }
    }
    Ok(set)
}
