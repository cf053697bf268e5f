//! The commitment to a batch's events (from v18 on): a queue of log queries, hashed one by one.

use lockstep_types::{Address, B256, Event};

use crate::poseidon2::{self, RATE, State, WIDTH};

/// The system contract that the queries name: the event writer, 0x800d.
const EVENT_WRITER: [u8; 20] = {
    let mut address = [0; 20];
    address[18] = 0x80;
    address[19] = 0x0d;
    address
};

/// Elements of an encoded query; with the four of the queue's tail, three blocks.
const QUERY_ELEMENTS: usize = 20;

/// An event with the index of its transaction in the batch.
pub type IndexedEvent<'a> = (u32, &'a Event);

/// The commitment to `events`, all of a batch's in order of emission.
///
/// Three permutations for each query, and an event has one query more than pairs of words.
pub fn events_queue_hash<'a>(events: impl IntoIterator<Item = IndexedEvent<'a>>) -> B256 {
    let mut tail = [0; 4];
    for (tx_index, event) in events {
        for_each_query(tx_index, event, |query| tail = pushed(tail, &query.encode()));
    }
    let mut state: State = [0; WIDTH];
    let [a, b, c, d] = tail;
    poseidon2::absorb(&mut state, &[a, b, c, d, 1, 0, 0, 0]);
    B256::from(poseidon2::digest(&state))
}

/// What the VM records of an event: a header, then its words in pairs.
struct LogQuery {
    tx_number: u16,
    key: [u8; 32],
    written: [u8; 32],
    is_service: bool,
}

fn for_each_query(tx_index: u32, event: &Event, mut push: impl FnMut(LogQuery)) {
    // The VM counts transactions in 16 bits.
    #[expect(clippy::cast_possible_truncation, reason = "the protocol's own truncation")]
    let tx_number = tx_index as u16;
    let mut key = [0; 32];
    // Two counts of 32 bits each; the address counts as a topic.
    key[24..28].copy_from_slice(&low_u32(event.data.len()).to_be_bytes());
    key[28..].copy_from_slice(&low_u32(event.topics.len() + 1).to_be_bytes());
    push(LogQuery { tx_number, key, written: word_of(event.address), is_service: true });

    let topics = event.topics.iter().map(|topic| topic.0);
    let mut words = topics.chain(event.data.chunks(32).map(padded));
    while let Some(key) = words.next() {
        let written = words.next().unwrap_or_default();
        push(LogQuery { tx_number, key, written, is_service: false });
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the VM's memory is smaller than 4 GiB")]
fn low_u32(length: usize) -> u32 {
    length as u32
}

fn word_of(address: Address) -> [u8; 32] {
    address.into_word().0
}

fn padded(chunk: &[u8]) -> [u8; 32] {
    let mut word = [0; 32];
    word[..chunk.len()].copy_from_slice(chunk);
    word
}

impl LogQuery {
    /// As field elements: the limbs of the written value carry the bytes of key and address above
    /// their 32 bits, three each.
    fn encode(&self) -> [u64; QUERY_ELEMENTS] {
        let key = reversed(self.key);
        let address = reversed(EVENT_WRITER);
        // Bytes of key and address, least significant first, in one row: 52 bytes.
        let mut row = [0_u8; 51];
        row[..32].copy_from_slice(&key);
        row[32..].copy_from_slice(&address[..19]);

        let mut elements = [0; QUERY_ELEMENTS];
        // Elements 0 to 7 have limbs of the value that was read: always zero. Then come the limbs
        // of the written value, then the timestamp: zero too.
        let limbs = self
            .written
            .rchunks_exact(4)
            .map(|limb| limb.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
        for (element, limb) in elements[8..16].iter_mut().zip(limbs) {
            *element = limb;
        }
        for (element, bytes) in elements.iter_mut().zip(row.chunks_exact(3)) {
            *element |= above_limb(bytes);
        }
        // Auxiliary byte and shard id, above the last byte of the address, are zero.
        elements[17] = u64::from(self.tx_number) | u64::from(address[19]) << 32;
        elements[18] = 2 * u64::from(self.is_service);
        elements
    }
}

/// Up to three bytes at bits 32, 40 and 48.
pub(crate) fn above_limb(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)) << 32
}

fn reversed<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes.reverse();
    bytes
}

/// The queue's tail after `query`.
fn pushed(tail: [u64; 4], query: &[u64; QUERY_ELEMENTS]) -> [u64; 4] {
    let mut input = [0; 3 * RATE];
    input[..QUERY_ELEMENTS].copy_from_slice(query);
    input[QUERY_ELEMENTS..].copy_from_slice(&tail);
    let mut state: State = [0; WIDTH];
    for block in input.as_chunks::<RATE>().0 {
        poseidon2::absorb(&mut state, block);
    }
    let [a, b, c, d, ..] = state;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use lockstep_types::{
        Bytes,
        alloy_primitives::{address, b256, hex},
    };

    use super::*;
    use crate::published;

    #[test]
    fn queue_without_events_has_the_known_hash() {
        let expected = b256!("036167a92ae9d71bd5b1c19eaf50c69ee3491a3d2fe4c0426f371f9548ecb7e3");
        assert_eq!(events_queue_hash([]), expected);
    }

    #[test]
    fn header_of_an_event_counts_its_address_as_a_topic() {
        let event = Event {
            address: address!("000000000000000000000000000000000000800a"),
            topics: vec![B256::repeat_byte(1), B256::repeat_byte(2)],
            data: Bytes::from(hex!("07")),
        };
        let mut queries = Vec::new();
        for_each_query(65_537, &event, |query| queries.push(query));
        assert_eq!(queries.len(), 3);
        assert_eq!(queries[0].tx_number, 1);
        assert!(queries[0].is_service && !queries[1].is_service && !queries[2].is_service);
        let key = b256!("0000000000000000000000000000000000000000000000000000000100000003");
        assert_eq!(queries[0].key, key.0);
        assert_eq!(queries[1].written, [2; 32]);
        assert_eq!(queries[2].key[0], 7);
        assert_eq!(queries[2].written, [0; 32]);
    }

    /// The published inputs with the hashes of an independent transcription.
    #[test]
    fn queues_of_the_published_events_have_the_known_hashes() {
        let vectors = [
            (
                "value_len_1",
                b256!("2ae53e110de25e64680f69fa5b615249e9d041257a2753f9f59d01c36d8870cf"),
            ),
            ("2_topics", b256!("610ba3481c88a1951f959110d584c923e6af3571b613a18de445165a9d920e66")),
            ("3_topics", b256!("c6a309b16660158149f548d9285b78d6a02e9f9489cd12052b15bb19ec51afe7")),
            ("4_topics", b256!("7f91e8c4c84fe8fb3e225b09b8ddb85ffbf7f7b0b58058cdc5b3af458769e583")),
            (
                "1_topic_and_long_value",
                b256!("e081c577a0567decb88725069e34cb71858c01ba6af82798f6794ebbda255bd8"),
            ),
        ];
        for (name, expected) in vectors {
            let path = format!("src/tests/test_vectors/event_with_{name}.json");
            let Some(vector) = published::json("zksync_commitment_generator-29", &path) else {
                return;
            };
            let (tx_index, event) = published::event(&vector["event"]);
            assert_eq!(events_queue_hash([(tx_index, &event)]), expected, "{name}");
        }
    }
}
