//! Nodes in memory, bounded by bytes: two generations, the older of which is dropped whole.
//!
//! A node that is used while in the older generation moves to the younger, so what every batch
//! touches (the top of the tree) stays. The maps are never iterated.

use std::{collections::HashMap, mem, sync::Arc};

use crate::{
    node::{Children, Node},
    path::NodeKey,
};

/// Bytes that an entry takes beside its node: key, counters, and room in the map.
const ENTRY_BYTES: usize = 96;

#[derive(Debug, Default)]
pub(crate) struct NodeCache {
    young: HashMap<NodeKey, Arc<Node>>,
    /// Of the young generation; the old one was no larger when it was young.
    young_bytes: usize,
    old: HashMap<NodeKey, Arc<Node>>,
    bytes_max: usize,
}

impl NodeCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    pub(crate) fn get(&self, key: &NodeKey) -> Option<Arc<Node>> {
        self.young.get(key).or_else(|| self.old.get(key)).cloned()
    }

    /// Adds a node, or marks it as used.
    pub(crate) fn insert(&mut self, key: NodeKey, node: Arc<Node>) {
        let bytes = entry_bytes(&node);
        let generation_bytes_max = self.bytes_max / 2;
        if bytes > generation_bytes_max {
            return;
        }
        if self.young_bytes + bytes > generation_bytes_max {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.old.remove(&key);
        if self.young.insert(key, node).is_none() {
            self.young_bytes += bytes;
        }
    }

    pub(crate) fn remove(&mut self, key: &NodeKey) {
        if let Some(node) = self.young.remove(key) {
            self.young_bytes -= entry_bytes(&node);
        }
        self.old.remove(key);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }
}

fn entry_bytes(node: &Node) -> usize {
    let children = match node {
        Node::Leaf(_) => 0,
        Node::Inner(_) => size_of::<Children>(),
    };
    ENTRY_BYTES + size_of::<Node>() + children
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        node::Leaf,
        path::{LeafKey, Path},
    };

    fn entry(version: u32) -> (NodeKey, Arc<Node>) {
        let leaf = Leaf { key: LeafKey([0; 32]), value: [0; 32], index: 1 };
        (NodeKey { version, path: Path::ROOT }, Arc::new(Node::Leaf(leaf)))
    }

    #[test]
    fn what_is_used_stays_and_the_number_of_nodes_is_bounded() {
        let mut cache = NodeCache::new(20 * entry_bytes(&entry(0).1));
        for version in 0..1000 {
            let (key, node) = entry(version);
            cache.insert(key, node);
            let (used, node) = entry(0);
            assert!(cache.get(&used).is_some(), "lost after {version}");
            cache.insert(used, node);
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert!(cache.get(&entry(500).0).is_none());
        assert!(cache.get(&entry(999).0).is_some());
    }

    #[test]
    fn a_cache_without_room_holds_nothing() {
        let mut cache = NodeCache::new(0);
        let (key, node) = entry(1);
        cache.insert(key, node);
        assert!(cache.get(&key).is_none());
    }
}
