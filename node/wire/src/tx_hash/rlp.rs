//! Reading and writing flat RLP lists.

use alloy_primitives::{Address, Bytes};
use alloy_rlp::{Decodable, Encodable, Header};

use super::DecodeError;

/// The items of an RLP list, read from first to last.
#[derive(Debug)]
pub(super) struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// Reads `bytes` as one list of `count` items with nothing after it.
    pub(super) fn of(mut bytes: &'a [u8], count: usize) -> Result<Self, DecodeError> {
        let rest = Header::decode_bytes(&mut bytes, true)
            .map_err(|source| DecodeError::Rlp { field: "list", source })?;
        if !bytes.is_empty() {
            return Err(DecodeError::TrailingBytes(bytes.len()));
        }
        let items = Self { rest };
        let found = items.count()?;
        if found == count { Ok(items) } else { Err(DecodeError::ItemCount { found, count }) }
    }

    fn count(&self) -> Result<usize, DecodeError> {
        let mut rest = self.rest;
        let mut count = 0;
        while !rest.is_empty() {
            let header = Header::decode(&mut rest)
                .map_err(|source| DecodeError::Rlp { field: "list", source })?;
            rest = rest.get(header.payload_length..).ok_or(DecodeError::Rlp {
                field: "list",
                source: alloy_rlp::Error::InputTooShort,
            })?;
            count += 1;
        }
        Ok(count)
    }

    /// The next item.
    pub(super) fn next<T: Decodable>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        T::decode(&mut self.rest).map_err(|source| DecodeError::Rlp { field, source })
    }

    /// The next item, which is an address or empty.
    pub(super) fn next_address(
        &mut self,
        field: &'static str,
    ) -> Result<Option<Address>, DecodeError> {
        let bytes: Bytes = self.next(field)?;
        match bytes.len() {
            0 => Ok(None),
            20 => Ok(Some(Address::from_slice(&bytes))),
            _ => Err(DecodeError::Rlp { field, source: alloy_rlp::Error::UnexpectedLength }),
        }
    }

    /// The next item, which is a list of byte strings.
    pub(super) fn next_list(&mut self, field: &'static str) -> Result<Vec<Bytes>, DecodeError> {
        self.next(field)
    }

    /// Skips a list that must be empty; says whether it was.
    pub(super) fn next_is_empty_list(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        let payload = Header::decode_bytes(&mut self.rest, true)
            .map_err(|source| DecodeError::Rlp { field, source })?;
        Ok(payload.is_empty())
    }
}

/// Encodes `items` as one list behind `prefix`.
pub(super) fn list(prefix: &[u8], items: &[&dyn Encodable]) -> Vec<u8> {
    let payload_length = items.iter().map(|item| item.length()).sum();
    let mut out = prefix.to_vec();
    Header { list: true, payload_length }.encode(&mut out);
    for item in items {
        item.encode(&mut out);
    }
    out
}
