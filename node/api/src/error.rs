//! Why a request is not answered, and what the client is told.

use jsonrpsee::types::{
    ErrorObjectOwned,
    error::{ErrorCode, INTERNAL_ERROR_MSG},
};
use lockstep_store::StoreFault;
use lockstep_tree::TreeError;
use lockstep_types::L2BlockNumber;

/// A result of a method.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// Why a request is not answered. Codes and messages are the reference node's, where it has them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Parameters cannot be read.
    #[error("{0}")]
    Params(ErrorObjectOwned),
    /// State was asked for at a block that is not there.
    #[error("Block with such an ID doesn't exist yet")]
    NoBlock,
    /// Events have at most four topics.
    #[error("More than four topics in filter")]
    TooManyTopics,
    /// A filter is for one block or for a range.
    #[error("invalid filter: if blockHash is supplied fromBlock and toBlock must not be")]
    HashAndRange,
    /// More logs match than one answer may have.
    #[error(
        "Query returned more than {max} results. Try with this block range [{:#x}, {:#x}].",
        .from.0, .to.0
    )]
    TooManyLogs {
        /// The limit.
        max: usize,
        /// First block of the range.
        from: L2BlockNumber,
        /// Last block of a range with fewer results.
        to: L2BlockNumber,
    },
    /// Finding the logs would take more reading than one request may cause.
    #[error(
        "Query has to read more than one request may. Try with this block range [{:#x}, {:#x}].",
        .from.0, .to.0
    )]
    TooMuchToRead {
        /// First block of the range.
        from: L2BlockNumber,
        /// Last block of a range that can be read.
        to: L2BlockNumber,
    },
    /// More proofs were asked for than one answer may have.
    #[error("At most {0} keys can be proved at once")]
    TooManyKeys(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The tree failed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The store contradicts itself.
    #[error("{what} of block {block} is missing")]
    Missing {
        /// What should be there.
        what: &'static str,
        /// Where.
        block: L2BlockNumber,
    },
    /// There is no chain before genesis has been persisted.
    #[error("the store has no genesis yet")]
    NoGenesis,
    /// An answer cannot be written as JSON.
    #[error("the answer cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

impl From<ErrorObjectOwned> for ApiError {
    fn from(error: ErrorObjectOwned) -> Self {
        Self::Params(error)
    }
}

impl ApiError {
    /// What the client of `method` is told; what is our fault is logged and not told.
    pub(crate) fn into_object(self, method: &'static str) -> ErrorObjectOwned {
        match self {
            Self::Params(object) => object,
            Self::NoBlock
            | Self::TooManyTopics
            | Self::HashAndRange
            | Self::TooManyLogs { .. }
            | Self::TooMuchToRead { .. }
            | Self::TooManyKeys(_) => {
                let code = ErrorCode::InvalidParams.code();
                ErrorObjectOwned::owned::<()>(code, self.to_string(), None)
            }
            Self::Store(_)
            | Self::Tree(_)
            | Self::Missing { .. }
            | Self::NoGenesis
            | Self::Unwritable(_) => {
                tracing::error!(method, error = %self, "request failed");
                internal_error()
            }
        }
    }
}

/// What a client is told when something is our fault.
pub(crate) fn internal_error() -> ErrorObjectOwned {
    let code = ErrorCode::InternalError.code();
    ErrorObjectOwned::owned::<()>(code, INTERNAL_ERROR_MSG, None)
}
