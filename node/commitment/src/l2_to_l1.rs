//! The Merkle tree over a batch's logs for L1, and the chain of its priority operations.

use lockstep_types::{
    B256, L2ToL1Log, ProtocolVersion, StorageSlot, TxHash, U256, address::L2_MESSAGE_ROOT,
    keccak256,
};

/// Slot of the message root contract with the height of the tree over all chains.
const HEIGHT_SLOT: u64 = 4;
/// Slot of the message root contract with the nodes of that tree.
const NODES_SLOT: u64 = 6;

/// Leaves of the tree over logs.
pub fn log_tree_size(version: ProtocolVersion) -> usize {
    match version.0 {
        0..=17 => 512,
        18..=20 => 2048,
        21 | 22 => 4096,
        23.. => 16_384,
    }
}

/// A binary Keccak tree of a fixed number of leaves, the last of which may be empty.
#[derive(Clone, Debug)]
pub struct LogTree {
    /// Levels from the leaves to the root. Each is followed by copies of its empty subtree.
    levels: Vec<Vec<B256>>,
    /// The empty subtree of each level.
    empty: Vec<B256>,
}

impl LogTree {
    /// The tree over a batch's user logs. `None` if there are more than the version's tree holds.
    pub fn of_batch<'a>(
        logs: impl IntoIterator<Item = &'a L2ToL1Log>,
        version: ProtocolVersion,
    ) -> Option<Self> {
        let leaves = logs.into_iter().map(|log| log.to_bytes());
        Self::of_leaves(leaves, log_tree_size(version))
    }

    /// The tree over serialized logs. `None` if there are more than `size`, which is a power of
    /// two.
    pub fn of_leaves(
        leaves: impl IntoIterator<Item = [u8; L2ToL1Log::BYTES]>,
        size: usize,
    ) -> Option<Self> {
        assert!(size.is_power_of_two(), "a binary tree has a power of two of leaves");
        let mut level: Vec<B256> = leaves.into_iter().map(keccak256).collect();
        if level.len() > size {
            return None;
        }
        let mut empty = vec![keccak256([0; L2ToL1Log::BYTES])];
        let mut levels = Vec::new();
        for height in 0..size.ilog2() as usize {
            let filler = empty[height];
            let pair = |pair: &[B256]| joined(pair[0], *pair.get(1).unwrap_or(&filler));
            let above = level.chunks(2).map(pair).collect();
            levels.push(std::mem::replace(&mut level, above));
            empty.push(joined(filler, filler));
        }
        levels.push(level);
        Some(Self { levels, empty })
    }

    /// Root of the tree.
    pub fn root(&self) -> B256 {
        self.node(self.levels.len() - 1, 0)
    }

    /// Siblings on the way from leaf `index` to the root, the leaf's own first. `None` if the tree
    /// has no such leaf.
    pub fn path(&self, index: usize) -> Option<Vec<B256>> {
        let height = self.levels.len() - 1;
        if index >> height != 0 {
            return None;
        }
        Some((0..height).map(|level| self.node(level, (index >> level) ^ 1)).collect())
    }

    fn node(&self, level: usize, index: usize) -> B256 {
        self.levels[level].get(index).copied().unwrap_or(self.empty[level])
    }
}

fn joined(left: B256, right: B256) -> B256 {
    keccak256([left.0, right.0].concat())
}

/// The root that L1 is told: from v26 on, the batch's own is joined with that of all chains.
pub fn l2_to_l1_root(local: B256, aggregation: B256, version: ProtocolVersion) -> B256 {
    if version < ProtocolVersion::GATEWAY { local } else { joined(local, aggregation) }
}

/// The slot with the height of the tree over all chains.
pub fn aggregation_height_slot() -> StorageSlot {
    StorageSlot::new(L2_MESSAGE_ROOT, B256::from(U256::from(HEIGHT_SLOT)))
}

/// The slot with the root of the tree over all chains, which has this `height`; both are read
/// after the batch's last block.
pub fn aggregation_root_slot(height: B256) -> StorageSlot {
    // Element [height][0] of an array of arrays: arrays begin at the hash of their slot.
    let outer = U256::from_be_bytes(keccak256(B256::from(U256::from(NODES_SLOT))).0);
    let inner = B256::from(outer.wrapping_add(U256::from_be_bytes(height.0)));
    StorageSlot::new(L2_MESSAGE_ROOT, keccak256(inner))
}

/// Keccak-256 chain over the hashes of a batch's priority operations, in order.
pub fn priority_ops_hash<'a>(hashes: impl IntoIterator<Item = &'a TxHash>) -> B256 {
    let extend = |chain: B256, hash: &TxHash| joined(chain, hash.0);
    hashes.into_iter().fold(keccak256([]), extend)
}

#[cfg(test)]
mod tests {
    use lockstep_types::{Address, alloy_primitives::b256};

    use super::*;

    fn root(leaf_count: u8, size: usize) -> B256 {
        let leaves = (1..=leaf_count).map(|value| [value; L2ToL1Log::BYTES]);
        LogTree::of_leaves(leaves, size).unwrap().root()
    }

    #[test]
    fn roots_equal_the_published_ones() {
        let one = b256!("45e2793110bf02d81fc72bc11ed257c79251816f4187fa95f2e4d7cded1efad9");
        assert_eq!(root(1, 32), one);
        let full = b256!("29694afc5d76ad6ee48e9382b1cf724c503c5742aa905700e290845c56d1b488");
        assert_eq!(root(32, 32), full);
        let fifty = b256!("2da23c4270b612710106f3e02e9db9fa42663751869f48d952fa7a0eaaa92475");
        assert_eq!(root(50, 64), fifty);
    }

    #[test]
    fn empty_trees_have_the_published_roots() {
        let of = |version| LogTree::of_batch([], ProtocolVersion(version)).unwrap().root();
        let v18 = b256!("fef7bd9f889811e59e4076a0174087135f080177302763019adaf531257e3a87");
        assert_eq!(of(18), v18);
        let v22 = b256!("a707d1c62d8be699d34cb74804fdd7b4c568b6c1a821066f126c680d4b83e00b");
        assert_eq!(of(22), v22);
    }

    #[test]
    fn every_path_leads_to_the_root() {
        let leaves: Vec<_> = (1..=11).map(|value| [value; L2ToL1Log::BYTES]).collect();
        let tree = LogTree::of_leaves(leaves.iter().copied(), 16).unwrap();
        for index in 0..16 {
            let leaf = leaves.get(index).copied().unwrap_or([0; L2ToL1Log::BYTES]);
            let mut hash = keccak256(leaf);
            let path = tree.path(index).unwrap();
            assert_eq!(path.len(), 4);
            for (level, sibling) in path.into_iter().enumerate() {
                let is_right = (index >> level) & 1 == 1;
                hash = if is_right { joined(sibling, hash) } else { joined(hash, sibling) };
            }
            assert_eq!(hash, tree.root(), "leaf {index}");
        }
        assert_eq!(tree.path(16), None);
    }

    #[test]
    fn more_logs_than_leaves_are_refused() {
        assert!(LogTree::of_leaves([[1; L2ToL1Log::BYTES]; 5], 4).is_none());
    }

    #[test]
    fn a_log_is_serialized_as_published() {
        let log = L2ToL1Log {
            shard_id: 0,
            is_service: false,
            tx_index_in_batch: 6,
            sender: Address::with_last_byte(8),
            key: B256::with_last_byte(11),
            value: B256::with_last_byte(19),
        };
        let bytes = log.to_bytes();
        assert_eq!((bytes[3], bytes[23], bytes[55], bytes[87]), (6, 8, 11, 19));
    }

    #[test]
    fn no_priority_operations_have_the_hash_of_nothing() {
        let nothing = b256!("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
        assert_eq!(priority_ops_hash([]), nothing);
        let one = TxHash(B256::repeat_byte(1));
        assert_eq!(priority_ops_hash([&one]), joined(nothing, one.0));
    }
}
