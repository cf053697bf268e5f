//! Roots and commitments against the main node: every batch, in order, as soon as both sides have
//! them.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lockstep_io::{Clock, Io, node_select};
use lockstep_pipeline::{Peer, StageError};
use lockstep_store::{ChainView, ClaimsWriter, Views};
use lockstep_types::{BatchClaim, Commitment, L1BatchNumber, QuirkCheck, Quirks, StateRoot};
use lockstep_upstream::{MainNode, UpstreamError};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// How roots are compared.
#[derive(Clone, Copy, Debug)]
pub struct AgreementConfig {
    /// Batches asked for together.
    pub batches_max: usize,
    /// Pause while the main node does not have a root, and between looks for commitments.
    pub poll_interval: Duration,
    /// Newest batches whose missing commitments are asked for again.
    pub commitments_max: u32,
    /// Another commitment than ours is believed to be announced when it was read this often.
    pub reads_max: u32,
}

impl Default for AgreementConfig {
    fn default() -> Self {
        Self {
            batches_max: 50,
            poll_interval: Duration::from_secs(2),
            commitments_max: 200,
            reads_max: 3,
        }
    }
}

/// Gives our root of a batch, if the tree has it.
pub type RootOf =
    Arc<dyn Fn(&ChainView, L1BatchNumber) -> Result<Option<StateRoot>, StageError> + Send + Sync>;

/// Compares the root of each batch with the one that the main node announces, keeps the announced
/// commitment, and compares that when our own is there.
///
/// What the main node does not have yet is waited for; it is never taken as different.
pub struct Agreement {
    clock: Arc<dyn Clock>,
    main_node: MainNode,
    views: Views,
    writer: ClaimsWriter,
    config: AgreementConfig,
    /// The newest batch in the tree.
    rooted: watch::Receiver<(L1BatchNumber, StateRoot)>,
    root_of: RootOf,
    /// Differences that are known.
    quirks: Arc<Quirks>,
    agreed: watch::Sender<L1BatchNumber>,
    /// A batch with another commitment at the main node, and how often that was read.
    doubt: Option<(L1BatchNumber, u32)>,
}

/// What an [`Agreement`] is made of, beside the main node and the store.
pub struct AgreementParts {
    /// What it alone writes.
    pub writer: ClaimsWriter,
    /// The newest batch with a root of ours, and that root.
    pub rooted: watch::Receiver<(L1BatchNumber, StateRoot)>,
    /// Where older roots of ours are found.
    pub root_of: RootOf,
    /// Divergences of the chain that have a published reason.
    pub quirks: Arc<Quirks>,
    /// Pauses and bounds.
    pub config: AgreementConfig,
}

impl std::fmt::Debug for AgreementParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgreementParts").field("config", &self.config).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agreement").field("agreed", &self.agreed).finish_non_exhaustive()
    }
}

impl Agreement {
    /// Goes on after the newest batch that the store says was agreed on.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`] if that cannot be read.
    pub fn open(
        io: &Io,
        main_node: MainNode,
        views: Views,
        parts: AgreementParts,
    ) -> Result<Self, StageError> {
        let AgreementParts { writer, rooted, root_of, quirks, config } = parts;
        // Genesis was compared before it was stored.
        let agreed = views.now().agreed_batch()?.unwrap_or(L1BatchNumber(0));
        Ok(Self {
            clock: io.clock.clone(),
            main_node,
            views,
            writer,
            config,
            rooted,
            root_of,
            quirks,
            agreed: watch::Sender::new(agreed),
            doubt: None,
        })
    }

    /// The newest batch up to which all roots were equal.
    pub fn agreed(&self) -> watch::Receiver<L1BatchNumber> {
        self.agreed.subscribe()
    }

    /// Compares until a root differs or the store fails, and says how.
    pub async fn run(mut self) -> StageError {
        loop {
            let compared = match self.compare().await {
                Ok(compared) => compared,
                Err(StageError::Unavailable { detail, .. }) => {
                    warn!(detail, "roots are not compared: the main node does not answer");
                    false
                }
                Err(error) => return error,
            };
            let goes_on = match self.compare_commitments().await {
                Ok(goes_on) => goes_on,
                Err(error) => return error,
            };
            if compared || goes_on {
                continue;
            }
            if let Err(error) = self.learn_commitments().await {
                return error;
            }
            let agreed = *self.agreed.borrow();
            let pause = self.clock.sleep(self.config.poll_interval);
            if self.rooted.borrow().0 > agreed {
                pause.await; // The main node does not have the root yet.
            } else {
                let is_gone = node_select! {
                    () = pause => false,
                    changed = self.rooted.wait_for(|(rooted, _)| *rooted > agreed) => changed.is_err(),
                };
                if is_gone {
                    // The tree has ended: why, it says itself.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Compares the next batches. Returns whether there were any with a root on both sides.
    async fn compare(&mut self) -> Result<bool, StageError> {
        let first = self.agreed.borrow().next();
        let last = self.rooted.borrow_and_update().0;
        let wanted: Vec<_> =
            (first.0..=last.0).take(self.config.batches_max.max(1)).map(L1BatchNumber).collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let details = self.main_node.batch_details(&wanted).await.map_err(unavailable)?;
        let view = self.views.now();
        let mut claims = Vec::new();
        let mut mismatch = None;
        for (number, details) in wanted.into_iter().zip(details) {
            let Some(details) = details else { break };
            let theirs = details.root_hash.map(StateRoot);
            let theirs =
                lockstep_io::planted!("X14", theirs, theirs.or(Some(StateRoot::default())));
            let Some(theirs) = theirs else { break };
            let Some(ours) = (self.root_of)(&view, number)? else { break };
            if ours != theirs && !self.is_known(QuirkCheck::Root, number) {
                // The batches before it are agreed on all the same.
                mismatch = Some(StageError::RootMismatch { batch: number, ours, theirs });
                break;
            }
            let commitment = not_doubted(&view, number, details.commitment.map(Commitment))?;
            claims.push(BatchClaim { number, root: Some(theirs), commitment });
        }
        let agreed = claims.last().map(|claim| claim.number);
        if let Some(agreed) = agreed {
            lockstep_io::planted!(
                "X56",
                self.writer.persist(&claims, Some(agreed))?,
                self.persist_in_two(&claims, agreed).await?
            );
            debug!(l1_batch = agreed.0, "roots are equal");
            self.agreed.send_replace(agreed);
        }
        match mismatch {
            Some(mismatch) => Err(mismatch),
            None => Ok(agreed.is_some()),
        }
    }

    /// Persists claims and then the cursor.
    async fn persist_in_two(
        &mut self,
        claims: &[BatchClaim],
        agreed: L1BatchNumber,
    ) -> Result<(), StageError> {
        self.writer.persist(claims, None)?;
        self.clock.sleep(self.config.poll_interval).await;
        Ok(self.writer.persist(&[], Some(agreed))?)
    }

    /// Asks again for commitments that the main node had not computed when roots were compared.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`]; silence of the main node is no error here.
    async fn learn_commitments(&mut self) -> Result<(), StageError> {
        let agreed = *self.agreed.borrow();
        let view = self.views.now();
        let oldest = agreed.0.saturating_sub(self.config.commitments_max).max(1);
        let mut without = Vec::new();
        for number in (oldest..=agreed.0).map(L1BatchNumber) {
            if let Some(claim) = view.claim(number)?
                && claim.commitment.is_none()
            {
                without.push(claim);
            }
        }
        without.truncate(self.config.batches_max);
        let numbers: Vec<_> = without.iter().map(|claim| claim.number).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let Ok(details) = self.main_node.batch_details(&numbers).await else { return Ok(()) };
        let learned: Vec<BatchClaim> = without
            .into_iter()
            .zip(details)
            .filter_map(|(claim, details)| {
                let details = details?;
                // The main node may have another chain by now: its commitment would be stored
                // beside a root that it does not belong to.
                let is_same = details.root_hash.map(StateRoot) == claim.root;
                if !lockstep_io::planted!("X59", is_same, true) {
                    return None;
                }
                let commitment = Some(Commitment(details.commitment?));
                match not_doubted(&view, claim.number, commitment) {
                    Ok(None) => None,
                    Ok(commitment) => Some(Ok(BatchClaim { commitment, ..claim })),
                    Err(error) => Some(Err(error)),
                }
            })
            .collect::<Result<_, StageError>>()?;
        if !learned.is_empty() {
            self.writer.persist(&learned, None)?;
        }
        Ok(())
    }

    /// Compares the next commitments of ours with those that the main node announces. Returns
    /// whether there may be more at once.
    ///
    /// # Errors
    ///
    /// [`StageError::CommitmentMismatch`] if every read gave another one than ours, and
    /// [`StageError::Store`]; silence of the main node is no error here.
    async fn compare_commitments(&mut self) -> Result<bool, StageError> {
        let view = self.views.now();
        let agreed = *self.agreed.borrow();
        let first = view.compared_batch()?.unwrap_or_default().min(agreed).next();
        let last = view.newest_commitment()?.unwrap_or_default().min(agreed);
        let mut claims = Vec::new();
        for number in (first.0..=last.0).take(self.config.batches_max.max(1)).map(L1BatchNumber) {
            let (Some(claim), Some(ours)) = (view.claim(number)?, view.commitment(number)?) else {
                break;
            };
            claims.push((claim, ours.commitment));
        }
        let Some((newest, _)) = claims.last() else { return Ok(false) };
        let newest = newest.number;
        let is_open = |(claim, ours): &&(BatchClaim, Commitment)| claim.commitment != Some(*ours);
        let open: Vec<_> = claims.iter().filter(is_open).map(|(claim, _)| claim.number).collect();
        if open.is_empty() {
            self.writer.persist_compared(&[], newest)?;
            self.doubt = None;
            return Ok(true);
        }
        let Ok(details) = self.main_node.batch_details(&open).await else { return Ok(false) };
        let announced = open.iter().zip(details);
        let announced: BTreeMap<_, _> = announced
            .filter_map(|(number, details)| Some((*number, Commitment(details?.commitment?))))
            .collect();
        let (mut corrected, mut compared, mut mismatch) = (Vec::new(), None, None);
        for (claim, ours) in claims {
            if claim.commitment != Some(ours) {
                match announced.get(&claim.number) {
                    None => break, // The main node has not computed it yet.
                    Some(theirs) if *theirs == ours => {
                        corrected.push(BatchClaim { commitment: Some(ours), ..claim });
                    }
                    Some(_) if self.is_known(QuirkCheck::Commitment, claim.number) => {}
                    Some(theirs) => {
                        let (batch, theirs) = (claim.number, *theirs);
                        mismatch = Some(StageError::CommitmentMismatch { batch, ours, theirs });
                        break;
                    }
                }
            }
            compared = Some(claim.number);
        }
        if let Some(compared) = compared {
            self.writer.persist_compared(&corrected, compared)?;
            debug!(l1_batch = compared.0, "commitments are equal");
        }
        match mismatch {
            Some(mismatch) => self.doubt(compared.map_or(first, L1BatchNumber::next), mismatch),
            None => Ok(compared == Some(newest)),
        }
    }

    /// Whether it is known that `check` differs for `batch`. Says so if it is.
    fn is_known(&self, check: QuirkCheck, batch: L1BatchNumber) -> bool {
        let known = self.quirks.of_batch(check, batch);
        if let Some(quirk) = known {
            let (why, source) = (&quirk.why, &quirk.source);
            info!(l1_batch = batch.0, ?check, why, source, "a known divergence is tolerated");
        }
        known.is_some()
    }

    /// Notes that the commitment of `batch` differs, and waits for the next read.
    ///
    /// # Errors
    ///
    /// `mismatch`, if it was there at every read.
    fn doubt(&mut self, batch: L1BatchNumber, mismatch: StageError) -> Result<bool, StageError> {
        let before =
            self.doubt.filter(|(doubted, _)| *doubted == batch).map_or(0, |(_, reads)| reads);
        self.doubt = Some((batch, before + 1));
        if before + 1 >= self.config.reads_max {
            return Err(mismatch);
        }
        warn!(%mismatch, reads = before + 1, "commitments seem to differ; asking again");
        Ok(false)
    }
}

/// The announced commitment, unless ours is known and another one: then it is compared first.
fn not_doubted(
    view: &ChainView,
    number: L1BatchNumber,
    announced: Option<Commitment>,
) -> Result<Option<Commitment>, StageError> {
    let ours = view.commitment(number)?.map(|ours| ours.commitment);
    Ok(announced.filter(|announced| ours.is_none_or(|ours| ours == *announced)))
}

fn unavailable(error: UpstreamError) -> StageError {
    match error {
        UpstreamError::Lie { detail } => StageError::Lie { peer: Peer::MainNode, detail },
        other @ (UpstreamError::Unavailable { .. }
        | UpstreamError::Rejected { .. }
        | UpstreamError::Malformed { .. }) => {
            StageError::Unavailable { peer: Peer::MainNode, detail: other.to_string() }
        }
    }
}
