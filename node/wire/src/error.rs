//! What cannot be understood.

use lockstep_types::L2BlockNumber;

/// An answer that is not what its method answers with. The caller treats the call as failed and
/// asks again, elsewhere if it can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A block cannot be read.
    #[error("block {block}: {field}: {detail}")]
    Block {
        /// Number of the block that was asked for, or that the block says it has.
        block: L2BlockNumber,
        /// The field that is wrong, as a path; empty if the whole is not an object.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Something else cannot be read.
    #[error("{what}: {detail}")]
    Other {
        /// What it should have been.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

impl WireError {
    pub(crate) fn block(
        block: L2BlockNumber,
        field: impl Into<String>,
        detail: impl ToString,
    ) -> Self {
        Self::Block { block, field: field.into(), detail: detail.to_string() }
    }
}
