//! Commitments and commit transactions: what the checkers need of the other components.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_checkers::{CommitDifference, Commitments, L1Commits, L1CommitsParts, RootOf};
use lockstep_io::{EndpointId, Io};
use lockstep_pipeline::StageError;
use lockstep_store::{ChainIdentity, ChainView, CommitmentsWriter, L1ChecksWriter, StepsWriter};
use lockstep_sync::L1StepsWatcher;
use lockstep_tree::{TreeStage, root_of};
use lockstep_types::{
    Address, B256, BatchCommitment, ChainId, CommitInfo, Difference, L1BatchNumber, L2BlockNumber,
    alloy_primitives::address,
};
use lockstep_upstream::{ContractSource, L1, RpcClient, SettlementClient, UpstreamConfig};

use crate::{
    commitment_rule::CommitmentRule,
    config::GatewayConfig,
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
        let (views, rule) = (self.views.clone(), self.config.commitment_rule.clone());
        let commitment_of =
            Arc::new(move |view: &ChainView, batch| commitment_of(&rule, view, batch));
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
        let parts = L1CommitsParts {
            main_node: self.main_node.clone(),
            layers: self.settlement_layers().of(&self.io, self.identity),
            views: self.views.clone(),
            writer,
            root_of: roots(),
            difference: difference(),
            identity: self.identity,
            quirks: config.quirks.clone(),
        };
        L1Commits::open(&self.io, parts, l1_commits).map(Some)
    }

    /// What watches L1 steps, if L1 is known.
    pub(crate) fn l1_steps(&self, writer: StepsWriter) -> Option<L1StepsWatcher> {
        if self.config.l1.is_empty() {
            return None;
        }
        let layers = self.settlement_layers().of(&self.io, self.identity);
        let (main_node, views) = (self.main_node.clone(), self.views.clone());
        let (identity, config) = (self.identity, self.config.l1_steps);
        let io = &self.io;
        let watcher = L1StepsWatcher::new(io, main_node, layers, identity, views, writer, config);
        Some(watcher.with_quirks(self.config.quirks.clone()))
    }

    fn settlement_layers(&self) -> SettlementLayers<'_> {
        let config = &self.config;
        SettlementLayers {
            l1: &config.l1,
            contract: config.l1_contract,
            gateway: config.gateway.as_ref(),
            calls: &config.l1_calls,
        }
    }
}

/// The chains that batches may settle on, as an operator names them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SettlementLayers<'a> {
    pub(crate) l1: &'a [EndpointId],
    /// The chain's contract on L1; `None`: the main node names it.
    pub(crate) contract: Option<Address>,
    pub(crate) gateway: Option<&'a GatewayConfig>,
    /// How each of them is asked.
    pub(crate) calls: &'a UpstreamConfig,
}

impl SettlementLayers<'_> {
    /// Clients of all of them, by chain id.
    pub(crate) fn of(
        self,
        io: &Io,
        identity: ChainIdentity,
    ) -> BTreeMap<ChainId, SettlementClient> {
        let client = |name, id, endpoints: &[EndpointId]| {
            let rpc = RpcClient::new(io, name, endpoints.to_vec(), self.calls.clone());
            // One that is down must not hold up what the others say.
            let once = UpstreamConfig { attempts_max: 1, chain_id: Some(id), ..self.calls.clone() };
            let alone = |endpoint: &_| RpcClient::new(io, name, vec![*endpoint], once.clone());
            let providers = endpoints.iter().filter(|_| endpoints.len() > 1).map(alone);
            L1::new(rpc).with_providers(providers.collect())
        };
        let contract = self.contract.map_or(ContractSource::MainNode, ContractSource::Known);
        let l1 = SettlementClient { client: client("L1", identity.l1_chain_id, self.l1), contract };
        let mut layers = BTreeMap::from([(identity.l1_chain_id, l1)]);
        if let Some(gateway) = self.gateway {
            let client = client("gateway", gateway.chain_id, &gateway.endpoints);
            let contract = ContractSource::Bridgehub(GATEWAY_BRIDGEHUB);
            layers.insert(gateway.chain_id, SettlementClient { client, contract });
        }
        layers
    }
}

/// Compares a batch with what its commit transaction says.
pub(crate) fn difference() -> CommitDifference {
    Arc::new(commit_difference)
}

fn commitment_of(
    rule: &CommitmentRule,
    view: &ChainView,
    batch: L1BatchNumber,
) -> Result<BatchCommitment, StageError> {
    let stored = verify::Stored::read(view, batch).map_err(|error| stage_error(view, error))?;
    let parts = stored.commitment(rule).map_err(|error| stage_error(view, error))?;
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
