//! Events and logs out of what the machine records.

use std::collections::BTreeSet;

use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, Event, L2ToL1Log, address, alloy_primitives::b256,
};
use zksync_types::U256;
use zksync_vm2::interface;

use super::words::{address_of, b256_of};

/// `L2ToL1LogSent((uint8,bool,uint16,address,bytes32,bytes32))`.
const L2_TO_L1_LOG_SENT: B256 =
    b256!("27fe8c0b49f49507b9d4fe5968c9f49edfe5c9df277d433a07a0717ede97638d");
/// `L1MessageSent(address,bytes32,bytes)`.
const L1_MESSAGE_SENT: B256 =
    b256!("3a36e47291f4201faf137fab081d92295bce2d53be2c6ca68ba82c7faa9ce241");
/// `BytecodeL1PublicationRequested(bytes32)`.
const BYTECODE_PUBLICATION: B256 =
    b256!("480d3c9f727b5e5c1203d4c61fb185d37f08e6b2dc5e9bbf98591b1a7addf57c");
/// `MarkedAsKnown(bytes32,bool)`.
const MARKED_AS_KNOWN: B256 =
    b256!("c94722ff13eacf53547c4741dab5228353a05938ffcdd5d4a2d533ae0e618287");

/// An event that is being put together. The machine records two words at a time.
#[derive(Debug)]
struct Partial {
    tx: (u8, u16),
    topics_left: u32,
    bytes_left: usize,
    topics: Vec<B256>,
    data: Vec<u8>,
}

impl Partial {
    fn new(first: &interface::Event) -> Self {
        // The key of the first record says how much is to come; the emitter is the first topic.
        let sizes = first.key.0[0];
        let mut partial = Self {
            tx: (first.shard_id, first.tx_number),
            topics_left: u32::try_from(sizes & u64::from(u32::MAX)).expect("32 bits"),
            bytes_left: usize::try_from(sizes >> 32).expect("32 bits"),
            topics: Vec::new(),
            data: Vec::new(),
        };
        partial.push(first.value);
        partial
    }

    fn push(&mut self, word: U256) {
        let word = b256_of(word);
        if self.topics_left > 0 {
            self.topics.push(word);
            self.topics_left -= 1;
        } else {
            let taken = self.bytes_left.min(32);
            self.data.extend_from_slice(&word[..taken]);
            self.bytes_left -= taken;
        }
    }

    fn is_whole(&self) -> bool {
        self.topics_left == 0 && self.bytes_left == 0
    }

    fn finish(self) -> Option<Event> {
        if !self.is_whole() {
            return None;
        }
        let mut topics = self.topics.into_iter();
        let address = Address::from_word(topics.next()?);
        Some(Event { address, topics: topics.collect(), data: self.data.into() })
    }
}

/// Puts events together. Records that do not make a whole event are dropped.
pub(crate) fn events<'a>(records: impl IntoIterator<Item = &'a interface::Event>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut current: Option<Partial> = None;
    for record in records {
        if record.is_first {
            events.extend(current.replace(Partial::new(record)).and_then(Partial::finish));
            continue;
        }
        let Some(mut partial) = current.take() else { continue };
        if partial.tx != (record.shard_id, record.tx_number) {
            continue;
        }
        partial.push(record.key);
        partial.push(record.value);
        current = Some(partial);
    }
    events.extend(current.and_then(Partial::finish));
    events
}

/// A log for L1 as the machine records it.
pub(crate) fn system_log(log: &interface::L2ToL1Log) -> L2ToL1Log {
    L2ToL1Log {
        shard_id: log.shard_id,
        is_service: log.is_service,
        tx_index_in_batch: log.tx_number,
        sender: address_of(&log.address),
        key: b256_of(log.key),
        value: b256_of(log.value),
    }
}

fn from_messenger(events: &[Event], topic: B256) -> impl Iterator<Item = &Event> {
    let is_it = move |event: &&Event| {
        event.address == address::L1_MESSENGER && event.topics.first() == Some(&topic)
    };
    events.iter().filter(is_it)
}

/// Users' logs for L1, which the L1 messenger tells by events.
pub(crate) fn user_logs(events: &[Event]) -> Vec<L2ToL1Log> {
    let logs = from_messenger(events, L2_TO_L1_LOG_SENT);
    logs.filter_map(|event| {
        let (words, _) = event.data.as_chunks::<32>();
        let [shard, service, tx, sender, key, value] = words else { return None };
        Some(L2ToL1Log {
            shard_id: shard[31],
            is_service: service[31] != 0,
            tx_index_in_batch: u16::from_be_bytes([tx[30], tx[31]]),
            sender: Address::from_slice(&sender[12..]),
            key: B256::new(*key),
            value: B256::new(*value),
        })
    })
    .collect()
}

/// Messages for L1.
pub(crate) fn messages(events: &[Event]) -> Vec<Vec<u8>> {
    let messages = from_messenger(events, L1_MESSAGE_SENT);
    messages.filter_map(|event| bytes_argument(&event.data)).collect()
}

fn bytes_argument(data: &Bytes) -> Option<Vec<u8>> {
    let number = |at: usize| {
        let word = U256::from_big_endian(data.get(at..at.checked_add(32)?)?);
        (word < U256::from(1_u64 << 32)).then(|| word.as_usize())
    };
    let start = number(0)?;
    let length = number(start)?;
    Some(data.get(start + 32..)?.get(..length)?.to_vec())
}

/// Bytecodes that are to be published on L1 in full.
pub(crate) fn published_bytecodes(events: &[Event]) -> Vec<BytecodeHash> {
    let requests = from_messenger(events, BYTECODE_PUBLICATION);
    let hash = |event: &Event| Some(BytecodeHash(B256::from_slice(event.data.get(..32)?)));
    requests.filter_map(hash).collect()
}

/// Bytecodes that became known.
pub(crate) fn known_bytecodes(events: &[Event]) -> BTreeSet<BytecodeHash> {
    let marks = events.iter().filter(|event| {
        event.address == address::KNOWN_CODES_STORAGE
            && event.topics.first() == Some(&MARKED_AS_KNOWN)
    });
    marks.filter_map(|event| event.topics.get(1).copied().map(BytecodeHash)).collect()
}

#[cfg(test)]
mod tests {
    use lockstep_types::keccak256;

    use super::*;

    #[test]
    fn topics_are_hashes_of_their_signatures() {
        let log = "L2ToL1LogSent((uint8,bool,uint16,address,bytes32,bytes32))";
        assert_eq!(L2_TO_L1_LOG_SENT, keccak256(log));
        assert_eq!(L1_MESSAGE_SENT, keccak256("L1MessageSent(address,bytes32,bytes)"));
        assert_eq!(BYTECODE_PUBLICATION, keccak256("BytecodeL1PublicationRequested(bytes32)"));
        assert_eq!(MARKED_AS_KNOWN, keccak256("MarkedAsKnown(bytes32,bool)"));
    }

    fn record(is_first: bool, key: U256, value: u64, tx: u16) -> interface::Event {
        let value = U256::from(value);
        interface::Event { key, value, is_first, shard_id: 0, tx_number: tx }
    }

    fn sizes(topics: u64, bytes: u64) -> U256 {
        U256([topics | bytes << 32, 0, 0, 0])
    }

    #[test]
    fn an_event_is_put_together_from_its_records() {
        let records = [
            record(true, sizes(2, 40), 0x8001, 3),
            record(false, U256::from(7), 8, 3),
            record(false, U256::MAX, 9, 3),
        ];
        let expected = Event {
            address: address::BOOTLOADER,
            topics: vec![b256_of(U256::from(7))],
            data: [b256_of(U256::from(8)).as_slice(), &[0xff; 8]].concat().into(),
        };
        assert_eq!(events(&records), [expected]);
    }

    #[test]
    fn records_that_make_no_whole_event_are_dropped() {
        let whole = record(true, sizes(1, 0), 1, 0);
        let cut = record(true, sizes(2, 64), 2, 0);
        let of_other_tx = record(false, U256::zero(), 0, 1);
        let stray = record(false, U256::zero(), 0, 0);
        let records = [stray, whole, cut, whole, cut, of_other_tx, stray, whole];
        assert_eq!(events(&records).len(), 3);
        assert!(events(&[]).is_empty());
    }
}
