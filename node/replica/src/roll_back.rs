//! Going back to the end of an earlier batch: on a store that nobody writes to, and by asking a
//! replica that runs.

use lockstep_io::Stores;
use lockstep_store::{ChainView, RollbackWriter, StoreFault, Views, Writers};
use lockstep_tree::{Tree, TreeConfig, TreeError};
use lockstep_types::{L1BatchNumber, L2BlockNumber};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

/// A write set of a rollback is closed when it has this many changes.
pub(crate) const CHANGES_MAX: usize = 10_000;

/// Where a rollback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The newest batch now.
    pub batch: L1BatchNumber,
    /// The newest block now, which ends that batch.
    pub block: L2BlockNumber,
}

/// Why nothing was rolled back, or why a rollback is not finished yet.
#[derive(Debug, thiserror::Error)]
pub enum RollBackError {
    /// There is no such end to go back to.
    #[error("batch {to} is not there: the newest sealed batch is {sealed}")]
    NotSealed {
        /// As asked.
        to: L1BatchNumber,
        /// The newest sealed batch.
        sealed: L1BatchNumber,
    },
    /// L1 holds what would go, for good.
    #[error(
        "batch {final_batch} is executed on L1 for good, so nothing before its end can be gone back to; batch {to} was asked for"
    )]
    BelowFinal {
        /// As asked.
        to: L1BatchNumber,
        /// The newest batch that is final.
        final_batch: L1BatchNumber,
    },
    /// What is needed to go back that far is not kept any more.
    #[error(
        "the state tree of batch {0} is not kept any more: go back less far, or sync anew with another --datadir"
    )]
    Pruned(L1BatchNumber),
    /// The data directory has no chain.
    #[error("the data directory is empty: there is nothing to roll back")]
    Empty,
    /// The store failed. If the rollback had begun, it goes on when the store is opened again.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The tree cannot be read.
    #[error(transparent)]
    Tree(TreeError),
    /// The replica is stopping.
    #[error("the replica is stopping")]
    Stopping,
}

/// Says whether the chain could go back to the end of `to`.
///
/// # Errors
///
/// [`RollBackError`]: it could not.
pub(crate) fn check(view: &ChainView, to: L1BatchNumber) -> Result<(), RollBackError> {
    let sealed = view.sealed_batch()?.ok_or(RollBackError::Empty)?;
    if to > sealed {
        return Err(RollBackError::NotSealed { to, sealed });
    }
    let final_batch = view.final_batch()?;
    if lockstep_io::planted!("X24", to < final_batch, false) {
        return Err(RollBackError::BelowFinal { to, final_batch });
    }
    Ok(())
}

/// Goes back to the end of batch `to`, which with the sealed batch itself means that the blocks of
/// the open batch go. A rollback that was begun before is finished first. Durable when it returns.
///
/// No component may write meanwhile. Views that are open keep what they show.
///
/// # Errors
///
/// [`RollBackError`]. Unless the store failed, nothing was changed.
pub fn roll_back(
    views: &Views,
    writer: &mut RollbackWriter,
    to: L1BatchNumber,
    changes_max: usize,
) -> Result<RolledBack, RollBackError> {
    finish_rollback(views, writer, changes_max)?;
    let view = views.now();
    check(&view, to)?;
    let tree = Tree::open(view.raw(), TreeConfig { cache_bytes: 0 }).map_err(tree_error)?;
    let truncation = tree.truncate_above(view.raw(), to).map_err(tree_error)?;
    let head = view.head()?.unwrap_or_default();
    info!(to_batch = to.0, from_block = head.0, "rolling back");
    writer.begin(&view, to, truncation.write_set)?;
    drop((view, tree));
    let done = finish_rollback(views, writer, changes_max)?;
    done.ok_or(RollBackError::Empty)
}

/// Finishes the rollback that an earlier process began, if one did.
///
/// # Errors
///
/// [`StoreFault`]; it is finished when the store is opened again.
pub(crate) fn finish_rollback(
    views: &Views,
    writer: &mut RollbackWriter,
    changes_max: usize,
) -> Result<Option<RolledBack>, StoreFault> {
    let Some(batch) = writer.finish(views, changes_max)? else { return Ok(None) };
    let block = views.now().head()?.unwrap_or_default();
    info!(batch = batch.0, block = block.0, "rolled back");
    Ok(Some(RolledBack { batch, block }))
}

/// Opens the node's store in `stores` and goes back to the end of batch `to`, as [`roll_back`]
/// does. Nobody else can have the store open.
///
/// # Errors
///
/// [`RollBackError`].
pub fn roll_back_stored(
    stores: &dyn Stores,
    to: L1BatchNumber,
) -> Result<RolledBack, RollBackError> {
    let (views, writers) = lockstep_store::open(stores)?;
    let Writers { mut rollback, .. } = writers;
    roll_back(&views, &mut rollback, to, CHANGES_MAX)
}

fn tree_error(error: TreeError) -> RollBackError {
    match error {
        TreeError::NoVersion(batch) => RollBackError::Pruned(batch),
        TreeError::Store(disk) => RollBackError::Store(disk.into()),
        other @ (TreeError::Corrupt { .. }
        | TreeError::IndexMismatch { .. }
        | TreeError::IndexGap { .. }
        | TreeError::DuplicateKey(_)
        | TreeError::WrongBatch { .. }
        | TreeError::OtherView(_)) => RollBackError::Tree(other),
    }
}

/// What an operator asks of a replica that runs, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) to: L1BatchNumber,
    answer: oneshot::Sender<Result<RolledBack, RollBackError>>,
}

impl Request {
    pub(crate) fn answer(self, answer: Result<RolledBack, RollBackError>) {
        // An error says that nobody waits for the answer any more.
        drop(self.answer.send(answer));
    }
}

/// Asks a replica for a rollback while it runs or while its writes are halted. Clones ask the same
/// replica.
#[derive(Clone, Debug)]
pub struct Operator(mpsc::Sender<Request>);

impl Operator {
    /// Somebody who asks, and what is asked.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (ask, asked) = mpsc::channel(1);
        (Self(ask), asked)
    }

    /// Goes back to the end of batch `to` and follows the chain again from there; halted writes
    /// go on. Resolves when the rollback is durable. The API goes on serving meanwhile.
    ///
    /// # Errors
    ///
    /// [`RollBackError`]. Unless the store failed, nothing was changed.
    pub async fn roll_back_to(&self, to: L1BatchNumber) -> Result<RolledBack, RollBackError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(Request { to, answer }).await;
        sent.map_err(|_closed| RollBackError::Stopping)?;
        answered.await.unwrap_or(Err(RollBackError::Stopping))
    }
}
