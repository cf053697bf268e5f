//! Which place of the node calls the disk, for a simulator that wants to have died at every one.
//!
//! As [planted bugs](mod@crate::planted), this is there only in builds with debug assertions.

use std::{cell::Cell, panic::Location};

thread_local! {
    static PLACE: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// The caller of the caller is about to call the disk on this thread.
#[track_caller]
pub fn note() {
    if const { crate::planted::ARE_COMPILED_IN } {
        PLACE.set(Some(Location::caller()));
    }
}

/// Who [is about to](note) call the disk on this thread: file and line. Forgets it.
pub fn take() -> Option<String> {
    PLACE.take().map(|place| format!("{}:{}", place.file(), place.line()))
}
