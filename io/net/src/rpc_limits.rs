//! How much one WebSocket may ask for.
//!
//! Each message of a WebSocket is worked on by itself, as soon as it comes: without these limits
//! one client could have any number of requests in work.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonrpsee::{
    core::middleware::{Batch, Notification, Request, RpcServiceT},
    server::MethodResponse,
    types::{ErrorObjectOwned, Id},
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
}

impl<S> tower::Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> LimitService<S> {
        let allowance = Allowance::new(self.requests_per_minute_max);
        LimitService {
            front: Arc::clone(&self.front),
            allowance: Arc::new(Mutex::new(allowance)),
            places: Arc::new(Semaphore::new(self.in_work_max.clamp(1, Semaphore::MAX_PERMITS))),
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
        let turn = by_websocket.then(|| self.turn(1, bytes)).transpose();
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
