//! Where leaves and nodes are: keys of leaves as big-endian bits, paths of nodes in nibbles from
//! the root.

use lockstep_types::{B256, HashedKey};

/// Nibbles of a complete path.
pub(crate) const NIBBLES: usize = 64;

/// Place of a leaf: its bits from the root on, 1 is right. The hashed key backwards, since the
/// protocol reads hashed keys as little-endian numbers and the root looks at the highest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeafKey(pub(crate) [u8; 32]);

impl LeafKey {
    pub(crate) fn new(key: HashedKey) -> Self {
        let mut bytes = *key.bytes();
        bytes.reverse();
        Self(bytes)
    }

    pub(crate) fn hashed_key(self) -> HashedKey {
        let mut bytes = self.0;
        bytes.reverse();
        HashedKey(B256::new(bytes))
    }

    /// Which child of the node at `depth` (in nibbles) leads here.
    pub(crate) fn nibble(&self, depth: usize) -> usize {
        let byte = self.0[depth / 2];
        usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
    }

    /// Whether the way to this leaf turns right below the binary node at `height` + 1.
    pub(crate) fn is_right(&self, height: usize) -> bool {
        let from_root = 255 - height;
        self.0[from_root / 8] >> (7 - from_root % 8) & 1 == 1
    }

    /// Height of the children of the binary node at which the ways to two leaves part; `None` if
    /// they are the same leaf.
    pub(crate) fn parting_height(&self, other: &Self) -> Option<usize> {
        (0..256).rev().find(|height| self.is_right(*height) != other.is_right(*height))
    }
}

/// Place of a node: the first nibbles of the keys of the leaves below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path {
    depth: u8,
    /// Zero after the first `depth` nibbles.
    nibbles: [u8; 32],
}

impl Path {
    pub(crate) const ROOT: Self = Self { depth: 0, nibbles: [0; 32] };

    /// The node at `depth` (in nibbles) on the way to `key`.
    pub(crate) fn to(key: &LeafKey, depth: usize) -> Self {
        let mut nibbles = [0; 32];
        nibbles[..depth / 2].copy_from_slice(&key.0[..depth / 2]);
        if !depth.is_multiple_of(2) {
            nibbles[depth / 2] = key.0[depth / 2] & 0xf0;
        }
        Self { depth: u8::try_from(depth).expect("a path has at most 64 nibbles"), nibbles }
    }

    /// In nibbles from the root.
    pub(crate) fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    pub(crate) fn leads_to(&self, key: &LeafKey) -> bool {
        *self == Self::to(key, self.depth())
    }

    /// All nibbles, zero after the last.
    pub(crate) fn nibbles(&self) -> &[u8; 32] {
        &self.nibbles
    }
}

/// Place of a node among all versions: a row of the table of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeKey {
    /// The batch that made the node.
    pub(crate) version: u32,
    pub(crate) path: Path,
}

/// Height of the binary node that the node at `depth` stands for.
pub(crate) fn height_at(depth: usize) -> usize {
    256 - 4 * depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_of_a_hashed_key_is_nearest_to_the_root() {
        let mut bytes = [0; 32];
        bytes[31] = 0xa1;
        bytes[0] = 0x01;
        let key = LeafKey::new(HashedKey(B256::new(bytes)));
        assert_eq!((key.nibble(0), key.nibble(1), key.nibble(63)), (0xa, 1, 1));
        assert!(key.is_right(255) && !key.is_right(254) && key.is_right(253));
        assert!(key.is_right(0) && !key.is_right(1));
        assert_eq!(key.hashed_key(), HashedKey(B256::new(bytes)));
    }

    #[test]
    fn a_path_knows_its_leaves() {
        let key = LeafKey([0xab; 32]);
        let path = Path::to(&key, 3);
        assert_eq!(path.nibbles()[..3], [0xab, 0xa0, 0]);
        assert!(path.leads_to(&key));
        assert!(!path.leads_to(&LeafKey([0xaa; 32])));
        assert!(Path::ROOT.leads_to(&LeafKey([0xaa; 32])));
    }

    #[test]
    fn ways_part_at_the_highest_bit_that_differs() {
        let zero = LeafKey([0; 32]);
        let mut last = [0; 32];
        last[31] = 1;
        assert_eq!(zero.parting_height(&LeafKey(last)), Some(0));
        assert_eq!(zero.parting_height(&LeafKey([0xff; 32])), Some(255));
        assert_eq!(zero.parting_height(&zero), None);
    }
}
