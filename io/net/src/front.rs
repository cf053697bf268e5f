//! What stands before the API: bodies are read in bounded time and memory, connections that are
//! upgraded are marked, long results get around what writes answers, and it is known when the last
//! request came.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    body::Body,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE},
};
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpResponse, MethodResponse, http},
    types::{ErrorObjectOwned, Id},
};
use lockstep_io::ResultSlot;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// Memory is given out in pieces of this many bytes.
const PIECE_BYTES: usize = 1_024;

/// Requests came by a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByWebSocket;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Front {
    body_bytes_max: usize,
    body_time_max: Duration,
    /// Memory for requests in work, in pieces.
    memory: Arc<Semaphore>,
    began: Instant,
    in_work: AtomicUsize,
    /// When the newest request began or ended, milliseconds since `began`.
    active_ms: AtomicU64,
}

/// A request in work.
#[derive(Debug)]
pub(crate) struct InWork(Arc<Front>);

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.note_activity();
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Front {
    pub(crate) fn new(body_bytes_max: u32, body_time_max: Duration, memory_bytes: usize) -> Self {
        let pieces = (memory_bytes / PIECE_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX),
            body_time_max,
            memory: Arc::new(Semaphore::new(pieces)),
            began: Instant::now(),
            in_work: AtomicUsize::new(0),
            active_ms: AtomicU64::new(0),
        }
    }

    /// One more request is in work until what this gives is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InWork {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        self.note_activity();
        InWork(Arc::clone(self))
    }

    /// Memory for a request of `bytes`, if there is any.
    pub(crate) fn memory_now(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.memory).try_acquire_many_owned(pieces(bytes)).ok()
    }

    /// How long ago a request was in work; zero if one is.
    pub(crate) fn quiet_for(&self) -> Duration {
        if self.in_work.load(Ordering::Relaxed) != 0 {
            return Duration::ZERO;
        }
        let active = Duration::from_millis(self.active_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(active)
    }

    fn note_activity(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_ms.fetch_max(now, Ordering::Relaxed);
    }

    async fn memory(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let memory = Arc::clone(&self.memory).acquire_many_owned(pieces(bytes));
        timeout(self.body_time_max, memory).await.ok()?.ok()
    }

    /// The body, with the memory that it takes.
    async fn read<B>(&self, length: Option<usize>, body: B) -> Result<Read, HttpResponse>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let max = self.body_bytes_max;
        if length.is_some_and(|length| length > max) {
            return Err(too_large(max));
        }
        let memory = self.memory(length.unwrap_or(max)).await.ok_or_else(busy)?;
        let reading = Box::pin(Limited::new(body, max)).collect();
        match timeout(self.body_time_max, reading).await {
            Ok(Ok(body)) => Ok(Read { body: body.to_bytes(), _memory: memory }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(max)),
            Ok(Err(_broken)) => Err(text(StatusCode::BAD_REQUEST, "the body cannot be read\n")),
            Err(_elapsed) => {
                Err(text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"))
            }
        }
    }
}

/// A body that has been read.
struct Read {
    body: Bytes,
    _memory: OwnedSemaphorePermit,
}

/// Whether a body is one request.
fn is_single(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// What an answer ends with that has no result.
const NO_RESULT: &[u8] = b"null}";

/// The answer with `result` in the place of none; as it is if it is an error.
async fn with_result(answer: HttpResponse, result: &str) -> Result<HttpResponse, BoxError> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    let Some(before) = body.strip_suffix(NO_RESULT) else {
        return Ok(HttpResponse::from_parts(parts, HttpBody::new(Full::new(body))));
    };
    let mut whole = Vec::with_capacity(before.len() + result.len() + 1);
    whole.extend_from_slice(before);
    whole.extend_from_slice(result.as_bytes());
    whole.push(b'}');
    Ok(HttpResponse::from_parts(parts, HttpBody::from(whole)))
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE_BYTES).max(1)).unwrap_or(u32::MAX)
}

fn too_large(max: usize) -> HttpResponse {
    http::response::too_large(u32::try_from(max).unwrap_or(u32::MAX))
}

fn busy() -> HttpResponse {
    let answer = MethodResponse::error(Id::Null, overloaded());
    let mut response = http::response::from_method_response(answer);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn text(status: StatusCode, text: &'static str) -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// What a client is told while others take all there is.
pub(crate) fn overloaded() -> ErrorObjectOwned {
    let message = "Request timed out due to server being overloaded";
    ErrorObjectOwned::owned::<()>(503, message, None)
}

/// Puts a [`Front`] before a service.
#[derive(Clone, Debug)]
pub(crate) struct FrontLayer(pub(crate) Arc<Front>);

impl<S> tower::Layer<S> for FrontLayer {
    type Service = FrontService<S>;

    fn layer(&self, inner: S) -> FrontService<S> {
        FrontService { front: Arc::clone(&self.0), inner }
    }
}

/// See [`FrontLayer`].
#[derive(Clone, Debug)]
pub(crate) struct FrontService<S> {
    front: Arc<Front>,
    inner: S,
}

impl<S, B> tower::Service<Request<B>> for FrontService<S>
where
    S: tower::Service<Request<Full<Bytes>>, Response = HttpResponse, Error = BoxError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (front, mut inner) = (Arc::clone(&self.front), self.inner.clone());
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            if parts.headers.contains_key(UPGRADE) {
                parts.extensions.insert(ByWebSocket);
                return inner.call(Request::from_parts(parts, Full::default())).await;
            }
            let _in_work = front.begin();
            let length = parts.headers.get(CONTENT_LENGTH);
            let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
            match front.read(length, body).await {
                Ok(Read { body, _memory }) => {
                    let slot = ResultSlot::default();
                    // In a batch there would be several results.
                    if is_single(&body) {
                        parts.extensions.insert(slot.clone());
                    }
                    let answer = inner.call(Request::from_parts(parts, Full::new(body))).await?;
                    match slot.take() {
                        Some(result) => with_result(answer, &result).await,
                        None => Ok(answer),
                    }
                }
                Err(refused) => Ok(refused),
            }
        })
    }
}
