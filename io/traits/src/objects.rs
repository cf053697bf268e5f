//! Where the chain keeps its snapshots.

use std::fmt;

use crate::{BodyStream, BoxFuture};

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Path below the source's root.
    pub path: String,
    /// Length, bytes.
    pub bytes: u64,
}

/// A part of an object: `start..end` in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

/// Why an object could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("there is no object {0}")]
    Missing(String),
    /// No snapshot source is configured.
    #[error("no object source is configured")]
    NoSource,
    /// The source did not answer, or not whole.
    #[error("the object source failed: {0}")]
    Failed(String),
}

/// Where the chain keeps its snapshots.
pub trait Objects: fmt::Debug + Send + Sync {
    /// Objects whose path begins with `prefix`, in order of path.
    ///
    /// # Errors
    ///
    /// [`ObjectError`] if the source is missing or does not answer.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<ObjectMeta>, ObjectError>>;

    /// The object at `path`, or a part of it.
    ///
    /// # Errors
    ///
    /// [`ObjectError`] if it is not there or the source does not answer.
    fn get(
        &self,
        path: &str,
        range: Option<ByteRange>,
    ) -> BoxFuture<'_, Result<Box<dyn BodyStream>, ObjectError>>;
}
