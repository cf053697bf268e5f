//! What is written down for people: small files beside the store.

use std::fmt;

/// Why a report is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// There is one with this name already; it was left as it is.
    #[error("there is a report {0} already")]
    Exists(String),
    /// The name is no plain file name.
    #[error("{0:?} is no name for a report")]
    BadName(String),
    /// The disk did not take it.
    #[error("cannot write report {name}: {reason}")]
    Failed {
        /// Its name.
        name: String,
        /// What the disk said.
        reason: String,
    },
}

/// Files for people, which the node writes and never reads.
pub trait Reports: fmt::Debug + Send + Sync {
    /// Writes a new report named `name` and says where it is, in words for a log. Blocks: call it
    /// inside a disk job.
    ///
    /// All of it is there, or nothing; a report that is there already is never changed.
    ///
    /// # Errors
    ///
    /// [`ReportError`]. Nothing depends on a report: note the error and go on.
    fn write(&self, name: &str, content: &[u8]) -> Result<String, ReportError>;
}

/// Whether `name` is a plain file name: letters, digits, `-`, `_` and `.`, not at the beginning.
pub fn is_report_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_plain)
}
