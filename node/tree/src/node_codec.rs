//! Bytes on disk. Nodes and roots are read back only if writing them again would give the same
//! bytes.
//!
//! | Row | Key | Value |
//! |---|---|---|
//! | leaf | version u32be, depth u8, path | `00`, replaced, rest of the key, value, index |
//! | inner node | the same | `01`, replaced, 16 × 2 bits of kind (u32be, child 0 lowest), per child: hash, age |
//! | root | version u32be | kind, (hash, age) unless empty, leaf count |
//!
//! The path is packed two nibbles a byte, the last padded with zero; the rest of the key begins
//! with the byte in which the path ends. Numbers are LEB128. An age is the row's version minus the
//! child's; `replaced` is 0, or the row's version minus that of the node it replaces. A leaf's
//! value is its length and its bytes without leading zeros. A kind is 0 for nothing, 1 for an
//! inner node, 2 for a leaf.

use crate::{
    node::{Child, Children, Leaf, Node, NodeRow, RootRow},
    path::{LeafKey, NIBBLES, NodeKey, Path},
};

const LEAF: u8 = 0;
const INNER: u8 = 1;

/// What is wrong with a row.
pub(crate) type Malformed = &'static str;

pub(crate) fn encode_node_key(key: &NodeKey) -> Vec<u8> {
    let depth = key.path.depth();
    let mut bytes = Vec::with_capacity(5 + depth.div_ceil(2));
    bytes.extend_from_slice(&key.version.to_be_bytes());
    bytes.push(u8::try_from(depth).expect("a path has at most 64 nibbles"));
    bytes.extend_from_slice(&key.path.nibbles()[..depth.div_ceil(2)]);
    bytes
}

pub(crate) fn decode_node_key(bytes: &[u8]) -> Result<NodeKey, Malformed> {
    let mut reader = Reader(bytes);
    let version = u32::from_be_bytes(reader.array()?);
    let [depth] = reader.array()?;
    let depth = usize::from(depth);
    if depth > NIBBLES {
        return Err("the path is too long");
    }
    let mut nibbles = [0; 32];
    nibbles[..depth.div_ceil(2)].copy_from_slice(reader.take(depth.div_ceil(2))?);
    reader.end()?;
    let path = Path::to(&LeafKey(nibbles), depth);
    if path.nibbles() != &nibbles {
        return Err("the path is not padded with zero");
    }
    Ok(NodeKey { version, path })
}

pub(crate) fn encode_node(key: &NodeKey, node: &Node, replaces: Option<u32>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(80);
    bytes.push(match node {
        Node::Leaf(_) => LEAF,
        Node::Inner(_) => INNER,
    });
    put_number(&mut bytes, replaces.map_or(0, |version| age(key.version, version)));
    match node {
        Node::Leaf(leaf) => {
            bytes.extend_from_slice(&leaf.key.0[key.path.depth() / 2..]);
            let zeros = leaf.value.iter().take_while(|byte| **byte == 0).count();
            bytes.push(u8::try_from(32 - zeros).expect("a value has 32 bytes"));
            bytes.extend_from_slice(&leaf.value[zeros..]);
            put_number(&mut bytes, leaf.index);
        }
        Node::Inner(children) => {
            let mut kinds = 0_u32;
            for child in children.iter().rev() {
                kinds = kinds << 2 | u32::from(kind(child.as_ref()));
            }
            bytes.extend_from_slice(&kinds.to_be_bytes());
            for child in children.iter().flatten() {
                put_child(&mut bytes, key.version, child);
            }
        }
    }
    bytes
}

pub(crate) fn decode_node(key: &NodeKey, bytes: &[u8]) -> Result<NodeRow, Malformed> {
    let mut reader = Reader(bytes);
    let [tag] = reader.array()?;
    let replaces = match reader.number()? {
        0 => None,
        age => Some(version_of_age(key.version, age)?),
    };
    let node = match tag {
        LEAF => Node::Leaf(decode_leaf(&mut reader, &key.path)?),
        INNER => Node::Inner(Box::new(decode_children(&mut reader, key)?)),
        _ => return Err("the node is of no known kind"),
    };
    reader.end()?;
    Ok(NodeRow { node, replaces })
}

fn decode_leaf(reader: &mut Reader<'_>, path: &Path) -> Result<Leaf, Malformed> {
    let known = path.depth() / 2;
    let mut key = LeafKey(*path.nibbles());
    key.0[known..].copy_from_slice(reader.take(32 - known)?);
    if !path.leads_to(&key) {
        return Err("the leaf is in the wrong place");
    }
    let [length] = reader.array()?;
    let length = usize::from(length);
    if length > 32 {
        return Err("the value is too long");
    }
    let mut value = [0; 32];
    value[32 - length..].copy_from_slice(reader.take(length)?);
    if length > 0 && value[32 - length] == 0 {
        return Err("the value has leading zeros");
    }
    Ok(Leaf { key, value, index: reader.number()? })
}

fn decode_children(reader: &mut Reader<'_>, key: &NodeKey) -> Result<Children, Malformed> {
    if key.path.depth() >= NIBBLES {
        return Err("an inner node is where only a leaf can be");
    }
    let kinds = u32::from_be_bytes(reader.array()?);
    let mut children = [None; 16];
    for (nibble, child) in children.iter_mut().enumerate() {
        *child = reader.child(key.version, kinds >> (2 * nibble) & 3)?;
    }
    let mut present = children.iter().flatten();
    match (present.next(), present.next()) {
        (None, _) => Err("an inner node has no children"),
        (Some(child), None) if child.is_leaf => Err("an inner node has a single leaf"),
        (Some(_), _) => Ok(children),
    }
}

pub(crate) fn encode_root_key(version: u32) -> Vec<u8> {
    version.to_be_bytes().to_vec()
}

pub(crate) fn decode_root_key(bytes: &[u8]) -> Result<u32, Malformed> {
    let mut reader = Reader(bytes);
    let version = u32::from_be_bytes(reader.array()?);
    reader.end()?;
    Ok(version)
}

pub(crate) fn encode_root(version: u32, row: &RootRow) -> Vec<u8> {
    let mut bytes = vec![kind(row.node.as_ref())];
    if let Some(node) = &row.node {
        put_child(&mut bytes, version, node);
    }
    put_number(&mut bytes, row.leaf_count);
    bytes
}

pub(crate) fn decode_root(version: u32, bytes: &[u8]) -> Result<RootRow, Malformed> {
    let mut reader = Reader(bytes);
    let [kind] = reader.array()?;
    let node = reader.child(version, u32::from(kind))?;
    let leaf_count = reader.number()?;
    reader.end()?;
    let possible = match node {
        None => leaf_count == 0,
        Some(node) if node.is_leaf => leaf_count == 1,
        Some(_) => leaf_count > 1,
    };
    if possible { Ok(RootRow { node, leaf_count }) } else { Err("the leaf count cannot be right") }
}

fn kind(child: Option<&Child>) -> u8 {
    match child {
        None => 0,
        Some(child) if child.is_leaf => 2,
        Some(_) => 1,
    }
}

fn put_child(bytes: &mut Vec<u8>, version: u32, child: &Child) {
    bytes.extend_from_slice(&child.hash);
    put_number(bytes, age(version, child.version));
}

fn age(version: u32, older: u32) -> u64 {
    u64::from(version.checked_sub(older).expect("a node knows only nodes that are not newer"))
}

fn version_of_age(version: u32, age: u64) -> Result<u32, Malformed> {
    let older = u64::from(version).checked_sub(age).ok_or("a node is older than the chain")?;
    Ok(u32::try_from(older).expect("not more than the version"))
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("the row ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("the row ends too early")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let low = u64::from(byte & 0x7f);
            if low << shift >> shift != low {
                break;
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest { Ok(number) } else { Err("a number is not the shortest") };
            }
        }
        Err("a number is too large")
    }

    fn child(&mut self, version: u32, kind: u32) -> Result<Option<Child>, Malformed> {
        let is_leaf = match kind {
            0 => return Ok(None),
            1 => false,
            2 => true,
            _ => return Err("a child is of no known kind"),
        };
        let hash = self.array()?;
        let version = version_of_age(version, self.number()?)?;
        Ok(Some(Child { version, is_leaf, hash }))
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err("the row goes on after its end") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::*,
        test_runner::{Config, RngSeed},
    };

    use super::*;

    fn config() -> Config {
        Config { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..Config::default() }
    }

    fn leaf_row() -> (NodeKey, NodeRow) {
        let mut value = [0; 32];
        value[30] = 7;
        let leaf = Leaf { key: LeafKey([0xab; 32]), value, index: 300 };
        let key = NodeKey { version: 1000, path: Path::to(&leaf.key, 3) };
        (key, NodeRow { node: Node::Leaf(leaf), replaces: Some(999) })
    }

    fn inner_row() -> (NodeKey, NodeRow) {
        let mut children = [None; 16];
        children[1] = Some(Child { version: 5, is_leaf: true, hash: [0x11; 32] });
        children[15] = Some(Child { version: 260, is_leaf: false, hash: [0x22; 32] });
        let key = NodeKey { version: 260, path: Path::to(&LeafKey([0xcd; 32]), 4) };
        (key, NodeRow { node: Node::Inner(Box::new(children)), replaces: None })
    }

    #[test]
    fn nodes_have_these_bytes_on_disk() {
        let (key, row) = leaf_row();
        assert_eq!(hex::encode(encode_node_key(&key)), "000003e803aba0");
        assert_eq!(
            hex::encode(encode_node(&key, &row.node, row.replaces)),
            format!("0001{}020700ac02", "ab".repeat(31))
        );
        let (key, row) = inner_row();
        assert_eq!(hex::encode(encode_node_key(&key)), "0000010404cdcd");
        assert_eq!(
            hex::encode(encode_node(&key, &row.node, row.replaces)),
            format!("010040000008{}ff01{}00", "11".repeat(32), "22".repeat(32))
        );
    }

    #[test]
    fn roots_have_these_bytes_on_disk() {
        assert_eq!(hex::encode(encode_root(7, &RootRow::EMPTY)), "0000");
        let node = Some(Child { version: 6, is_leaf: false, hash: [0x33; 32] });
        let row = RootRow { node, leaf_count: 200 };
        let bytes = encode_root(7, &row);
        assert_eq!(hex::encode(&bytes), format!("01{}01c801", "33".repeat(32)));
        assert_eq!(decode_root(7, &bytes), Ok(row));
        assert_eq!(decode_root(0, &bytes), Err("a node is older than the chain"));
    }

    #[test]
    fn rows_that_are_cut_or_too_long_are_refused() {
        for (key, row) in [leaf_row(), inner_row()] {
            let mut bytes = encode_node(&key, &row.node, row.replaces);
            assert_eq!(decode_node(&key, &bytes), Ok(row));
            for length in 0..bytes.len() {
                assert!(decode_node(&key, &bytes[..length]).is_err(), "{length} bytes");
            }
            bytes.push(0);
            assert!(decode_node(&key, &bytes).is_err());
        }
    }

    #[test]
    fn numbers_survive_and_have_one_form() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(Reader(&bytes).number(), Ok(number));
        }
        assert!(Reader(&[0x80, 0]).number().is_err());
        assert!(Reader(&[0xff; 10]).number().is_err());
        let two_to_the_64 = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2];
        assert!(Reader(&two_to_the_64).number().is_err());
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn whatever_is_read_would_be_written_the_same(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            inner in any::<bool>(),
            deep in any::<bool>(),
        ) {
            let (mut key, row) = if inner { inner_row() } else { leaf_row() };
            let mut bytes = encode_node(&key, &row.node, row.replaces);
            for (at, with) in flips {
                let at = at.index(bytes.len());
                bytes[at] = with;
            }
            if deep {
                key.path = Path::ROOT;
            }
            if let Ok(read) = decode_node(&key, &bytes) {
                prop_assert_eq!(encode_node(&key, &read.node, read.replaces), bytes);
            }
        }

        #[test]
        fn node_keys_survive(bytes in any::<[u8; 32]>(), depth in 0..=64_usize, version: u32) {
            let key = NodeKey { version, path: Path::to(&LeafKey(bytes), depth) };
            prop_assert_eq!(decode_node_key(&encode_node_key(&key)), Ok(key));
        }
    }
}
