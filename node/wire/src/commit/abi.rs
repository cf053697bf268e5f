//! Reading what Solidity's ABI encodes, as far as commit transactions need it.
//!
//! Offsets may point anywhere, so the same bytes can be named many times: what is taken is counted
//! against the length of the input, which an honest encoding cannot exceed. Nothing here takes
//! more memory than a small multiple of the input.

use lockstep_types::{Address, B256, Bytes, U256};

use super::CommitError;

const WORD: usize = 32;

/// How much may still be taken out of an input.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn of(input: &Bytes) -> Self {
        Self(input.len())
    }

    fn take(&mut self, count: usize) -> Result<(), CommitError> {
        self.0 = self.0.checked_sub(count).ok_or(CommitError::Overlapping)?;
        Ok(())
    }
}

/// A tuple: words that begin at a place which offsets in them count from.
#[derive(Clone, Debug)]
pub(super) struct Tuple(Bytes);

impl Tuple {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Word number `index`.
    pub(super) fn word(&self, index: usize) -> Result<B256, CommitError> {
        let start = index.checked_mul(WORD).ok_or(CommitError::TooShort)?;
        let bytes = self.0.get(start..).and_then(|rest| rest.get(..WORD));
        bytes.map(B256::from_slice).ok_or(CommitError::TooShort)
    }

    pub(super) fn u256(&self, index: usize) -> Result<U256, CommitError> {
        Ok(U256::from_be_bytes(self.word(index)?.0))
    }

    pub(super) fn u64(&self, index: usize) -> Result<u64, CommitError> {
        self.u256(index)?.try_into().map_err(|_too_large| CommitError::TooLarge)
    }

    pub(super) fn address(&self, index: usize) -> Result<Address, CommitError> {
        let word = self.word(index)?;
        if word[..12].iter().any(|byte| *byte != 0) {
            return Err(CommitError::TooLarge);
        }
        Ok(Address::from_word(word))
    }

    /// What the offset at `index` points to.
    fn at(&self, index: usize) -> Result<Bytes, CommitError> {
        let offset =
            usize::try_from(self.u64(index)?).map_err(|_too_large| CommitError::TooLarge)?;
        if offset > self.0.len() {
            return Err(CommitError::TooShort);
        }
        Ok(self.0.slice(offset..))
    }

    /// The byte string at `index`. Shares the input's memory.
    pub(super) fn bytes(&self, index: usize, budget: &mut Budget) -> Result<Bytes, CommitError> {
        let (count, tail) = self.counted(index)?;
        budget.take(count)?;
        if count > tail.len() {
            return Err(CommitError::TooShort);
        }
        Ok(tail.slice(..count))
    }

    /// The tuples of the list at `index`, each of them dynamic.
    pub(super) fn tuples(
        &self,
        index: usize,
        budget: &mut Budget,
    ) -> Result<Vec<Self>, CommitError> {
        let (count, tail) = self.counted(index)?;
        budget.take(count.checked_mul(WORD).ok_or(CommitError::TooLarge)?)?;
        let list = Self(tail);
        (0..count).map(|item| Ok(Self(list.at(item)?))).collect()
    }

    /// The byte strings of the list at `index`.
    pub(super) fn bytes_list(
        &self,
        index: usize,
        budget: &mut Budget,
    ) -> Result<Vec<Bytes>, CommitError> {
        let (count, tail) = self.counted(index)?;
        budget.take(count.checked_mul(WORD).ok_or(CommitError::TooLarge)?)?;
        let list = Self(tail);
        (0..count).map(|item| list.bytes(item, budget)).collect()
    }

    /// The count that begins what the offset at `index` points to, and what follows it.
    fn counted(&self, index: usize) -> Result<(usize, Bytes), CommitError> {
        let there = Self(self.at(index)?);
        let count = usize::try_from(there.u64(0)?).map_err(|_too_large| CommitError::TooLarge)?;
        Ok((count, there.0.slice(WORD..)))
    }
}
