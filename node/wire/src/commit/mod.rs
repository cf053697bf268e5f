//! Commit transactions: what the chain's operator tells the settlement layer of batches.
//!
//! Each range of protocol versions has a function of its own. Reading never takes more memory than
//! a small multiple of the calldata, whatever that says.

mod abi;
#[cfg(test)]
mod tests;

use lockstep_types::{
    Address, B256, Bytes, CommitBody, CommitDiffs, CommitInfo, CommitLists, ProtocolVersion, U256,
};

use self::abi::{Budget, Tuple};

/// Why calldata is no commit transaction that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It calls something else.
    #[error("no known function to commit batches has the selector {0}")]
    Selector(alloy_primitives::FixedBytes<4>),
    /// The batches are encoded in a way that is not the function's.
    #[error("batches are encoded in version {0}, which is not the function's")]
    Encoding(u8),
    /// It ends where something should follow.
    #[error("it is too short")]
    TooShort,
    /// A number does not fit its type.
    #[error("a number is too large")]
    TooLarge,
    /// It names the same bytes more than once.
    #[error("parts of it overlap")]
    Overlapping,
    /// Batches are not consecutive, or not those that the arguments say.
    #[error("its batches are not consecutive, or not those that its arguments say")]
    Range,
}

/// The function that commits batches, by range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitForm {
    /// v0 to v17: `commitBlocks`.
    Blocks,
    /// v18 to v22: `commitBatches`.
    Batches,
    /// v23 to v25: `commitBatchesSharedBridge`, the chain by its id.
    SharedBridge,
    /// v26 to v28: the same with the batches as bytes of their own.
    Encoded,
    /// From v29 on: the same with the chain by its address.
    EncodedByAddress,
}

impl CommitForm {
    /// All forms, the oldest first.
    pub const ALL: [Self; 5] =
        [Self::Blocks, Self::Batches, Self::SharedBridge, Self::Encoded, Self::EncodedByAddress];

    /// The form for batches of `version`. v31 has v29's; so has whatever comes after, until it is
    /// known to be otherwise.
    pub fn of(version: ProtocolVersion) -> Self {
        match version.0 {
            0..=17 => Self::Blocks,
            18..=22 => Self::Batches,
            23..=25 => Self::SharedBridge,
            26..=28 => Self::Encoded,
            29.. => Self::EncodedByAddress,
        }
    }

    /// The first four bytes of the calldata.
    pub fn selector(self) -> [u8; 4] {
        match self {
            Self::Blocks => [0x0c, 0x4d, 0xd8, 0x10],
            Self::Batches => [0x70, 0x1f, 0x58, 0xc5],
            Self::SharedBridge => [0x6e, 0xdd, 0x4f, 0x12],
            Self::Encoded => [0x98, 0xf8, 0x19, 0x62],
            Self::EncodedByAddress => [0x0d, 0xb9, 0xeb, 0x87],
        }
    }

    /// Where the batches are bytes of their own: the first of these bytes.
    pub fn encoding_version(self) -> Option<u8> {
        match self {
            Self::Blocks | Self::Batches | Self::SharedBridge => None,
            Self::Encoded => Some(0),
            Self::EncodedByAddress => Some(1),
        }
    }
}

/// Which chain a commit transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitChain {
    /// Before v23: the contract has one chain.
    Implied,
    /// v23 to v28: the L2 chain's id.
    Id(U256),
    /// From v29 on: the chain's contract.
    Contract(Address),
}

/// A batch that is on the settlement layer already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Number of the batch.
    pub number: u64,
    /// State root after it.
    pub root: B256,
    /// Index that the next initial write got.
    pub next_leaf_index: u64,
    /// Number of priority operations.
    pub l1_tx_count: U256,
    /// Chain over the priority operations.
    pub priority_ops_hash: B256,
    /// Chain over the interop roots; from v29 on.
    pub dependency_roots_hash: Option<B256>,
    /// Root over logs for L1.
    pub l2_to_l1_root: B256,
    /// When it was opened, seconds since the Unix epoch.
    pub timestamp: U256,
    /// Its commitment.
    pub commitment: B256,
}

/// A commit transaction's calldata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitCall {
    /// Which function it calls.
    pub form: CommitForm,
    /// For which chain.
    pub chain: CommitChain,
    /// The batch before the first.
    pub previous: StoredBatch,
    /// At least one batch, with consecutive numbers.
    pub batches: Vec<CommitInfo>,
}

impl CommitCall {
    /// Reads calldata.
    ///
    /// # Errors
    ///
    /// [`CommitError`] says what is wrong with it.
    pub fn decode(calldata: &Bytes) -> Result<Self, CommitError> {
        let selector = calldata.first_chunk::<4>().ok_or(CommitError::TooShort)?;
        let form = CommitForm::ALL.into_iter().find(|form| form.selector() == *selector);
        let form = form.ok_or(CommitError::Selector(selector.into()))?;
        let mut budget = Budget::of(calldata);
        let arguments = Tuple::new(calldata.slice(4..));
        let (chain, range, data, stored_at) = match form {
            CommitForm::Blocks | CommitForm::Batches => (CommitChain::Implied, None, arguments, 0),
            CommitForm::SharedBridge => (CommitChain::Id(arguments.u256(0)?), None, arguments, 1),
            CommitForm::Encoded | CommitForm::EncodedByAddress => {
                let chain = if form == CommitForm::Encoded {
                    CommitChain::Id(arguments.u256(0)?)
                } else {
                    CommitChain::Contract(arguments.address(0)?)
                };
                let range = (arguments.u256(1)?, arguments.u256(2)?);
                let data = arguments.bytes(3, &mut budget)?;
                let found = *data.first().ok_or(CommitError::TooShort)?;
                if form.encoding_version() != Some(found) {
                    return Err(CommitError::Encoding(found));
                }
                // The batches are inside these bytes, and taken again.
                budget = Budget::of(calldata);
                (chain, Some(range), Tuple::new(data.slice(1..)), 0)
            }
        };
        let (previous, words) = stored_batch(&data, stored_at, form)?;
        let list = data.tuples(stored_at + words, &mut budget)?;
        let batches = list.iter().map(|tuple| batch(tuple, form, &mut budget));
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        check_range(&previous, &batches, range)?;
        Ok(Self { form, chain, previous, batches })
    }

    /// What it says of batch `number`.
    pub fn batch(&self, number: u64) -> Option<&CommitInfo> {
        self.batches.iter().find(|batch| batch.number == number)
    }
}

/// The stored batch whose first word is at `at`, and its length in words.
fn stored_batch(
    tuple: &Tuple,
    at: usize,
    form: CommitForm,
) -> Result<(StoredBatch, usize), CommitError> {
    let has_roots = match form {
        CommitForm::Blocks
        | CommitForm::Batches
        | CommitForm::SharedBridge
        | CommitForm::Encoded => false,
        CommitForm::EncodedByAddress => true,
    };
    let after = at + 5 + usize::from(has_roots);
    let stored = StoredBatch {
        number: tuple.u64(at)?,
        root: tuple.word(at + 1)?,
        next_leaf_index: tuple.u64(at + 2)?,
        l1_tx_count: tuple.u256(at + 3)?,
        priority_ops_hash: tuple.word(at + 4)?,
        dependency_roots_hash: has_roots.then(|| tuple.word(at + 5)).transpose()?,
        l2_to_l1_root: tuple.word(after)?,
        timestamp: tuple.u256(after + 1)?,
        commitment: tuple.word(after + 2)?,
    };
    Ok((stored, after + 3 - at))
}

fn batch(tuple: &Tuple, form: CommitForm, budget: &mut Budget) -> Result<CommitInfo, CommitError> {
    let (priority_at, body) = match form {
        CommitForm::Blocks => {
            let lists = CommitLists {
                l2_to_l1_root: tuple.word(5)?,
                initial_writes: tuple.bytes(7, budget)?,
                repeated_writes: tuple.bytes(8, budget)?,
                logs: tuple.bytes(9, budget)?,
                messages: tuple.bytes_list(10, budget)?,
                factory_deps: tuple.bytes_list(11, budget)?,
            };
            (6, CommitBody::Lists(lists))
        }
        CommitForm::Batches
        | CommitForm::SharedBridge
        | CommitForm::Encoded
        | CommitForm::EncodedByAddress => {
            let diffs = CommitDiffs {
                heap_hash: tuple.word(6)?,
                events_queue_hash: tuple.word(7)?,
                system_logs: tuple.bytes(8, budget)?,
                da_input: tuple.bytes(9, budget)?,
            };
            (5, CommitBody::Diffs(diffs))
        }
    };
    Ok(CommitInfo {
        number: tuple.u64(0)?,
        timestamp: tuple.u64(1)?,
        next_leaf_index: tuple.u64(2)?,
        root: tuple.word(3)?,
        l1_tx_count: tuple.u256(4)?,
        priority_ops_hash: tuple.word(priority_at)?,
        body,
    })
}

/// Batches follow the stored one without gaps, and are those that the arguments name.
fn check_range(
    previous: &StoredBatch,
    batches: &[CommitInfo],
    range: Option<(U256, U256)>,
) -> Result<(), CommitError> {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
        return Err(CommitError::Range);
    };
    let follows = |before: u64, next: u64| before.checked_add(1) == Some(next);
    let is_consecutive = batches.windows(2).all(|pair| follows(pair[0].number, pair[1].number));
    let is_named =
        range.is_none_or(|range| range == (U256::from(first.number), U256::from(last.number)));
    if is_consecutive && is_named && follows(previous.number, first.number) {
        Ok(())
    } else {
        Err(CommitError::Range)
    }
}
