//! How much one WebSocket may ask for, and what only a WebSocket may.
//!
//! Each message of a WebSocket is worked on by itself, as soon as it comes: without these limits
//! one client could have any number of requests in work. Over HTTP there is nowhere to send what a
//! subscription tells: who subscribes there is told so.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonrpsee::{
    Methods,
    core::middleware::{
        Batch, BatchEntry, BatchEntryErr, Extensions, Notification, Request, RpcServiceT,
    },
    server::{MethodCallback, MethodResponse},
    types::{ErrorCode, ErrorObjectOwned, Id},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::front::{ByWebSocket, Front, InWork, overloaded};

const MINUTE: Duration = Duration::from_secs(60);

/// Gives each connection its limits.
#[derive(Clone, Debug)]
pub(crate) struct LimitLayer {
    pub(crate) front: Arc<Front>,
    pub(crate) requests_per_minute_max: u32,
    pub(crate) in_work_max: usize,
    pub(crate) for_websockets: ForWebSockets,
}

/// Methods that begin or end a subscription.
#[derive(Clone, Debug)]
pub(crate) struct ForWebSockets(Arc<BTreeSet<&'static str>>);

impl ForWebSockets {
    /// Those of `methods`.
    pub(crate) fn of(methods: &Methods) -> Self {
        let is_one = |name: &&'static str| match methods.method(name) {
            Some(MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_)) => true,
            Some(MethodCallback::Sync(_) | MethodCallback::Async(_)) | None => false,
        };
        Self(Arc::new(methods.method_names().filter(is_one).collect()))
    }

    /// Why `method` is not served to whoever sent a request with `extensions`, if it is not.
    fn refusal(&self, method: &str, extensions: &Extensions) -> Option<ErrorObjectOwned> {
        let by_websocket = extensions.get::<ByWebSocket>().is_some();
        (!by_websocket && self.0.contains(method)).then(|| {
            let text = "notifications not supported: subscribe over a WebSocket";
            ErrorObjectOwned::owned::<()>(ErrorCode::MethodNotFound.code(), text, None)
        })
    }

    /// Puts errors in the place of the entries that are not served.
    fn refuse_entries<'a>(&self, requests: Batch<'a>) -> Batch<'a> {
        let is_refused = requests.iter().flatten().any(|entry| self.is_refused(entry));
        if !is_refused {
            return requests;
        }
        let entries = requests.into_iter().map(|entry| match entry {
            Ok(BatchEntry::Call(call)) => match self.refusal(&call.method, &call.extensions) {
                Some(error) => Err(BatchEntryErr::new(call.id, error)),
                None => Ok(BatchEntry::Call(call)),
            },
            Ok(BatchEntry::Notification(_)) | Err(_) => entry,
        });
        Batch::from(entries.collect())
    }

    fn is_refused(&self, entry: &BatchEntry<'_>) -> bool {
        self.refusal(entry.method_name(), entry.extensions()).is_some()
    }
}

impl<S> tower::Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> LimitService<S> {
        let allowance = Allowance::new(self.requests_per_minute_max);
        LimitService {
            front: Arc::clone(&self.front),
            allowance: Arc::new(Mutex::new(allowance)),
            places: Arc::new(Semaphore::new(self.in_work_max.clamp(1, Semaphore::MAX_PERMITS))),
            for_websockets: self.for_websockets.clone(),
            inner,
        }
    }
}

/// One connection, if it is a WebSocket; otherwise one request.
#[derive(Clone, Debug)]
pub(crate) struct LimitService<S> {
    front: Arc<Front>,
    allowance: Arc<Mutex<Allowance>>,
    places: Arc<Semaphore>,
    for_websockets: ForWebSockets,
    inner: S,
}

/// Requests that a connection may still make: so many a minute, and as many at once.
#[derive(Debug)]
struct Allowance {
    per_minute: f64,
    left: f64,
    since: Instant,
}

impl Allowance {
    fn new(per_minute: u32) -> Self {
        let per_minute = f64::from(per_minute.max(1));
        Self { per_minute, left: per_minute, since: Instant::now() }
    }

    fn take(&mut self, count: usize) -> bool {
        let now = Instant::now();
        let passed = now.duration_since(self.since).as_secs_f64() / MINUTE.as_secs_f64();
        self.since = now;
        self.left = (self.left + passed * self.per_minute).min(self.per_minute);
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let is_enough = self.left >= count;
        if is_enough {
            self.left -= count;
        }
        is_enough
    }
}

/// What a request holds while it is in work.
#[derive(Debug)]
struct Turn {
    _in_work: InWork,
    _place: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl<S> LimitService<S> {
    /// A turn for `count` requests of `bytes` together.
    fn turn(&self, count: usize, bytes: usize) -> Result<Turn, ErrorObjectOwned> {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        if !allowance.take(count) {
            return Err(ErrorObjectOwned::owned::<()>(429, "Too many requests", None));
        }
        drop(allowance);
        let place = Arc::clone(&self.places).try_acquire_owned();
        let (Ok(place), Some(memory)) = (place, self.front.memory_now(bytes)) else {
            return Err(overloaded());
        };
        Ok(Turn { _in_work: self.front.begin(), _place: place, _memory: memory })
    }
}

impl<S> RpcServiceT for LimitService<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let by_websocket = request.extensions().get::<ByWebSocket>().is_some();
        let bytes = request.params.as_ref().map_or(0, |params| params.get().len());
        let turn = match self.for_websockets.refusal(&request.method, &request.extensions) {
            Some(refused) => Err(refused),
            None => by_websocket.then(|| self.turn(1, bytes)).transpose(),
        };
        let inner = self.inner.clone();
        async move {
            match turn {
                Ok(_turn) => inner.call(request).await,
                Err(error) => MethodResponse::error(request.id, error),
            }
        }
    }

    fn batch<'a>(&self, requests: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let entries = || requests.iter().flatten();
        let by_websocket = entries().any(|entry| entry.extensions().get::<ByWebSocket>().is_some());
        let bytes = entries().filter_map(|entry| entry.params()).map(|params| params.get().len());
        let turn = by_websocket.then(|| self.turn(requests.len(), bytes.sum())).transpose();
        let inner = self.inner.clone();
        let requests = self.for_websockets.refuse_entries(requests);
        async move {
            match turn {
                Ok(_turn) => inner.batch(requests).await,
                Err(error) => MethodResponse::error(Id::Null, error),
            }
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
