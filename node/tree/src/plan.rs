//! The new nodes of a batch: first their shape, from the old nodes and the writes, then their
//! hashes, deepest first, many at a time.

use std::sync::Arc;

use lockstep_io::Par;
use lockstep_store::tables::TREE_NODES;
use lockstep_types::LeafIndex;

use crate::{
    TreeError,
    hash::{Hash, Lift, hash_inner, lift},
    load::{Nodes, node_key},
    node::{Child, Children, Leaf, Node},
    node_codec::encode_node_key,
    parallel::map_pieces,
    path::{NIBBLES, NodeKey, Path, height_at},
};

/// Leaves, and inner nodes, hashed in one piece of work.
const PIECE_LEAVES: usize = 32;
const PIECE_NODES: usize = 16;

/// A leaf to be put in the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    pub(crate) leaf: Leaf,
    /// Where the leaf has been so far, if it is only moved.
    pub(crate) known: Option<(NodeKey, Hash)>,
}

/// What the writes make of a subtree.
enum Subtree {
    /// What it was.
    Kept,
    /// The draft with this number.
    New(usize),
}

/// A node without a hash. Its parent has a higher number.
#[derive(Debug)]
struct Draft {
    path: Path,
    replaces: Option<u32>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Leaf(Incoming),
    Inner(Box<[Option<DraftChild>; 16]>),
}

#[derive(Clone, Copy, Debug)]
enum DraftChild {
    Kept(Child),
    New(usize),
}

/// The shape of a new version.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    old: &'a Nodes,
    drafts: Vec<Draft>,
    /// Of leaves that were not there, in order of their keys.
    new_indices: Vec<u64>,
    /// Nodes that the new version does without.
    stale: Vec<NodeKey>,
}

/// A new version, complete.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) root: Option<Child>,
    /// Nodes to persist: place, node, and version of the node that it replaces.
    pub(crate) rows: Vec<(NodeKey, Arc<Node>, Option<u32>)>,
    /// Nodes that the new version does without.
    pub(crate) stale: Vec<NodeKey>,
}

impl<'a> Plan<'a> {
    /// A plan on top of `old`, which holds every node on the way to a write.
    pub(crate) fn new(old: &'a Nodes) -> Self {
        Self { old, drafts: Vec::new(), new_indices: Vec::new(), stale: Vec::new() }
    }

    /// Puts `writes`, sorted by key, in the tree below `root`; returns how many of them are new
    /// leaves, whose indices must be those after `leaf_count`.
    pub(crate) fn apply(
        &mut self,
        root: Option<Child>,
        leaf_count: u64,
        writes: &[Incoming],
    ) -> Result<u64, TreeError> {
        if !writes.is_empty() {
            self.put(root, 0, writes)?;
        }
        self.new_indices.sort_unstable();
        let mut count = leaf_count;
        for given in &self.new_indices {
            let expected = count.checked_add(1).expect("leaves fit in 64 bits");
            if *given != expected {
                let (expected, given) = (LeafIndex(expected), LeafIndex(*given));
                return Err(TreeError::IndexGap { expected, given });
            }
            count = expected;
        }
        Ok(count - leaf_count)
    }

    /// Puts `writes` (at least one) in the subtree `child` at `depth`.
    fn put(
        &mut self,
        child: Option<Child>,
        depth: usize,
        writes: &[Incoming],
    ) -> Result<Subtree, TreeError> {
        let Some(child) = child else {
            self.new_indices.extend(writes.iter().map(|write| write.leaf.index));
            return Ok(Subtree::New(self.build(depth, writes, None)));
        };
        let key = node_key(child, Path::to(&writes[0].leaf.key, depth));
        let old = self.old;
        match &**old.get(&key).expect("nodes on the way to writes are loaded") {
            Node::Leaf(leaf) => self.put_at_leaf(key, (*leaf, child.hash), writes),
            Node::Inner(children) => self.put_at_inner(key, children, writes),
        }
    }

    fn put_at_leaf(
        &mut self,
        at: NodeKey,
        (old, hash): (Leaf, Hash),
        writes: &[Incoming],
    ) -> Result<Subtree, TreeError> {
        let place = writes.binary_search_by_key(&old.key, |write| write.leaf.key);
        let all = match place {
            Ok(place) => {
                check_index(&old, &writes[place].leaf)?;
                if writes.len() == 1 && writes[0].leaf.value == old.value {
                    return Ok(Subtree::Kept);
                }
                writes.to_vec()
            }
            Err(place) => {
                let mut all = writes.to_vec();
                all.insert(place, Incoming { leaf: old, known: Some((at, hash)) });
                all
            }
        };
        let new = writes.iter().map(|write| write.leaf).filter(|leaf| leaf.key != old.key);
        self.new_indices.extend(new.map(|leaf| leaf.index));
        self.stale.push(at);
        Ok(Subtree::New(self.build(at.path.depth(), &all, Some(at.version))))
    }

    fn put_at_inner(
        &mut self,
        at: NodeKey,
        old: &Children,
        writes: &[Incoming],
    ) -> Result<Subtree, TreeError> {
        let depth = at.path.depth();
        let mut children = Box::new(old.map(|child| child.map(DraftChild::Kept)));
        let mut changed = false;
        for part in parts(depth, writes) {
            let nibble = part[0].leaf.key.nibble(depth);
            if let Subtree::New(draft) = self.put(old[nibble], depth + 1, part)? {
                children[nibble] = Some(DraftChild::New(draft));
                changed = true;
            }
        }
        if !changed {
            return Ok(Subtree::Kept);
        }
        self.stale.push(at);
        let body = Body::Inner(children);
        Ok(Subtree::New(self.draft(Draft { path: at.path, replaces: Some(at.version), body })))
    }

    /// A subtree of `leaves` (at least one, distinct) and nothing else.
    fn build(&mut self, depth: usize, leaves: &[Incoming], replaces: Option<u32>) -> usize {
        let path = Path::to(&leaves[0].leaf.key, depth);
        if let [leaf] = leaves {
            return self.draft(Draft { path, replaces, body: Body::Leaf(*leaf) });
        }
        let mut children = Box::new([None; 16]);
        for part in parts(depth, leaves) {
            let child = self.build(depth + 1, part, None);
            children[part[0].leaf.key.nibble(depth)] = Some(DraftChild::New(child));
        }
        self.draft(Draft { path, replaces, body: Body::Inner(children) })
    }

    fn draft(&mut self, draft: Draft) -> usize {
        self.drafts.push(draft);
        self.drafts.len() - 1
    }

    /// Computes the hashes. `root` is the old root, which stays if nothing changed.
    pub(crate) fn finish(
        self,
        root: Option<Child>,
        version: u32,
        par: &dyn Par,
    ) -> Result<Planned, TreeError> {
        let mut levels: Vec<Vec<usize>> = vec![Vec::new(); NIBBLES];
        let mut leaves = Vec::new();
        for (number, draft) in self.drafts.iter().enumerate() {
            match draft.body {
                Body::Leaf(_) => leaves.push(number),
                Body::Inner(_) => levels[draft.path.depth()].push(number),
            }
        }
        let mut done: Vec<Option<(Child, Arc<Node>)>> = vec![None; self.drafts.len()];
        for (number, hash) in leaves.iter().zip(self.leaf_hashes(&leaves, par)?) {
            if let Body::Leaf(incoming) = &self.drafts[*number].body {
                let child = Child { version, is_leaf: true, hash };
                done[*number] = Some((child, Arc::new(Node::Leaf(incoming.leaf))));
            }
        }
        for (depth, level) in levels.iter().enumerate().rev().filter(|(_, of)| !of.is_empty()) {
            let nodes: Vec<Box<Children>> =
                level.iter().map(|number| self.children(*number, &done)).collect();
            let hashes = map_pieces(par, &nodes, PIECE_NODES, &|piece| {
                hash_inner(depth, &piece.iter().map(|node| &**node).collect::<Vec<_>>())
            });
            for ((number, node), hash) in level.iter().zip(nodes).zip(hashes) {
                let child = Child { version, is_leaf: false, hash };
                done[*number] = Some((child, Arc::new(Node::Inner(node))));
            }
        }
        let root = done.last().map_or(root, |last| last.as_ref().map(|(child, _)| *child));
        let rows = self
            .drafts
            .iter()
            .zip(done)
            .map(|(draft, done)| {
                let (_, node) = done.expect("every draft is a leaf or on a level");
                (NodeKey { version, path: draft.path }, node, draft.replaces)
            })
            .collect();
        Ok(Planned { root, rows, stale: self.stale })
    }

    /// Hashes of the leaves with these numbers, in this order.
    fn leaf_hashes(&self, numbers: &[usize], par: &dyn Par) -> Result<Vec<Hash>, TreeError> {
        let leaves: Vec<(&Incoming, Lift<'_>)> = numbers
            .iter()
            .filter_map(|number| {
                let draft = &self.drafts[*number];
                let Body::Leaf(incoming) = &draft.body else { return None };
                let known = incoming.known.map(|(at, hash)| (height_at(at.path.depth()), hash));
                let height = height_at(draft.path.depth());
                Some((incoming, Lift { leaf: &incoming.leaf, height, known }))
            })
            .collect();
        let hashes = map_pieces(par, &leaves, PIECE_LEAVES, &|piece| {
            lift(&piece.iter().map(|(_, lift)| *lift).collect::<Vec<_>>())
        });
        leaves
            .iter()
            .zip(hashes)
            .map(|((incoming, _), hash)| {
                hash.ok_or_else(|| {
                    let key = incoming.known.map(|(at, _)| encode_node_key(&at));
                    let detail = "the leaf does not have the hash that its parent says";
                    TreeError::corrupt(TREE_NODES, &key.unwrap_or_default(), detail)
                })
            })
            .collect()
    }

    /// The children of the inner draft with this number, those of its own version from `done`.
    fn children(&self, number: usize, done: &[Option<(Child, Arc<Node>)>]) -> Box<Children> {
        let Body::Inner(children) = &self.drafts[number].body else {
            unreachable!("levels hold inner nodes only")
        };
        Box::new(children.map(|child| match child? {
            DraftChild::Kept(child) => Some(child),
            DraftChild::New(number) => {
                let (child, _) = done[number].as_ref().expect("deeper levels are done");
                Some(*child)
            }
        }))
    }
}

/// `leaves` by their nibble at `depth`.
fn parts(depth: usize, leaves: &[Incoming]) -> impl Iterator<Item = &[Incoming]> {
    leaves.chunk_by(move |a, b| a.leaf.key.nibble(depth) == b.leaf.key.nibble(depth))
}

fn check_index(old: &Leaf, new: &Leaf) -> Result<(), TreeError> {
    if old.index == new.index {
        return Ok(());
    }
    Err(TreeError::IndexMismatch {
        key: old.key.hashed_key(),
        recorded: LeafIndex(old.index),
        given: LeafIndex(new.index),
    })
}
