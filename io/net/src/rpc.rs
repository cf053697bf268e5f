//! The API's listener: JSON-RPC over HTTP and WebSocket on one port.
//!
//! The accept loop is ours, so that connections are bounded, a client that never finishes its
//! header is let go, and a stop ends in bounded time; jsonrpsee does everything above.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use jsonrpsee::{
    Methods,
    core::middleware::RpcServiceT,
    server::{
        BatchRequestConfig, IdProvider, MethodResponse, PingConfig, ServerBuilder, ServerConfig,
        middleware::rpc::{RpcService, RpcServiceBuilder},
        stop_channel,
    },
    types::SubscriptionId,
};
use tokio::time::{sleep, timeout};
use tower::layer::util::Identity;
use tower_http::cors::{Any, CorsLayer};
use tracing::{debug, warn};

use crate::{
    front::{Front, FrontLayer},
    listener::{Asked, Limits, ListenError, Shutter, accept_until_asked, bind},
    rpc_limits::{ForWebSockets, LimitLayer},
};

/// How long a client has to send the header of a request, or to think of the next one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an HTTP/2 connection is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);

/// How often it is looked whether a server is quiet.
const QUIET_INTERVAL: Duration = Duration::from_millis(20);

/// What a port serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// HTTP only; who asks for a WebSocket gets status 403.
    Http,
    /// WebSockets only; HTTP requests get status 403.
    WebSocket,
    /// Both.
    Both,
}

/// What the API's listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcServerConfig {
    /// Connections at once; one more gets status 503. Also the bound on HTTP requests in work
    /// plus open WebSockets; one more gets status 429.
    pub connections_max: u32,
    /// Bytes of a request; a longer one gets status 413, over a WebSocket code -32007.
    pub request_body_bytes_max: u32,
    /// How long the body of an HTTP request may take to come; a slower one gets status 408.
    pub request_body_time_max: Duration,
    /// Bytes of all requests in work together. HTTP requests wait for their share as long as their
    /// body may take, and get status 503 then; requests over a WebSocket get code 503 at once.
    pub requests_bytes_max: usize,
    /// Bytes of a response; a longer one becomes a JSON-RPC error, for a batch with code -32011.
    pub response_body_bytes_max: u32,
    /// Requests in a batch; one more is code -32010. 0 allows no batches, which is code -32005.
    pub batch_max: u32,
    /// Subscriptions of one WebSocket; one more is code -32006.
    pub subscriptions_per_connection_max: u32,
    /// Requests over one WebSocket in a minute, each entry of a batch counts; one more is code 429.
    pub websocket_requests_per_minute_max: u32,
    /// Requests of one WebSocket that are in work at once; one more is code 503.
    pub websocket_requests_in_work_max: usize,
    /// Messages that wait for a slow client of a WebSocket. Beyond, its requests and subscriptions
    /// wait.
    pub websocket_messages_max: u32,
    /// What is served.
    pub served: Served,
    /// Whether pages of any origin may send requests from a browser; if not, none may.
    pub any_origin: bool,
    /// How long requests in work have to end once a stop was asked for.
    pub stop_patience: Duration,
}

impl Default for RpcServerConfig {
    /// 1024 connections; 10 MiB each way, 30 s for a body, 256 MiB for all; batches of 500. On a
    /// WebSocket 1024 subscriptions, 6000 requests a minute, 128 at once, 128 messages that wait.
    /// HTTP and WebSockets, 5 s to stop.
    fn default() -> Self {
        Self {
            connections_max: 1024,
            request_body_bytes_max: 10 << 20,
            request_body_time_max: Duration::from_secs(30),
            requests_bytes_max: 256 << 20,
            response_body_bytes_max: 10 << 20,
            batch_max: 500,
            subscriptions_per_connection_max: 1024,
            websocket_requests_per_minute_max: 6_000,
            websocket_requests_in_work_max: 128,
            websocket_messages_max: 128,
            served: Served::Both,
            any_origin: true,
            stop_patience: Duration::from_secs(5),
        }
    }
}

/// An API server that runs. Dropping it stops the server.
pub struct RpcServer {
    /// Where it listens.
    pub local_addr: SocketAddr,
    shutter: Shutter,
    front: Arc<Front>,
}

impl fmt::Debug for RpcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcServer").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl RpcServer {
    /// Asks the server to stop: no new connections, requests in work are answered, WebSockets are
    /// closed. Asking again changes nothing.
    pub fn stop(&self) {
        self.shutter.ask();
    }

    /// Resolves when no request has been in work for `quiet`, at the latest after `patience`.
    /// Everything goes on being served.
    pub async fn until_quiet(&self, quiet: Duration, patience: Duration) {
        let waiting = async {
            while self.front.quiet_for() < quiet {
                sleep(QUIET_INTERVAL).await;
            }
        };
        if timeout(patience, waiting).await.is_err() {
            debug!(address = %self.local_addr, "clients go on asking");
        }
    }

    /// Resolves when the server has stopped: at most twice [`RpcServerConfig::stop_patience`]
    /// after it was asked to.
    pub async fn stopped(&self) {
        self.shutter.closed().await;
    }
}

/// Serves `methods` on `address`.
///
/// # Errors
///
/// [`ListenError`] if `address` is in use or refused.
pub async fn serve_rpc(
    address: SocketAddr,
    methods: impl Into<Methods>,
    config: RpcServerConfig,
) -> Result<RpcServer, ListenError> {
    serve_rpc_with(address, methods, Identity::new(), config).await
}

/// As [`serve_rpc`], with `layer` around whatever calls methods.
///
/// # Errors
///
/// [`ListenError`] if `address` is in use or refused.
pub async fn serve_rpc_with<L>(
    address: SocketAddr,
    methods: impl Into<Methods>,
    layer: L,
    config: RpcServerConfig,
) -> Result<RpcServer, ListenError>
where
    L: tower::Layer<RpcService> + Clone + Send + Sync + 'static,
    L::Service: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    let (listener, local_addr) = bind(address).await?;
    let (shutter, server) = Shutter::new();
    let methods = methods.into();
    let RpcServerConfig { request_body_bytes_max, request_body_time_max, .. } = config;
    let memory_bytes = config.requests_bytes_max;
    let front = Front::new(request_body_bytes_max, request_body_time_max, memory_bytes);
    let front = Arc::new(front);
    let shared = Arc::clone(&front);
    tokio::spawn(async move {
        serve(listener, methods, layer, &config, shared, server.asked()).await;
        drop(server);
    });
    Ok(RpcServer { local_addr, shutter, front })
}

async fn serve<L>(
    listener: tokio::net::TcpListener,
    methods: Methods,
    layer: L,
    config: &RpcServerConfig,
    front: Arc<Front>,
    asked: Asked,
) where
    L: tower::Layer<RpcService> + Clone + Send + Sync + 'static,
    L::Service: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    let limits = Limits {
        connections_max: usize::try_from(config.connections_max).unwrap_or(usize::MAX),
        stop_patience: config.stop_patience,
    };
    // WebSockets outlive the connection that they came by; jsonrpsee stops them by its own handle.
    let (stop_handle, server_handle) = stop_channel();
    let mut cors = CorsLayer::new();
    if config.any_origin {
        cors = cors.allow_origin(Any).allow_methods(Any).allow_headers(Any);
    }
    let services = ServerBuilder::with_config(server_config(config))
        .set_http_middleware(
            tower::ServiceBuilder::new().layer(cors).layer(FrontLayer(Arc::clone(&front))),
        )
        .set_rpc_middleware(
            RpcServiceBuilder::new().layer(limit_layer(config, &methods, front)).layer(layer),
        )
        .to_service_builder();
    let connections = builder();
    let accepting = accept_until_asked(listener, limits, asked.clone(), |socket| {
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "a connection stays slow");
        }
        let service = services.clone().build(methods.clone(), stop_handle.clone());
        let connections = connections.clone();
        let asked = asked.clone();
        async move {
            let service = TowerToHyperService::new(service);
            let mut connection = std::pin::pin!(
                connections.serve_connection_with_upgrades(TokioIo::new(socket), service)
            );
            let outcome = tokio::select! {
                biased;
                outcome = &mut connection => outcome,
                () = asked.wait() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = outcome {
                debug!(%error, "a connection failed");
            }
        }
    });
    let stopping = async {
        asked.clone().wait().await;
        if let Err(error) = server_handle.stop() {
            debug!(%error, "there was no WebSocket to stop");
        }
    };
    tokio::join!(accepting, stopping);
    drop((services, stop_handle));
    if timeout(config.stop_patience, server_handle.stopped()).await.is_err() {
        warn!("WebSockets cut off");
    }
}

fn limit_layer(config: &RpcServerConfig, methods: &Methods, front: Arc<Front>) -> LimitLayer {
    LimitLayer {
        for_websockets: ForWebSockets::of(methods),
        front,
        requests_per_minute_max: config.websocket_requests_per_minute_max,
        in_work_max: config.websocket_requests_in_work_max,
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HTTP2_PING_INTERVAL);
    builder
}

fn server_config(config: &RpcServerConfig) -> ServerConfig {
    let batches = match config.batch_max {
        0 => BatchRequestConfig::Disabled,
        max => BatchRequestConfig::Limit(max),
    };
    let server = ServerConfig::builder()
        .max_connections(config.connections_max)
        .max_request_body_size(config.request_body_bytes_max)
        .max_response_body_size(config.response_body_bytes_max)
        .max_subscriptions_per_connection(config.subscriptions_per_connection_max)
        .set_batch_request_config(batches)
        .set_message_buffer_capacity(config.websocket_messages_max.max(1))
        .enable_ws_ping(PingConfig::new())
        .set_id_provider(HexIds);
    match config.served {
        Served::Http => server.http_only().build(),
        Served::WebSocket => server.ws_only().build(),
        Served::Both => server.build(),
    }
}

/// Ids of subscriptions that nobody can guess, as Ethereum's clients expect them: hex.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(format!("0x{:032x}", rand::random::<u128>()).into())
    }
}
