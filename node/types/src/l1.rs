//! The three L1 steps of a batch.

use alloy_primitives::B256;

use crate::{ChainId, L1BatchNumber};

/// One of the three L1 steps of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// The batch's commitment is stored on L1.
    Commit,
    /// Its proof is accepted.
    Prove,
    /// It is executed: final.
    Execute,
}

impl StepKind {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 3] = [Self::Commit, Self::Prove, Self::Execute];
}

/// How sure a transaction on the settlement layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finality {
    /// Seen, or only claimed; may still vanish.
    Pending,
    /// At or below the settlement layer's `safe` block.
    FastFinalized,
    /// At or below the settlement layer's `finalized` block.
    Finalized,
}

/// A transaction on the settlement layer that made a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTx {
    /// Hash of the transaction.
    pub tx_hash: B256,
    /// When the main node says the step was made: RFC 3339, handed on as it came.
    pub at: String,
    /// Chain the transaction is on.
    pub chain_id: ChainId,
    /// How sure it is, by what this replica saw on the settlement layer.
    pub finality: Finality,
}

impl StepTx {
    /// Whether it is in a finalized block.
    pub fn is_final(&self) -> bool {
        self.finality == Finality::Finalized
    }
}

/// The steps that a batch has made. A later step implies the earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchSteps {
    /// Commit transaction.
    pub commit: Option<StepTx>,
    /// Prove transaction.
    pub prove: Option<StepTx>,
    /// Execute transaction.
    pub execute: Option<StepTx>,
}

impl BatchSteps {
    /// The transaction that made `kind`.
    pub fn get(&self, kind: StepKind) -> Option<&StepTx> {
        match kind {
            StepKind::Commit => self.commit.as_ref(),
            StepKind::Prove => self.prove.as_ref(),
            StepKind::Execute => self.execute.as_ref(),
        }
    }

    /// Notes that `tx`, or nothing, made `kind`.
    pub fn set(&mut self, kind: StepKind, tx: Option<StepTx>) {
        match kind {
            StepKind::Commit => self.commit = tx,
            StepKind::Prove => self.prove = tx,
            StepKind::Execute => self.execute = tx,
        }
    }

    /// Whether the batch is final: executed in a finalized block.
    pub fn is_final(&self) -> bool {
        self.execute.as_ref().is_some_and(StepTx::is_final)
    }

    /// Whether each of the three steps is known to be made in a finalized block. The steps before a
    /// final one are made for good too, but perhaps they have not been seen.
    pub fn is_whole(&self) -> bool {
        StepKind::ALL.into_iter().all(|kind| self.get(kind).is_some_and(StepTx::is_final))
    }
}

/// What the main node says a batch's root and commitment are. A claim, until compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchClaim {
    /// The batch.
    pub number: L1BatchNumber,
    /// Root of the state tree after it; absent while the main node computes it.
    pub root: Option<crate::StateRoot>,
    /// Commitment; absent while the main node computes it.
    pub commitment: Option<crate::Commitment>,
}

/// What became of comparing a batch with its commit transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L1Check {
    /// Everything in the transaction is as this replica computed it.
    Equal {
        /// The commit transaction.
        tx_hash: B256,
    },
    /// Not compared: the batch is committed on a chain that this replica does not ask.
    NotChecked {
        /// That chain.
        settles_on: ChainId,
    },
    /// It differs, and a [`Quirk`](crate::Quirk) says that this is known.
    Tolerated {
        /// The commit transaction.
        tx_hash: B256,
    },
}
