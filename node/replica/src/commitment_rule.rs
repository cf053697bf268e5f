//! How the commitment of a batch is computed.

use std::{fmt, sync::Arc};

use lockstep_commitment::{CommitmentError, CommitmentInput, CommitmentParts, batch_commitment};

/// What a [`CommitmentRule`] does.
type Compute =
    dyn Fn(&CommitmentInput<'_>) -> Result<CommitmentParts, CommitmentError> + Send + Sync;

/// How the commitment of a batch is computed from what is stored of it: by default as the protocol
/// says, which takes a second or two for each batch. Somebody who runs a chain's batches again and
/// again can remember what came of the same input before. Clones are the same rule.
#[derive(Clone)]
pub struct CommitmentRule(Arc<Compute>);

impl CommitmentRule {
    /// A rule that has the outcome of [`batch_commitment`] for every input, however it gets it.
    pub fn new(
        compute: impl Fn(&CommitmentInput<'_>) -> Result<CommitmentParts, CommitmentError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(compute))
    }

    pub(crate) fn compute(
        &self,
        input: &CommitmentInput<'_>,
    ) -> Result<CommitmentParts, CommitmentError> {
        (self.0)(input)
    }
}

impl Default for CommitmentRule {
    fn default() -> Self {
        Self::new(batch_commitment)
    }
}

impl fmt::Debug for CommitmentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitmentRule").finish_non_exhaustive()
    }
}
