//! A small server for health checks and metrics: GET only, bounded in every direction.

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};
use tracing::{debug, error};

use crate::listener::{Asked, Limits, ListenError, Shutter, accept_until_asked, bind};

const CONNECTIONS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole connection: one request, one answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
const STOP_PATIENCE: Duration = Duration::from_secs(2);
const TEXT: &str = "text/plain; charset=utf-8";

/// Status code, content type, body.
pub type HealthAnswer = (u16, &'static str, String);

/// Answers a path, such as `/health`. It is called on the server's own task, so it must not wait.
pub type HealthHandler = Arc<dyn Fn(&str) -> HealthAnswer + Send + Sync>;

/// A health server that runs. Dropping it stops the server.
pub struct HealthServer {
    /// Where it listens.
    pub local_addr: SocketAddr,
    shutter: Shutter,
}

impl fmt::Debug for HealthServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthServer").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl HealthServer {
    /// Asks the server to stop; asking again changes nothing.
    pub fn stop(&self) {
        self.shutter.ask();
    }

    /// Resolves when the server has stopped: at most two seconds after it was asked to.
    pub async fn stopped(&self) {
        self.shutter.closed().await;
    }
}

/// Answers GET and HEAD requests on `address` by `handler`, one request per connection.
///
/// # Errors
///
/// [`ListenError`] if `address` is in use or refused.
pub async fn serve_health(
    address: SocketAddr,
    handler: HealthHandler,
) -> Result<HealthServer, ListenError> {
    let (listener, local_addr) = bind(address).await?;
    let (shutter, server) = Shutter::new();
    let limits = Limits { connections_max: CONNECTIONS_MAX, stop_patience: STOP_PATIENCE };
    tokio::spawn(async move {
        let asked = server.asked();
        let serve = |socket| serve_connection(socket, handler.clone(), asked.clone());
        accept_until_asked(listener, limits, asked.clone(), serve).await;
        drop(server);
    });
    Ok(HealthServer { local_addr, shutter })
}

async fn serve_connection(socket: TcpStream, handler: HealthHandler, asked: Asked) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = answer(&request, &handler);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(socket), service)
    );
    let served = timeout(CONNECTION_TIMEOUT, async {
        tokio::select! {
            biased;
            outcome = &mut connection => return outcome,
            () = asked.wait() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    });
    match served.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a health connection failed"),
        Err(_elapsed) => debug!("a health connection took too long"),
    }
}

fn answer(
    request: &Request<hyper::body::Incoming>,
    handler: &HealthHandler,
) -> Response<Full<Bytes>> {
    let (status, content_type, body) =
        if request.method() == Method::GET || request.method() == Method::HEAD {
            let path = request.uri().path();
            // The handler only reads, so a panic leaves nothing behind.
            catch_unwind(AssertUnwindSafe(|| handler(path))).unwrap_or_else(|_| {
                error!(path, "the health handler panicked");
                (500, TEXT, "internal error\n".to_owned())
            })
        } else {
            (405, TEXT, "only GET is answered\n".to_owned())
        };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
