//! Hashes of leaves, of binary nodes, and of empty subtrees; many at a time where possible, because
//! Blake2s is several times faster on independent inputs side by side.

use std::sync::LazyLock;

use blake2s_simd::{
    Params,
    many::{HashManyJob, hash_many},
};

use crate::{
    node::{Child, Children, Leaf},
    path::{LeafKey, height_at},
};

/// A Blake2s-256 digest.
pub(crate) type Hash = [u8; 32];

/// Inputs hashed side by side: what AVX2 can.
const LANES: usize = 8;

/// By height: 0 is an empty leaf, 256 the empty tree.
static EMPTY: LazyLock<[Hash; 257]> = LazyLock::new(|| {
    let mut hashes = [[0; 32]; 257];
    hashes[0] = leaf_hash(&[0; 32], 0);
    for height in 0..256 {
        hashes[height + 1] = pair_hash(&hashes[height], &hashes[height]);
    }
    hashes
});

/// Hash of an empty subtree of this height.
pub(crate) fn empty(height: usize) -> Hash {
    EMPTY[height]
}

/// Hash of a leaf at height 0.
pub(crate) fn leaf_hash(value: &[u8; 32], index: u64) -> Hash {
    *blake2s_simd::blake2s(&leaf_bytes(value, index)).as_array()
}

/// Hash of a binary node one higher than `own`, which is on the way to `key` at `height`.
pub(crate) fn join(key: &LeafKey, height: usize, own: &Hash, sibling: &Hash) -> Hash {
    *blake2s_simd::blake2s(&joined(key, height, own, sibling)).as_array()
}

/// A leaf whose hash is wanted higher up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lift<'a> {
    pub(crate) leaf: &'a Leaf,
    /// Height at which the hash is wanted, all other leaves below there being empty.
    pub(crate) height: usize,
    /// A height not below `height` at which the hash is known already.
    pub(crate) known: Option<(usize, Hash)>,
}

/// The hashes of `lifts`, in their order; `None` for a leaf that contradicts what is known of it.
pub(crate) fn lift(lifts: &[Lift<'_>]) -> Vec<Option<Hash>> {
    let last = |lift: &Lift<'_>| lift.known.map_or(lift.height, |(height, _)| height);
    // Those that rise furthest come first, so that those that still rise are a prefix.
    let mut order: Vec<usize> = (0..lifts.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(last(&lifts[*index])));
    let sorted: Vec<&Lift<'_>> = order.iter().map(|index| &lifts[*index]).collect();

    let leaves: Vec<_> =
        sorted.iter().map(|lift| leaf_bytes(&lift.leaf.value, lift.leaf.index)).collect();
    let mut at = vec![[0; 32]; sorted.len()];
    hash_all(&leaves, &mut at);
    let mut wanted = at.clone();
    let mut pairs = vec![[0; 64]; sorted.len()];
    let mut rising = sorted.len();
    for height in 0.. {
        rising -= sorted[..rising].iter().rev().take_while(|lift| last(lift) <= height).count();
        if rising == 0 {
            break;
        }
        let sibling = empty(height);
        for (pair, (lift, own)) in pairs.iter_mut().zip(sorted[..rising].iter().zip(&at)) {
            *pair = joined(&lift.leaf.key, height, own, &sibling);
        }
        hash_all(&pairs[..rising], &mut at[..rising]);
        for place in (0..rising).filter(|place| sorted[*place].height == height + 1) {
            wanted[place] = at[place];
        }
    }

    let mut hashes = vec![None; lifts.len()];
    for (place, (index, lift)) in order.into_iter().zip(sorted).enumerate() {
        let agrees = lift.known.is_none_or(|(_, known)| known == at[place]);
        hashes[index] = agrees.then_some(wanted[place]);
    }
    hashes
}

/// The hashes of inner nodes that are all at `depth` (in nibbles), in their order.
pub(crate) fn hash_inner(depth: usize, nodes: &[&Children]) -> Vec<Hash> {
    let bottom = height_at(depth + 1);
    let mut hashes: Vec<Hash> =
        nodes.iter().flat_map(|children| child_hashes(bottom, children)).collect();
    for height in bottom..bottom + 4 {
        hashes = hash_pairs(height, &hashes);
    }
    hashes
}

/// The siblings, root side first, along the four binary levels between the inner node at `depth`
/// (in nibbles) and its child `nibble`.
pub(crate) fn siblings(depth: usize, children: &Children, nibble: usize) -> [Hash; 4] {
    let bottom = height_at(depth + 1);
    let mut hashes = child_hashes(bottom, children).to_vec();
    let mut siblings = [[0; 32]; 4];
    for level in 0..4 {
        siblings[3 - level] = hashes[(nibble >> level) ^ 1];
        hashes = hash_pairs(bottom + level, &hashes);
    }
    siblings
}

fn child_hashes(height: usize, children: &Children) -> [Hash; 16] {
    let hash = |child: &Option<Child>| child.as_ref().map_or(empty(height), |child| child.hash);
    std::array::from_fn(|nibble| hash(&children[nibble]))
}

/// The parents of `hashes`, which are at `height`, two and two.
fn hash_pairs(height: usize, hashes: &[Hash]) -> Vec<Hash> {
    let nothing = empty(height);
    let mut parents = vec![empty(height + 1); hashes.len() / 2];
    let mut places = Vec::with_capacity(parents.len());
    let mut pairs = Vec::with_capacity(parents.len());
    for (place, pair) in hashes.chunks_exact(2).enumerate() {
        if pair[0] != nothing || pair[1] != nothing {
            places.push(place);
            pairs.push(pair_bytes(&pair[0], &pair[1]));
        }
    }
    let mut hashes = vec![[0; 32]; pairs.len()];
    hash_all(&pairs, &mut hashes);
    for (place, hash) in places.into_iter().zip(hashes) {
        parents[place] = hash;
    }
    parents
}

/// Puts the hash of each of `inputs` at its place in `hashes`.
fn hash_all<const N: usize>(inputs: &[[u8; N]], hashes: &mut [Hash]) {
    assert_eq!(inputs.len(), hashes.len(), "a place for every hash");
    let params = Params::new();
    for (inputs, hashes) in inputs.chunks(LANES).zip(hashes.chunks_mut(LANES)) {
        // Lanes without an input of their own have an empty one, and are not run.
        let mut jobs: [_; LANES] = std::array::from_fn(|lane| {
            HashManyJob::new(&params, inputs.get(lane).map_or(&[][..], |input| &input[..]))
        });
        hash_many(&mut jobs[..inputs.len()]);
        for (hash, job) in hashes.iter_mut().zip(&jobs) {
            *hash = *job.to_hash().as_array();
        }
    }
}

fn pair_hash(left: &Hash, right: &Hash) -> Hash {
    *blake2s_simd::blake2s(&pair_bytes(left, right)).as_array()
}

fn joined(key: &LeafKey, height: usize, own: &Hash, sibling: &Hash) -> [u8; 64] {
    if key.is_right(height) { pair_bytes(sibling, own) } else { pair_bytes(own, sibling) }
}

fn pair_bytes(left: &Hash, right: &Hash) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(left);
    bytes[32..].copy_from_slice(right);
    bytes
}

fn leaf_bytes(value: &[u8; 32], index: u64) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&index.to_be_bytes());
    bytes[8..].copy_from_slice(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_tree_has_its_published_root() {
        assert_eq!(
            hex::encode(empty(256)),
            "98a48e4ed1736188384ae8a79dd21c4d6687e5fd22ca18148906d78736c0d86a"
        );
    }

    #[test]
    fn many_leaves_rise_as_one_by_one() {
        let leaves: Vec<Leaf> = (0..21_u8)
            .map(|n| Leaf { key: LeafKey([n.wrapping_mul(37); 32]), value: [n; 32], index: 9 })
            .collect();
        let one_by_one = |leaf: &Leaf, height: usize| {
            (0..height).fold(leaf_hash(&leaf.value, leaf.index), |own, at| {
                join(&leaf.key, at, &own, &empty(at))
            })
        };
        let lifts: Vec<_> = leaves
            .iter()
            .enumerate()
            .map(|(n, leaf)| Lift {
                leaf,
                height: n * 12,
                known: (n % 2 == 0).then(|| (n * 12 + 4, one_by_one(leaf, n * 12 + 4))),
            })
            .collect();
        let expected: Vec<_> =
            lifts.iter().map(|lift| Some(one_by_one(lift.leaf, lift.height))).collect();
        assert_eq!(lift(&lifts), expected);
    }

    #[test]
    fn a_leaf_that_contradicts_its_known_hash_is_told_apart() {
        let leaf = Leaf { key: LeafKey([1; 32]), value: [2; 32], index: 3 };
        let at = |height| lift(&[Lift { leaf: &leaf, height, known: None }])[0].unwrap();
        let known = |hash| Lift { leaf: &leaf, height: 8, known: Some((12, hash)) };
        assert_eq!(lift(&[known(at(12)), known(at(8))]), [Some(at(8)), None]);
    }
}
