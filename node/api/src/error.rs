//! Why a request is not answered, and what the client is told.

use std::time::Duration;

use jsonrpsee::types::{
    ErrorObjectOwned,
    error::{ErrorCode, INTERNAL_ERROR_MSG},
};
use lockstep_replay::ReplayError;
use lockstep_store::StoreFault;
use lockstep_tree::TreeError;
use lockstep_types::{Bytes, L2BlockNumber, TxHash};
use lockstep_vm::VmError;

use crate::{execution::SimulateError, trace::TraceFailure};

/// Code for a run that failed.
const RUN_FAILED: i32 = 3;
/// Code for a run that this node does not do, or does no longer.
const NOT_RUN: i32 = -32_000;
/// Code for a transaction that is in no block yet.
const NO_RECEIPT: i32 = 4;
/// Code for an answer that is too long.
const TOO_LARGE: i32 = -32_008;
/// Code for what is not run any more because the process stops.
const SHUTTING_DOWN: i32 = -32_009;
/// Code for too many requests at once.
const OVERLOADED: i32 = 503;

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
    /// What was to be run failed.
    #[error("{message}")]
    Run {
        /// Why, in the reference node's words.
        message: String,
        /// What a contract returned.
        data: Bytes,
    },
    /// Blocks cannot be tried out.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// A request that can be read makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// Nothing is known to answer with.
    #[error("Method not implemented")]
    NotImplemented,
    /// There is no such method here, and something else to use instead.
    #[error("{0}")]
    Instead(&'static str),
    /// A filter that was never made, or is forgotten.
    #[error("Filter not found")]
    NoFilter,
    /// Finding out takes more than one request.
    #[error("still looking: block {done} of {of}; ask again")]
    StillLooking {
        /// First block that was not looked into.
        done: L2BlockNumber,
        /// First block that need not be.
        of: L2BlockNumber,
    },
    /// There is no such tracer.
    #[error(
        "tracer `{0}` is not known: use callTracer, flatCallTracer, prestateTracer or structLog"
    )]
    UnknownTracer(String),
    /// The VM that runs the block shows no instructions.
    #[error(
        "instructions cannot be shown: blocks before protocol version 24, and all blocks where the \
         node runs with --vm fast or legacy, run on a machine that does not show them"
    )]
    NoSteps,
    /// Instructions take more than an answer may.
    #[error(
        "the instructions take more than the {0} bytes that an answer may: ask for fewer with \
         `limit`, or for less of each with `disableStack`, `disableStorage` and without \
         `enableMemory`"
    )]
    TooManySteps(usize),
    /// A transaction that was handed on is in no block yet.
    #[error("Transaction {0} timeout waiting for receipt")]
    NoReceipt(TxHash),
    /// The main node did not say whether it takes a transaction.
    #[error(
        "the main node did not answer, so it is not known whether it has the transaction: {0}; \
         send it again, which is harmless"
    )]
    NotHandedOn(String),
    /// The answer is longer than answers may be.
    #[error("Response is too big")]
    TooLarge(usize),
    /// Too many requests wait already.
    #[error("Request timed out due to server being overloaded")]
    Busy,
    /// Running took too long.
    #[error("execution aborted (timeout = {0:?})")]
    TimedOut(Duration),
    /// The process was asked to stop.
    #[error("Server is shutting down")]
    ShuttingDown,
    /// A job ended without an answer. What it died of has been logged.
    #[error("the job died")]
    Died,
    /// The VM could not run it.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// A batch could not be run again.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A component answered what it must not.
    #[error("{0}")]
    BadAnswer(&'static str),
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
    /// What was to be run failed, and returned nothing.
    pub(crate) fn run(message: &str) -> Self {
        Self::Run { message: message.to_owned(), data: Bytes::new() }
    }

    /// Why there are no traces; running them again may take `time_max`.
    pub(crate) fn of_failure(failure: TraceFailure, time_max: Duration) -> Self {
        match failure {
            TraceFailure::Busy => Self::Busy,
            TraceFailure::ShuttingDown => Self::ShuttingDown,
            TraceFailure::TimedOut | TraceFailure::Replay(ReplayError::Stopped) => {
                Self::TimedOut(time_max)
            }
            TraceFailure::Died => Self::Died,
            TraceFailure::Replay(error) => Self::Replay(error),
        }
    }

    /// Why a batch could not be run again, for which there was `time_max`.
    pub(crate) fn of_replay(error: ReplayError, time_max: Duration) -> Self {
        Self::of_failure(TraceFailure::Replay(error), time_max)
    }

    /// What the client of `method` is told; what is our fault is logged and not told.
    pub(crate) fn into_object(self, method: &'static str) -> ErrorObjectOwned {
        match self {
            Self::Params(object) => object,
            Self::NoBlock
            | Self::TooManyTopics
            | Self::HashAndRange
            | Self::TooManyLogs { .. }
            | Self::TooMuchToRead { .. }
            | Self::TooManyKeys(_)
            | Self::NoFilter
            | Self::BadRequest(_)
            | Self::UnknownTracer(_)
            | Self::Vm(VmError::BadInput { .. }) => told(ErrorCode::InvalidParams.code(), &self),
            Self::NotImplemented | Self::Instead(_) => {
                told(ErrorCode::MethodNotFound.code(), &self)
            }
            Self::Run { message, data } => ErrorObjectOwned::owned(RUN_FAILED, message, Some(data)),
            Self::Simulate(error) => told(error.code(), &self),
            Self::TooLarge(max) => {
                let data = format!("Exceeded max limit of {max}");
                ErrorObjectOwned::owned(TOO_LARGE, self.to_string(), Some(data))
            }
            Self::TooManySteps(_) => told(TOO_LARGE, &self),
            Self::Busy => told(OVERLOADED, &self),
            Self::NoReceipt(_) => told(NO_RECEIPT, &self),
            Self::ShuttingDown => told(SHUTTING_DOWN, &self),
            Self::TimedOut(_)
            | Self::NotHandedOn(_)
            | Self::NoSteps
            | Self::StillLooking { .. }
            | Self::Vm(VmError::UnknownVersion(_))
            | Self::Replay(
                ReplayError::TooLarge { .. }
                | ReplayError::NoRoot(_)
                | ReplayError::Vm(VmError::UnknownVersion(_)),
            ) => told(NOT_RUN, &self),
            Self::Died
            | Self::Vm(
                VmError::Halted { .. }
                | VmError::TipFailed { .. }
                | VmError::Storage(_)
                | VmError::Diverged { .. },
            )
            | Self::Replay(
                ReplayError::Store(_)
                | ReplayError::Vm(
                    VmError::Halted { .. }
                    | VmError::TipFailed { .. }
                    | VmError::BadInput { .. }
                    | VmError::Storage(_)
                    | VmError::Diverged { .. },
                )
                | ReplayError::NoBatch(_)
                | ReplayError::Open(_)
                | ReplayError::BadRoot { .. }
                | ReplayError::Differs(_)
                | ReplayError::Stopped,
            )
            | Self::BadAnswer(_)
            | Self::Store(_)
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

fn told(code: i32, error: &ApiError) -> ErrorObjectOwned {
    ErrorObjectOwned::owned::<()>(code, error.to_string(), None)
}

/// What a client is told when something is our fault.
pub(crate) fn internal_error() -> ErrorObjectOwned {
    let code = ErrorCode::InternalError.code();
    ErrorObjectOwned::owned::<()>(code, INTERNAL_ERROR_MSG, None)
}
