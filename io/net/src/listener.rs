//! A listening socket: so many connections at once and no more, and an end in bounded time.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

/// How long accepting rests when the process has no more sockets to give.
const REST: Duration = Duration::from_millis(100);
/// For the connections that are one too many; the rest of the request is not read.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
     content-type: text/plain\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process, or another server of this one, has the port.
    #[error("{0} is already in use: choose another port, or stop what listens there")]
    InUse(SocketAddr),
    /// The operating system refuses.
    #[error("cannot listen on {address}: {source}")]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Listens on `address`; port 0 is any free one.
pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    bound.await.map_err(|source: io::Error| {
        if source.kind() == io::ErrorKind::AddrInUse {
            ListenError::InUse(address)
        } else {
            ListenError::Refused { address, source }
        }
    })
}

/// A server's stop button: asked once, heard by all, and told when everything is closed.
#[derive(Clone, Debug)]
pub(crate) struct Shutter {
    asked: watch::Sender<bool>,
    closed: watch::Receiver<bool>,
}

/// The server's side of a [`Shutter`]; dropping it tells that everything is closed.
#[derive(Debug)]
pub(crate) struct ShutterServer {
    asked: watch::Receiver<bool>,
    /// Never sent on: its end is the message.
    _closed: watch::Sender<bool>,
}

/// Resolves when a stop is asked for, or nobody is left who could ask.
#[derive(Clone, Debug)]
pub(crate) struct Asked(watch::Receiver<bool>);

impl Shutter {
    pub(crate) fn new() -> (Self, ShutterServer) {
        let (asked, asked_rx) = watch::channel(false);
        let (closed, closed_rx) = watch::channel(false);
        (Self { asked, closed: closed_rx }, ShutterServer { asked: asked_rx, _closed: closed })
    }

    pub(crate) fn ask(&self) {
        self.asked.send_replace(true);
    }

    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.clone();
        while closed.changed().await.is_ok() {}
    }
}

impl ShutterServer {
    pub(crate) fn asked(&self) -> Asked {
        Asked(self.asked.clone())
    }
}

impl Asked {
    pub(crate) async fn wait(mut self) {
        // An error means that the stop button is gone.
        drop(self.0.wait_for(|asked| *asked).await);
    }
}

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once; one more is told that the server is busy.
    pub(crate) connections_max: usize,
    /// How long connections have to end once a stop was asked for.
    pub(crate) stop_patience: Duration,
}

/// Gives each connection to `serve` until a stop is asked for, then waits for those that are left.
/// `serve` hears of the stop by itself; what it does not end in time is cut off.
pub(crate) async fn accept_until_asked<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    limits: Limits,
    asked: Asked,
    serve: impl Fn(TcpStream) -> F,
) {
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(asked.wait());
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next() => note_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((socket, _peer)) if connections.len() < limits.connections_max => {
                    connections.spawn(serve(socket));
                }
                Ok((socket, peer)) => refuse(&socket, peer),
                Err(error) => {
                    debug!(%error, "a connection was not accepted");
                    sleep(REST).await;
                }
            },
        }
    }
    drop(listener);
    let drain = async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    };
    if timeout(limits.stop_patience, drain).await.is_err() {
        warn!(connection_count = connections.len(), "connections cut off");
        connections.shutdown().await;
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        warn!(%error, "a connection's task panicked");
    }
}

fn refuse(socket: &TcpStream, peer: SocketAddr) {
    debug!(%peer, "too many connections");
    if let Err(error) = socket.try_write(BUSY) {
        debug!(%peer, %error, "the client does not hear that the server is busy");
    }
}
