//! The stored L1 steps, held against settlement layers again.

use std::collections::BTreeMap;

use lockstep_pipeline::{Peer, StageError};
use lockstep_store::{ChainIdentity, ChainView};
use lockstep_types::{B256, ChainId, L1BatchNumber, StepKind};
use lockstep_upstream::{MainNode, SettlementClient};

use super::{Claimed, Evidence, Word, expected};
use crate::stage_error;

/// What asking settlement layers again about the stored steps of a batch gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepsRecheck {
    /// The batch.
    pub batch: L1BatchNumber,
    /// Steps that are borne out.
    pub equal: u32,
    /// Steps on chains that nobody is asked about.
    pub elsewhere: u32,
    /// A sentence for each step that is not borne out.
    pub problems: Vec<String>,
}

/// Asks `layers` again about the stored steps of a batch. Nothing is written.
///
/// # Errors
///
/// [`StageError::Store`], and [`StageError::Unavailable`] or [`StageError::Lie`] if a settlement
/// layer does not answer or is another chain than it must be.
pub async fn recheck_steps(
    layers: &BTreeMap<ChainId, SettlementClient>,
    main_node: &MainNode,
    identity: ChainIdentity,
    view: &ChainView,
    batch: L1BatchNumber,
) -> Result<StepsRecheck, StageError> {
    let steps = view.steps(batch)?;
    let stored = StepKind::ALL.map(|kind| steps.get(kind).map(|tx| (kind, tx.clone())));
    let mut hashes: BTreeMap<ChainId, Vec<B256>> = BTreeMap::new();
    for (_, tx) in stored.iter().flatten() {
        hashes.entry(tx.chain_id).or_default().push(tx.tx_hash);
    }
    let mut evidence = BTreeMap::new();
    for (chain, hashes) in hashes {
        let Some(layer) = layers.get(&chain) else { continue };
        let contract = layer.contract_of(identity.l2_chain_id, chain, main_node).await;
        let contract = contract.map_err(|error| stage_error(Peer::L1, error))?;
        let gathered = Evidence::gather(&layer.client, contract, hashes).await;
        evidence.insert(chain, gathered.map_err(|error| stage_error(Peer::L1, error))?);
    }
    let expected = expected(view, batch, None)?;
    let mut recheck = StepsRecheck { batch, equal: 0, elsewhere: 0, problems: Vec::new() };
    for (kind, tx) in stored.into_iter().flatten() {
        let Some(said) = evidence.get(&tx.chain_id) else {
            recheck.elsewhere += 1;
            continue;
        };
        let (tx_hash, chain) = (tx.tx_hash, tx.chain_id);
        let claimed = Claimed { kind, chain, tx_hash, at: tx.at };
        let problem = match said.of(&claimed, batch, expected) {
            Word::Shown(finality) if finality >= tx.finality => {
                recheck.equal += 1;
                continue;
            }
            Word::Shown(finality) => format!("it is {finality:?} there and {:?} here", tx.finality),
            Word::Nothing => "L1 does not show it".to_owned(),
            Word::Other(detail) => detail.to_owned(),
            Word::Contradicted(difference) => difference.to_string(),
        };
        recheck.problems.push(format!("{kind:?} step, transaction {tx_hash}: {problem}"));
    }
    Ok(recheck)
}
