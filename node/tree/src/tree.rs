//! The open tree: computes versions one after the other, on top of a bounded cache of nodes.
//!
//! Nothing changes in memory before the caller says that what was computed has been persisted, so a
//! failed or forgotten write leaves the tree as the store is.

use std::sync::Arc;

use lockstep_io::{Dir, KeyRange, Par, View, WriteSet};
use lockstep_store::tables::{TREE_NODES, TREE_ROOTS};
use lockstep_types::{B256, BatchWrite, L1BatchNumber, StateRoot};

use crate::{
    TreeError,
    cache::NodeCache,
    load::{Source, root_row},
    node::{Leaf, Node, RootRow},
    node_codec::{
        decode_root, decode_root_key, encode_node, encode_node_key, encode_root, encode_root_key,
    },
    path::{LeafKey, NodeKey},
    plan::{Incoming, Plan, Planned},
};

/// How the tree is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeConfig {
    /// Bound of the nodes kept in memory, approximately. What is read from the store for a batch
    /// comes on top while the batch is computed.
    pub cache_bytes: usize,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20 }
    }
}

/// A version of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeRoot {
    /// Root of the state.
    pub root: StateRoot,
    /// Number of slots ever written; the next new leaf has this index plus one.
    pub leaf_count: u64,
}

/// Everything the tree keeps in memory between batches.
#[derive(Debug)]
pub struct Tree {
    next_batch: L1BatchNumber,
    /// Of the batch before `next_batch`.
    root: RootRow,
    cache: NodeCache,
}

/// A version that was computed; the tree has it once this is [`applied`](Tree::applied).
#[derive(Debug)]
pub struct Extension {
    /// The batch.
    pub batch: L1BatchNumber,
    /// Root of the state after the batch.
    pub root: StateRoot,
    /// Number of leaves after the batch.
    pub leaf_count: u64,
    /// What to persist before the extension is applied; may be taken out.
    pub write_set: WriteSet,
    row: RootRow,
    /// Nodes of the new version, whether made by it or only looked at.
    live: Vec<(NodeKey, Arc<Node>)>,
    stale: Vec<NodeKey>,
}

/// A return to an earlier version; the tree has made it once this is
/// [`truncated`](Tree::truncated).
#[derive(Debug)]
pub struct Truncation {
    /// What to persist before.
    pub write_set: WriteSet,
    /// The last version that stays, unless that is the newest anyway.
    to: Option<(L1BatchNumber, RootRow)>,
}

impl Tree {
    /// The tree as `view` shows it.
    ///
    /// # Errors
    ///
    /// [`TreeError::Store`], or [`TreeError::Corrupt`] if the newest root cannot be read.
    pub fn open(view: &dyn View, config: TreeConfig) -> Result<Self, TreeError> {
        let cache = NodeCache::new(config.cache_bytes);
        let newest = view.scan(TREE_ROOTS, KeyRange::all(), Dir::Down).next().transpose()?;
        let Some((key, value)) = newest else {
            return Ok(Self { next_batch: L1BatchNumber(0), root: RootRow::EMPTY, cache });
        };
        let corrupt = |detail| TreeError::corrupt(TREE_ROOTS, &key, detail);
        let version = decode_root_key(&key).map_err(corrupt)?;
        let root = decode_root(version, &value).map_err(corrupt)?;
        Ok(Self { next_batch: L1BatchNumber(version).next(), root, cache })
    }

    /// The tree as it was before `batch`, to look at and never to write.
    ///
    /// # Errors
    ///
    /// [`TreeError::NoVersion`] if the version before is not stored.
    pub(crate) fn before(view: &dyn View, batch: L1BatchNumber) -> Result<Self, TreeError> {
        let root = match batch.prev() {
            None => RootRow::EMPTY,
            Some(before) => root_row(view, before.0)?.ok_or(TreeError::NoVersion(before))?,
        };
        Ok(Self { next_batch: batch, root, cache: NodeCache::new(0) })
    }

    /// The batch that comes next; 0 for an empty store.
    pub fn next_batch(&self) -> L1BatchNumber {
        self.next_batch
    }

    /// The newest version; the empty tree if there is none.
    pub fn root(&self) -> TreeRoot {
        public(&self.root)
    }

    /// Computes the version of `batch`, the next one, from what the batch wrote: distinct keys, in
    /// any order. Writes of what is there already change nothing.
    ///
    /// # Errors
    ///
    /// [`TreeError`] as its variants say; the tree is as before.
    pub fn extend(
        &self,
        view: &dyn View,
        batch: L1BatchNumber,
        writes: &[BatchWrite],
        par: &dyn Par,
    ) -> Result<Extension, TreeError> {
        if batch != self.next_batch {
            return Err(TreeError::WrongBatch { expected: self.next_batch, given: batch });
        }
        self.check_view(view)?;
        let writes = sorted(writes)?;
        let keys: Vec<LeafKey> = writes.iter().map(|write| write.leaf.key).collect();
        let source = Source { view, cache: Some(&self.cache), par };
        let old = source.load(self.root.node, &keys)?;

        let mut plan = Plan::new(&old);
        let added = plan.apply(self.root.node, self.root.leaf_count, &writes)?;
        let planned = plan.finish(self.root.node, batch.0, par)?;

        let row = RootRow { node: planned.root, leaf_count: self.root.leaf_count + added };
        let write_set = write_set(batch.0, &row, &planned);
        let new = planned.rows.into_iter().map(|(key, node, _)| (key, node));
        let TreeRoot { root, leaf_count } = public(&row);
        Ok(Extension {
            batch,
            root,
            leaf_count,
            write_set,
            row,
            live: old.into_iter().chain(new).collect(),
            stale: planned.stale,
        })
    }

    /// Takes note that `extension` has been persisted.
    ///
    /// # Panics
    ///
    /// If it is not an extension of this tree as it is now.
    pub fn applied(&mut self, extension: Extension) {
        assert_eq!(extension.batch, self.next_batch, "extensions are applied in order");
        for (key, node) in extension.live {
            self.cache.insert(key, node);
        }
        for key in &extension.stale {
            self.cache.remove(key);
        }
        self.root = extension.row;
        self.next_batch = extension.batch.next();
    }

    /// What to persist so that no version after `batch` remains. Nothing, if none is there.
    ///
    /// # Errors
    ///
    /// [`TreeError::NoVersion`] if `batch` itself is not there to return to.
    pub fn truncate_above(
        &self,
        view: &dyn View,
        batch: L1BatchNumber,
    ) -> Result<Truncation, TreeError> {
        if batch >= self.next_batch || batch.next() == self.next_batch {
            return Ok(Truncation { write_set: WriteSet::new(), to: None });
        }
        self.check_view(view)?;
        let row = root_row(view, batch.0)?.ok_or(TreeError::NoVersion(batch))?;
        let above = batch.next().0.to_be_bytes();
        let mut write_set = WriteSet::new();
        write_set.delete_range(TREE_ROOTS, KeyRange::from(above));
        write_set.delete_range(TREE_NODES, KeyRange::from(above));
        Ok(Truncation { write_set, to: Some((batch, row)) })
    }

    /// Takes note that `truncation` has been persisted.
    pub fn truncated(&mut self, truncation: Truncation) {
        if let Some((batch, row)) = truncation.to {
            // The versions above will be made anew, with other nodes at the same places.
            self.cache.clear();
            self.root = row;
            self.next_batch = batch.next();
        }
    }

    fn check_view(&self, view: &dyn View) -> Result<(), TreeError> {
        let Some(newest) = self.next_batch.prev() else { return Ok(()) };
        if root_row(view, newest.0)? == Some(self.root) {
            Ok(())
        } else {
            Err(TreeError::OtherView(newest))
        }
    }
}

/// The tree after `batch`, if it is stored.
///
/// # Errors
///
/// [`TreeError::Store`] or [`TreeError::Corrupt`].
pub fn root_of(view: &dyn View, batch: L1BatchNumber) -> Result<Option<TreeRoot>, TreeError> {
    Ok(root_row(view, batch.0)?.as_ref().map(public))
}

fn public(row: &RootRow) -> TreeRoot {
    TreeRoot { root: StateRoot(B256::new(row.hash())), leaf_count: row.leaf_count }
}

fn sorted(writes: &[BatchWrite]) -> Result<Vec<Incoming>, TreeError> {
    let mut sorted: Vec<Incoming> = writes
        .iter()
        .map(|write| {
            let key = LeafKey::new(write.hashed_key);
            let leaf = Leaf { key, value: write.value.0, index: write.leaf_index.0 };
            Incoming { leaf, known: None }
        })
        .collect();
    sorted.sort_unstable_by_key(|write| write.leaf.key);
    match sorted.windows(2).find(|pair| pair[0].leaf.key == pair[1].leaf.key) {
        None => Ok(sorted),
        Some(pair) => Err(TreeError::DuplicateKey(pair[0].leaf.key.hashed_key())),
    }
}

fn write_set(version: u32, root: &RootRow, planned: &Planned) -> WriteSet {
    let mut set = WriteSet::new();
    for (key, node, replaces) in &planned.rows {
        set.put(TREE_NODES, encode_node_key(key), encode_node(key, node, *replaces));
    }
    set.put(TREE_ROOTS, encode_root_key(version), encode_root(version, root));
    set
}
