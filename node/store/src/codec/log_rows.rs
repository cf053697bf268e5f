//! Layout of [`LOG_INDEX`](crate::tables::LOG_INDEX).
//!
//! A row says which receipts of one block hold logs with one word, and as what. A word is a topic,
//! or a contract's address in the form of one: 12 zero bytes, then the address. Keys hold the first
//! [`PREFIX_BYTES`] of the word's Keccak-256 in its place, so two words may share their rows: what a
//! row says is a candidate, and the receipt decides.

use std::collections::BTreeMap;

use lockstep_types::{B256, L2BlockNumber, Receipt, keccak256};

use super::{Decode, Encode, Malformed, decode, encode};

/// Bytes of a key that stand for the word. With a thousand million words on the chain, one in
/// 280,000 shares its rows with another.
pub(crate) const PREFIX_BYTES: usize = 6;

/// What a word is in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogRole {
    /// The address of the contract that emitted it.
    Emitter,
    /// A topic, by its position: 0 to 3. Logs have no others.
    Topic(u8),
}

impl LogRole {
    /// Its bit in [`LogPlaces`].
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Emitter => 1,
            Self::Topic(position) => {
                assert!(position < 4, "logs have no topic {position}");
                2 << position
            }
        }
    }
}

/// Receipts of a block, by index ascending, with the bits of what the word is in their logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogPlaces(pub(crate) Vec<(u32, u8)>);

/// Bits that a place takes beside its index.
const ROLE_BITS: u32 = 5;

/// Of each receipt: its distance from the one before, and the bits below, in one number.
impl Encode for LogPlaces {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut from = 0;
        for (index, roles) in &self.0 {
            let distance = u64::from(index - from);
            (distance << ROLE_BITS | u64::from(*roles)).encode(out);
            from = *index;
        }
    }
}

impl Decode for LogPlaces {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        let mut places: Vec<(u32, u8)> = Vec::new();
        while !input.is_empty() {
            let number = u64::decode(input)?;
            let distance = u32::try_from(number >> ROLE_BITS);
            let distance = distance.map_err(|_too_big| Malformed("a receipt is too far away"))?;
            let roles = u8::try_from(number & ((1 << ROLE_BITS) - 1)).unwrap_or(0);
            let from = places.last().map(|(index, _)| *index);
            if roles == 0 || (distance == 0 && from.is_some()) {
                return Err(Malformed("a place is empty, or named twice"));
            }
            let index = from.unwrap_or(0).checked_add(distance);
            places.push((index.ok_or(Malformed("a receipt is too far away"))?, roles));
        }
        Ok(Self(places))
    }
}

/// The first bytes of the keys of `word`.
pub(crate) fn word_prefix(word: &B256) -> [u8; PREFIX_BYTES] {
    let mut prefix = [0; PREFIX_BYTES];
    prefix.copy_from_slice(&keccak256(word)[..PREFIX_BYTES]);
    prefix
}

/// Key of a word's row for a block.
pub(crate) fn log_key(prefix: &[u8; PREFIX_BYTES], block: L2BlockNumber) -> [u8; PREFIX_BYTES + 4] {
    let mut key = [0; PREFIX_BYTES + 4];
    key[..PREFIX_BYTES].copy_from_slice(prefix);
    key[PREFIX_BYTES..].copy_from_slice(&block.0.to_be_bytes());
    key
}

/// The block in a key; `None` if it is no such key.
pub(crate) fn block_of_log_key(key: &[u8]) -> Option<L2BlockNumber> {
    let number = key.get(PREFIX_BYTES..)?;
    Some(L2BlockNumber(u32::from_be_bytes(number.try_into().ok()?)))
}

/// The rows of a block with `receipts`, by their keys, ascending. Whoever writes receipts writes
/// these, and whoever deletes receipts deletes these.
pub fn log_rows(block: L2BlockNumber, receipts: &[Receipt]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut by_word = BTreeMap::<B256, Vec<(u32, u8)>>::new();
    for (index, receipt) in (0..).zip(receipts) {
        for event in &receipt.events {
            let topics = (0..).map(LogRole::Topic).zip(event.topics.iter().copied());
            let emitter = (LogRole::Emitter, event.address.into_word());
            for (role, word) in std::iter::once(emitter).chain(topics.take(4)) {
                note(by_word.entry(word).or_default(), index, role.bit());
            }
        }
    }
    let mut rows = BTreeMap::<[u8; PREFIX_BYTES], BTreeMap<u32, u8>>::new();
    for (word, places) in by_word {
        let row = rows.entry(word_prefix(&word)).or_default();
        for (index, roles) in places {
            *row.entry(index).or_default() |= roles;
        }
    }
    let row = |(prefix, places): ([u8; PREFIX_BYTES], BTreeMap<u32, u8>)| {
        (log_key(&prefix, block).to_vec(), encode(&LogPlaces(places.into_iter().collect())))
    };
    rows.into_iter().map(row).collect()
}

/// `places` come in order of their indices.
fn note(places: &mut Vec<(u32, u8)>, index: u32, bit: u8) {
    match places.last_mut() {
        Some((last, roles)) if *last == index => *roles |= bit,
        Some(_) | None => places.push((index, bit)),
    }
}

/// Reads a row.
///
/// # Errors
///
/// [`Malformed`] says what cannot be.
pub(crate) fn log_places(row: &[u8]) -> Result<LogPlaces, Malformed> {
    let places: LogPlaces = decode(row)?;
    if places.0.is_empty() { Err(Malformed("it names no receipt")) } else { Ok(places) }
}

#[cfg(test)]
mod tests {
    use lockstep_types::{Address, alloy_primitives};

    use super::*;
    use crate::{tables, tests::receipt};

    #[test]
    fn scans_of_a_word_stay_inside_its_prefix() {
        assert_eq!(tables::LOG_INDEX.prefix_bytes, Some(PREFIX_BYTES));
    }

    #[test]
    fn a_word_has_one_row_that_says_where_and_as_what() {
        let receipts = [
            receipt(&[(1, &[7, 8]), (2, &[8, 7])]),
            receipt(&[]),
            receipt(&[(1, &[7]), (1, &[7, 9, 9, 8])]),
        ];
        let rows: BTreeMap<_, _> = log_rows(L2BlockNumber(5), &receipts).into_iter().collect();
        let row = |word: B256| {
            let key = log_key(&word_prefix(&word), L2BlockNumber(5));
            log_places(&rows[&key.to_vec()]).unwrap().0
        };
        assert_eq!(rows.len(), 5);
        assert_eq!(row(Address::repeat_byte(1).into_word()), [(0, 1), (2, 1)]);
        assert_eq!(row(Address::repeat_byte(2).into_word()), [(0, 1)]);
        assert_eq!(row(B256::repeat_byte(7)), [(0, 2 | 4), (2, 2)]);
        assert_eq!(row(B256::repeat_byte(8)), [(0, 2 | 4), (2, 16)]);
        assert_eq!(row(B256::repeat_byte(9)), [(2, 4 | 8)]);
    }

    #[test]
    fn an_address_that_is_also_a_topic_has_one_row() {
        let address = Address::repeat_byte(1);
        let mut both = receipt(&[(1, &[])]);
        both.events[0].topics = vec![address.into_word()];
        let rows = log_rows(L2BlockNumber(5), &[both]);
        let [(key, row)] = &rows[..] else { panic!("{} rows", rows.len()) };
        assert_eq!(block_of_log_key(key), Some(L2BlockNumber(5)));
        assert_eq!(log_places(row).unwrap().0, [(0, 1 | 2)]);
        assert_eq!(row.len(), 1);
    }

    #[test]
    fn the_layout_has_not_changed() {
        let receipts: Vec<_> = (0..300)
            .map(|index: u16| if index % 70 == 3 { receipt(&[(1, &[7, 8])]) } else { receipt(&[]) })
            .collect();
        let rows = log_rows(L2BlockNumber(0x0102), &receipts);
        let bytes: Vec<_> = rows.into_iter().map(|(key, row)| [key, row].concat()).collect();
        let shown: Vec<_> = bytes.iter().map(alloy_primitives::hex::encode).collect();
        let expected = [
            "7b062064095a0000010262c211c211c211c211",
            "9a7c0c607c8d0000010264c411c411c411c411",
            "e4d47a1e33cb0000010261c111c111c111c111",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn places_that_cannot_be_are_damage() {
        for bytes in [&[][..], &[0], &[32], &[1, 1], &[0x80], &[0xff; 9]] {
            assert!(log_places(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(log_places(&[1, 33]).unwrap().0, [(0, 1), (1, 1)]);
    }
}
