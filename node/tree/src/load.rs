//! Reads the nodes on the way to given leaves: level by level, a single request to the store for
//! each, and nothing that is in the cache.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_io::{Par, Value, View};
use lockstep_store::tables::{TREE_NODES, TREE_ROOTS};

use crate::{
    TreeError,
    cache::NodeCache,
    hash::hash_inner,
    node::{Child, Children, Node, RootRow},
    node_codec::{decode_node, decode_root, encode_node_key, encode_root_key},
    parallel::map_pieces,
    path::{LeafKey, NodeKey, Path},
};

/// Inner nodes hashed in one piece of work.
const PIECE_NODES: usize = 16;

/// Nodes by place.
pub(crate) type Nodes = BTreeMap<NodeKey, Arc<Node>>;

/// Where nodes are read.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) view: &'a dyn View,
    pub(crate) cache: Option<&'a NodeCache>,
    pub(crate) par: &'a dyn Par,
}

/// The row of `version`, if the store has it.
pub(crate) fn root_row(view: &dyn View, version: u32) -> Result<Option<RootRow>, TreeError> {
    let key = encode_root_key(version);
    let value = view.get(TREE_ROOTS, &key)?;
    value
        .map(|value| decode_root(version, &value))
        .transpose()
        .map_err(|detail| TreeError::corrupt(TREE_ROOTS, &key, detail))
}

/// A node on the way, and the leaves that it is on the way to.
struct Step<'a> {
    key: NodeKey,
    child: Child,
    leaves: &'a [LeafKey],
}

impl Source<'_> {
    /// The nodes on the way from `root` to each of `leaves`, which are sorted. Inner nodes that
    /// come from the store have the hash that their parent says.
    pub(crate) fn load(&self, root: Option<Child>, leaves: &[LeafKey]) -> Result<Nodes, TreeError> {
        let mut nodes = Nodes::new();
        let mut steps = Vec::new();
        if let Some(child) = root.filter(|_| !leaves.is_empty()) {
            steps.push(Step { key: node_key(child, Path::ROOT), child, leaves });
        }
        while !steps.is_empty() {
            let found = self.read(&steps)?;
            let mut next = Vec::new();
            for (step, node) in steps.into_iter().zip(found) {
                if let Node::Inner(children) = &*node {
                    next.extend(below(&step, children));
                }
                nodes.insert(step.key, node);
            }
            steps = next;
        }
        Ok(nodes)
    }

    /// The nodes of `steps`, in their order.
    fn read(&self, steps: &[Step<'_>]) -> Result<Vec<Arc<Node>>, TreeError> {
        let mut found: Vec<Option<Arc<Node>>> =
            steps.iter().map(|step| self.cache.and_then(|cache| cache.get(&step.key))).collect();
        let missing: Vec<&Step<'_>> = steps
            .iter()
            .zip(&found)
            .filter(|(_, node)| node.is_none())
            .map(|(step, _)| step)
            .collect();
        let mut fetched = self.fetch(&missing)?.into_iter();
        for node in found.iter_mut().filter(|node| node.is_none()) {
            *node = fetched.next();
        }
        let found: Vec<_> = found.into_iter().flatten().collect();
        assert_eq!(found.len(), steps.len(), "every node that was missing was fetched");
        Ok(found)
    }

    fn fetch(&self, steps: &[&Step<'_>]) -> Result<Vec<Arc<Node>>, TreeError> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Vec<u8>> = steps.iter().map(|step| encode_node_key(&step.key)).collect();
        let key_slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let values = self.view.multi_get(TREE_NODES, &key_slices)?;
        assert_eq!(values.len(), keys.len(), "the store answers every key");
        let nodes = steps
            .iter()
            .zip(keys.iter().zip(values))
            .map(|(step, (key, value))| {
                parse(step, value)
                    .map(Arc::new)
                    .map_err(|detail| TreeError::corrupt(TREE_NODES, key, detail))
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.check_hashes(steps, &nodes)?;
        Ok(nodes)
    }

    fn check_hashes(&self, steps: &[&Step<'_>], nodes: &[Arc<Node>]) -> Result<(), TreeError> {
        let inner: Vec<(&Step<'_>, &Children)> = steps
            .iter()
            .zip(nodes)
            .filter_map(|(step, node)| match &**node {
                Node::Inner(children) => Some((*step, &**children)),
                Node::Leaf(_) => None,
            })
            .collect();
        let Some((first, _)) = inner.first() else { return Ok(()) };
        // All steps of one round are equally deep.
        let depth = first.key.path.depth();
        let hashes = map_pieces(self.par, &inner, PIECE_NODES, &|piece| {
            let children: Vec<_> = piece.iter().map(|(_, children)| *children).collect();
            hash_inner(depth, &children)
        });
        let bad = inner.iter().zip(hashes).find(|((step, _), hash)| step.child.hash != *hash);
        match bad {
            None => Ok(()),
            Some(((step, _), _)) => Err(TreeError::corrupt(
                TREE_NODES,
                &encode_node_key(&step.key),
                "the node does not have the hash that its parent says",
            )),
        }
    }
}

fn parse(step: &Step<'_>, value: Option<Value>) -> Result<Node, &'static str> {
    let row = decode_node(&step.key, &value.ok_or("the node is missing")?)?;
    match (&row.node, step.child.is_leaf) {
        (Node::Leaf(_), true) | (Node::Inner(_), false) => Ok(row.node),
        (Node::Leaf(_), false) | (Node::Inner(_), true) => Err("the parent says another kind"),
    }
}

fn below<'a>(step: &Step<'a>, children: &Children) -> Vec<Step<'a>> {
    let depth = step.key.path.depth();
    step.leaves
        .chunk_by(|a, b| a.nibble(depth) == b.nibble(depth))
        .filter_map(|leaves| {
            let child = children[leaves[0].nibble(depth)]?;
            let path = Path::to(&leaves[0], depth + 1);
            Some(Step { key: node_key(child, path), child, leaves })
        })
        .collect()
}

pub(crate) fn node_key(child: Child, path: Path) -> NodeKey {
    NodeKey { version: child.version, path }
}
