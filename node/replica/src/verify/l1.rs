//! Stored L1 steps and commit transactions, held against L1 again by the code of the checkers.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_checkers::{L1Commits, L1CommitsConfig, L1CommitsParts, Recheck};
use lockstep_io::{EndpointId, Io};
use lockstep_pipeline::{Peer, StageError};
use lockstep_store::{ChainIdentity, StoreFault, Views, Writers};
use lockstep_sync::recheck_steps;
use lockstep_types::{Address, ChainId, L1BatchNumber, Quirks};
use lockstep_upstream::{MainNode, RpcClient, SettlementClient, UpstreamConfig};

use crate::{
    GatewayConfig,
    checks::{self, SettlementLayers},
};

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct L1VerifierConfig {
    /// Where L1 is, the preferred endpoint first.
    pub l1: Vec<EndpointId>,
    /// How it is asked.
    pub l1_calls: UpstreamConfig,
    /// The chain's contract on L1; `None`: the main node names it.
    pub contract: Option<Address>,
    /// Where the main node is; needed only if nobody else names the contract.
    pub main_node: Vec<EndpointId>,
    /// A chain other than L1 that batches may settle on.
    pub gateway: Option<GatewayConfig>,
    /// Differences that are known.
    pub quirks: Arc<Quirks>,
}

/// What L1 shows of a batch now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Check {
    /// The batch.
    pub batch: L1BatchNumber,
    /// Stored steps that L1 bears out.
    pub steps: u32,
    /// Whether the commit transaction was compared and is equal.
    pub is_commit_equal: bool,
    /// Why something was not compared, if it was not.
    pub passed_over: Vec<String>,
    /// A sentence for each difference.
    pub problems: Vec<String>,
}

/// Compares stored batches with L1.
#[derive(Debug)]
pub struct L1Verifier {
    views: Views,
    identity: ChainIdentity,
    main_node: MainNode,
    layers: BTreeMap<ChainId, SettlementClient>,
    commits: L1Commits,
}

impl L1Verifier {
    /// Compares what `views` shows. The writers are taken and never used.
    ///
    /// # Errors
    ///
    /// [`StageError`] if the store is empty or cannot be read, or if nobody names the contract.
    pub async fn open(
        io: &Io,
        views: Views,
        writers: Writers,
        config: L1VerifierConfig,
    ) -> Result<Self, StageError> {
        let identity = identity(&views)?;
        let calls =
            UpstreamConfig { chain_id: Some(identity.l2_chain_id), ..UpstreamConfig::default() };
        let main_node = MainNode::new(RpcClient::new(io, "main node", config.main_node, calls));
        let contract = match config.contract {
            Some(contract) => contract,
            None => main_node.main_contract().await.map_err(|error| StageError::Unavailable {
                peer: Peer::MainNode,
                detail: format!("it does not name the chain's contract on L1: {error}"),
            })?,
        };
        let layers = SettlementLayers {
            l1: &config.l1,
            contract: Some(contract),
            gateway: config.gateway.as_ref(),
            calls: &config.l1_calls,
        };
        let layers = layers.of(io, identity);
        let parts = L1CommitsParts {
            main_node: main_node.clone(),
            layers: layers.clone(),
            views: views.clone(),
            writer: writers.l1_checks,
            root_of: checks::roots(),
            difference: checks::difference(),
            identity,
            quirks: config.quirks,
        };
        let commits = L1Commits::open(io, parts, L1CommitsConfig::default())?;
        Ok(Self { views, identity, main_node, layers, commits })
    }

    /// Compares everything that is stored of L1's view of a batch.
    ///
    /// # Errors
    ///
    /// [`StageError`] if L1 does not answer or is another chain, or the store cannot be read.
    pub async fn check(&mut self, batch: L1BatchNumber) -> Result<L1Check, StageError> {
        let view = self.views.now();
        let (layers, main_node) = (&self.layers, &self.main_node);
        let steps = recheck_steps(layers, main_node, self.identity, &view, batch).await?;
        drop(view);
        let mut check = L1Check {
            batch,
            steps: 0,
            is_commit_equal: false,
            passed_over: Vec::new(),
            problems: Vec::new(),
        };
        check.steps = steps.equal;
        check.problems.extend(steps.problems);
        if steps.elsewhere > 0 {
            check.passed_over.push(format!("{} steps on other chains", steps.elsewhere));
        }
        match self.commits.recheck(batch).await? {
            Recheck::Equal => check.is_commit_equal = true,
            Recheck::Tolerated => {
                check.passed_over.push("its commit differs, which is known".to_owned());
            }
            Recheck::NoStep => check.passed_over.push("no commit step is stored".to_owned()),
            Recheck::NoCommitment => {
                check.passed_over.push("no commitment of our own is stored".to_owned());
            }
            Recheck::Elsewhere { chain } => {
                check.passed_over.push(format!("it is committed on chain {chain}"));
            }
            Recheck::Differs { tx_hash, difference } => {
                check.problems.push(format!("commit transaction {tx_hash}: {difference}"));
            }
        }
        Ok(check)
    }
}

fn identity(views: &Views) -> Result<ChainIdentity, StageError> {
    let identity = views.now().identity()?;
    identity.ok_or_else(|| {
        let table = lockstep_store::tables::META;
        StoreFault::corrupt(table, b"chain", "there is no genesis yet").into()
    })
}
