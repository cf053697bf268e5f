//! A snapshot that owns the database it borrows. The only unsafe code of this crate.

use std::{fmt, sync::Arc};

use rocksdb::{DB, Snapshot};

use crate::store::Shared;

/// A store, frozen at one moment, for as long as this lives.
pub(crate) struct Frozen {
    // Released before `store`: fields are dropped in the order in which they are declared.
    snapshot: Snapshot<'static>,
    store: Arc<Shared>,
}

impl Frozen {
    /// The store as it is now.
    pub(crate) fn new(store: Arc<Shared>) -> Self {
        let db: *const DB = store.db();
        // SAFETY: `db` lies inside the allocation of `store`, which neither moves nor is freed
        // while this value holds a count of it, and nobody gets a `&mut` into it (`Shared` has
        // none to give). The snapshot holds the only copy of the reference and is dropped before
        // `store`; `snapshot()` lends it out for no longer than `self`.
        #[expect(unsafe_code, reason = "a view owns what its snapshot borrows; see SAFETY")]
        let db: &'static DB = unsafe { &*db };
        Self { snapshot: db.snapshot(), store }
    }

    /// The snapshot; what is made from it cannot outlive `self`.
    pub(crate) fn snapshot<'a>(&'a self) -> &'a Snapshot<'a> {
        &self.snapshot
    }

    /// The store that it belongs to.
    pub(crate) fn store(&self) -> &Shared {
        &self.store
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("seq", &self.snapshot.sequence_number())
            .field("store", &self.store)
            .finish()
    }
}
