//! Commitments from what is stored.

use lockstep_commitment::{
    CommitmentError, CommitmentInput, CommitmentParts, commit_difference,
    l2_to_l1::{aggregation_height_slot, aggregation_root_slot},
};
use lockstep_store::{ChainView, StoreFault, tables};
use lockstep_tree::root_of;
use lockstep_types::{
    B256, BaseSystemContracts, BatchCommitment, BatchHeader, BatchWrite, CommitInfo, Commitment,
    CommitmentInputs, Difference, Event, L1BatchNumber, L2BlockNumber, L2ToL1Log, LeafIndex,
    ProtocolVersion, PubdataType, StateRoot,
};

use super::{VerifyError, needed};
use crate::CommitmentRule;

/// A batch's commitment as computed here, beside what others say it is.
#[derive(Clone, Debug)]
pub struct CommitmentCheck {
    /// The batch.
    pub batch: L1BatchNumber,
    /// Computed from what is stored.
    pub ours: CommitmentParts,
    /// What the main node announced, which for committed batches is what L1 has; `None` if it had
    /// announced nothing yet.
    pub announced: Option<Commitment>,
}

impl CommitmentCheck {
    /// Whether the two are known to differ.
    pub fn differs(&self) -> bool {
        self.announced.is_some_and(|announced| announced != self.ours.commitment)
    }
}

/// Computes the commitment of a sealed batch from what is stored of it. Takes a second or so: two
/// million permutations for the bootloader's heap.
///
/// # Errors
///
/// [`VerifyError`], also if the batch, or its root, is not stored.
pub fn check_commitment(
    view: &ChainView,
    batch: L1BatchNumber,
) -> Result<CommitmentCheck, VerifyError> {
    let ours = Stored::read(view, batch)?.commitment(&CommitmentRule::default())?;
    let announced = view.claim(batch)?.and_then(|claim| claim.commitment);
    Ok(CommitmentCheck { batch, ours, announced })
}

/// What is stored of a batch and its commitment is computed from.
pub(crate) struct Stored {
    header: BatchHeader,
    root: StateRoot,
    first_new_leaf_index: LeafIndex,
    contracts: BaseSystemContracts,
    pubdata_type: PubdataType,
    inputs: CommitmentInputs,
    writes: Vec<BatchWrite>,
    events: Vec<(u32, Event)>,
    logs: Vec<L2ToL1Log>,
    aggregation_root: B256,
}

impl Stored {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// [`VerifyError`], also if the batch, or its root, is not stored.
    pub(crate) fn read(view: &ChainView, batch: L1BatchNumber) -> Result<Self, VerifyError> {
        read(view, batch)
    }

    /// Computes the commitment by `rule`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Commitment`].
    pub(crate) fn commitment(&self, rule: &CommitmentRule) -> Result<CommitmentParts, VerifyError> {
        self.with_input(|input| rule.compute(input))
    }

    /// The first field of a commit transaction that is not as it must be.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Commitment`].
    pub(crate) fn commit_difference(
        &self,
        ours: &BatchCommitment,
        theirs: &CommitInfo,
        tx_blobs: Option<&[B256]>,
    ) -> Result<Option<Difference>, VerifyError> {
        self.with_input(|input| commit_difference(input, ours, theirs, tx_blobs))
    }

    fn with_input<T>(
        &self,
        use_it: impl FnOnce(&CommitmentInput<'_>) -> Result<T, CommitmentError>,
    ) -> Result<T, VerifyError> {
        let events: Vec<_> = self.events.iter().map(|(index, event)| (*index, event)).collect();
        let input = CommitmentInput {
            header: &self.header,
            root: self.root,
            first_new_leaf_index: self.first_new_leaf_index,
            contracts: &self.contracts,
            pubdata_type: self.pubdata_type,
            inputs: &self.inputs,
            writes: &self.writes,
            events: &events,
            l2_to_l1_logs: &self.logs,
            aggregation_root: self.aggregation_root,
        };
        let batch = self.header.number;
        use_it(&input).map_err(|source| VerifyError::Commitment { batch, source })
    }
}

fn read(view: &ChainView, batch: L1BatchNumber) -> Result<Stored, VerifyError> {
    let key = batch.0.to_be_bytes();
    let header = needed(view.batch(batch)?, tables::BATCHES, &key)?;
    let inputs = needed(view.commitment_inputs(batch)?, tables::COMMITMENT_INPUTS, &key)?;
    let writes = needed(view.batch_writes(batch)?, tables::BATCH_WRITES, &key)?;
    let root = needed(root_of(view.raw(), batch)?, tables::TREE_ROOTS, &key)?.root;
    let first_new_leaf_index = match batch.prev() {
        Some(before) => {
            let key = before.0.to_be_bytes();
            needed(view.batch(before)?, tables::BATCHES, &key)?.next_leaf_index
        }
        None => LeafIndex(1),
    };
    let block_key = header.first_block.0.to_be_bytes();
    let first = needed(view.block(header.first_block)?, tables::BLOCKS, &block_key)?;
    let (events, logs) = emitted(view, header.first_block, header.last_block)?;
    let aggregation_root = if header.version < ProtocolVersion::GATEWAY {
        B256::ZERO
    } else {
        let height = view.slot_at(&aggregation_height_slot(), header.last_block)?;
        view.slot_at(&aggregation_root_slot(height), header.last_block)?
    };
    Ok(Stored {
        header,
        root,
        first_new_leaf_index,
        contracts: first.params.base_system_contracts,
        pubdata_type: first.params.pubdata_params.pubdata_type,
        inputs,
        writes,
        events,
        logs,
        aggregation_root,
    })
}

/// Events with the index of their transaction in the batch, and logs for L1.
type Emitted = (Vec<(u32, Event)>, Vec<L2ToL1Log>);

fn emitted(
    view: &ChainView,
    first: L2BlockNumber,
    last: L2BlockNumber,
) -> Result<Emitted, StoreFault> {
    let (mut events, mut logs) = (Vec::new(), Vec::new());
    for number in (first.0..=last.0).map(L2BlockNumber) {
        let key = number.0.to_be_bytes();
        let block = needed(view.block(number)?, tables::BLOCKS, &key)?;
        for (index, receipt) in (block.first_tx_index_in_batch..).zip(view.receipts(number)?) {
            events.extend(receipt.events.into_iter().map(|event| (index, event)));
            logs.extend(receipt.l2_to_l1_logs);
        }
    }
    Ok((events, logs))
}
