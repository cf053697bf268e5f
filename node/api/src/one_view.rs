//! One view for a whole request, and for all requests of a JSON-RPC batch.

use std::sync::{Arc, OnceLock};

use jsonrpsee::core::{
    middleware::{Batch, Extensions, Notification, Request, RpcServiceT},
    server::Methods,
};
use lockstep_store::{ChainView, Views};

/// The view that whatever carries a clone of this is answered from. It is made when it is first
/// asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct OneView(Arc<OnceLock<ChainView>>);

impl OneView {
    /// That of the batch which the request with `extensions` is part of, or one of its own.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let of_batch = extensions.get::<Self>().cloned();
        lockstep_io::planted!("X40", of_batch, None).unwrap_or_default()
    }

    pub(crate) fn get(&self, views: &Views) -> ChainView {
        self.0.get_or_init(|| views.now()).clone()
    }
}

/// The same methods, for the requests of one batch: all are answered from one view. Where no
/// server takes batches apart, such as under
/// [`raw_json_request`](jsonrpsee::core::server::Methods::raw_json_request), this is a batch.
pub fn for_one_batch(methods: &Methods) -> Methods {
    let mut methods = methods.clone();
    methods.extensions_mut().insert(OneView::default());
    methods
}

/// A layer of a JSON-RPC server that has all requests of a batch answered from one view.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchLayer;

impl<S> tower::Layer<S> for BatchLayer {
    type Service = BatchService<S>;

    fn layer(&self, inner: S) -> BatchService<S> {
        BatchService(inner)
    }
}

/// See [`BatchLayer`].
#[derive(Clone, Debug)]
pub struct BatchService<S>(S);

impl<S: RpcServiceT> RpcServiceT for BatchService<S> {
    type MethodResponse = S::MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(
        &self,
        request: Request<'a>,
    ) -> impl Future<Output = S::MethodResponse> + Send + 'a {
        self.0.call(request)
    }

    fn batch<'a>(
        &self,
        mut requests: Batch<'a>,
    ) -> impl Future<Output = S::BatchResponse> + Send + 'a {
        let view = OneView::default();
        for request in requests.iter_mut().flatten() {
            request.extensions_mut().insert(view.clone());
        }
        self.0.batch(requests)
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = S::NotificationResponse> + Send + 'a {
        self.0.notification(notification)
    }
}
