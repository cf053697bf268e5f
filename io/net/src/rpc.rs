//! The API's listener: JSON-RPC over HTTP and WebSocket on one port.
//!
//! The accept loop is ours, so that connections are bounded, a client that never finishes its
//! header is let go, and a stop ends in bounded time; jsonrpsee does everything above.

use std::{fmt, net::SocketAddr, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use jsonrpsee::{
    Methods,
    server::{
        BatchRequestConfig, IdProvider, PingConfig, ServerBuilder, ServerConfig, stop_channel,
    },
    types::SubscriptionId,
};
use tokio::time::timeout;
use tower_http::cors::{Any, CorsLayer};
use tracing::{debug, warn};

use crate::listener::{Asked, Limits, ListenError, Shutter, accept_until_asked, bind};

/// How long a client has to send the header of a request, or to think of the next one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an HTTP/2 connection is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);

/// What the API's listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcServerConfig {
    /// Connections at once; one more gets status 503. Also the bound on HTTP requests in work
    /// plus open WebSockets; one more gets status 429.
    pub connections_max: u32,
    /// Bytes of a request; a longer one gets status 413.
    pub request_body_bytes_max: u32,
    /// Bytes of a response; a longer one becomes a JSON-RPC error.
    pub response_body_bytes_max: u32,
    /// Requests in a batch; 0 allows no batches.
    pub batch_max: u32,
    /// Subscriptions of one WebSocket.
    pub subscriptions_per_connection_max: u32,
    /// Whether pages of any origin may send requests from a browser; if not, none may.
    pub any_origin: bool,
    /// Whether WebSockets are served beside HTTP.
    pub websocket: bool,
    /// How long requests in work have to end once a stop was asked for.
    pub stop_patience: Duration,
}

impl Default for RpcServerConfig {
    /// 1024 connections, 10 MiB each way, batches of 500, 1024 subscriptions, WebSockets, 5 s.
    fn default() -> Self {
        Self {
            connections_max: 1024,
            request_body_bytes_max: 10 << 20,
            response_body_bytes_max: 10 << 20,
            batch_max: 500,
            subscriptions_per_connection_max: 1024,
            any_origin: true,
            websocket: true,
            stop_patience: Duration::from_secs(5),
        }
    }
}

/// An API server that runs. Dropping it stops the server.
pub struct RpcServer {
    /// Where it listens.
    pub local_addr: SocketAddr,
    shutter: Shutter,
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
    let (listener, local_addr) = bind(address).await?;
    let (shutter, server) = Shutter::new();
    let methods = methods.into();
    tokio::spawn(async move {
        serve(listener, methods, &config, server.asked()).await;
        drop(server);
    });
    Ok(RpcServer { local_addr, shutter })
}

async fn serve(
    listener: tokio::net::TcpListener,
    methods: Methods,
    config: &RpcServerConfig,
    asked: Asked,
) {
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
        .set_http_middleware(tower::ServiceBuilder::new().layer(cors))
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
        .enable_ws_ping(PingConfig::new())
        .set_id_provider(HexIds);
    if config.websocket { server.build() } else { server.http_only().build() }
}

/// Ids of subscriptions that nobody can guess, as Ethereum's clients expect them: hex.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(format!("0x{:032x}", rand::random::<u128>()).into())
    }
}
