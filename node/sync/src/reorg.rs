//! Whether the main node still has our chain, and up to where.
//!
//! A block's hash says everything before it, so the newest batch that both chains have is found by
//! bisection over the last blocks of our batches. Every endpoint is asked for itself. That an
//! endpoint is behind, silent, or lacks a block says nothing; that it names another hash is believed
//! when it does so several times in a row and no other endpoint stands by our hash.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use lockstep_io::{Clock, Io, node_select};
use lockstep_pipeline::StageError;
use lockstep_store::{ChainView, StoreFault, Views, tables};
use lockstep_types::{L1BatchNumber, L2BlockHash, L2BlockNumber, StateRoot};
use lockstep_upstream::{MainNode, UpstreamError};
use tracing::{debug, warn};

/// How a reorg is looked for.
#[derive(Clone, Copy, Debug)]
pub struct ReorgConfig {
    /// Pause between looks while nothing is suspected.
    pub poll_interval: Duration,
    /// Looks in a row that must find the same before it is believed.
    pub looks: u32,
    /// Pause between those.
    pub confirm_interval: Duration,
    /// An endpoint that takes longer than this over a look has nothing to say in it.
    pub patience: Duration,
}

impl Default for ReorgConfig {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(5),
            looks: 3,
            confirm_interval: Duration::from_secs(2),
            patience: Duration::from_secs(20),
        }
    }
}

/// What is found about our chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An endpoint has our newest block and our newest agreed root, and none has anything else.
    Same,
    /// Nobody can tell: no endpoint answers, or those that do are behind.
    Unknown(String),
    /// Endpoints contradict each other, or themselves.
    Disputed(String),
    /// Endpoints answer, and with nothing that could be true: they are of another chain, for
    /// example.
    Lies(String),
    /// All that can tell say that the main node has something else: [`StageError::Reorg`],
    /// [`StageError::ReorgBelowFinal`] or [`StageError::RootMismatch`].
    Other(StageError),
}

/// What one endpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// It has our block `up_to`, which is its newest or ours.
    Same { up_to: L2BlockNumber, is_ours_newest: bool },
    /// It has other blocks.
    Fork(Fork),
    /// It has our blocks and another root of a batch that was agreed on.
    Root { batch: L1BatchNumber, ours: StateRoot, theirs: StateRoot },
    /// Something that cannot be true.
    Lie(String),
    /// Nothing of use.
    Nothing(String),
}

/// Where a chain leaves ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fork {
    last_common: L1BatchNumber,
    /// The first block known to differ.
    block: L2BlockNumber,
    ours: L2BlockHash,
    theirs: L2BlockHash,
}

/// Asks the main node for the hashes of our own blocks.
#[derive(Clone, Debug)]
pub struct ReorgDetector {
    clock: Arc<dyn Clock>,
    endpoints: Vec<MainNode>,
    views: Views,
    config: ReorgConfig,
}

impl ReorgDetector {
    /// Asks each of `endpoints`, which are one endpoint of the main node each, the preferred first.
    pub fn new(io: &Io, endpoints: Vec<MainNode>, views: Views, config: ReorgConfig) -> Self {
        Self { clock: io.clock.clone(), endpoints, views, config }
    }

    /// Looks from time to time until the main node has something else, and says what; or until the
    /// store fails.
    pub async fn run(self) -> StageError {
        let mut disputes = 0_u32;
        loop {
            self.clock.sleep(self.config.poll_interval).await;
            match self.look().await {
                Ok(Finding::Same) => disputes = 0,
                // Lies end the fetcher, which is asked for the same chain.
                Ok(Finding::Unknown(detail) | Finding::Lies(detail)) => {
                    debug!(detail, "our chain is not confirmed");
                }
                Ok(Finding::Disputed(detail)) => {
                    disputes += 1;
                    if disputes.is_power_of_two() {
                        warn!(detail, disputes, "endpoints of the main node contradict each other");
                    }
                }
                Ok(Finding::Other(error)) | Err(error) => return error,
            }
        }
    }

    /// Looks once, and more often if the main node seems to have something else.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`].
    pub async fn look(&self) -> Result<Finding, StageError> {
        let first = self.ask_all().await?;
        let Finding::Other(suspected) = &first else { return Ok(first) };
        warn!(%suspected, "the main node seems to have another chain; making sure");
        for _ in 1..lockstep_io::planted!("X22", self.config.looks, 1) {
            self.clock.sleep(self.config.confirm_interval).await;
            match self.ask_all().await? {
                Finding::Other(again) if is_alike(&again, suspected) => {}
                Finding::Other(again) => {
                    return Ok(Finding::Disputed(format!("first: {suspected}; then: {again}")));
                }
                Finding::Same => {
                    return Ok(Finding::Disputed(format!("{suspected}; then it was not so")));
                }
                unclear @ (Finding::Unknown(_) | Finding::Disputed(_) | Finding::Lies(_)) => {
                    return Ok(unclear);
                }
            }
        }
        Ok(first)
    }

    /// The root of a batch as each endpoint says, where one does.
    pub async fn roots_of(&self, batch: L1BatchNumber) -> Vec<StateRoot> {
        let ask = async |main_node: &MainNode| {
            let details = node_select! {
                details = main_node.batch_details(&[batch]) => details.ok()?,
                () = self.clock.sleep(self.config.patience) => return None,
            };
            let root = details.into_iter().next()??.root_hash.map(StateRoot);
            lockstep_io::planted!("X14", root, root.or(Some(StateRoot::default())))
        };
        let answers = join_all(self.endpoints.iter().map(ask)).await;
        answers.into_iter().flatten().collect()
    }

    /// Asks every endpoint once and weighs what they say.
    async fn ask_all(&self) -> Result<Finding, StageError> {
        let view = self.views.now();
        let ask = async |main_node: &MainNode| {
            node_select! {
                word = self.ask(&view, main_node) => word,
                () = self.clock.sleep(self.config.patience) => {
                    Ok(Word::Nothing("no answer in time".to_owned()))
                },
            }
        };
        let words = join_all(self.endpoints.iter().map(ask)).await;
        let words = words.into_iter().collect::<Result<Vec<_>, StageError>>()?;
        weigh(&words, view.final_batch()?)
    }

    /// Asks one endpoint.
    async fn ask(&self, view: &ChainView, main_node: &MainNode) -> Result<Word, StageError> {
        match search(view, main_node).await {
            Ok(word) => Ok(word),
            Err(Trouble::Store(fault)) => Err(fault.into()),
            Err(Trouble::Upstream(UpstreamError::Lie { detail })) => Ok(Word::Lie(detail)),
            Err(Trouble::Upstream(
                error @ (UpstreamError::Unavailable { .. }
                | UpstreamError::Rejected { .. }
                | UpstreamError::Malformed { .. }),
            )) => Ok(Word::Nothing(error.to_string())),
        }
    }
}

/// Why a search has no result.
enum Trouble {
    Store(StoreFault),
    Upstream(UpstreamError),
}

impl From<StoreFault> for Trouble {
    fn from(fault: StoreFault) -> Self {
        Self::Store(fault)
    }
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

/// Whether two findings lead to the same.
fn is_alike(one: &StageError, other: &StageError) -> bool {
    one.code() == other.code() && one.reaction() == other.reaction()
}

/// What `words`, the preferred endpoint's first, come to.
fn weigh(words: &[Word], final_batch: L1BatchNumber) -> Result<Finding, StageError> {
    let fork = words.iter().find_map(|word| match word {
        Word::Fork(fork) => Some(*fork),
        Word::Same { .. } | Word::Root { .. } | Word::Lie(_) | Word::Nothing(_) => None,
    });
    let other_root = words.iter().find_map(|word| match word {
        Word::Root { batch, ours, theirs } => Some((*batch, *ours, *theirs)),
        Word::Same { .. } | Word::Fork(_) | Word::Lie(_) | Word::Nothing(_) => None,
    });
    let newest_same = words.iter().filter_map(|word| match word {
        Word::Same { up_to, .. } => Some(*up_to),
        Word::Root { .. } | Word::Fork(_) | Word::Lie(_) | Word::Nothing(_) => None,
    });
    let newest_same = newest_same.max();
    if let Some(Fork { last_common, block, ours, theirs }) = fork {
        let stands_by_us = newest_same >= Some(block) || other_root.is_some();
        let stands_by_us = lockstep_io::planted!("X22", stands_by_us, false);
        if stands_by_us {
            let detail = format!("block {block} is {ours} at one and {theirs} at another");
            return Ok(Finding::Disputed(detail));
        }
        return Ok(Finding::Other(
            if lockstep_io::planted!("X24", last_common < final_batch, false) {
                StageError::ReorgBelowFinal { last_common, final_batch, block, ours, theirs }
            } else {
                StageError::Reorg { last_common, block, ours, theirs }
            },
        ));
    }
    if let Some((batch, ours, theirs)) = other_root {
        if newest_same.is_some() {
            let detail = format!("the root of batch {batch} is {ours} at one, {theirs} at another");
            return Ok(Finding::Disputed(detail));
        }
        return Ok(Finding::Other(StageError::RootMismatch { batch, ours, theirs }));
    }
    let is_confirmed =
        words.iter().any(|word| matches!(word, Word::Same { is_ours_newest: true, .. }));
    if is_confirmed {
        return Ok(Finding::Same);
    }
    let (mut lies, mut silence) = (Vec::new(), Vec::new());
    for word in words {
        match word {
            Word::Lie(detail) => lies.push(detail.clone()),
            Word::Nothing(detail) => silence.push(detail.clone()),
            Word::Same { up_to, .. } => silence.push(format!("it is at block {up_to}")),
            Word::Fork(_) | Word::Root { .. } => {}
        }
    }
    Ok(if !lies.is_empty() && newest_same.is_none() {
        Finding::Lies(lies.join("; "))
    } else {
        Finding::Unknown(silence.join("; "))
    })
}

/// Compares the newest block that both have, and if it differs, finds where that began.
async fn search(view: &ChainView, main_node: &MainNode) -> Result<Word, Trouble> {
    let head = view.head()?.unwrap_or_default();
    let tip = main_node.block_number().await?;
    let top = head.min(tip);
    let (ours, batch) = own_block(view, top)?;
    let Some(theirs) = hash_of(main_node, top).await? else {
        return Ok(Word::Nothing(format!("it does not say which block {top} it has")));
    };
    if theirs == ours {
        if let Some(word) = other_root(view, main_node).await? {
            return Ok(word);
        }
        return Ok(Word::Same { up_to: top, is_ours_newest: top == head });
    }
    if batch == L1BatchNumber(0) {
        let detail = format!("it has genesis {theirs}, ours is {ours}: it is of another chain");
        return Ok(Word::Lie(detail));
    }
    let agreed = || Ok::<_, StoreFault>(view.agreed_batch()?.min(batch.prev()));
    let last_common = lockstep_io::planted!("X13", None, agreed()?).unwrap_or_default();
    let mut fork = Fork { last_common, block: top, ours, theirs };
    let mut above = batch;
    while above.0 - fork.last_common.0 > 1 {
        let middle = L1BatchNumber(fork.last_common.0 + (above.0 - fork.last_common.0) / 2);
        let end = view.batch(middle)?.map(|batch| batch.last_block);
        let end = end.ok_or_else(|| missing(tables::BATCHES, middle.0))?;
        let (ours, _) = own_block(view, end)?;
        match hash_of(main_node, end).await? {
            None => return Ok(Word::Nothing(format!("it does not say which block {end} it has"))),
            Some(theirs) if theirs == ours => fork.last_common = middle,
            Some(theirs) => {
                above = middle;
                (fork.block, fork.ours, fork.theirs) = (end, ours, theirs);
            }
        }
    }
    Ok(Word::Fork(fork))
}

/// If the root of the newest batch that was agreed on is another one now: what the endpoint says.
async fn other_root(view: &ChainView, main_node: &MainNode) -> Result<Option<Word>, Trouble> {
    let Some(batch) = view.agreed_batch()? else { return Ok(None) };
    let Some(ours) = view.claim(batch)?.and_then(|claim| claim.root) else { return Ok(None) };
    let details = main_node.batch_details(&[batch]).await?;
    let theirs = details.into_iter().next().flatten().and_then(|details| details.root_hash);
    let other = theirs.map(StateRoot).filter(|theirs| *theirs != ours);
    Ok(other.map(|theirs| Word::Root { batch, ours, theirs }))
}

async fn hash_of(
    main_node: &MainNode,
    block: L2BlockNumber,
) -> Result<Option<L2BlockHash>, UpstreamError> {
    let details = main_node.block_details(&[block]).await?;
    let details = details.into_iter().next().flatten();
    Ok(details.and_then(|details| details.root_hash).map(L2BlockHash))
}

/// Hash and batch of a block of ours.
fn own_block(
    view: &ChainView,
    number: L2BlockNumber,
) -> Result<(L2BlockHash, L1BatchNumber), StoreFault> {
    let header = view.block(number)?.ok_or_else(|| missing(tables::BLOCKS, number.0))?;
    Ok((header.hash, header.params.batch))
}

fn missing(table: lockstep_io::Table, number: u32) -> StoreFault {
    StoreFault::corrupt(table, &number.to_be_bytes(), "it is missing")
}

#[cfg(test)]
mod tests {
    use lockstep_types::B256;

    use super::*;

    fn same(up_to: u32) -> Word {
        Word::Same { up_to: L2BlockNumber(up_to), is_ours_newest: up_to == 20 }
    }

    fn fork(last_common: u32, block: u32) -> Word {
        Word::Fork(Fork {
            last_common: L1BatchNumber(last_common),
            block: L2BlockNumber(block),
            ours: L2BlockHash(B256::repeat_byte(1)),
            theirs: L2BlockHash(B256::repeat_byte(2)),
        })
    }

    fn root() -> Word {
        let [ours, theirs] = [1, 2].map(|byte| StateRoot(B256::repeat_byte(byte)));
        Word::Root { batch: L1BatchNumber(3), ours, theirs }
    }

    fn weighed(words: &[Word]) -> &'static str {
        match weigh(words, L1BatchNumber(2)).unwrap() {
            Finding::Same => "same",
            Finding::Unknown(_) => "unknown",
            Finding::Disputed(_) => "disputed",
            Finding::Lies(_) => "lies",
            Finding::Other(error) => error.code(),
        }
    }

    #[test]
    fn endpoints_are_weighed_against_each_other() {
        let nothing = Word::Nothing("null".to_owned());
        let lie = Word::Lie("another chain".to_owned());
        let cases: [(&[Word], &str); 19] = [
            (std::slice::from_ref(&lie), "lies"),
            (&[nothing.clone(), lie.clone()], "lies"),
            (&[lie.clone(), same(7)], "unknown"),
            (&[lie.clone(), same(20)], "same"),
            (&[], "unknown"),
            (std::slice::from_ref(&nothing), "unknown"),
            (&[same(20)], "same"),
            (&[same(19)], "unknown"),
            (&[nothing.clone(), same(20)], "same"),
            (&[same(3), same(20)], "same"),
            (&[fork(2, 12)], "reorg"),
            (&[fork(1, 8)], "reorg_below_final"),
            (&[nothing.clone(), fork(2, 12)], "reorg"),
            // One that is behind the fork does not stand by our side of it.
            (&[fork(2, 12), same(11)], "reorg"),
            (&[fork(2, 12), same(12)], "disputed"),
            (&[same(20), fork(2, 12)], "disputed"),
            (&[fork(3, 16), root()], "disputed"),
            (&[root()], "root_mismatch"),
            (&[root(), same(20)], "disputed"),
        ];
        for (words, expected) in cases {
            assert_eq!(weighed(words), expected, "{words:?}");
        }
    }

    #[test]
    fn the_preferred_endpoint_says_where_the_fork_is() {
        let found = weigh(&[fork(3, 16), fork(2, 12)], L1BatchNumber(0)).unwrap();
        let Finding::Other(StageError::Reorg { last_common, .. }) = found else {
            panic!("{found:?}")
        };
        assert_eq!(last_common, L1BatchNumber(3));
    }
}
