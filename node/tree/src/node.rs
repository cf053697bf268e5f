//! Nodes in memory.

use crate::{hash::Hash, path::LeafKey};

/// A node of the trie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The only leaf below its path.
    Leaf(Leaf),
    /// More than one leaf is below.
    Inner(Box<Children>),
}

/// A slot that was written at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) key: LeafKey,
    pub(crate) value: [u8; 32],
    pub(crate) index: u64,
}

/// Children by nibble; `None` where nothing was written.
pub(crate) type Children = [Option<Child>; 16];

/// How a parent (or the root's row) knows a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// The batch that made the node.
    pub(crate) version: u32,
    pub(crate) is_leaf: bool,
    /// Of the binary node at the same place; a leaf's is lifted to there.
    pub(crate) hash: Hash,
}

/// A node as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(crate) node: Node,
    /// Version of the node that was at the same path before; this is all that pruning needs,
    /// because no path ever becomes empty again.
    pub(crate) replaces: Option<u32>,
}

/// What is stored of a batch beside its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RootRow {
    /// `None` for the empty tree.
    pub(crate) node: Option<Child>,
    pub(crate) leaf_count: u64,
}

impl RootRow {
    pub(crate) const EMPTY: Self = Self { node: None, leaf_count: 0 };

    pub(crate) fn hash(&self) -> Hash {
        self.node.map_or_else(|| crate::hash::empty(256), |child| child.hash)
    }
}
