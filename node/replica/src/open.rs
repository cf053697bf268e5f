//! Opening: the store, genesis if there is none, and where each component goes on.

use std::{sync::Arc, time::Duration};

use jsonrpsee::RpcModule;
use lockstep_api::{
    Announced, ApiContext, ApiStats, CurrentFees, Execution, FilterSeams, Forwarding, Sources,
    SubscriptionSeams, SyncStatus, rpc_module_with,
};
use lockstep_checkers::{Agreement, AgreementParts, Commitments, L1Commits};
use lockstep_executor::Executor;
use lockstep_io::{EndpointId, Io, TaskEnd, node_select};
use lockstep_pipeline::{Reaction, StageError};
use lockstep_store::{ChainIdentity, RollbackWriter, StoreFault, Views, Writers};
use lockstep_sync::{Fetcher, L1StepsWatcher, ReorgDetector, fetch_genesis, stage_error};
use lockstep_tree::TreeStage;
use lockstep_types::{ChainId, L2BlockNumber};
use lockstep_upstream::{L1, MainNode, RpcClient, UpstreamConfig};
use lockstep_vm::{Simulator, Vm};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::{
    checks,
    config::ReplicaConfig,
    genesis::{self, GenesisError},
    observe::Observer,
    roll_back::{Operator, Request, RolledBack, finish_rollback},
    run::Status,
};

/// Why the replica does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory belongs to another chain.
    #[error(
        "the data directory is of chain {stored}, --l2-chain-id says {configured}: correct one of them"
    )]
    OtherChain {
        /// As stored.
        stored: ChainId,
        /// As configured.
        configured: ChainId,
    },
    /// There is no genesis to begin with.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The store, the tree or the executor does not open.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl From<StoreFault> for OpenError {
    fn from(fault: StoreFault) -> Self {
        Self::Stage(fault.into())
    }
}

/// A replica that is open: everything is where it goes on, nothing runs yet.
#[derive(Debug)]
pub struct Replica {
    pub(crate) core: Core,
    pub(crate) stages: Stages,
    pub(crate) rollback: RollbackWriter,
    pub(crate) operator: Operator,
    pub(crate) requests: mpsc::Receiver<Request>,
}

/// What stays when components end and begin anew.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: ReplicaConfig,
    pub(crate) io: Io,
    vm: Arc<dyn Vm>,
    simulator: Arc<dyn Simulator>,
    pub(crate) identity: ChainIdentity,
    pub(crate) views: Views,
    pub(crate) main_node: MainNode,
    pub(crate) detector: ReorgDetector,
    /// The main node's newest block.
    pub(crate) tip: watch::Sender<Option<L2BlockNumber>>,
    /// The main node's current prices.
    pub(crate) fees: watch::Sender<Option<CurrentFees>>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) rolled_back: watch::Sender<Option<RolledBack>>,
    /// What only the main node can say of its chain.
    pub(crate) announced: watch::Sender<Announced>,
    /// Goes up whenever the chain in the store has changed.
    pub(crate) moved: watch::Sender<u64>,
    pub(crate) stats: ApiStats,
}

/// The components, each where it goes on.
#[derive(Debug)]
pub(crate) struct Stages {
    pub(crate) fetcher: Fetcher,
    pub(crate) executor: Executor,
    pub(crate) tree: TreeStage,
    pub(crate) agreement: Agreement,
    pub(crate) l1_steps: Option<L1StepsWatcher>,
    pub(crate) commitments: Option<Commitments>,
    pub(crate) l1_commits: Option<L1Commits>,
}

impl Replica {
    /// Opens the store, finishes a rollback that was begun, makes genesis if there is none, brings
    /// the tree up to the newest sealed batch and the executor into the open batch.
    ///
    /// Without genesis this waits for the main node, until a stop is asked for.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the operator must act. Nothing stored was changed.
    pub async fn open(
        config: ReplicaConfig,
        io: Io,
        vm: Arc<dyn Vm>,
        simulator: Arc<dyn Simulator>,
    ) -> Result<Self, OpenError> {
        // An endpoint of another chain is asked for nothing else.
        let calls =
            UpstreamConfig { chain_id: Some(config.l2_chain_id), ..config.main_node_calls.clone() };
        let rpc = RpcClient::new(&io, "main node", config.main_node.clone(), calls.clone());
        let main_node = MainNode::new(rpc);
        let (stores, changes_max) = (io.stores.clone(), config.rollback_changes_max);
        let job = move || -> Result<_, StoreFault> {
            let (views, mut writers) = lockstep_store::open(&*stores)?;
            finish_rollback(&views, &mut writers.rollback, changes_max)?;
            Ok((views, writers))
        };
        let opened = io.tasks.blocking("open store", job).await;
        let (views, mut writers) = opened.map_err(ended)??;
        let identity = match views.now().identity()? {
            Some(identity) => identity,
            None => make_genesis(&config, &io, &vm, &main_node, &views, &mut writers).await?,
        };
        if identity.l2_chain_id != config.l2_chain_id {
            let (stored, configured) = (identity.l2_chain_id, config.l2_chain_id);
            return Err(OpenError::OtherChain { stored, configured });
        }

        // Asked seldom, and what it does not say is asked for again soon.
        let rest_max = Duration::from_secs(2);
        let alone = UpstreamConfig { attempts_max: 2, rest_max, ..calls };
        let one = |endpoint: &EndpointId| {
            MainNode::new(RpcClient::new(&io, "main node", vec![*endpoint], alone.clone()))
        };
        let endpoints = config.main_node.iter().map(one).collect();
        let detector = ReorgDetector::new(&io, endpoints, views.clone(), config.reorg);
        let core = Core {
            config,
            io,
            vm,
            simulator,
            identity,
            views,
            main_node,
            detector,
            tip: watch::Sender::new(None),
            fees: watch::Sender::new(None),
            status: watch::Sender::new(Status::Running),
            rolled_back: watch::Sender::new(None),
            announced: watch::Sender::default(),
            moved: watch::Sender::default(),
            stats: ApiStats::default(),
        };
        let (stages, rollback) = core.stages(writers).await?;
        let (operator, requests) = Operator::new();
        Ok(Self { core, stages, rollback, operator, requests })
    }

    /// The JSON-RPC methods, to be mounted on a server.
    pub fn rpc(&self) -> RpcModule<()> {
        let Core { config, io, views, tip, .. } = &self.core;
        let context = ApiContext {
            config: config.api,
            serving: config.serving.clone(),
            stats: self.core.stats.clone(),
            ..ApiContext::new(views.clone(), io, SyncStatus(tip.subscribe()))
        };
        let execution = Execution {
            clock: io.clock.clone(),
            vm: self.core.vm.clone(),
            simulator: self.core.simulator.clone(),
            fees: self.core.fees.subscribe(),
        };
        let moved = self.core.moved.subscribe();
        let sources = Sources {
            announced: self.core.announced.subscribe(),
            execution: Some(execution),
            filters: (config.api.filters_max != 0)
                .then(|| FilterSeams { clock: io.clock.clone(), entropy: io.entropy.clone() }),
            subscriptions: Some(SubscriptionSeams { moved: moved.clone() }),
            forwarding: Some(Forwarding { main_node: self.core.main_node_beside(), moved }),
        };
        rpc_module_with(context, sources)
    }

    /// What the API has been asked for.
    pub fn api_stats(&self) -> ApiStats {
        self.core.stats.clone()
    }

    /// Somebody who looks how the replica is doing.
    pub fn observer(&self) -> Observer {
        Observer {
            views: self.core.views.clone(),
            tip: self.core.tip.subscribe(),
            status: self.core.status.subscribe(),
            in_step_lag_max: self.core.config.api.in_step_lag_max,
        }
    }

    /// Whether blocks are being followed.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.core.status.subscribe()
    }

    /// Where the last rollback of this process ended: changes with each. Views made from then on
    /// show nothing of what went; views made while it goes on show a shorter and shorter chain.
    pub fn rolled_back(&self) -> watch::Receiver<Option<RolledBack>> {
        self.core.rolled_back.subscribe()
    }

    /// Somebody who can ask for a rollback while the replica runs.
    pub fn operator(&self) -> Operator {
        self.operator.clone()
    }
}

impl Core {
    /// The main node for what does not concern blocks: with limits of its own, so that nothing of
    /// it keeps blocks from being asked for, and tried once.
    pub(crate) fn main_node_beside(&self) -> MainNode {
        let Self { config, io, .. } = self;
        let calls = UpstreamConfig {
            chain_id: Some(config.l2_chain_id),
            attempts_max: 1,
            ..config.main_node_calls.clone()
        };
        MainNode::new(RpcClient::new(io, "main node", config.main_node.clone(), calls))
    }

    /// Opens every component where the store ends, with `writers`; the one for rollbacks comes
    /// back.
    ///
    /// # Errors
    ///
    /// [`StageError`] if the store cannot be read or contradicts itself.
    pub(crate) async fn stages(
        &self,
        writers: Writers,
    ) -> Result<(Stages, RollbackWriter), StageError> {
        let Self { config, io, views, identity, .. } = self;
        let Writers { chain, tree, claims, steps, rollback, commitments, l1_checks } = writers;
        let (views_there, tree_config, vm) = (views.clone(), config.tree, self.vm.clone());
        let chain_id = identity.l2_chain_id;
        let job = move |par: &dyn lockstep_io::Par| -> Result<_, StageError> {
            let tree = TreeStage::open(views_there.clone(), tree, tree_config, par)?;
            let executor = Executor::open(vm, chain_id, views_there, chain, tree.roots())?;
            Ok((tree, executor))
        };
        let (tree, executor) = io.tasks.compute("open", job).await.map_err(ended)??;

        let agreement = Agreement::open(
            io,
            self.main_node.clone(),
            views.clone(),
            AgreementParts {
                writer: claims,
                rooted: tree.roots(),
                root_of: checks::roots(),
                quirks: config.quirks.clone(),
                config: config.agreement,
            },
        )?;
        let l1_steps = self.l1_steps(steps);
        let (main_node, tip) = (self.main_node.clone(), self.tip.clone());
        let head = executor.head();
        let fetcher = Fetcher::new(io, main_node, views.clone(), chain_id, head, tip, config.fetch);

        let commitments = self.commitments(commitments, &tree)?;
        let l1_commits = self.l1_commits(l1_checks)?;

        log_positions(&executor, &tree, &agreement);
        let stages =
            Stages { fetcher, executor, tree, agreement, l1_steps, commitments, l1_commits };
        Ok((stages, rollback))
    }
}

/// One line with where each component goes on.
fn log_positions(executor: &Executor, tree: &TreeStage, agreement: &Agreement) {
    let progress = *executor.progress().borrow();
    info!(
        block = progress.head.0,
        sealed_batch = progress.sealed_batch.0,
        rooted_batch = tree.roots().borrow().0.0,
        agreed_batch = agreement.agreed().borrow().0,
        "positions"
    );
}

/// Asks for genesis until the main node answers, compares and stores it.
async fn make_genesis(
    config: &ReplicaConfig,
    io: &Io,
    vm: &Arc<dyn Vm>,
    main_node: &MainNode,
    views: &Views,
    writers: &mut Writers,
) -> Result<ChainIdentity, OpenError> {
    info!(chain = config.l2_chain_id.0, "the data directory is empty: making genesis");
    let mut wait = config.retry.wait_min;
    let mut stop = io.tasks.shutdown();
    let parts = loop {
        let attempt = node_select! {
            () = &mut stop => return Err(StageError::Stopped.into()),
            attempt = fetch_genesis(main_node) => attempt,
        };
        let error = match attempt {
            Ok(parts) => break parts,
            Err(error) => stage_error(lockstep_pipeline::Peer::MainNode, error),
        };
        if error.reaction() != Reaction::AskAgain {
            return Err(error.into());
        }
        warn!(%error, "there is no genesis yet; asking again");
        node_select! {
            () = &mut stop => return Err(StageError::Stopped.into()),
            () = io.clock.sleep(wait) => {}
        }
        wait = (wait * 2).min(config.retry.wait_max);
    };
    check_l1(config, io, ChainId(parts.config.l1_chain_id)).await?;
    let (chain_id, views, vm) = (config.l2_chain_id, views.clone(), vm.clone());
    let job = move |par: &dyn lockstep_io::Par| genesis::build(&parts, chain_id, &views, &*vm, par);
    let (genesis, tree) = io.tasks.compute("genesis", job).await.map_err(ended)??;
    writers.chain.persist_genesis(&genesis, tree)?;
    let identity = genesis.identity;
    info!(root = %identity.genesis_root, commitment = %identity.genesis_commitment, "genesis is as announced");
    Ok(identity)
}

/// Whether L1 is the one that the main node's genesis names, as far as it says so now.
///
/// # Errors
///
/// [`GenesisError::OtherL1`]: some endpoint says otherwise, and none says so.
async fn check_l1(config: &ReplicaConfig, io: &Io, announced: ChainId) -> Result<(), OpenError> {
    let calls = UpstreamConfig { attempts_max: 1, ..config.l1_calls.clone() };
    let mut other = None;
    for endpoint in &config.l1 {
        let rpc = RpcClient::new(io, "L1", vec![*endpoint], calls.clone());
        match L1::new(rpc).chain_id().await {
            Ok(theirs) if theirs == announced => return Ok(()),
            Ok(theirs) => other = Some(theirs),
            Err(error) => warn!(%error, "L1 does not say which chain it is; it is asked again"),
        }
    }
    match other {
        Some(theirs) => Err(GenesisError::OtherL1 { announced, theirs }.into()),
        None => Ok(()),
    }
}

pub(crate) fn ended(end: TaskEnd) -> StageError {
    match end {
        TaskEnd::Panicked(message) => StageError::Panicked { stage: "open", message },
        TaskEnd::Done | TaskEnd::Dropped => StageError::Stopped,
    }
}
