//! What a settlement layer shows of a batch's commit transaction, beside what this replica has.

use lockstep_types::{
    Address, B256, BatchHeader, ChainId, CommitInfo, Commitment, Difference, L1BatchNumber,
    L2BlockNumber, LeafIndex, StateRoot, U256, alloy_primitives::b256,
};
use lockstep_upstream::{L1Log, L1Receipt, L1Transaction};
use lockstep_wire::commit::{CommitCall, CommitChain, CommitForm};

/// `BlockCommit(uint256 indexed, bytes32 indexed, bytes32 indexed)`.
const COMMITTED: B256 = b256!("8f2916b2f2d78cc5890ead36c06c0f6d5d112c7e103589947e8e2f0d6eddb763");

/// What this replica has of a batch.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) header: BatchHeader,
    pub(super) root: StateRoot,
    pub(super) commitment: Commitment,
    /// The batch before, where it is known.
    pub(super) before: Option<Before>,
}

/// What this replica has of the batch before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) root: StateRoot,
    pub(super) commitment: Commitment,
    pub(super) next_leaf_index: LeafIndex,
}

impl Ours {
    pub(super) fn number(&self) -> L1BatchNumber {
        self.header.number
    }

    pub(super) fn last_block(&self) -> L2BlockNumber {
        self.header.last_block
    }
}

/// Where a batch is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The L2 chain.
    pub(super) chain: ChainId,
    /// Its contract.
    pub(super) contract: Address,
}

/// The first thing in the receipt that is not as it must be; `None` if nothing is.
pub(super) fn receipt_difference(
    ours: &Ours,
    receipt: &L1Receipt,
    target: Target,
) -> Option<Difference> {
    if !receipt.success {
        return Some(Difference::new("receipt status", "success", "failure"));
    }
    let number = B256::from(U256::from(ours.number().0));
    let is_ours = |log: &&L1Log| {
        log.address == target.contract
            && log.topics.first() == Some(&COMMITTED)
            && log.topics.get(1) == Some(&number)
    };
    let events = receipt.logs.iter().filter(is_ours);
    let mut differences: Vec<_> = events.map(|log| event_difference(ours, log)).collect();
    if differences.iter().any(Option::is_none) {
        return None;
    }
    differences.pop().flatten().or_else(|| {
        let ours = format!("of {} for batch {}", target.contract, ours.number());
        Some(Difference::new("event BlockCommit", ours, "none"))
    })
}

fn event_difference(ours: &Ours, log: &L1Log) -> Option<Difference> {
    let differs = |field, index: usize, ours: B256| {
        let theirs = log.topics.get(index).copied();
        let show = theirs.map_or_else(|| "nothing".to_owned(), |word| word.to_string());
        (theirs != Some(ours)).then(|| Difference::new(field, ours, show))
    };
    differs("event batchHash", 2, ours.root.0)
        .or_else(|| differs("event commitment", 3, ours.commitment.0))
}

/// What the transaction says of the batch.
///
/// # Errors
///
/// The first thing around it that is not as it must be.
pub(super) fn batch_in(
    ours: &Ours,
    transaction: &L1Transaction,
    receipt: &L1Receipt,
    target: Target,
) -> Result<CommitInfo, Difference> {
    let (shown, said) = (transaction.block_number, receipt.block_number);
    if shown != said {
        return Err(Difference::new("transaction block", said, shown));
    }
    let form = CommitForm::of(ours.header.version);
    let call = CommitCall::decode(&transaction.input)
        .map_err(|error| Difference::new("calldata", format_args!("form {form:?}"), error))?;
    if call.form != form {
        let (ours, theirs) = (format!("{form:?}"), format!("{:?}", call.form));
        return Err(Difference::new("calldata function", ours, theirs));
    }
    match call.chain {
        CommitChain::Implied => {}
        CommitChain::Id(id) if id == U256::from(target.chain.0) => {}
        CommitChain::Id(id) => return Err(Difference::new("calldata chain id", target.chain, id)),
        CommitChain::Contract(contract) if contract == target.contract => {}
        CommitChain::Contract(contract) => {
            return Err(Difference::new("calldata chain address", target.contract, contract));
        }
    }
    let number = u64::from(ours.number().0);
    let Some(batch) = call.batch(number) else {
        let range = call.batches.first().map(|batch| batch.number);
        let range = (range, call.batches.last().map(|batch| batch.number));
        return Err(Difference::new("calldata batches", number, format_args!("{range:?}")));
    };
    if call.previous.number.checked_add(1) == Some(number)
        && let Some(before) = &ours.before
    {
        let words = [
            ("stored batchHash", before.root.0, call.previous.root),
            ("stored commitment", before.commitment.0, call.previous.commitment),
        ];
        if let Some((field, ours, theirs)) = words.into_iter().find(|(_, a, b)| a != b) {
            return Err(Difference::new(field, ours, theirs));
        }
        let (ours, theirs) = (before.next_leaf_index.0, call.previous.next_leaf_index);
        if ours != theirs {
            return Err(Difference::new("stored indexRepeatedStorageChanges", ours, theirs));
        }
    }
    Ok(batch.clone())
}
