//! The stored L1 steps, held against L1 again.

use lockstep_pipeline::{Peer, StageError};
use lockstep_store::ChainView;
use lockstep_types::{L1BatchNumber, StepKind, StepTx};

use crate::{
    l1_steps::{Claimed, Evidence, WatchedL1, check_chain_id, expected},
    stage_error,
};

/// What asking L1 again about the stored steps of a batch gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepsRecheck {
    /// The batch.
    pub batch: L1BatchNumber,
    /// Steps that L1 bears out.
    pub equal: u32,
    /// Steps on other chains, which were not asked.
    pub elsewhere: u32,
    /// A sentence for each step that L1 does not bear out.
    pub problems: Vec<String>,
}

/// Asks `l1` again about the stored steps of `batches`, in their order. Nothing is written.
///
/// # Errors
///
/// [`StageError::Store`], and [`StageError::Unavailable`] or [`StageError::Lie`] if L1 does not
/// answer or is another chain than it must be, or if nobody says what the chain's contract is.
pub async fn recheck_steps(
    l1: &WatchedL1,
    view: &ChainView,
    batches: &[L1BatchNumber],
) -> Result<Vec<StepsRecheck>, StageError> {
    check_chain_id(&l1.client, l1.chain_id).await?;
    let Some(diamond) = l1.contract else {
        let detail = "the chain's contract on L1 is not known: give --l1-contract".to_owned();
        return Err(StageError::Unavailable { peer: Peer::L1, detail });
    };
    let mut hashes = Vec::new();
    let mut stored = Vec::new();
    for number in batches {
        let steps = view.steps(*number)?;
        let all = [StepKind::Commit, StepKind::Prove, StepKind::Execute];
        let steps = all.map(|kind| steps.get(kind).map(|tx| (kind, tx.clone())));
        let steps: Vec<_> = steps.into_iter().flatten().collect();
        let here = steps.iter().filter(|(_, tx)| tx.chain_id == l1.chain_id);
        hashes.extend(here.map(|(_, tx)| tx.tx_hash));
        stored.push((*number, steps));
    }
    hashes.sort_unstable();
    hashes.dedup();
    let tags = l1.client.tags().await.map_err(|error| stage_error(Peer::L1, error))?;
    let receipts = l1.client.receipts(&hashes).await;
    let receipts = receipts.map_err(|error| stage_error(Peer::L1, error))?;
    let evidence = Evidence { hashes: &hashes, receipts: &receipts, tags, diamond };
    let check = |(batch, steps): (L1BatchNumber, Vec<(StepKind, StepTx)>)| {
        let (root, commitment) = expected(view, batch)?;
        let mut recheck = StepsRecheck { batch, equal: 0, elsewhere: 0, problems: Vec::new() };
        for (kind, tx) in steps {
            if tx.chain_id != l1.chain_id {
                recheck.elsewhere += 1;
                continue;
            }
            let (tx_hash, at) = (tx.tx_hash, tx.at);
            let claimed = Claimed { kind, tx_hash, at };
            let problem = match evidence.of(&claimed, batch, root, commitment) {
                Ok(Some(finality)) if finality >= tx.finality => None,
                Ok(Some(finality)) => {
                    Some(format!("it is {finality:?} there and {:?} here", tx.finality))
                }
                Ok(None) => Some("L1 does not show it".to_owned()),
                Err(detail) => Some(detail.to_owned()),
            };
            match problem {
                None => recheck.equal += 1,
                Some(problem) => {
                    recheck
                        .problems
                        .push(format!("{kind:?} step, transaction {tx_hash}: {problem}"));
                }
            }
        }
        Ok::<_, StageError>(recheck)
    };
    stored.into_iter().map(check).collect()
}
