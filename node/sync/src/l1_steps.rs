//! Which L1 steps batches have made: claimed by the main node, believed when L1 shows them.
//!
//! A step is stored when the settlement layer has a successful transaction with the chain's own
//! event for the batch, its root and its commitment. Before that it is only a claim and nobody
//! sees it.

use std::{sync::Arc, time::Duration};

use lockstep_io::{Clock, Io};
use lockstep_pipeline::{Peer, StageError};
use lockstep_store::{ChainView, StepsWriter, Views};
use lockstep_types::{
    Address, B256, BatchSteps, ChainId, Finality, L1BatchNumber, StepKind, StepTx, U256,
    alloy_primitives::b256,
};
use lockstep_upstream::{L1, L1Log, L1Receipt, L1Tags, MainNode};
use lockstep_wire::zks::L1BatchDetails;
use tracing::{debug, error, info};

use crate::stage_error;

/// `BlockCommit(uint256 indexed, bytes32 indexed, bytes32 indexed)`.
const COMMITTED: B256 = b256!("8f2916b2f2d78cc5890ead36c06c0f6d5d112c7e103589947e8e2f0d6eddb763");
/// `BlocksVerification(uint256 indexed, uint256 indexed)`.
const PROVEN: B256 = b256!("22c9005dd88c18b552a1cd7e8b3b937fcde9ca69213c1f658f54d572e4877a81");
/// `BlockExecution(uint256 indexed, bytes32 indexed, bytes32 indexed)`.
const EXECUTED: B256 = b256!("2402307311a4d6604e4e7b4c8a15a7e1213edb39c16a31efa70afb06030d3165");

/// How L1 steps are watched.
#[derive(Clone, Copy, Debug)]
pub struct L1StepsConfig {
    /// Batches asked for together.
    pub batches_max: u32,
    /// Pause when nothing has changed.
    pub poll_interval: Duration,
}

impl Default for L1StepsConfig {
    fn default() -> Self {
        Self { batches_max: 50, poll_interval: Duration::from_secs(5) }
    }
}

/// The L1 that is watched.
#[derive(Clone, Debug)]
pub struct WatchedL1 {
    /// How it is asked.
    pub client: L1,
    /// The id that it must have.
    pub chain_id: ChainId,
    /// The chain's contract there, whose events are believed; `None`: the main node names it,
    /// which could name one of its own making.
    pub contract: Option<Address>,
}

/// Asks the main node which steps batches have made, and L1 whether that is so.
#[derive(Debug)]
pub struct L1StepsWatcher {
    clock: Arc<dyn Clock>,
    main_node: MainNode,
    l1: L1,
    views: Views,
    writer: StepsWriter,
    config: L1StepsConfig,
    l1_chain_id: ChainId,
    /// The chain's contract as the operator knows it.
    known_contract: Option<Address>,
    diamond: Option<Address>,
    is_chain_checked: bool,
    /// Where this round goes on; a round begins at the first batch that is not final and ends at
    /// the newest one, or at one without any step.
    next: Option<L1BatchNumber>,
}

/// A step that the main node claims.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) kind: StepKind,
    pub(crate) tx_hash: B256,
    pub(crate) at: String,
}

impl L1StepsWatcher {
    /// A watcher of `l1`.
    pub fn new(
        io: &Io,
        main_node: MainNode,
        l1: WatchedL1,
        views: Views,
        writer: StepsWriter,
        config: L1StepsConfig,
    ) -> Self {
        let WatchedL1 { client: l1, chain_id: l1_chain_id, contract: known_contract } = l1;
        Self {
            clock: io.clock.clone(),
            main_node,
            l1,
            views,
            writer,
            config,
            l1_chain_id,
            known_contract,
            diamond: None,
            is_chain_checked: false,
            next: None,
        }
    }

    /// Watches until the store fails, and says how.
    pub async fn run(mut self) -> StageError {
        let mut failures = 0_u32;
        loop {
            match self.step().await {
                Ok(true) => failures = 0,
                Ok(false) => {
                    failures = 0;
                    self.clock.sleep(self.config.poll_interval).await;
                }
                Err(error @ StageError::Store(_)) => return error,
                Err(error) => {
                    // Blocks go on without statuses; statuses wait.
                    failures += 1;
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
        self.check_chain().await?;
        let diamond = self.diamond().await?;
        let view = self.views.now();
        let Some(agreed) = view.agreed_batch()? else { return Ok(false) };
        let not_final = first_not_final(&view, agreed)?;
        let first = self.next.take().unwrap_or_default().max(not_final);
        let count = self.config.batches_max.max(1);
        let last = agreed.min(L1BatchNumber(first.0.saturating_add(count - 1)));
        let wanted: Vec<_> = (first.0..=last.0).map(L1BatchNumber).collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let details = self.main_node.batch_details(&wanted).await;
        let details = details.map_err(|error| stage_error(Peer::MainNode, error))?;

        let claims: Vec<_> = wanted
            .iter()
            .zip(details)
            .filter_map(|(number, details)| Some((*number, self.claims(&details?))))
            .collect();
        let mut hashes = Vec::new();
        for (number, claims) in &claims {
            let known = view.steps(*number)?;
            let is_open = |claim: &&Claimed| !is_final(known.get(claim.kind));
            hashes.extend(claims.iter().filter(is_open).map(|claim| claim.tx_hash));
        }
        hashes.sort_unstable();
        hashes.dedup();
        // Tags first: a block that is final by them was final when the receipt was given.
        let tags = self.l1.tags().await.map_err(|error| stage_error(Peer::L1, error))?;
        let receipts = self.l1.receipts(&hashes).await;
        let receipts = receipts.map_err(|error| stage_error(Peer::L1, error))?;
        let evidence = Evidence { hashes: &hashes, receipts: &receipts, tags, diamond };

        let mut changed = Vec::new();
        for (number, claims) in &claims {
            let before = view.steps(*number)?;
            let mut steps = self.believed(&view, *number, claims, &evidence)?;
            keep_final(&before, &mut steps);
            if steps != before {
                changed.push((*number, steps));
            }
        }
        if let Some((newest, _)) = changed.last() {
            info!(batches = changed.len(), newest = newest.0, "L1 steps");
            self.writer.persist(&changed)?;
        }
        // Steps are made in order: behind a batch without any there are none.
        let goes_on = last < agreed && claims.last().is_some_and(|(_, claims)| !claims.is_empty());
        self.next = goes_on.then(|| last.next());
        Ok(goes_on)
    }

    async fn check_chain(&mut self) -> Result<(), StageError> {
        if !self.is_chain_checked {
            check_chain_id(&self.l1, self.l1_chain_id).await?;
            self.is_chain_checked = true;
        }
        Ok(())
    }

    async fn diamond(&mut self) -> Result<Address, StageError> {
        match self.diamond {
            Some(diamond) => Ok(diamond),
            None => {
                let diamond = self.main_node.main_contract().await;
                let diamond = diamond.map_err(|error| stage_error(Peer::MainNode, error))?;
                if let Some(known) = self.known_contract.filter(|known| *known != diamond) {
                    let detail = format!(
                        "it says that the chain's contract on L1 is {diamond}, --l1-contract says \
                         {known}: correct --l1-contract if you know that it is the other, else \
                         --main-node-url"
                    );
                    return Err(StageError::Lie { peer: Peer::MainNode, detail });
                }
                self.diamond = Some(diamond);
                Ok(diamond)
            }
        }
    }

    /// The steps that the main node claims to be on the L1 that is watched.
    fn claims(&self, details: &L1BatchDetails) -> Vec<Claimed> {
        let base = &details.base;
        let steps = [
            (StepKind::Commit, base.commit_tx_hash, &base.committed_at, base.commit_chain_id),
            (StepKind::Prove, base.prove_tx_hash, &base.proven_at, base.prove_chain_id),
            (StepKind::Execute, base.execute_tx_hash, &base.executed_at, base.execute_chain_id),
        ];
        let here = |chain: Option<u64>| chain.is_none_or(|chain| chain == self.l1_chain_id.0);
        steps
            .into_iter()
            .filter(|(_, _, _, chain)| here(*chain))
            .filter_map(|(kind, tx_hash, at, _)| {
                Some(Claimed { kind, tx_hash: tx_hash?, at: at.clone().unwrap_or_default() })
            })
            .collect()
    }

    /// The claims that L1 bears out.
    fn believed(
        &self,
        view: &ChainView,
        number: L1BatchNumber,
        claims: &[Claimed],
        evidence: &Evidence<'_>,
    ) -> Result<BatchSteps, StageError> {
        let (root, commitment) = expected(view, number)?;
        let mut steps = BatchSteps::default();
        for claimed in claims {
            let finality = match evidence.of(claimed, number, root, commitment) {
                Ok(Some(finality)) => finality,
                Ok(None) => {
                    debug!(l1_batch = number.0, kind = ?claimed.kind, "the step cannot be seen on L1 yet");
                    continue;
                }
                Err(detail) => {
                    error!(l1_batch = number.0, kind = ?claimed.kind, tx = %claimed.tx_hash, detail, "the main node claims an L1 step that L1 does not bear out");
                    continue;
                }
            };
            let tx = StepTx {
                tx_hash: claimed.tx_hash,
                at: claimed.at.clone(),
                chain_id: self.l1_chain_id,
                finality,
            };
            match claimed.kind {
                StepKind::Commit => steps.commit = Some(tx),
                StepKind::Prove => steps.prove = Some(tx),
                StepKind::Execute => steps.execute = Some(tx),
            }
        }
        Ok(steps)
    }
}

/// Root and commitment that the events of a batch must name, as far as they are known.
pub(crate) fn expected(
    view: &ChainView,
    number: L1BatchNumber,
) -> Result<(Option<B256>, Option<B256>), StageError> {
    let claim = view.claim(number)?;
    let root = claim.and_then(|claim| claim.root).map(|root| root.0);
    let announced = claim.and_then(|claim| claim.commitment);
    // What was computed here is worth more than what somebody says.
    let ours = view.commitment(number)?.map(|ours| ours.commitment);
    Ok((root, ours.or(announced).map(|commitment| commitment.0)))
}

pub(crate) async fn check_chain_id(l1: &L1, expected: ChainId) -> Result<(), StageError> {
    let theirs = l1.chain_id().await.map_err(|error| stage_error(Peer::L1, error))?;
    if theirs == expected {
        return Ok(());
    }
    let detail = format!("it is chain {theirs}, the chain settles on {expected}: correct --l1-url");
    Err(StageError::Lie { peer: Peer::L1, detail })
}

/// A step that was final once stays so, whatever an L1 endpoint that is behind says later.
fn keep_final(before: &BatchSteps, steps: &mut BatchSteps) {
    let keep = |before: &Option<StepTx>, now: &mut Option<StepTx>| {
        if is_final(before.as_ref()) {
            now.clone_from(before);
        }
    };
    keep(&before.commit, &mut steps.commit);
    keep(&before.prove, &mut steps.prove);
    keep(&before.execute, &mut steps.execute);
}

fn is_final(step: Option<&StepTx>) -> bool {
    step.is_some_and(|tx| tx.finality == Finality::Finalized)
}

/// The first batch that is not final. Batches become final in order.
fn first_not_final(view: &ChainView, agreed: L1BatchNumber) -> Result<L1BatchNumber, StageError> {
    let (mut low, mut high) = (1, agreed.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if view.steps(L1BatchNumber(middle))?.is_final() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(L1BatchNumber(low))
}

/// What L1 said, for a number of claims.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    /// Sorted.
    pub(crate) hashes: &'a [B256],
    /// In the order of `hashes`.
    pub(crate) receipts: &'a [Option<L1Receipt>],
    pub(crate) tags: L1Tags,
    pub(crate) diamond: Address,
}

impl Evidence<'_> {
    /// How sure the claimed step is; `None` if L1 does not have the transaction, or if it is not
    /// known yet what its event must say.
    ///
    /// # Errors
    ///
    /// What is wrong with the transaction.
    pub(crate) fn of(
        &self,
        claimed: &Claimed,
        number: L1BatchNumber,
        root: Option<B256>,
        commitment: Option<B256>,
    ) -> Result<Option<Finality>, &'static str> {
        let is_needed = match claimed.kind {
            StepKind::Commit | StepKind::Execute => true,
            StepKind::Prove => false,
        };
        if is_needed && (root.is_none() || commitment.is_none()) {
            return Ok(None); // Nothing to hold the event against yet.
        }
        let position = self.hashes.binary_search(&claimed.tx_hash).ok();
        let receipt = position.and_then(|position| self.receipts.get(position)?.as_ref());
        let Some(receipt) = receipt else { return Ok(None) };
        if !receipt.success {
            return Err("the transaction failed");
        }
        let own = receipt.logs.iter().filter(|log| log.address == self.diamond);
        let mut of_kind = own.filter(|log| log.topics.first() == Some(&topic(claimed.kind)));
        if !of_kind.any(|log| is_of(log, claimed.kind, number, root, commitment)) {
            return Err(
                "it has no event of the chain's contract for this batch, root and commitment",
            );
        }
        let at_or_below = |tag: Option<u64>| tag.is_some_and(|tag| receipt.block_number <= tag);
        Ok(Some(if at_or_below(self.tags.finalized) {
            Finality::Finalized
        } else if at_or_below(self.tags.safe) {
            Finality::FastFinalized
        } else {
            Finality::Pending
        }))
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
fn is_of(
    log: &L1Log,
    kind: StepKind,
    number: L1BatchNumber,
    root: Option<B256>,
    commitment: Option<B256>,
) -> bool {
    let topic = |index: usize| log.topics.get(index).copied();
    let as_number = |index: usize| topic(index).map(|word| U256::from_be_bytes(word.0));
    let number = U256::from(number.0);
    match kind {
        StepKind::Commit | StepKind::Execute => {
            let known = root.is_some() && commitment.is_some();
            known && as_number(1) == Some(number) && topic(2) == root && topic(3) == commitment
        }
        StepKind::Prove => {
            as_number(1).is_some_and(|before| before < number)
                && as_number(2).is_some_and(|last| number <= last)
        }
    }
}
