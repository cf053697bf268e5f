//! HTTP exchanges with the outside.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::BoxFuture;

/// One of the endpoints that the implementation was configured with, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub usize);

/// A request: always a POST of a JSON body, or a GET without one.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Body of a POST; `None` makes it a GET.
    pub body: Option<Bytes>,
    /// Appended to the endpoint's URL; empty for JSON-RPC.
    pub path: String,
    /// The whole exchange is given up after this long.
    pub timeout: Duration,
    /// A longer body, counted after decompression, ends the exchange with
    /// [`NetError::TooLarge`].
    pub response_bytes_max: usize,
}

/// The head of a response, and its body as it comes.
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Header names in lower case with their values, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Box<dyn BodyStream>,
}

impl HttpResponse {
    /// Value of the first header called `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// [`NetError`] if it did not arrive whole; nothing of it may be used then.
    pub async fn collect(mut self) -> Result<Bytes, NetError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.body.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.into())
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Chunks of a body.
pub trait BodyStream: Send {
    /// The next chunk; `None` when the body is complete.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>>;
}

/// Why an exchange failed. Every one leaves open whether the server saw the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// No connection came about.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The name has no address.
    #[error("cannot resolve the host name: {0}")]
    Dns(String),
    /// No secure channel came about.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The connection broke, or what came was not HTTP.
    #[error("the connection broke: {0}")]
    Reset(String),
    /// No complete answer in the time given.
    #[error("no answer in time")]
    TimedOut,
    /// The body is longer than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// No such endpoint is configured.
    #[error("no endpoint number {0}")]
    NoEndpoint(usize),
}

/// HTTP exchanges with the outside.
///
/// Below JSON on purpose: encoding, checking, limits, retries and the choice of endpoint are the
/// node's own code, and so a simulation runs them.
pub trait Http: fmt::Debug + Send + Sync {
    /// Sends `request` to `endpoint`, once.
    ///
    /// Resolves when the head of the response is there; the body follows in chunks. Dropping the
    /// future gives the exchange up; the server may have acted on it all the same.
    ///
    /// # Errors
    ///
    /// [`NetError`] as its variants say. A status such as 503 is no error here: it is an answer.
    fn send(
        &self,
        endpoint: EndpointId,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, NetError>>;
}
