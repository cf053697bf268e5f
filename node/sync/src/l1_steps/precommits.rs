//! Which blocks are precommitted: claimed by the main node, believed when the settlement layer
//! shows the chain's own event with the hash of what this replica ran.
//!
//! A precommit is of the blocks of a batch from its first on, up to a block that the event names.
//! Whether a chain makes precommits at all, one question a batch tells: its first block has one
//! then.

use std::{collections::BTreeMap, time::Duration};

use lockstep_io::Mono;
use lockstep_pipeline::{Peer, StageError};
use lockstep_store::ChainView;
use lockstep_types::{
    B256, ChainId, L1BatchNumber, L2BlockNumber, ProtocolVersion, StepTx, U256, status_hash,
};
use lockstep_wire::zks::BlockFacts;
use tracing::{error, info};

use super::{Evidence, L1StepsWatcher, evidence::Precommit, is_final};
use crate::stage_error;

/// First version whose batches are precommitted.
const FIRST_VERSION: ProtocolVersion = ProtocolVersion(29);
/// Batches looked at together.
const BATCHES_MAX: u32 = 20;
/// Blocks of a batch asked for together.
const BLOCKS_MAX: usize = 50;
/// Pause between looks at a chain that makes precommits.
const INTERVAL: Duration = Duration::from_secs(5);
/// Pause between looks whether a chain makes precommits.
const INTERVAL_OF_NONE: Duration = Duration::from_secs(60);

/// How far precommits are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// All batches up to this one are known for good.
    batch: L1BatchNumber,
    /// Whether the chain has made a precommit that was stored: then how far it is known is stored
    /// too.
    is_stored: bool,
    /// No look before.
    next_look: Mono,
}

impl Known {
    /// As the store says. If it says nothing, batches that are final already are left out: their
    /// precommits say nothing more.
    pub(super) fn open(view: &ChainView) -> Result<Self, StageError> {
        Ok(match view.precommits_batch()? {
            Some(batch) => Self { batch, is_stored: true, next_look: Mono(0) },
            None => Self { batch: view.final_batch()?, is_stored: false, next_look: Mono(0) },
        })
    }
}

/// A batch whose precommits may be asked for.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    number: L1BatchNumber,
    first: L2BlockNumber,
    /// The last block that is stored.
    last: L2BlockNumber,
    /// Whether it is committed for good: then no precommits are made any more.
    is_committed: bool,
}

/// A precommit that the main node claims.
#[derive(Clone, Debug)]
struct Claim {
    block: L2BlockNumber,
    tx_hash: B256,
    chain: ChainId,
    at: String,
}

impl L1StepsWatcher {
    /// Looks at the precommits of the next batches that are not known for good, unless that was
    /// done a moment ago. Returns whether there may be more at once.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`], and [`StageError::Unavailable`] if somebody does not answer.
    pub(super) async fn look_at_precommits(&mut self) -> Result<bool, StageError> {
        let view = self.views.now();
        let before = match self.precommits {
            Some(known) => known,
            None => *self.precommits.insert(Known::open(&view)?),
        };
        let now = self.clock.mono();
        if before.next_look > now {
            return Ok(false);
        }
        let batches = candidates(&view, before.batch)?;
        if batches.is_empty() {
            return Ok(false);
        }
        let firsts: Vec<_> = batches.iter().map(|batch| batch.first).collect();
        let probes = self.main_node.block_details(&firsts).await;
        let probes = probes.map_err(|error| stage_error(Peer::MainNode, error))?;
        let (mut known, mut changes, mut is_so_far) = (before, Vec::new(), true);
        for (batch, probe) in batches.iter().zip(probes) {
            let Some(probe) = probe else { break };
            let mut is_final = batch.is_committed;
            if probe.precommit_tx_hash.is_some() {
                known.is_stored = true;
                is_final &= self.learn(&view, batch, &mut changes).await?;
            }
            is_so_far &= is_final;
            if is_so_far {
                known.batch = batch.number;
            }
        }
        if !changes.is_empty() || (known.is_stored && known.batch != before.batch) {
            let newest = changes.last().map(|(block, _): &(L2BlockNumber, _)| block.0);
            let cursor = Some(known.batch).filter(|batch| *batch > L1BatchNumber(0));
            self.writer.persist_precommits(&changes, cursor)?;
            info!(blocks = changes.len(), newest, "precommits");
        }
        let is_more = known.batch.0 - before.batch.0 == BATCHES_MAX;
        if !is_more {
            let pause = if known.is_stored { INTERVAL } else { INTERVAL_OF_NONE };
            known.next_look = now.plus(pause);
        }
        self.precommits = Some(known);
        Ok(is_more)
    }

    /// Adds what is to be stored of the precommits of a batch to `changes`. Returns whether all
    /// there are, are final.
    async fn learn(
        &mut self,
        view: &ChainView,
        batch: &Candidate,
        changes: &mut Vec<(L2BlockNumber, Option<StepTx>)>,
    ) -> Result<bool, StageError> {
        let Candidate { number, first, last, .. } = *batch;
        let claims: Vec<_> = self.precommitted(first, last).await?;
        let mut hashes: BTreeMap<ChainId, Vec<B256>> = BTreeMap::new();
        for claim in &claims {
            hashes.entry(claim.chain).or_default().push(claim.tx_hash);
        }
        let mut evidence = BTreeMap::new();
        for (chain, hashes) in hashes {
            let Some(layer) = self.layers.get(&chain).cloned() else { continue };
            let gathered = match self.contract(chain, &layer).await {
                Ok(contract) => Evidence::gather(&layer.client, contract, hashes).await,
                Err(error) => Err(error),
            };
            evidence.insert(chain, gathered.map_err(|error| stage_error(Peer::L1, error))?);
        }
        let ran = ran_so_far(view, first, last)?;
        let mut are_final = true;
        let mut claims = claims.into_iter().peekable();
        for block in (first.0..=last.0).map(L2BlockNumber) {
            let claim = claims.next_if(|claim| claim.block == block);
            let is_claimed = claim.is_some();
            let shown = claim.and_then(|Claim { tx_hash, chain, at, .. }| {
                let said = evidence.get(&chain)?;
                let precommit = Precommit { batch: number, block, ran: &ran };
                match said.of_precommit(tx_hash, precommit) {
                    Ok(finality) => {
                        Some(StepTx { tx_hash, at, chain_id: chain, finality: finality? })
                    }
                    Err(detail) => {
                        error!(block = block.0, tx = %tx_hash, detail, "the main node claims a precommit that L1 does not bear out");
                        None
                    }
                }
            });
            let before = view.precommit(block)?;
            if is_final(before.as_ref()) {
                continue;
            }
            are_final &= !is_claimed || is_final(shown.as_ref());
            if shown != before {
                changes.push((block, shown));
            }
        }
        Ok(are_final)
    }

    /// What the main node says of the leading blocks that are precommitted.
    async fn precommitted(
        &self,
        first: L2BlockNumber,
        last: L2BlockNumber,
    ) -> Result<Vec<Claim>, StageError> {
        let mut claims = Vec::new();
        let blocks: Vec<_> = (first.0..=last.0).map(L2BlockNumber).collect();
        for blocks in blocks.chunks(BLOCKS_MAX) {
            let answers = self.main_node.block_details(blocks).await;
            let answers = answers.map_err(|error| stage_error(Peer::MainNode, error))?;
            for facts in answers {
                let Some(claim) = facts.and_then(|facts| self.claim(facts)) else {
                    return Ok(claims);
                };
                claims.push(claim);
            }
        }
        Ok(claims)
    }

    fn claim(&self, facts: BlockFacts) -> Option<Claim> {
        Some(Claim {
            block: L2BlockNumber(facts.number),
            tx_hash: facts.precommit_tx_hash?,
            chain: facts.precommit_chain_id.map_or(self.identity.l1_chain_id, ChainId),
            at: facts.precommitted_at.unwrap_or_default(),
        })
    }
}

/// The batches after `known` whose precommits may be asked for, with at least one block each.
fn candidates(view: &ChainView, known: L1BatchNumber) -> Result<Vec<Candidate>, StageError> {
    let mut candidates = Vec::new();
    for number in (known.0 + 1..).take(BATCHES_MAX as usize).map(L1BatchNumber) {
        let Some((first, last, version)) = blocks_of(view, number)? else { break };
        let commit = view.steps(number)?.commit;
        let is_committed = is_final(commit.as_ref()) || version < FIRST_VERSION;
        candidates.push(Candidate { number, first, last, is_committed });
    }
    Ok(candidates)
}

/// The stored blocks of a batch, sealed or open, and its version; `None` if there are none.
fn blocks_of(
    view: &ChainView,
    batch: L1BatchNumber,
) -> Result<Option<(L2BlockNumber, L2BlockNumber, ProtocolVersion)>, StageError> {
    if let Some(header) = view.batch(batch)? {
        return Ok(Some((header.first_block, header.last_block, header.version)));
    }
    let Some(before) = batch.prev() else { return Ok(None) };
    let (Some(before), Some(head)) = (view.batch(before)?, view.head()?) else { return Ok(None) };
    let first = before.last_block.next();
    let version = view.block(first)?.map(|header| header.params.version);
    Ok(version.filter(|_| first <= head).map(|version| (first, head, version)))
}

/// By block of a batch: the hash over all transactions of the batch up to its end, and over how
/// each of them ended. This is what a precommit tells the settlement layer.
fn ran_so_far(
    view: &ChainView,
    first: L2BlockNumber,
    last: L2BlockNumber,
) -> Result<BTreeMap<U256, B256>, StageError> {
    let mut rolling = B256::ZERO;
    let mut by_block = BTreeMap::new();
    for block in (first.0..=last.0).map(L2BlockNumber) {
        for (tx, receipt) in view.transactions(block)?.iter().zip(view.receipts(block)?) {
            rolling = status_hash(rolling, tx.hash(), &receipt.status);
        }
        by_block.insert(U256::from(block.0), rolling);
    }
    Ok(by_block)
}
