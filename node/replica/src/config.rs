//! What an operator decides, gathered from the components.

use std::{sync::Arc, time::Duration};

use lockstep_api::{ApiConfig, Serving};
use lockstep_checkers::{AgreementConfig, CommitmentsConfig, L1CommitsConfig};
use lockstep_io::EndpointId;
use lockstep_pipeline::RetryPolicy;
use lockstep_sync::{FetchConfig, L1StepsConfig, ReorgConfig};
use lockstep_tree::TreeConfig;
use lockstep_types::{Address, ChainId, Quirks};
use lockstep_upstream::UpstreamConfig;

use crate::{CommitmentRule, roll_back};

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The chain to follow.
    pub l2_chain_id: ChainId,
    /// Where the main node is, the preferred endpoint first.
    pub main_node: Vec<EndpointId>,
    /// Where L1 is, the preferred endpoint first; without one, L1 steps are not known.
    pub l1: Vec<EndpointId>,
    /// How the main node is asked; the chain id in it is set when the replica opens.
    pub main_node_calls: UpstreamConfig,
    /// How L1 is asked.
    pub l1_calls: UpstreamConfig,
    /// How blocks are fetched.
    pub fetch: FetchConfig,
    /// How L1 steps are watched.
    pub l1_steps: L1StepsConfig,
    /// How roots are compared with the main node's.
    pub agreement: AgreementConfig,
    /// How commitments are computed; `None`: they are not.
    pub commitments: Option<CommitmentsConfig>,
    /// What computes one.
    pub commitment_rule: CommitmentRule,
    /// How commit transactions are compared with L1; `None`: they are not. Needs commitments.
    pub l1_commits: Option<L1CommitsConfig>,
    /// The chain's contract on L1, whose events and calls are believed, and which the main node
    /// must name as well; `None`: what it names is believed, which could be one of its own making.
    pub l1_contract: Option<Address>,
    /// A chain other than L1 that batches may settle on.
    pub gateway: Option<GatewayConfig>,
    /// Divergences of this chain that are known and tolerated.
    pub quirks: Arc<Quirks>,
    /// How a reorg is looked for.
    pub reorg: ReorgConfig,
    /// A write set of a rollback is closed when it has this many changes.
    pub rollback_changes_max: usize,
    /// How the tree is kept.
    pub tree: TreeConfig,
    /// Limits of single API methods.
    pub api: ApiConfig,
    /// Which API methods there are, and limits of their answers.
    pub serving: Serving,
    /// How long steps wait before they ask again.
    pub retry: RetryPolicy,
    /// Blocks that may wait for the executor.
    pub blocks_ahead_max: usize,
    /// Sealed batches that may wait for the tree.
    pub sealed_batches_max: usize,
    /// How often progress is logged.
    pub progress_interval: Duration,
}

/// A chain other than L1 that batches may settle on. It is asked as L1 is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Its chain id.
    pub chain_id: ChainId,
    /// Where it is, the preferred endpoint first.
    pub endpoints: Vec<EndpointId>,
}

impl ReplicaConfig {
    /// Defaults for everything that has one.
    pub fn new(l2_chain_id: ChainId, main_node: Vec<EndpointId>, l1: Vec<EndpointId>) -> Self {
        Self {
            l2_chain_id,
            main_node,
            l1,
            main_node_calls: UpstreamConfig::default(),
            l1_calls: UpstreamConfig::default(),
            fetch: FetchConfig::default(),
            l1_steps: L1StepsConfig::default(),
            agreement: AgreementConfig::default(),
            commitments: Some(CommitmentsConfig::default()),
            commitment_rule: CommitmentRule::default(),
            l1_commits: Some(L1CommitsConfig::default()),
            l1_contract: None,
            gateway: None,
            quirks: Arc::default(),
            reorg: ReorgConfig::default(),
            rollback_changes_max: roll_back::CHANGES_MAX,
            tree: TreeConfig::default(),
            api: ApiConfig::default(),
            serving: Serving::default(),
            retry: RetryPolicy::default(),
            blocks_ahead_max: 64,
            sealed_batches_max: 4,
            progress_interval: Duration::from_secs(5),
        }
    }
}
