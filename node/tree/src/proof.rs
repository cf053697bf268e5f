//! Merkle proofs of slots, as `zks_getProof` gives them.

use std::collections::BTreeSet;

use lockstep_io::View;
use lockstep_store::tables::TREE_NODES;
use lockstep_types::{B256, HashedKey, L1BatchNumber, LeafIndex, StateRoot};

use crate::{
    TreeError,
    hash::{Hash, Lift, empty, join, leaf_hash, lift, siblings},
    load::{Nodes, Source, node_key, root_row},
    node::{Leaf, Node, RootRow},
    node_codec::encode_node_key,
    parallel::Serial,
    path::{LeafKey, Path, height_at},
};

/// What a slot holds, or that it holds nothing, with the hashes that prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Index of the leaf; 0 if there is none.
    pub index: LeafIndex,
    /// What the slot holds; zero if there is no leaf.
    pub value: B256,
    /// Siblings on the way from the root to the leaf, without the empty subtrees at the end.
    pub siblings: Vec<B256>,
}

/// Proofs for `keys`, in their order, against the root after `batch`; `None` if there is no such
/// version. Keys may be repeated.
///
/// # Errors
///
/// [`TreeError::Store`], or [`TreeError::Corrupt`] rather than a proof that does not hold.
pub fn proof(
    view: &dyn View,
    batch: L1BatchNumber,
    keys: &[HashedKey],
) -> Result<Option<Vec<Proof>>, TreeError> {
    let Some(root) = root_row(view, batch.0)? else { return Ok(None) };
    let sorted: BTreeSet<LeafKey> = keys.iter().map(|key| LeafKey::new(*key)).collect();
    let sorted: Vec<LeafKey> = sorted.into_iter().collect();
    let nodes = Source { view, cache: None, par: &Serial }.load(root.node, &sorted)?;
    keys.iter().map(|key| prove(&nodes, &root, *key)).collect::<Result<_, _>>().map(Some)
}

/// Whether `proof` shows what `key` holds in the tree with this root.
pub fn verify(proof: &Proof, key: HashedKey, root: StateRoot) -> bool {
    if proof.siblings.len() > 256 {
        return false;
    }
    let key = LeafKey::new(key);
    let first = 256 - proof.siblings.len();
    let siblings = (0..first).map(empty).chain(proof.siblings.iter().rev().map(|hash| hash.0));
    let leaf = leaf_hash(&proof.value.0, proof.index.0);
    let top = siblings
        .enumerate()
        .fold(leaf, |own, (height, sibling)| join(&key, height, &own, &sibling));
    top == root.0.0
}

fn prove(nodes: &Nodes, root: &RootRow, hashed_key: HashedKey) -> Result<Proof, TreeError> {
    let key = LeafKey::new(hashed_key);
    let mut way: Vec<Hash> = Vec::new();
    let mut leaf = None;
    let mut path = Path::ROOT;
    let mut child = root.node;
    while let Some(at) = child {
        path = Path::to(&key, way.len() / 4);
        match &**nodes.get(&node_key(at, path)).expect("nodes on the way to keys are loaded") {
            Node::Inner(children) => {
                let nibble = key.nibble(path.depth());
                way.extend(siblings(path.depth(), children, nibble));
                child = children[nibble];
            }
            Node::Leaf(found) if found.key == key => {
                leaf = Some(found);
                break;
            }
            Node::Leaf(other) => {
                way.extend(way_past(other, &key, path.depth()));
                break;
            }
        }
    }
    while way.last().is_some_and(|last| *last == empty(256 - way.len())) {
        way.pop();
    }
    let proof = Proof {
        index: LeafIndex(leaf.map_or(0, |leaf| leaf.index)),
        value: B256::new(leaf.map_or([0; 32], |leaf| leaf.value)),
        siblings: way.into_iter().map(B256::new).collect(),
    };
    if verify(&proof, hashed_key, StateRoot(B256::new(root.hash()))) {
        return Ok(proof);
    }
    let at = child.map(|at| encode_node_key(&node_key(at, path)));
    let detail = "the leaf does not have the hash that its parent says";
    Err(TreeError::corrupt(TREE_NODES, &at.unwrap_or_default(), detail))
}

/// Siblings on the way from `depth` (in nibbles) to `key`, which is not there, down to where the
/// way to `other`, the only leaf there, parts from it.
fn way_past(other: &Leaf, key: &LeafKey, depth: usize) -> Vec<Hash> {
    let parting = other.key.parting_height(key).expect("it is another leaf");
    let mut way: Vec<Hash> = (parting + 1..height_at(depth)).rev().map(empty).collect();
    way.extend(lift(&[Lift { leaf: other, height: parting, known: None }]).into_iter().flatten());
    way
}
