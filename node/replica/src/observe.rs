//! How the replica is doing, in numbers, for health checks and metrics.

use lockstep_store::{StoreResult, Views};
use lockstep_types::{L1BatchNumber, L2BlockNumber};
use tokio::sync::watch;

use crate::Status;

/// Looks at a replica that runs.
#[derive(Clone, Debug)]
pub struct Observer {
    pub(crate) views: Views,
    pub(crate) tip: watch::Receiver<Option<L2BlockNumber>>,
    pub(crate) status: watch::Receiver<Status>,
    /// The replica is in step while it is at most this many blocks behind.
    pub(crate) in_step_lag_max: u32,
}

/// How the replica was doing at one moment. `None` is not known yet, or not done.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Whether blocks are followed.
    pub status: Status,
    /// The newest block of the main node.
    pub tip: Option<L2BlockNumber>,
    /// The newest block here.
    pub head: Option<L2BlockNumber>,
    /// Whether the newest block here is as good as the newest of the main node.
    pub is_in_step: bool,
    /// The newest batch that is sealed.
    pub sealed_batch: Option<L1BatchNumber>,
    /// The newest batch whose root the main node confirmed.
    pub agreed_batch: Option<L1BatchNumber>,
    /// The newest batch with a commitment that was computed here.
    pub commitment_batch: Option<L1BatchNumber>,
    /// The newest batch whose commitment is the one that the main node announced.
    pub compared_batch: Option<L1BatchNumber>,
    /// The newest batch that was compared with L1.
    pub l1_checked_batch: Option<L1BatchNumber>,
    /// The newest batch that is executed on L1 for good.
    pub final_batch: Option<L1BatchNumber>,
}

impl Observer {
    /// Looks now. Reads a few rows.
    ///
    /// # Errors
    ///
    /// [`StoreFault`](lockstep_store::StoreFault) if the disk fails.
    pub fn observe(&self) -> StoreResult<Observed> {
        let view = self.views.now();
        let (tip, head) = (*self.tip.borrow(), view.head()?);
        let lag = tip.zip(head).map(|(tip, head)| tip.0.saturating_sub(head.0));
        Ok(Observed {
            status: self.status.borrow().clone(),
            tip,
            head,
            is_in_step: lag.is_some_and(|lag| lag <= self.in_step_lag_max),
            sealed_batch: view.sealed_batch()?,
            agreed_batch: view.agreed_batch()?,
            commitment_batch: view.newest_commitment()?,
            compared_batch: view.compared_batch()?,
            l1_checked_batch: view.newest_l1_check()?,
            final_batch: view.sealed_batch()?.map(|_| view.final_batch()).transpose()?,
        })
    }

    /// Approximate bytes on disk by table.
    pub fn table_bytes(&self) -> Vec<(&'static str, u64)> {
        self.views.table_bytes()
    }
}
