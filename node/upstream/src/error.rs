//! Why an upstream did not answer, by what the caller does next.

use serde_json::Value;

/// Why an upstream did not answer. Retries and other endpoints have been tried before, except for
/// [`Rejected`](Self::Rejected), where they would not help.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UpstreamError {
    /// No answer came. Wait and ask again.
    #[error("no answer: {detail}")]
    Unavailable {
        /// What went wrong the last time; names no URL.
        detail: String,
    },
    /// The call was understood and refused. Asking again gives the same; the caller knows whether
    /// it can do without.
    #[error("refused with code {code}: {message}")]
    Rejected {
        /// Code of the JSON-RPC error.
        code: i64,
        /// Its message, cut if very long.
        message: String,
        /// Its data, unless very long.
        data: Option<Value>,
    },
    /// Every try gave an answer that contradicts itself or what was asked for. Halt writes.
    #[error("the answer cannot be true: {detail}")]
    Lie {
        /// Both values.
        detail: String,
    },
    /// Every try gave an answer that cannot be read. Ask again later and tell the operator: the
    /// upstream may be of a release that this build does not know.
    #[error("the answer cannot be read: {detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
}
