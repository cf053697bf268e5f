//! The state tree: a batch's writes in, the root of the state after it out; proofs, truncation and
//! pruning of what is stored.
//!
//! To the outside it is a binary Merkle tree of depth 256 over Blake2s. It is kept as a radix-16
//! trie whose nodes are never changed: each batch writes new nodes for the paths that it touched
//! and a row with its root, so every stored batch remains a complete tree. A subtree with a single
//! leaf is that leaf, stored where the subtree begins; the hashes between are computed with those
//! of empty subtrees.
//!
//! Nothing here writes to the store: functions return a [`WriteSet`](lockstep_io::WriteSet) for
//! the caller to persist with its cursor.

mod cache;
mod error;
mod hash;
mod load;
mod node;
mod node_codec;
mod parallel;
mod path;
mod plan;
mod proof;
mod prune;
mod recompute;
mod stage;
mod tree;

pub use self::{
    error::TreeError,
    proof::{Proof, proof, verify},
    prune::prune,
    recompute::{Recomputed, recompute},
    stage::TreeStage,
    tree::{Extension, Tree, TreeConfig, TreeRoot, Truncation, root_of},
};
