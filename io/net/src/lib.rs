//! HTTP and objects over sockets, and the sockets that the node itself listens on.
//!
//! Everything here needs a tokio runtime with timers and I/O around it. There is no policy: no
//! retries, no choice of endpoint, no cache. What a URL holds besides scheme, host and port is
//! taken for a secret and never printed.

mod endpoint;
mod front;
mod health;
mod http;
mod listener;
mod net_error;
mod objects;
mod rpc;
mod rpc_limits;

pub use self::{
    endpoint::{EndpointConfig, EndpointProblem},
    health::{HealthAnswer, HealthHandler, HealthServer, serve_health},
    http::{HttpConfig, HttpConfigError, SocketHttp},
    listener::ListenError,
    objects::{FileObjects, HttpObjects, NoObjects, ObjectsConfigError, open_objects},
    rpc::{RpcServer, RpcServerConfig, Served, serve_rpc, serve_rpc_with},
};
