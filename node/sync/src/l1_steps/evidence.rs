//! What a settlement layer shows of claimed steps.

use std::collections::BTreeMap;

use lockstep_types::{
    Address, B256, Difference, Finality, L1BatchNumber, L2BlockNumber, StepKind, U256,
    alloy_primitives::b256,
};
use lockstep_upstream::{L1, L1Log, L1Receipt, L1Tags, UpstreamError};

use super::Claimed;

/// `BlockCommit(uint256 indexed, bytes32 indexed, bytes32 indexed)`.
const COMMITTED: B256 = b256!("8f2916b2f2d78cc5890ead36c06c0f6d5d112c7e103589947e8e2f0d6eddb763");
/// `BlocksVerification(uint256 indexed, uint256 indexed)`.
const PROVEN: B256 = b256!("22c9005dd88c18b552a1cd7e8b3b937fcde9ca69213c1f658f54d572e4877a81");
/// `BlockExecution(uint256 indexed, bytes32 indexed, bytes32 indexed)`.
const EXECUTED: B256 = b256!("2402307311a4d6604e4e7b4c8a15a7e1213edb39c16a31efa70afb06030d3165");

/// `BatchPrecommitmentSet(uint256 indexed, uint256 indexed, bytes32)`.
const PRECOMMITTED: B256 =
    b256!("fea115cea8c7414dc6c05dfb20821e4ea72c37b91e666a90ab4ddb5eabade850");

/// What a precommit of a block must be about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Precommit<'a> {
    pub(crate) batch: L1BatchNumber,
    pub(crate) block: L2BlockNumber,
    /// By block of the batch: what the contract must have been told of all up to it.
    pub(crate) ran: &'a BTreeMap<U256, B256>,
}

/// Root and commitment that the events of a batch must name, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Agreed on.
    pub(crate) root: Option<B256>,
    pub(crate) commitment: Option<B256>,
    /// Whether the commitment was computed here; if not, the main node announced it.
    pub(crate) is_commitment_ours: bool,
}

/// What a settlement layer says of a claimed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is so, this sure.
    Shown(Finality),
    /// The transaction is not there, or it is not known yet what its event must say.
    Nothing,
    /// The transaction is there and does not make this step: why.
    Other(&'static str),
    /// The chain's contract was told something else of this very batch, in a block that is final.
    Contradicted(Difference),
}

/// What a settlement layer said, for a number of claims.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// Sorted, without doubles.
    hashes: Vec<B256>,
    /// In the order of `hashes`.
    receipts: Vec<Option<L1Receipt>>,
    tags: L1Tags,
    /// The chain's contract there.
    contract: Address,
}

impl Evidence {
    /// Asks `layer` for the transactions `hashes`.
    ///
    /// # Errors
    ///
    /// As the calls fail.
    pub(crate) async fn gather(
        layer: &L1,
        contract: Address,
        mut hashes: Vec<B256>,
    ) -> Result<Self, UpstreamError> {
        hashes.sort_unstable();
        hashes.dedup();
        // Tags first: a block that is final by them was final when the receipt was given.
        let tags = layer.tags().await?;
        let receipts = layer.receipts(&hashes).await?;
        Ok(Self { hashes, receipts, tags, contract })
    }

    /// What was said of the claimed step of batch `number`.
    pub(crate) fn of(&self, claimed: &Claimed, number: L1BatchNumber, expected: Expected) -> Word {
        let kind = claimed.kind;
        let is_needed = match kind {
            StepKind::Commit | StepKind::Execute => true,
            StepKind::Prove => false,
        };
        if is_needed && (expected.root.is_none() || expected.commitment.is_none()) {
            return Word::Nothing; // Nothing to hold the event against yet.
        }
        let position = self.hashes.binary_search(&claimed.tx_hash).ok();
        let receipt = position.and_then(|position| self.receipts.get(position)?.as_ref());
        let Some(receipt) = receipt else { return Word::Nothing };
        if !receipt.success {
            return Word::Other("the transaction failed");
        }
        let finality = self.finality(receipt);
        let own = receipt.logs.iter().filter(|log| log.address == self.contract);
        let of_kind = own.filter(|log| log.topics.first() == Some(&topic(kind)));
        let of_batch: Vec<_> = of_kind.filter(|log| is_of_batch(log, kind, number)).collect();
        let mut differences = of_batch.iter().map(|log| difference(log, kind, expected));
        if differences.any(|difference: Option<_>| difference.is_none()) {
            return Word::Shown(finality);
        }
        // What is only announced may be what is wrong.
        let sure = match expected {
            Expected { is_commitment_ours: true, .. } => expected,
            Expected { root, .. } => Expected { root, commitment: None, is_commitment_ours: false },
        };
        let told = of_batch.last().and_then(|log| difference(log, kind, sure));
        match told {
            Some(difference) if finality == Finality::Finalized => Word::Contradicted(difference),
            _ if of_batch.is_empty() => {
                Word::Other("it has no event of the chain's contract for this batch")
            }
            Some(_) | None => Word::Other("its event names another root or commitment"),
        }
    }

    /// How sure it is that transaction `tx_hash` made the precommit; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// What is wrong with the transaction.
    pub(crate) fn of_precommit(
        &self,
        tx_hash: B256,
        precommit: Precommit<'_>,
    ) -> Result<Option<Finality>, &'static str> {
        let position = self.hashes.binary_search(&tx_hash).ok();
        let receipt = position.and_then(|position| self.receipts.get(position)?.as_ref());
        let Some(receipt) = receipt else { return Ok(None) };
        if !receipt.success {
            return Err("the transaction failed");
        }
        let word = |log: &L1Log, index: usize| {
            log.topics.get(index).map(|word| U256::from_be_bytes(word.0))
        };
        let is_it = |log: &&L1Log| {
            let last = word(log, 2).unwrap_or_default();
            log.address == self.contract
                && log.topics.first() == Some(&PRECOMMITTED)
                && word(log, 1) == Some(U256::from(precommit.batch.0))
                && last >= U256::from(precommit.block.0)
                && precommit.ran.get(&last).is_some_and(|ours| log.data[..] == ours[..])
        };
        if receipt.logs.iter().any(|log| is_it(&log)) {
            return Ok(Some(self.finality(receipt)));
        }
        Err("it has no event of the chain's contract for this block and what was run")
    }

    fn finality(&self, receipt: &L1Receipt) -> Finality {
        let at_or_below = |tag: Option<u64>| tag.is_some_and(|tag| receipt.block_number <= tag);
        if lockstep_io::planted!("X25", at_or_below(self.tags.finalized), true) {
            Finality::Finalized
        } else if at_or_below(self.tags.safe) {
            Finality::FastFinalized
        } else {
            Finality::Pending
        }
    }
}

fn topic(kind: StepKind) -> B256 {
    match kind {
        StepKind::Commit => COMMITTED,
        StepKind::Prove => PROVEN,
        StepKind::Execute => EXECUTED,
    }
}

/// Whether `log`, which is of `kind`, is about the batch.
fn is_of_batch(log: &L1Log, kind: StepKind, number: L1BatchNumber) -> bool {
    let word = |index: usize| log.topics.get(index).map(|word| U256::from_be_bytes(word.0));
    let number = U256::from(number.0);
    match kind {
        StepKind::Commit | StepKind::Execute => word(1) == Some(number),
        StepKind::Prove => {
            word(1).is_some_and(|before| before < number)
                && word(2).is_some_and(|last| number <= last)
        }
    }
}

/// What an event about the batch says otherwise than it must.
fn difference(log: &L1Log, kind: StepKind, expected: Expected) -> Option<Difference> {
    let fields = match kind {
        StepKind::Commit => ["event BlockCommit batchHash", "event BlockCommit commitment"],
        StepKind::Execute => ["event BlockExecution batchHash", "event BlockExecution commitment"],
        StepKind::Prove => return None,
    };
    let both = fields.into_iter().zip([(2, expected.root), (3, expected.commitment)]);
    let differs = |(field, (index, ours)): (&'static str, (usize, Option<B256>))| {
        let (ours, theirs) = (ours?, log.topics.get(index).copied());
        let show = theirs.map_or_else(|| "nothing".to_owned(), |word| word.to_string());
        (theirs != Some(ours)).then(|| Difference::new(field, ours, show))
    };
    let mut differences = both.filter_map(differs);
    differences.next()
}
