//! Which L1 steps batches have made: claimed by the main node, believed when the settlement layer
//! shows them.
//!
//! A step is stored when the chain that it is said to be on has a successful transaction with the
//! event of the L2 chain's own contract for the batch, its root and its commitment. Before that it
//! is only a claim and nobody sees it. Which chain that is may differ from batch to batch, and from
//! step to step. A proof's event names no root and no commitment; it is stored only beside a step
//! that names them.

mod evidence;
mod precommits;
mod recheck;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lockstep_io::{Clock, Io};
use lockstep_pipeline::{Peer, StageError};
use lockstep_store::{ChainIdentity, ChainView, StepsWriter, Views};
use lockstep_types::{
    Address, B256, BatchSteps, ChainId, Difference, L1BatchNumber, QuirkCheck, Quirks, StepKind,
    StepTx,
};
use lockstep_upstream::{ContractSource, MainNode, SettlementClient, UpstreamError};
use lockstep_wire::zks::BatchFacts;
use tracing::{debug, error, info, warn};

pub use self::recheck::{StepsRecheck, recheck_steps};
use self::{
    evidence::{Evidence, Expected, Word},
    precommits::Known,
};
use crate::stage_error;

/// Batches that are final already and are passed over in a round, at most.
const SETTLED_MAX: u32 = 20_000;

/// How L1 steps are watched.
#[derive(Clone, Copy, Debug)]
pub struct L1StepsConfig {
    /// Batches asked for together.
    pub batches_max: u32,
    /// Pause when nothing has changed.
    pub poll_interval: Duration,
    /// That a settlement layer holds something else of a batch, for good, is believed when it was
    /// read this often.
    pub reads_max: u32,
}

impl Default for L1StepsConfig {
    fn default() -> Self {
        Self { batches_max: 50, poll_interval: Duration::from_secs(5), reads_max: 3 }
    }
}

/// Asks the main node which steps batches have made, and settlement layers whether that is so.
#[derive(Debug)]
pub struct L1StepsWatcher {
    clock: Arc<dyn Clock>,
    main_node: MainNode,
    layers: BTreeMap<ChainId, SettlementClient>,
    views: Views,
    writer: StepsWriter,
    config: L1StepsConfig,
    identity: ChainIdentity,
    /// Settlement layers that were found to be what they must be, with the chain's contract there.
    contracts: BTreeMap<ChainId, Address>,
    /// Where this round goes on; a round begins at the first batch that is not settled and ends at
    /// the newest one, or at one without any step.
    next: Option<L1BatchNumber>,
    /// All batches up to this one are final, or executed on a chain that nobody is asked about.
    settled: L1BatchNumber,
    /// Settled batches of which a step before the last one has not been seen.
    unfinished: Unfinished,
    /// Steps that a settlement layer contradicts, and how often that was read.
    doubts: BTreeMap<(L1BatchNumber, StepKind), u32>,
    warned_of: BTreeSet<ChainId>,
    /// How far precommits are known; `None` until that was read.
    precommits: Option<Known>,
    /// Differences that are known.
    quirks: Arc<Quirks>,
}

/// What the main node claims of a batch.
#[derive(Clone, Debug)]
struct Claims {
    number: L1BatchNumber,
    steps: Vec<Claimed>,
    commitment: Option<B256>,
}

/// A step that the main node claims.
#[derive(Clone, Debug)]
struct Claimed {
    kind: StepKind,
    /// Where it is said to have been made.
    chain: ChainId,
    tx_hash: B256,
    at: String,
}

impl L1StepsWatcher {
    /// A watcher of `layers`, of which L1 is one.
    pub fn new(
        io: &Io,
        main_node: MainNode,
        layers: BTreeMap<ChainId, SettlementClient>,
        identity: ChainIdentity,
        views: Views,
        writer: StepsWriter,
        config: L1StepsConfig,
    ) -> Self {
        Self {
            clock: io.clock.clone(),
            main_node,
            layers,
            views,
            writer,
            config,
            identity,
            contracts: BTreeMap::new(),
            next: None,
            settled: L1BatchNumber(0),
            unfinished: Unfinished::default(),
            doubts: BTreeMap::new(),
            warned_of: BTreeSet::new(),
            precommits: None,
            quirks: Arc::default(),
        }
    }

    /// Tolerates what `quirks` say is known to differ.
    #[must_use]
    pub fn with_quirks(self, quirks: Arc<Quirks>) -> Self {
        Self { quirks, ..self }
    }

    /// Watches until the store fails, or until a settlement layer holds something else of a batch
    /// for sure, and says how.
    pub async fn run(mut self) -> StageError {
        let mut failures = 0_u32;
        loop {
            let mut step = self.step().await;
            if let Ok(false) = step {
                step = self.look_at_precommits().await;
            }
            match step {
                Ok(true) => failures = 0,
                Ok(false) => {
                    failures = 0;
                    self.clock.sleep(self.config.poll_interval).await;
                }
                Err(error @ (StageError::Store(_) | StageError::L1Mismatch { .. })) => {
                    return error;
                }
                Err(error) if lockstep_io::planted!("X28", false, true) => return error,
                Err(error) => {
                    // Blocks go on without statuses; statuses wait.
                    failures = failures.saturating_add(1);
                    if failures.is_power_of_two() {
                        error!(%error, failures, "L1 steps are not known; asking again");
                    }
                    self.clock.sleep(self.config.poll_interval).await;
                }
            }
        }
    }

    /// Looks at the next batches of the round. Returns whether the round goes on.
    async fn step(&mut self) -> Result<bool, StageError> {
        let view = self.views.now();
        let Some(agreed) = view.agreed_batch()? else { return Ok(false) };
        let begins = self.first_open(&view, agreed)?;
        let count = self.config.batches_max.max(1);
        // With each round, some of those that were left behind.
        let mut wanted = match self.next {
            None => self.unfinished.some(count),
            Some(_) => Vec::new(),
        };
        let first = self.next.take().unwrap_or_default().max(begins);
        let last = agreed.min(L1BatchNumber(first.0.saturating_add(count - 1)));
        wanted.extend((first.0..=last.0).map(L1BatchNumber));
        if wanted.is_empty() {
            return Ok(false);
        }
        let details = self.main_node.batch_details(&wanted).await;
        let details = details.map_err(|error| stage_error(Peer::MainNode, error))?;
        let claims: Vec<_> = wanted
            .iter()
            .zip(details)
            .filter_map(|(number, details)| Some(self.claims(*number, &details?)))
            .collect();
        let (evidence, failed) = self.evidence(&view, &claims).await?;

        let (mut changed, mut mismatch) = (Vec::new(), None);
        for claims in &claims {
            let before = view.steps(claims.number)?;
            let (mut steps, contradicted) = self.believed(&view, claims, &before, &evidence)?;
            mismatch = mismatch.or(contradicted);
            keep_final(&before, &mut steps);
            drop_unbound_proof(&mut steps);
            if steps != before {
                changed.push((claims.number, steps.clone()));
            }
            self.pass(claims, &steps);
        }
        if let Some((newest, _)) = changed.last() {
            info!(batches = changed.len(), newest = newest.0, "L1 steps");
            self.writer.persist(&changed)?;
        }
        // Steps are made in order: behind a batch without any there are none.
        let newest = claims.last().filter(|claims| claims.number >= first);
        let goes_on = last < agreed && newest.is_some_and(|newest| !newest.steps.is_empty());
        self.next = goes_on.then(|| last.next());
        match mismatch.or(failed) {
            Some(error) => Err(error),
            None => Ok(goes_on),
        }
    }

    /// The first batch whose steps may still change.
    fn first_open(
        &mut self,
        view: &ChainView,
        agreed: L1BatchNumber,
    ) -> Result<L1BatchNumber, StageError> {
        // What is final already is passed over in large steps, not all at once.
        let until = agreed.min(L1BatchNumber(self.settled.0.saturating_add(SETTLED_MAX)));
        while self.settled < until {
            let steps = view.steps(self.settled.next())?;
            if !steps.is_final() {
                break;
            }
            self.settled = self.settled.next();
            if !steps.is_whole() {
                self.unfinished.add(self.settled);
            }
        }
        Ok(self.settled.next())
    }

    /// Notes that nothing more, or only a step that was passed over, will be learned of a batch, if
    /// that is so.
    fn pass(&mut self, claims: &Claims, steps: &BatchSteps) {
        let elsewhere = claims.steps.iter().filter(|claimed| {
            !self.layers.contains_key(&claimed.chain) && steps.get(claimed.kind).is_none()
        });
        let elsewhere: Vec<_> = elsewhere.map(|claimed| claimed.kind).collect();
        let is_over = elsewhere.contains(&StepKind::Execute);
        if claims.number == self.settled.next() && (is_over || steps.is_final()) {
            self.settled = claims.number;
        }
        if claims.number <= self.settled {
            let is_known = |kind: &StepKind| is_final(steps.get(*kind)) || elsewhere.contains(kind);
            if is_over || StepKind::ALL.iter().all(is_known) {
                self.unfinished.remove(claims.number);
            } else {
                self.unfinished.add(claims.number);
            }
        }
    }

    /// What each settlement layer says of the claims that are not final yet, and why one said
    /// nothing, if one did. An answer of one does not depend on another's.
    async fn evidence(
        &mut self,
        view: &ChainView,
        claims: &[Claims],
    ) -> Result<(BTreeMap<ChainId, Evidence>, Option<StageError>), StageError> {
        let mut hashes: BTreeMap<ChainId, Vec<B256>> = BTreeMap::new();
        for claims in claims {
            let known = view.steps(claims.number)?;
            let is_open = |claimed: &&Claimed| !is_final(known.get(claimed.kind));
            for claimed in claims.steps.iter().filter(is_open) {
                hashes.entry(claimed.chain).or_default().push(claimed.tx_hash);
            }
        }
        let (mut evidence, mut failed) = (BTreeMap::new(), None);
        for (chain, hashes) in hashes {
            let Some(layer) = self.layers.get(&chain).cloned() else {
                if self.warned_of.insert(chain) {
                    warn!(
                        chain = chain.0,
                        "batches settle on a chain that nobody is asked about: their steps are \
                         not shown"
                    );
                }
                continue;
            };
            let gathered = match self.contract(chain, &layer).await {
                Ok(contract) => Evidence::gather(&layer.client, contract, hashes).await,
                Err(error) => Err(error),
            };
            match gathered {
                Ok(gathered) => drop(evidence.insert(chain, gathered)),
                Err(error) => failed = Some(stage_error(Peer::L1, error)),
            }
        }
        Ok((evidence, failed))
    }

    /// The chain's contract on `chain`, which is `layer`.
    async fn contract(
        &mut self,
        chain: ChainId,
        layer: &SettlementClient,
    ) -> Result<Address, UpstreamError> {
        if let Some(contract) = self.contracts.get(&chain) {
            return Ok(*contract);
        }
        let l2 = self.identity.l2_chain_id;
        let contract = layer.contract_of(l2, chain, &self.main_node).await?;
        if let ContractSource::Known(known) = layer.contract {
            let named = self.main_node.main_contract().await?;
            if named != known {
                let detail = format!(
                    "the main node says that the chain's contract on L1 is {named}, \
                     --l1-contract says {known}: correct --l1-contract if you know that it is the \
                     other, else --main-node-url"
                );
                return Err(UpstreamError::Lie { detail });
            }
        }
        self.contracts.insert(chain, contract);
        Ok(contract)
    }

    /// What the main node claims.
    fn claims(&self, number: L1BatchNumber, details: &BatchFacts) -> Claims {
        let it = details;
        let steps = [
            (StepKind::Commit, it.commit_tx_hash, &it.committed_at, it.commit_chain_id),
            (StepKind::Prove, it.prove_tx_hash, &it.proven_at, it.prove_chain_id),
            (StepKind::Execute, it.execute_tx_hash, &it.executed_at, it.execute_chain_id),
        ];
        type Step<'a> = (StepKind, Option<B256>, &'a Option<String>, Option<u64>);
        let claimed = |(kind, tx_hash, at, chain): Step<'_>| {
            // Main nodes that know of one settlement layer only do not name it.
            let chain = chain.map_or(self.identity.l1_chain_id, ChainId);
            let first = self.warned_of.first().copied();
            let chain = lockstep_io::planted!("X27", chain, first.unwrap_or(chain));
            Some(Claimed { kind, chain, tx_hash: tx_hash?, at: at.clone().unwrap_or_default() })
        };
        let steps = steps.into_iter().filter_map(claimed).collect();
        Claims { number, steps, commitment: details.commitment }
    }

    /// The claims that their settlement layers bear out, and a contradiction that stays. Of what
    /// was stored `before`, steps stay on chains that did not answer.
    fn believed(
        &mut self,
        view: &ChainView,
        claims: &Claims,
        before: &BatchSteps,
        evidence: &BTreeMap<ChainId, Evidence>,
    ) -> Result<(BatchSteps, Option<StageError>), StageError> {
        let number = claims.number;
        let expected = expected(view, number, claims.commitment)?;
        let (mut steps, mut mismatch) = (BatchSteps::default(), None);
        for claimed in &claims.steps {
            let Claimed { kind, chain, tx_hash, at } = claimed.clone();
            let Some(said) = evidence.get(&chain) else {
                let is_same = |tx: &&StepTx| tx.chain_id == chain && tx.tx_hash == tx_hash;
                steps.set(kind, before.get(kind).filter(is_same).cloned());
                continue;
            };
            let word = said.of(claimed, number, expected);
            if !matches!(word, Word::Contradicted(_)) {
                self.doubts.remove(&(number, kind));
            }
            match word {
                Word::Shown(finality) => {
                    steps.set(kind, Some(StepTx { tx_hash, at, chain_id: chain, finality }));
                }
                Word::Nothing => {
                    debug!(l1_batch = number.0, ?kind, "the step cannot be seen on L1 yet");
                }
                Word::Other(detail) => {
                    error!(l1_batch = number.0, ?kind, tx = %tx_hash, detail, "the main node claims an L1 step that L1 does not bear out");
                }
                Word::Contradicted(difference) if is_final(before.get(kind)) => {
                    // It was seen as it must be: some provider is wrong.
                    warn!(l1_batch = number.0, ?kind, tx = %tx_hash, %difference, "L1 contradicts what it showed before");
                }
                Word::Contradicted(difference) if self.is_known(number) => {
                    info!(l1_batch = number.0, ?kind, %difference, "a known divergence is tolerated");
                }
                Word::Contradicted(difference) => {
                    mismatch = mismatch.or_else(|| self.doubt(number, claimed, difference));
                }
            }
        }
        Ok((steps, mismatch))
    }

    /// Whether it is known that `batch` is another one on L1, or at the main node.
    fn is_known(&self, batch: L1BatchNumber) -> bool {
        let checks = [QuirkCheck::Root, QuirkCheck::Commitment, QuirkCheck::L1Commit];
        checks.into_iter().any(|check| self.quirks.of_batch(check, batch).is_some())
    }

    /// Notes that a settlement layer holds something else of a batch, and says so if it did at
    /// every read.
    fn doubt(
        &mut self,
        batch: L1BatchNumber,
        claimed: &Claimed,
        difference: Difference,
    ) -> Option<StageError> {
        let (kind, tx) = (claimed.kind, claimed.tx_hash);
        let reads = self.doubts.entry((batch, kind)).or_default();
        *reads += 1;
        if *reads >= self.config.reads_max {
            error!(l1_batch = batch.0, ?kind, %tx, %difference, "L1 holds something else of a batch");
            return Some(StageError::L1Mismatch { batch, tx, difference });
        }
        warn!(l1_batch = batch.0, ?kind, %tx, %difference, reads, "L1 seems to hold something else of a batch; reading again");
        // What was learned once may be what is wrong.
        self.contracts.remove(&claimed.chain);
        None
    }
}

/// Root and commitment that the events of a batch must name, as far as they are known.
/// `announced` is the commitment that the main node announces now.
fn expected(
    view: &ChainView,
    number: L1BatchNumber,
    announced: Option<B256>,
) -> Result<Expected, StageError> {
    let claim = view.claim(number)?;
    let root = claim.and_then(|claim| claim.root).map(|root| root.0);
    // What was computed here is worth more than what somebody says, and that more than what was
    // said before.
    let ours = view.commitment(number)?.map(|ours| ours.commitment.0);
    let before = claim.and_then(|claim| claim.commitment).map(|commitment| commitment.0);
    let commitment = ours.or(announced).or(before);
    Ok(Expected { root, commitment, is_commitment_ours: ours.is_some() })
}

/// Batches that are executed for good, of which an earlier step was not seen: perhaps the provider
/// that was asked was behind when it was looked for. They are asked about again, a few at a time.
#[derive(Debug, Default)]
struct Unfinished {
    batches: BTreeSet<L1BatchNumber>,
    /// The newest of those that were asked about last.
    asked: L1BatchNumber,
}

impl Unfinished {
    fn add(&mut self, batch: L1BatchNumber) {
        self.batches.insert(batch);
    }

    fn remove(&mut self, batch: L1BatchNumber) {
        self.batches.remove(&batch);
    }

    /// The next `count` of them at most, in order; after the last, the first is next again.
    fn some(&mut self, count: u32) -> Vec<L1BatchNumber> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut next: Vec<_> =
            self.batches.range(self.asked.next()..).take(count).copied().collect();
        if next.is_empty() {
            next.extend(self.batches.iter().take(count));
        }
        self.asked = next.last().copied().unwrap_or_default();
        next
    }
}

/// The event of a proof names no root: that it is about this very batch, and not about another one
/// of the same number, is known only beside a step that names it.
fn drop_unbound_proof(steps: &mut BatchSteps) {
    let is_bound = steps.commit.is_some() || steps.execute.is_some();
    if !is_bound {
        steps.prove = None;
    }
}

/// A step that was final once stays so, whatever an L1 endpoint that is behind says later.
fn keep_final(before: &BatchSteps, steps: &mut BatchSteps) {
    for kind in StepKind::ALL {
        if is_final(before.get(kind)) {
            steps.set(kind, before.get(kind).cloned());
        }
    }
}

fn is_final(step: Option<&StepTx>) -> bool {
    step.is_some_and(StepTx::is_final)
}

#[cfg(test)]
mod tests {
    use lockstep_types::Finality;

    use super::*;

    fn some(unfinished: &mut Unfinished, count: u32) -> Vec<u32> {
        unfinished.some(count).into_iter().map(|batch| batch.0).collect()
    }

    #[test]
    fn unfinished_batches_take_turns() {
        let mut unfinished = Unfinished::default();
        assert_eq!(some(&mut unfinished, 2), Vec::<u32>::new());
        for batch in [9, 2, 5] {
            unfinished.add(L1BatchNumber(batch));
        }
        assert_eq!(some(&mut unfinished, 2), [2, 5]);
        assert_eq!(some(&mut unfinished, 2), [9]);
        assert_eq!(some(&mut unfinished, 2), [2, 5]);
        unfinished.remove(L1BatchNumber(9));
        assert_eq!(some(&mut unfinished, 2), [2, 5]);
        unfinished.remove(L1BatchNumber(2));
        unfinished.remove(L1BatchNumber(5));
        assert_eq!(some(&mut unfinished, 2), Vec::<u32>::new());
    }

    #[test]
    fn a_proof_stays_beside_a_step_that_names_the_root_only() {
        let tx = StepTx {
            tx_hash: B256::repeat_byte(1),
            at: String::new(),
            chain_id: ChainId(9),
            finality: Finality::Finalized,
        };
        let proven = BatchSteps { prove: Some(tx.clone()), ..BatchSteps::default() };
        for kind in [StepKind::Commit, StepKind::Execute] {
            let mut steps = proven.clone();
            steps.set(kind, Some(tx.clone()));
            let before = steps.clone();
            drop_unbound_proof(&mut steps);
            assert_eq!(steps, before);
        }
        let mut alone = proven;
        drop_unbound_proof(&mut alone);
        assert_eq!(alone, BatchSteps::default());
    }
}
