//! Commitments of our own: one for every batch in the tree, behind everything else.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::{StreamExt, stream::FuturesOrdered};
use lockstep_io::{BoxFuture, Io, Par, TaskEnd, Tasks, node_select};
use lockstep_pipeline::StageError;
use lockstep_store::{ChainView, CommitmentsWriter, Views};
use lockstep_types::{BatchCommitment, L1BatchNumber, StateRoot};
use tokio::sync::watch;
use tracing::debug;

/// How commitments are computed.
#[derive(Clone, Copy, Debug)]
pub struct CommitmentsConfig {
    /// Batches computed at the same time. Each takes a background job for seconds (from v18 on).
    pub in_flight_max: usize,
    /// Batches that it may be behind the tree and still give way to everything else; farther behind
    /// it does not, so that nobody who keeps the node busy can put it off for long.
    pub behind_max: u32,
}

impl Default for CommitmentsConfig {
    fn default() -> Self {
        Self { in_flight_max: 1, behind_max: 100 }
    }
}

/// Computes the commitment of a batch from what is stored of it. Runs inside a background job.
pub type CommitmentOf =
    Arc<dyn Fn(&ChainView, L1BatchNumber) -> Result<BatchCommitment, StageError> + Send + Sync>;

type Computed = Result<Result<BatchCommitment, StageError>, TaskEnd>;

/// Computes the commitment of every batch once it is in the tree, in order, and stores it.
///
/// Nobody waits for it: it follows at its own pace, and how far it is the store says. Comparing is
/// [`Agreement`](crate::Agreement)'s and [`L1Commits`](crate::L1Commits)'s.
pub struct Commitments {
    tasks: Arc<dyn Tasks>,
    views: Views,
    writer: CommitmentsWriter,
    config: CommitmentsConfig,
    /// The newest batch in the tree.
    rooted: watch::Receiver<(L1BatchNumber, StateRoot)>,
    commitment_of: CommitmentOf,
    /// The next batch to be computed.
    next: L1BatchNumber,
    computed: watch::Sender<L1BatchNumber>,
}

impl std::fmt::Debug for Commitments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commitments").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Commitments {
    /// Goes on after the newest commitment in the store.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`] if that cannot be read.
    pub fn open(
        io: &Io,
        views: Views,
        writer: CommitmentsWriter,
        rooted: watch::Receiver<(L1BatchNumber, StateRoot)>,
        commitment_of: CommitmentOf,
        config: CommitmentsConfig,
    ) -> Result<Self, StageError> {
        // The commitment of genesis was compared before it was stored.
        let newest = views.now().newest_commitment()?.unwrap_or(L1BatchNumber(0));
        Ok(Self {
            tasks: io.tasks.clone(),
            views,
            writer,
            config,
            rooted,
            commitment_of,
            next: newest.next(),
            computed: watch::Sender::new(newest),
        })
    }

    /// The newest batch whose commitment is stored; 0 before the first.
    pub fn computed(&self) -> watch::Receiver<L1BatchNumber> {
        self.computed.subscribe()
    }

    /// Computes until the store fails or contradicts itself, and says how.
    pub async fn run(mut self) -> StageError {
        let mut running: FuturesOrdered<BoxFuture<'static, Computed>> = FuturesOrdered::new();
        loop {
            let rooted = self.rooted.borrow_and_update().0;
            while running.len() < self.config.in_flight_max.max(1) && self.next <= rooted {
                running.push_back(self.compute(self.next, rooted));
                self.next = self.next.next();
            }
            let done = if running.is_empty() {
                if self.rooted.changed().await.is_err() {
                    // The tree has ended: why, it says itself.
                    std::future::pending::<()>().await;
                }
                None
            } else if running.len() < self.config.in_flight_max.max(1) {
                node_select! {
                    done = running.next() => done,
                    _changed = until_changed(&mut self.rooted) => None,
                }
            } else {
                running.next().await
            };
            if let Some(done) = done
                && let Err(error) = self.store(done)
            {
                return error;
            }
        }
    }

    fn compute(&self, batch: L1BatchNumber, rooted: L1BatchNumber) -> BoxFuture<'static, Computed> {
        let (views, commitment_of) = (self.views.clone(), self.commitment_of.clone());
        let job = move |_: &dyn Par| commitment_of(&views.now(), batch);
        if rooted.0.saturating_sub(batch.0) > self.config.behind_max {
            return Box::pin(self.tasks.compute("commitment", job));
        }
        Box::pin(self.tasks.compute_in_background("commitment", job))
    }

    fn store(&mut self, done: Computed) -> Result<(), StageError> {
        let commitment = done.map_err(|end| match end {
            TaskEnd::Panicked(message) => StageError::Panicked { stage: "commitments", message },
            TaskEnd::Done | TaskEnd::Dropped => StageError::Stopped,
        })??;
        self.writer.persist(&[commitment])?;
        let (batch, value) = (commitment.number, commitment.commitment);
        debug!(l1_batch = batch.0, commitment = %value, "commitment computed");
        self.computed.send_replace(batch);
        Ok(())
    }
}

/// Resolves when there is something new; never if nothing new can come.
async fn until_changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
