//! What a transaction leaves for others to read.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes};

/// An event of a contract: a "log" in the words of the Ethereum API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Contract that emitted it.
    pub address: Address,
    /// Indexed topics, at most four; the first is the signature.
    pub topics: Vec<B256>,
    /// The rest.
    pub data: Bytes,
}

/// A log for L1: 88 bytes when serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2ToL1Log {
    /// Always 0.
    pub shard_id: u8,
    /// Whether the bootloader or a system contract sent it on the protocol's behalf.
    pub is_service: bool,
    /// Index of the transaction in its batch.
    pub tx_index_in_batch: u16,
    /// Contract that sent it.
    pub sender: Address,
    /// First word.
    pub key: B256,
    /// Second word.
    pub value: B256,
}

impl L2ToL1Log {
    /// Length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 88;

    /// The form that is hashed and published.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.shard_id;
        bytes[1] = u8::from(self.is_service);
        bytes[2..4].copy_from_slice(&self.tx_index_in_batch.to_be_bytes());
        bytes[4..24].copy_from_slice(self.sender.as_slice());
        bytes[24..56].copy_from_slice(self.key.as_slice());
        bytes[56..].copy_from_slice(self.value.as_slice());
        bytes
    }
}

/// The Ethereum bloom filter over addresses and topics of `events`.
pub fn bloom_of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for event in events {
        bloom.accrue(BloomInput::Raw(event.address.as_slice()));
        for topic in &event.topics {
            bloom.accrue(BloomInput::Raw(topic.as_slice()));
        }
    }
    bloom
}
