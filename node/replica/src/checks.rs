//! Commitments and commit transactions: what the checkers need of the other components.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_checkers::{
    Commitments, ContractSource, L1Commits, L1CommitsParts, RootOf, SettlementLayer,
};
use lockstep_pipeline::StageError;
use lockstep_store::{ChainIdentity, ChainView, CommitmentsWriter, L1ChecksWriter, Views};
use lockstep_tree::{TreeStage, root_of};
use lockstep_types::{
    Address, B256, BatchCommitment, ChainId, CommitInfo, Difference, L1BatchNumber, L2BlockNumber,
    Quirks, alloy_primitives::address,
};
use lockstep_upstream::{L1, MainNode, RpcClient};

use crate::{
    open::Core,
    verify::{self, VerifyError},
};

/// The bridgehub of every gateway.
const GATEWAY_BRIDGEHUB: Address = address!("0000000000000000000000000000000000010002");

/// Reads roots out of the tree.
pub(crate) fn roots() -> RootOf {
    Arc::new(|view, batch| {
        let row = root_of(view.raw(), batch);
        row.map(|row| row.map(|row| row.root)).map_err(|error| StageError::Tree(error.to_string()))
    })
}

impl Core {
    /// What computes commitments, if it is wanted.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`].
    pub(crate) fn commitments(
        &self,
        writer: CommitmentsWriter,
        tree: &TreeStage,
    ) -> Result<Option<Commitments>, StageError> {
        let Some(config) = self.config.commitments else { return Ok(None) };
        let (views, commitment_of) = (self.views.clone(), Arc::new(commitment_of));
        Commitments::open(&self.io, views, writer, tree.roots(), commitment_of, config).map(Some)
    }

    /// What compares commit transactions, if it is wanted and L1 is known.
    ///
    /// # Errors
    ///
    /// [`StageError::Store`].
    pub(crate) fn l1_commits(
        &self,
        writer: L1ChecksWriter,
    ) -> Result<Option<L1Commits>, StageError> {
        let config = &self.config;
        let Some(l1_commits) = config.l1_commits.filter(|_| !config.l1.is_empty()) else {
            return Ok(None);
        };
        let client = |name, endpoints: &[_]| {
            L1::new(RpcClient::new(&self.io, name, endpoints.to_vec(), config.l1_calls.clone()))
        };
        let l1 = (client("L1", &config.l1), config.l1_contract);
        let gateway = config.gateway.as_ref();
        let gateway = gateway.map(|at| (at.chain_id, client("gateway", &at.endpoints)));
        let (main_node, quirks) = (self.main_node.clone(), config.quirks.clone());
        let parts =
            l1_commits_parts(&self.views, self.identity, main_node, l1, gateway, quirks, writer);
        L1Commits::open(&self.io, parts, l1_commits).map(Some)
    }
}

/// What the comparison of commit transactions works with: `l1` with the chain's contract there, if
/// the operator knows it, and a gateway.
pub(crate) fn l1_commits_parts(
    views: &Views,
    identity: ChainIdentity,
    main_node: MainNode,
    (client, contract): (L1, Option<Address>),
    gateway: Option<(ChainId, L1)>,
    quirks: Arc<Quirks>,
    writer: L1ChecksWriter,
) -> L1CommitsParts {
    let contract = contract.map_or(ContractSource::MainNode, ContractSource::Known);
    let l1 = SettlementLayer { client, contract };
    let mut layers = BTreeMap::from([(identity.l1_chain_id, l1)]);
    if let Some((chain_id, client)) = gateway {
        let contract = ContractSource::Bridgehub(GATEWAY_BRIDGEHUB);
        layers.insert(chain_id, SettlementLayer { client, contract });
    }
    L1CommitsParts {
        main_node,
        layers,
        views: views.clone(),
        writer,
        root_of: roots(),
        difference: Arc::new(commit_difference),
        identity,
        quirks,
    }
}

fn commitment_of(view: &ChainView, batch: L1BatchNumber) -> Result<BatchCommitment, StageError> {
    let stored = verify::Stored::read(view, batch).map_err(|error| stage_error(view, error))?;
    let parts = stored.commitment().map_err(|error| stage_error(view, error))?;
    Ok(parts.to_stored(batch))
}

fn commit_difference(
    view: &ChainView,
    batch: L1BatchNumber,
    theirs: &CommitInfo,
    tx_blobs: Option<&[B256]>,
) -> Result<Option<Difference>, StageError> {
    let stored = verify::Stored::read(view, batch).map_err(|error| stage_error(view, error))?;
    let ours = view.commitment(batch)?.ok_or_else(|| StageError::Inconsistent {
        block: last_block(view, batch),
        detail: format!("batch {batch} is to be compared with L1 and has no commitment"),
    })?;
    stored.commit_difference(&ours, theirs, tx_blobs).map_err(|error| stage_error(view, error))
}

fn stage_error(view: &ChainView, error: VerifyError) -> StageError {
    match error {
        VerifyError::Store(fault) => fault.into(),
        VerifyError::Tree(error) => StageError::Tree(error.to_string()),
        VerifyError::Commitment { batch, source } => {
            let detail = format!("batch {batch} has no commitment: {source}");
            StageError::Inconsistent { block: last_block(view, batch), detail }
        }
    }
}

fn last_block(view: &ChainView, batch: L1BatchNumber) -> L2BlockNumber {
    view.batch(batch).ok().flatten().map(|header| header.last_block).unwrap_or_default()
}
