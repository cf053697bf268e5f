//! How many requests do something at once.

use std::{sync::Arc, time::Duration};

use lockstep_io::{Clock, First, race};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, ApiResult};

/// Lets so many through at once; others wait, each for a bounded time.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    wait_max: Duration,
}

impl Gate {
    /// Lets `count` through at once, at least one.
    pub(crate) fn new(count: usize, wait_max: Duration) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(count)), wait_max }
    }

    /// Waits for a turn, which lasts until the permit is dropped. First come, first served.
    pub(crate) async fn enter(
        &self,
        clock: &(dyn Clock + 'static),
    ) -> ApiResult<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let turn = self.permits.clone().acquire_owned();
        match race(turn, clock.sleep(self.wait_max)).await {
            First::Left(Ok(permit)) => Ok(permit),
            // Nobody closes the gate; it would be one that is never open.
            First::Left(Err(_)) | First::Right(()) => Err(ApiError::Busy),
        }
    }
}
