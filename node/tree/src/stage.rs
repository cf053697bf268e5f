//! The tree as a step of the pipeline: `SealedBatch` to `RootedBatch`.

use lockstep_io::Par;
use lockstep_pipeline::{Stage, StageError};
use lockstep_store::{ChainView, TreeWriter, Views};
use lockstep_types::{L1BatchNumber, RootedBatch, SealedBatch, StateRoot};
use tokio::sync::watch;
use tracing::info;

use crate::{Tree, TreeConfig, TreeError, root_of};

/// Extends the tree by each sealed batch.
#[derive(Debug)]
pub struct TreeStage {
    tree: Tree,
    views: Views,
    writer: TreeWriter,
    roots: watch::Sender<(L1BatchNumber, StateRoot)>,
}

impl TreeStage {
    /// The tree of the store, brought up to the newest sealed batch: a crash may have come between
    /// the two.
    ///
    /// # Errors
    ///
    /// [`StageError`] if the store is before genesis, cannot be read, or contradicts itself.
    pub fn open(
        views: Views,
        writer: TreeWriter,
        config: TreeConfig,
        par: &dyn Par,
    ) -> Result<Self, StageError> {
        let view = views.now();
        let tree = Tree::open(view.raw(), config).map_err(damaged)?;
        let newest = tree.next_batch().prev();
        let newest = newest.ok_or_else(|| StageError::Tree("there is no genesis".to_owned()))?;
        let roots = watch::Sender::new((newest, tree.root().root));
        let mut stage = Self { tree, views, writer, roots };
        let sealed = view.sealed_batch()?.unwrap_or(L1BatchNumber(0));
        let sealed = lockstep_io::planted!("X05", sealed, newest);
        while stage.tree.next_batch() <= sealed {
            let batch = stage.tree.next_batch();
            let writes = view.batch_writes(batch)?;
            let writes = writes.ok_or_else(|| {
                StageError::Tree(format!("the writes of batch {batch} are missing"))
            })?;
            stage.extend(batch, &writes, par)?;
        }
        lockstep_io::planted!("X06", (), stage.repeat(&view, par)?);
        Ok(stage)
    }

    /// Extends the tree once more by what it has learned last.
    fn repeat(&mut self, view: &ChainView, par: &dyn Par) -> Result<(), StageError> {
        let next = self.tree.next_batch();
        let newest = next.prev().filter(|newest| *newest > L1BatchNumber(0));
        let Some(newest) = newest else { return Ok(()) };
        let writes = view.batch_writes(newest)?.unwrap_or_default();
        self.extend(next, &writes, par).map(|_root| ())
    }

    /// The newest batch in the tree with its root.
    pub fn roots(&self) -> watch::Receiver<(L1BatchNumber, StateRoot)> {
        self.roots.subscribe()
    }

    fn extend(
        &mut self,
        batch: L1BatchNumber,
        writes: &[lockstep_types::BatchWrite],
        par: &dyn Par,
    ) -> Result<StateRoot, StageError> {
        let view = self.views.now();
        let mut extension = self.tree.extend(view.raw(), batch, writes, par).map_err(damaged)?;
        let root = extension.root;
        self.writer.persist(std::mem::take(&mut extension.write_set))?;
        self.tree.applied(extension);
        self.roots.send_replace((batch, root));
        Ok(root)
    }
}

impl Stage for TreeStage {
    type Input = SealedBatch;
    type Output = RootedBatch;
    const NAME: &'static str = "tree";

    fn process(
        &mut self,
        batch: SealedBatch,
        par: &dyn Par,
    ) -> Result<Option<RootedBatch>, StageError> {
        let SealedBatch { header, writes } = batch;
        let next = self.tree.next_batch();
        assert!(header.number <= next, "{:?} came before {next:?}", header.number);
        let root = if header.number < next {
            stored_root(&self.views.now(), header.number)? // Seen before the restart.
        } else {
            self.extend(header.number, &writes, par)?
        };
        info!(
            l1_batch = header.number.0,
            blocks = header.last_block.0 - header.first_block.0 + 1,
            txs = header.l1_tx_count + header.l2_tx_count,
            writes = writes.len(),
            %root,
            "batch sealed"
        );
        Ok(Some(RootedBatch { header, root }))
    }
}

fn stored_root(view: &ChainView, batch: L1BatchNumber) -> Result<StateRoot, StageError> {
    let row = root_of(view.raw(), batch).map_err(damaged)?;
    row.map(|row| row.root)
        .ok_or_else(|| StageError::Tree(format!("the root of batch {batch} is missing")))
}

fn damaged(error: TreeError) -> StageError {
    match error {
        TreeError::Store(disk) => StageError::Store(disk.into()),
        TreeError::Corrupt { .. }
        | TreeError::IndexMismatch { .. }
        | TreeError::IndexGap { .. }
        | TreeError::DuplicateKey(_)
        | TreeError::WrongBatch { .. }
        | TreeError::NoVersion(_)
        | TreeError::OtherView(_) => StageError::Tree(error.to_string()),
    }
}
