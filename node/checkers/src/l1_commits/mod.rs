//! Commit transactions against the settlement layer: what the chain's contract was told of each
//! batch is what this replica computed.

mod evidence;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lockstep_io::{Clock, Io, TaskEnd, Tasks};
use lockstep_pipeline::{Peer, StageError};
use lockstep_store::{ChainIdentity, ChainView, L1ChecksWriter, Views};
use lockstep_types::{
    B256, ChainId, CommitInfo, Difference, Finality, L1BatchNumber, L1Check, QuirkCheck, Quirks,
};
use lockstep_upstream::{L1Receipt, L1Transaction, MainNode, SettlementClient, UpstreamError};
use tokio::sync::watch;
use tracing::{error, info, warn};

use self::evidence::{Before, Ours, Target, batch_in, receipt_difference};
use crate::RootOf;

/// How commit transactions are compared.
#[derive(Clone, Copy, Debug)]
pub struct L1CommitsConfig {
    /// Batches looked at together.
    pub batches_max: u32,
    /// Pause when nothing can be compared, and before a doubtful transaction is read again.
    pub poll_interval: Duration,
    /// A difference is believed when it was read this often.
    pub reads_max: u32,
    /// How sure the commit transaction must be before it is looked at.
    pub finality_min: Finality,
}

impl Default for L1CommitsConfig {
    fn default() -> Self {
        Self {
            batches_max: 20,
            poll_interval: Duration::from_secs(5),
            reads_max: 3,
            finality_min: Finality::Finalized,
        }
    }
}

/// Gives the first field of a commit transaction that is not as it must be. The last argument are
/// the versioned hashes of the transaction's blobs, if known. Runs inside a CPU job.
pub type CommitDifference = Arc<
    dyn Fn(
            &ChainView,
            L1BatchNumber,
            &CommitInfo,
            Option<&[B256]>,
        ) -> Result<Option<Difference>, StageError>
        + Send
        + Sync,
>;

/// Compares each batch with its commit transaction, in order, once that cannot vanish any more.
///
/// Which transaction it is says the main node, by way of the stored L1 steps; all that is compared
/// comes from the settlement layer itself. A settlement layer that does not answer is waited for;
/// a difference that stays after several reads halts writes. A batch that is committed on a chain
/// without a client is passed over, and stored as passed over.
pub struct L1Commits {
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    main_node: MainNode,
    layers: BTreeMap<ChainId, SettlementClient>,
    views: Views,
    writer: L1ChecksWriter,
    root_of: RootOf,
    difference: CommitDifference,
    config: L1CommitsConfig,
    identity: ChainIdentity,
    quirks: Arc<Quirks>,
    /// Settlement layers whose chain ids are as configured, with the chain's contract there.
    targets: BTreeMap<ChainId, Target>,
    doubt: Option<Doubt>,
    warned_of: Option<ChainId>,
    checked: watch::Sender<L1BatchNumber>,
}

/// A difference that may yet go away.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    batch: L1BatchNumber,
    reads: u32,
}

/// What can be done with a batch now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Its transaction can be compared.
    Here { chain: ChainId, tx_hash: B256 },
    /// It is on a chain that nobody is asked about.
    Elsewhere { chain: ChainId },
}

impl std::fmt::Debug for L1Commits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("L1Commits").field("checked", &self.checked).finish_non_exhaustive()
    }
}

/// What [`L1Commits`] works with.
pub struct L1CommitsParts {
    /// Names transactions, and on L1 the chain's contract.
    pub main_node: MainNode,
    /// The chains that are asked.
    pub layers: BTreeMap<ChainId, SettlementClient>,
    /// The store.
    pub views: Views,
    /// Outcomes.
    pub writer: L1ChecksWriter,
    /// Gives our root of a batch.
    pub root_of: RootOf,
    /// Compares a batch.
    pub difference: CommitDifference,
    /// The chain.
    pub identity: ChainIdentity,
    /// Differences that are known.
    pub quirks: Arc<Quirks>,
}

impl std::fmt::Debug for L1CommitsParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("L1CommitsParts").field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl L1Commits {
    /// Goes on after the newest batch that the store says was compared or passed over.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`] if that cannot be read.
    pub fn open(
        io: &Io,
        parts: L1CommitsParts,
        config: L1CommitsConfig,
    ) -> Result<Self, StageError> {
        let L1CommitsParts {
            main_node,
            layers,
            views,
            writer,
            root_of,
            difference,
            identity,
            quirks,
        } = parts;
        // Genesis is never committed.
        let checked = views.now().newest_l1_check()?.unwrap_or(L1BatchNumber(0));
        Ok(Self {
            clock: io.clock.clone(),
            tasks: io.tasks.clone(),
            main_node,
            layers,
            views,
            writer,
            root_of,
            difference,
            config,
            identity,
            quirks,
            targets: BTreeMap::new(),
            doubt: None,
            warned_of: None,
            checked: watch::Sender::new(checked),
        })
    }

    /// The newest batch that was compared or passed over; 0 before the first.
    pub fn checked(&self) -> watch::Receiver<L1BatchNumber> {
        self.checked.subscribe()
    }

    /// Compares until something differs for sure or the store fails, and says how.
    pub async fn run(mut self) -> StageError {
        let mut failures = 0_u32;
        loop {
            match self.step().await {
                Ok(true) => failures = 0,
                Ok(false) => {
                    failures = 0;
                    self.clock.sleep(self.config.poll_interval).await;
                }
                Err(StageError::Unavailable { peer, detail }) => {
                    // Blocks go on; what is not compared waits.
                    failures = failures.saturating_add(1);
                    if failures.is_power_of_two() {
                        warn!(%peer, detail, failures, "commit transactions are not compared");
                    }
                    self.clock.sleep(self.config.poll_interval).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Compares the next batches. Returns whether there may be more at once.
    async fn step(&mut self) -> Result<bool, StageError> {
        let view = self.views.now();
        let places = self.next_places(&view).await?;
        let Some((_, first)) = places.first().copied() else { return Ok(false) };
        let (chain, here) = match first {
            Place::Elsewhere { chain } => {
                self.pass_over(&places, chain)?;
                return Ok(true);
            }
            Place::Here { chain, .. } => (chain, in_one_place(&places, chain)),
        };
        let target = self.target(chain).await?;
        let Some(layer) = self.layers.get(&chain) else { return Ok(false) };
        let mut hashes: Vec<_> = here.iter().map(|(_, tx_hash)| *tx_hash).collect();
        hashes.dedup();
        let receipts = layer.client.receipts(&hashes).await.map_err(of_l1)?;
        let transactions = layer.client.transactions(&hashes).await.map_err(of_l1)?;
        let mut shown = BTreeMap::new();
        for (hash, (receipt, transaction)) in
            hashes.iter().zip(receipts.into_iter().zip(transactions))
        {
            shown.extend(receipt.zip(transaction).map(|both| (*hash, both)));
        }

        let mut equal = Vec::new();
        let mut missing = None;
        let mut difference = None;
        for (number, tx_hash) in here {
            let Some((receipt, transaction)) = shown.get(&tx_hash) else {
                missing = Some((number, tx_hash));
                break;
            };
            let ours = self.ours(&view, number)?;
            let found = self.compare(&ours, receipt, transaction, target).await?;
            if let Some(found) = found {
                if self.is_known(number, &found) {
                    equal.push((number, L1Check::Tolerated { tx_hash }));
                    continue;
                }
                difference = Some((ours, tx_hash, found));
                break;
            }
            equal.push((number, L1Check::Equal { tx_hash }));
        }
        self.persist(&equal)?;
        if let Some((ours, tx, difference)) = difference {
            self.doubt(&ours, tx, difference)?;
            return Ok(false);
        }
        self.doubt = None;
        match missing {
            // The step was final: a provider that is behind, or has lost it.
            Some((number, tx_hash)) => Err(StageError::Unavailable {
                peer: Peer::L1,
                detail: format!("it does not show transaction {tx_hash} of batch {number} in full"),
            }),
            None => Ok(true),
        }
    }

    /// The next batches that something can be done with, in order and without gaps.
    async fn next_places(
        &mut self,
        view: &ChainView,
    ) -> Result<Vec<(L1BatchNumber, Place)>, StageError> {
        let first = self.checked.borrow().next();
        let last = view.newest_commitment()?.unwrap_or_default();
        let last = last.0.min(first.0.saturating_add(self.config.batches_max.max(1) - 1));
        let mut places = Vec::new();
        for number in (first.0..=last).map(L1BatchNumber) {
            let step = view.steps(number)?.commit;
            let Some(step) = step else { break };
            if step.finality < self.config.finality_min {
                break;
            }
            let place = if self.layers.contains_key(&step.chain_id) {
                Place::Here { chain: step.chain_id, tx_hash: step.tx_hash }
            } else {
                Place::Elsewhere { chain: step.chain_id }
            };
            places.push((number, place));
        }
        if first.0 <= last && view.steps(first)?.commit.is_none() {
            // One question is enough to find out that it is not committed yet.
            places = self.places_by_main_node(&[first]).await?;
            if !places.is_empty() {
                let more: Vec<_> = (first.0 + 1..=last).map(L1BatchNumber).collect();
                places.extend(self.places_by_main_node(&more).await?);
            }
        }
        Ok(places)
    }

    /// Batches whose commit steps are not stored: those that are committed beside L1, whose steps
    /// nobody watches.
    async fn places_by_main_node(
        &self,
        numbers: &[L1BatchNumber],
    ) -> Result<Vec<(L1BatchNumber, Place)>, StageError> {
        let details = self.main_node.batch_details(numbers).await.map_err(of_main_node)?;
        let mut places = Vec::new();
        for (number, details) in numbers.iter().zip(details) {
            let Some(details) = details else { break };
            let committed = (details.commit_tx_hash, details.commit_chain_id);
            let (Some(tx_hash), Some(chain)) = committed else {
                break;
            };
            let chain = ChainId(chain);
            if chain == self.identity.l1_chain_id {
                break; // Its step will be stored when L1 bears it out.
            }
            let Some(layer) = self.layers.get(&chain) else {
                places.push((*number, Place::Elsewhere { chain }));
                continue;
            };
            if !self.is_sure(layer, tx_hash).await? {
                break;
            }
            places.push((*number, Place::Here { chain, tx_hash }));
        }
        Ok(places)
    }

    /// Whether a transaction whose step is not stored is as sure as it must be.
    async fn is_sure(&self, layer: &SettlementClient, tx_hash: B256) -> Result<bool, StageError> {
        // Tags first: a block that is final by them was final when the receipt was given.
        let tags = layer.client.tags().await.map_err(of_l1)?;
        let until = match self.config.finality_min {
            Finality::Pending => Some(tags.latest),
            Finality::FastFinalized => tags.safe,
            Finality::Finalized => tags.finalized,
        };
        let receipts = layer.client.receipts(&[tx_hash]).await.map_err(of_l1)?;
        let block = receipts.into_iter().flatten().next().map(|receipt| receipt.block_number);
        Ok(block.zip(until).is_some_and(|(block, until)| block <= until))
    }

    /// Stores that the leading batches on `chain` are not compared.
    fn pass_over(
        &mut self,
        places: &[(L1BatchNumber, Place)],
        chain: ChainId,
    ) -> Result<(), StageError> {
        let elsewhere = Place::Elsewhere { chain };
        let leading = places.iter().take_while(|(_, place)| *place == elsewhere);
        let check = L1Check::NotChecked { settles_on: chain };
        let checks: Vec<_> = leading.map(|(number, _)| (*number, check)).collect();
        if self.warned_of != Some(chain) {
            let first = checks.first().map(|(number, _)| number.0);
            warn!(first, chain = chain.0, "batches are not checked: they settle on this chain");
            self.warned_of = Some(chain);
        }
        self.persist(&checks)
    }

    /// The chain's contract on `chain`, which must have the id that it is configured with.
    async fn target(&mut self, chain: ChainId) -> Result<Target, StageError> {
        if let Some(target) = self.targets.get(&chain) {
            return Ok(*target);
        }
        let unavailable = |detail: String| StageError::Unavailable { peer: Peer::L1, detail };
        let Some(layer) = self.layers.get(&chain) else {
            return Err(unavailable(format!("chain {chain} is not configured")));
        };
        let l2 = self.identity.l2_chain_id;
        let contract = layer.contract_of(l2, chain, &self.main_node).await.map_err(of_l1)?;
        let target = Target { chain: l2, contract };
        self.targets.insert(chain, target);
        Ok(target)
    }

    /// What is stored of the batch, all of it.
    fn ours(&self, view: &ChainView, number: L1BatchNumber) -> Result<Ours, StageError> {
        let missing = |what: &str, number: L1BatchNumber| StageError::Inconsistent {
            block: Default::default(),
            detail: format!("batch {number} has a commitment, and no {what}"),
        };
        let header = view.batch(number)?.ok_or_else(|| missing("header", number))?;
        let root = (self.root_of)(view, number)?.ok_or_else(|| missing("root", number))?;
        let commitment = view.commitment(number)?.ok_or_else(|| missing("row", number))?;
        Ok(Ours {
            header,
            root,
            commitment: commitment.commitment,
            before: self.before(view, number)?,
        })
    }

    fn before(
        &self,
        view: &ChainView,
        number: L1BatchNumber,
    ) -> Result<Option<Before>, StageError> {
        let Some(number) = number.prev() else { return Ok(None) };
        let Some(header) = view.batch(number)? else { return Ok(None) };
        let Some(root) = (self.root_of)(view, number)? else { return Ok(None) };
        let commitment = match view.commitment(number)? {
            Some(row) => row.commitment,
            None if number == L1BatchNumber(0) => self.identity.genesis_commitment,
            None => return Ok(None),
        };
        Ok(Some(Before { root, commitment, next_leaf_index: header.next_leaf_index }))
    }

    async fn compare(
        &self,
        ours: &Ours,
        receipt: &L1Receipt,
        transaction: &L1Transaction,
        target: Target,
    ) -> Result<Option<Difference>, StageError> {
        if let Some(difference) = receipt_difference(ours, receipt, target) {
            return Ok(Some(difference));
        }
        let theirs = match batch_in(ours, transaction, receipt, target) {
            Ok(theirs) => theirs,
            Err(difference) => return Ok(Some(difference)),
        };
        let (views, difference) = (self.views.clone(), self.difference.clone());
        let (number, blobs) = (ours.number(), transaction.blob_versioned_hashes.clone());
        let job = move |_: &dyn lockstep_io::Par| {
            difference(&views.now(), number, &theirs, blobs.as_deref())
        };
        let compared = self.tasks.compute("l1 commit", job).await;
        compared.map_err(|end| match end {
            TaskEnd::Panicked(message) => StageError::Panicked { stage: "l1 commits", message },
            TaskEnd::Done | TaskEnd::Dropped => StageError::Stopped,
        })?
    }

    /// Whether it is known that the commit transaction of `batch` differs. Says so if it is.
    fn is_known(&self, batch: L1BatchNumber, difference: &Difference) -> bool {
        let known = self.quirks.of_batch(QuirkCheck::L1Commit, batch);
        if let Some(quirk) = known {
            let (why, source) = (&quirk.why, &quirk.source);
            info!(l1_batch = batch.0, %difference, why, source, "a known divergence is tolerated");
        }
        known.is_some()
    }

    /// Compares the commit transaction of a batch again, as its stored commit step names it.
    /// Nothing is written.
    ///
    /// # Errors
    ///
    /// [`StageError::Unavailable`] if the settlement layer does not show the transaction, and
    /// [`StageError::Store`] or [`StageError::Inconsistent`] for what is stored.
    pub async fn recheck(&mut self, number: L1BatchNumber) -> Result<Recheck, StageError> {
        let view = self.views.now();
        let Some(step) = view.steps(number)?.commit else { return Ok(Recheck::NoStep) };
        let tx_hash = step.tx_hash;
        if view.commitment(number)?.is_none() {
            return Ok(Recheck::NoCommitment);
        }
        if !self.layers.contains_key(&step.chain_id) {
            return Ok(Recheck::Elsewhere { chain: step.chain_id });
        }
        let target = self.target(step.chain_id).await?;
        let unseen = || StageError::Unavailable {
            peer: Peer::L1,
            detail: format!("it does not show transaction {tx_hash} of batch {number} in full"),
        };
        let layer = self.layers.get(&step.chain_id).ok_or_else(unseen)?;
        let receipt = layer.client.receipts(&[tx_hash]).await.map_err(of_l1)?;
        let transaction = layer.client.transactions(&[tx_hash]).await.map_err(of_l1)?;
        let receipt = receipt.into_iter().flatten().next().ok_or_else(unseen)?;
        let transaction = transaction.into_iter().flatten().next().ok_or_else(unseen)?;
        let ours = self.ours(&view, number)?;
        Ok(match self.compare(&ours, &receipt, &transaction, target).await? {
            None => Recheck::Equal,
            Some(difference) if self.is_known(number, &difference) => Recheck::Tolerated,
            Some(difference) => Recheck::Differs { tx_hash, difference },
        })
    }

    /// Notes a difference.
    ///
    /// # Errors
    ///
    /// [`StageError::L1Mismatch`] if it was there at every read.
    fn doubt(&mut self, ours: &Ours, tx: B256, difference: Difference) -> Result<(), StageError> {
        let batch = ours.number();
        let before = self.doubt.filter(|doubt| doubt.batch == batch).map_or(0, |doubt| doubt.reads);
        let reads = before + 1;
        self.doubt = Some(Doubt { batch, reads });
        if reads >= self.config.reads_max {
            error!(
                l1_batch = batch.0,
                %tx,
                %difference,
                version = %ours.header.version,
                last_block = ours.last_block().0,
                release = env!("CARGO_PKG_VERSION"),
                "L1 was told something else of a batch"
            );
            return Err(StageError::L1Mismatch { batch, tx, difference });
        }
        // What was learned once may be what is wrong.
        self.targets.clear();
        warn!(l1_batch = batch.0, %tx, %difference, reads, "L1 seems to differ; reading again");
        Ok(())
    }

    fn persist(&mut self, checks: &[(L1BatchNumber, L1Check)]) -> Result<(), StageError> {
        if let Some((newest, _)) = checks.last() {
            self.writer.persist(checks)?;
            self.checked.send_replace(*newest);
            info!(batches = checks.len(), newest = newest.0, "commit transactions compared");
        }
        Ok(())
    }
}

/// What comparing a commit transaction again gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// No commit step is stored.
    NoStep,
    /// The batch's own commitment is not stored.
    NoCommitment,
    /// It is committed on a chain that nobody is asked about.
    Elsewhere {
        /// That chain.
        chain: ChainId,
    },
    /// Everything is equal.
    Equal,
    /// It differs, and that is known.
    Tolerated,
    /// It differs.
    Differs {
        /// The commit transaction.
        tx_hash: B256,
        /// The first field that differs.
        difference: Difference,
    },
}

/// The leading batches that are on `chain`, with their transactions.
fn in_one_place(places: &[(L1BatchNumber, Place)], chain: ChainId) -> Vec<(L1BatchNumber, B256)> {
    let here = places.iter().map_while(|(number, place)| match place {
        Place::Here { chain: other, tx_hash } if *other == chain => Some((*number, *tx_hash)),
        Place::Here { .. } | Place::Elsewhere { .. } => None,
    });
    here.collect()
}

fn of_main_node(error: UpstreamError) -> StageError {
    StageError::Unavailable { peer: Peer::MainNode, detail: error.to_string() }
}

/// Whatever an endpoint says that cannot be read is no evidence: it is asked again.
fn of_l1(error: UpstreamError) -> StageError {
    StageError::Unavailable { peer: Peer::L1, detail: error.to_string() }
}
