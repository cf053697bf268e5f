//! Opening: the store, genesis if there is none, and where each component goes on.

use std::sync::Arc;

use jsonrpsee::RpcModule;
use lockstep_api::{ApiContext, SyncStatus, rpc_module};
use lockstep_checkers::Agreement;
use lockstep_executor::Executor;
use lockstep_io::{Io, TaskEnd, node_select};
use lockstep_pipeline::{Reaction, StageError};
use lockstep_store::{ChainIdentity, StoreFault, Views, Writers};
use lockstep_sync::{Fetcher, L1StepsWatcher, fetch_genesis, stage_error};
use lockstep_tree::{TreeStage, root_of};
use lockstep_types::ChainId;
use lockstep_upstream::{L1, MainNode, RpcClient, UpstreamConfig};
use lockstep_vm::Vm;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    config::ReplicaConfig,
    genesis::{self, GenesisError},
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
    pub(crate) config: ReplicaConfig,
    pub(crate) io: Io,
    pub(crate) views: Views,
    pub(crate) fetcher: Fetcher,
    pub(crate) executor: Executor,
    pub(crate) tree: TreeStage,
    pub(crate) agreement: Agreement,
    pub(crate) l1_steps: Option<L1StepsWatcher>,
    pub(crate) status: watch::Sender<Status>,
}

impl Replica {
    /// Opens the store, makes genesis if there is none, brings the tree up to the newest sealed
    /// batch and the executor into the open batch.
    ///
    /// Without genesis this waits for the main node, until a stop is asked for.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the operator must act. Nothing stored was changed.
    pub async fn open(config: ReplicaConfig, io: Io, vm: Arc<dyn Vm>) -> Result<Self, OpenError> {
        // An endpoint of another chain is asked for nothing else.
        let calls =
            UpstreamConfig { chain_id: Some(config.l2_chain_id), ..config.main_node_calls.clone() };
        let rpc = RpcClient::new(&io, "main node", config.main_node.clone(), calls);
        let main_node = MainNode::new(rpc);
        let stores = io.stores.clone();
        let opened = io.tasks.blocking("open store", move || lockstep_store::open(&*stores)).await;
        let (views, mut writers) = opened.map_err(ended)??;
        let identity = match views.now().identity()? {
            Some(identity) => identity,
            None => make_genesis(&config, &io, &vm, &main_node, &views, &mut writers).await?,
        };
        if identity.l2_chain_id != config.l2_chain_id {
            let (stored, configured) = (identity.l2_chain_id, config.l2_chain_id);
            return Err(OpenError::OtherChain { stored, configured });
        }

        let Writers { chain, tree, claims, steps, .. } = writers;
        let (views_there, tree_config) = (views.clone(), config.tree);
        let job = move |par: &dyn lockstep_io::Par| -> Result<_, StageError> {
            let tree = TreeStage::open(views_there.clone(), tree, tree_config, par)?;
            let chain_id = identity.l2_chain_id;
            let executor = Executor::open(vm, chain_id, views_there, chain, tree.roots())?;
            Ok((tree, executor))
        };
        let (tree, executor) = io.tasks.compute("open", job).await.map_err(ended)??;

        let agreement = Agreement::open(
            &io,
            main_node.clone(),
            views.clone(),
            claims,
            tree.roots(),
            Arc::new(|view, batch| {
                let row = root_of(view.raw(), batch);
                row.map(|row| row.map(|row| row.root))
                    .map_err(|error| StageError::Tree(error.to_string()))
            }),
            config.agreement,
        )?;
        let l1_steps = (!config.l1.is_empty()).then(|| {
            let l1 = RpcClient::new(&io, "L1", config.l1.clone(), config.l1_calls.clone());
            let l1_chain = identity.l1_chain_id;
            let (main_node, views) = (main_node.clone(), views.clone());
            L1StepsWatcher::new(
                &io,
                main_node,
                L1::new(l1),
                views,
                steps,
                l1_chain,
                config.l1_steps,
            )
        });
        let (chain_id, head) = (config.l2_chain_id, executor.head());
        let fetcher = Fetcher::new(&io, main_node, views.clone(), chain_id, head, config.fetch);

        log_positions(&executor, &tree, &agreement);
        let status = watch::Sender::new(Status::Running);
        Ok(Self { config, io, views, fetcher, executor, tree, agreement, l1_steps, status })
    }

    /// The JSON-RPC methods, to be mounted on a server.
    pub fn rpc(&self) -> RpcModule<()> {
        rpc_module(ApiContext {
            views: self.views.clone(),
            tasks: self.io.tasks.clone(),
            config: self.config.api,
            sync: SyncStatus(self.fetcher.tip()),
        })
    }

    /// Whether blocks are being followed.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
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
    let (chain_id, views, vm) = (config.l2_chain_id, views.clone(), vm.clone());
    let job = move |par: &dyn lockstep_io::Par| genesis::build(&parts, chain_id, &views, &*vm, par);
    let (genesis, tree) = io.tasks.compute("genesis", job).await.map_err(ended)??;
    writers.chain.persist_genesis(&genesis, tree)?;
    let identity = genesis.identity;
    info!(root = %identity.genesis_root, commitment = %identity.genesis_commitment, "genesis is as announced");
    Ok(identity)
}

fn ended(end: TaskEnd) -> StageError {
    match end {
        TaskEnd::Panicked(message) => StageError::Panicked { stage: "open", message },
        TaskEnd::Done | TaskEnd::Dropped => StageError::Stopped,
    }
}
