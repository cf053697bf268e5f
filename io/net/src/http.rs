//! [`Http`] over sockets: HTTP/1.1 and HTTP/2, gzip and zstd, TLS against the Mozilla roots.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt as _;
use lockstep_io::{BodyStream, BoxFuture, EndpointId, Http, HttpRequest, HttpResponse, NetError};
use reqwest::{
    Client, Proxy, RequestBuilder, Response,
    header::{CONTENT_TYPE, HeaderValue},
    redirect, retry,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    EndpointConfig, EndpointProblem,
    endpoint::{Endpoint, shown},
    net_error::net_error,
};

/// A deadline that no exchange lives to see.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How connections are made and kept.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// An attempt to connect is given up after this long.
    pub connect_timeout: Duration,
    /// Connections to one host that are kept for later while nothing is sent.
    pub idle_connections_max: usize,
    /// How long such a connection is kept.
    pub idle_timeout: Duration,
    /// URL of a proxy for everything. The environment is not asked.
    pub proxy: Option<String>,
}

impl Default for HttpConfig {
    /// 10 s to connect, 32 idle connections for 60 s, no proxy.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_connections_max: 32,
            idle_timeout: Duration::from_secs(60),
            proxy: None,
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_connections_max", &self.idle_connections_max)
            .field("idle_timeout", &self.idle_timeout)
            .field("proxy", &self.proxy.as_deref().map(shown))
            .finish()
    }
}

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum HttpConfigError {
    /// Some endpoints are not usable: every one of them is here.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Endpoints(Vec<EndpointProblem>),
    /// The proxy is not usable.
    #[error("the proxy ({0}) is not usable: it must be an http:// or https:// URL")]
    Proxy(String),
    /// The client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

/// HTTP over sockets.
///
/// Redirects are answers like any other. A pooled connection that turns out to be closed before
/// anything was sent on it is replaced silently; otherwise a request is sent once.
#[derive(Clone)]
pub struct SocketHttp {
    client: Client,
    endpoints: Arc<[Endpoint]>,
}

impl fmt::Debug for SocketHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketHttp").field(&self.endpoints).finish()
    }
}

impl SocketHttp {
    /// A client for `endpoints`: [`EndpointId`] is the position in that list.
    ///
    /// # Errors
    ///
    /// [`HttpConfigError`] if a URL or header is not usable.
    pub fn new(
        endpoints: Vec<EndpointConfig>,
        config: HttpConfig,
    ) -> Result<Self, HttpConfigError> {
        let mut parsed = Vec::new();
        let mut problems = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            match Endpoint::parse(index, endpoint) {
                Ok(endpoint) => parsed.push(endpoint),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(HttpConfigError::Endpoints(problems));
        }
        Ok(Self { client: client(&config)?, endpoints: parsed.into() })
    }

    /// Scheme, host and port of an endpoint: for logs and metrics.
    pub fn shown(&self, endpoint: EndpointId) -> Option<&str> {
        self.endpoints.get(endpoint.0).map(|endpoint| endpoint.shown.as_str())
    }

    /// A GET of the object at `path` below the first endpoint.
    pub(crate) fn get_object(&self, path: &str) -> Result<RequestBuilder, NetError> {
        let endpoint = self.endpoint(EndpointId(0))?;
        let url = endpoint.url_of_object(path);
        Ok(self.client.get(url).headers(endpoint.headers.clone()))
    }

    fn endpoint(&self, id: EndpointId) -> Result<&Endpoint, NetError> {
        self.endpoints.get(id.0).ok_or(NetError::NoEndpoint(id.0))
    }

    fn request(
        &self,
        id: EndpointId,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<RequestBuilder, NetError> {
        let endpoint = self.endpoint(id)?;
        let url = endpoint.url_of(path);
        let request = match body {
            Some(body) => self
                .client
                .post(url)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body),
            None => self.client.get(url),
        };
        // Replaces what is there: an operator's header wins.
        Ok(request.headers(endpoint.headers.clone()))
    }
}

impl Http for SocketHttp {
    fn send(
        &self,
        endpoint: EndpointId,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, NetError>> {
        let HttpRequest { body, path, timeout, response_bytes_max } = request;
        let request = self.request(endpoint, &path, body);
        async move { exchange(request?, Patience::until(timeout), response_bytes_max).await }
            .boxed()
    }
}

/// Sends `request` and gives back the head of the answer, with a body that is watched.
pub(crate) async fn exchange(
    request: RequestBuilder,
    patience: Patience,
    bytes_max: usize,
) -> Result<HttpResponse, NetError> {
    let response = patience.wait(request.send()).await?;
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).unwrap_or(usize::MAX) > bytes_max {
        return Err(NetError::TooLarge(bytes_max));
    }
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let body = SocketBody { response: Some(response), patience, bytes_max, bytes_left: bytes_max };
    Ok(HttpResponse { status, headers, body: Box::new(body) })
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// For everything together, until then.
    Until(Instant),
    /// For each part of the answer, so long.
    Each(Duration),
}

impl Patience {
    fn until(timeout: Duration) -> Self {
        Self::Until(after(timeout))
    }

    async fn wait<T>(
        self,
        future: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, NetError> {
        let deadline = match self {
            Self::Until(deadline) => deadline,
            Self::Each(timeout) => after(timeout),
        };
        match timeout_at(deadline, future).await {
            Ok(outcome) => outcome.map_err(net_error),
            Err(_elapsed) => Err(NetError::TimedOut),
        }
    }
}

fn after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(FOREVER)
}

/// A body that ends at the first error, at its limit, or when time is up.
struct SocketBody {
    /// `None` when there is nothing more to come; the connection is closed or back in the pool.
    response: Option<Response>,
    patience: Patience,
    bytes_max: usize,
    bytes_left: usize,
}

impl SocketBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let Some(response) = &mut self.response else { return Ok(None) };
        let Some(chunk) = self.patience.wait(response.chunk()).await? else { return Ok(None) };
        self.bytes_left =
            self.bytes_left.checked_sub(chunk.len()).ok_or(NetError::TooLarge(self.bytes_max))?;
        Ok(Some(chunk))
    }
}

impl BodyStream for SocketBody {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>> {
        async move {
            let chunk = self.chunk().await.transpose();
            if !matches!(chunk, Some(Ok(_))) {
                self.response = None;
            }
            chunk
        }
        .boxed()
    }
}

fn client(config: &HttpConfig) -> Result<Client, HttpConfigError> {
    let mut builder = Client::builder()
        .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls()?)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .gzip(true)
        .zstd(true)
        .connect_timeout(config.connect_timeout)
        .pool_max_idle_per_host(config.idle_connections_max)
        .pool_idle_timeout(config.idle_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        // A dead HTTP/2 connection would otherwise take down every request of the pool in turn.
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10));
    if let Some(url) = &config.proxy {
        let proxy = Endpoint::parse(0, &EndpointConfig::new(url))
            .ok()
            .and_then(|_| Proxy::all(url).ok())
            .ok_or_else(|| HttpConfigError::Proxy(shown(url)))?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| HttpConfigError::Client(error.without_url().to_string()))
}

/// TLS by ring, which builds with a C compiler alone, against roots that come with the binary.
fn tls() -> Result<rustls::ClientConfig, HttpConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpConfigError::Client(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}
