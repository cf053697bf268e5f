//! A way for long results around the code that writes JSON-RPC answers.

use std::sync::{Arc, Mutex, PoisonError};

/// Where a method may leave its result, as JSON, instead of giving it back.
///
/// A server that knows how puts one of these beside a request, and what was left there into the
/// answer, in the place of the `null` that the method gave back. So a long result is neither read
/// nor copied by what is in between. Clones are the same place, which holds one result.
#[derive(Clone, Debug, Default)]
pub struct ResultSlot(Arc<Mutex<Option<Box<str>>>>);

impl ResultSlot {
    /// Leaves a result, which must be JSON.
    pub fn put(&self, json: Box<str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(json);
    }

    /// The result that was left, if one was.
    pub fn take(&self) -> Option<Box<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
