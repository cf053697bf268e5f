//! Commit transactions made by hand: the encoder that the node itself does not need.

use lockstep_types::{B256, Bytes, CommitBody, CommitInfo, U256};

/// A commit transaction to be encoded. Nothing is checked: tests make wrong ones as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitCalldata {
    /// The function.
    pub selector: [u8; 4],
    /// Words before the batches: chain, first and last number.
    pub arguments: Vec<B256>,
    /// Words of the batch before the first.
    pub stored: Vec<B256>,
    /// The batches.
    pub batches: Vec<CommitInfo>,
    /// First byte of the batches, where they are bytes of their own.
    pub encoding: Option<u8>,
}

impl CommitCalldata {
    /// The calldata.
    pub fn encode(&self) -> Bytes {
        let batches: Vec<_> = self.batches.iter().map(batch).collect();
        // The offset of the list counts from the first word of the tuple that it is in.
        let leading = if self.encoding.is_none() { self.arguments.len() } else { 0 };
        let mut data = self.stored.concat_words();
        data.extend(number((leading + self.stored.len() + 1) * 32));
        data.extend(list(&batches));
        let mut calldata = self.selector.to_vec();
        calldata.extend(self.arguments.concat_words());
        match self.encoding {
            None => calldata.extend(data),
            Some(version) => {
                calldata.extend(number((self.arguments.len() + 1) * 32));
                calldata.extend(bytes(&[&[version], &data[..]].concat()));
            }
        }
        calldata.into()
    }
}

trait ConcatWords {
    fn concat_words(&self) -> Vec<u8>;
}

impl ConcatWords for [B256] {
    fn concat_words(&self) -> Vec<u8> {
        self.iter().flat_map(|word| word.0).collect()
    }
}

fn number(number: usize) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

/// A length and that many bytes, filled up to whole words.
fn bytes(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = number(bytes.len()).to_vec();
    encoded.extend_from_slice(bytes);
    encoded.resize(32 + bytes.len().next_multiple_of(32), 0);
    encoded
}

/// A list of dynamic items.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut encoded = number(items.len()).to_vec();
    let mut offset = items.len() * 32;
    for item in items {
        encoded.extend(number(offset));
        offset += item.len();
    }
    encoded.extend(items.concat());
    encoded
}

/// A tuple of words and dynamic parts.
fn batch(info: &CommitInfo) -> Vec<u8> {
    let small = |number: u64| B256::from(U256::from(number));
    let mut words = vec![
        small(info.number),
        small(info.timestamp),
        small(info.next_leaf_index),
        info.root,
        B256::from(info.l1_tx_count),
    ];
    let parts = match &info.body {
        CommitBody::Lists(body) => {
            words.extend([body.l2_to_l1_root, info.priority_ops_hash]);
            let of_bytes =
                |items: &[Bytes]| list(&items.iter().map(|item| bytes(item)).collect::<Vec<_>>());
            vec![
                bytes(&body.initial_writes),
                bytes(&body.repeated_writes),
                bytes(&body.logs),
                of_bytes(&body.messages),
                of_bytes(&body.factory_deps),
            ]
        }
        CommitBody::Diffs(body) => {
            words.extend([info.priority_ops_hash, body.heap_hash, body.events_queue_hash]);
            vec![bytes(&body.system_logs), bytes(&body.da_input)]
        }
    };
    let mut encoded = words.concat_words();
    let mut offset = encoded.len() + parts.len() * 32;
    for part in &parts {
        encoded.extend(number(offset));
        offset += part.len();
    }
    encoded.extend(parts.concat());
    encoded
}
