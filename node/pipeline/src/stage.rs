//! A step of the pipeline.

use std::future::Future;

use lockstep_io::Par;

use crate::StageError;

/// Where items come from.
pub trait Source: Send + 'static {
    /// What comes out.
    type Output: Send + 'static;
    /// Name in logs, metrics and the component table.
    const NAME: &'static str;

    /// Waits for the next item. May be dropped at any await and called again.
    fn next(&mut self) -> impl Future<Output = Result<Self::Output, StageError>> + Send;
}

/// A step of the pipeline: items go in and come out in order.
pub trait Stage: Send + 'static {
    /// What comes in.
    type Input: Send + Sync + 'static;
    /// What goes out.
    type Output: Send + 'static;
    /// Name in logs, metrics and the component table.
    const NAME: &'static str;

    /// Waits for whatever `item` needs besides itself. Changes nothing, so it may be dropped at
    /// any await and called again.
    fn ready(
        &mut self,
        _item: &Self::Input,
    ) -> impl Future<Output = Result<(), StageError>> + Send {
        async { Ok(()) }
    }

    /// Handles `item` to the end, as a CPU job. After a restart it may be called with an item that
    /// it has seen before, and then gives the same output. `None` means that nothing is complete
    /// yet.
    fn process(
        &mut self,
        item: Self::Input,
        par: &dyn Par,
    ) -> Result<Option<Self::Output>, StageError>;
}
