//! A server on loopback that answers exactly what it is told, however wrong.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A server, and the requests that it has read.
pub(crate) struct RawServer {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl RawServer {
    /// Reads one request from each connection and leaves the rest to `answer`.
    pub(crate) async fn start<F>(answer: impl Fn(TcpStream, String) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let Some(request) = read_request(&mut socket).await else { continue };
                seen.lock().unwrap().push(request.clone());
                tokio::spawn(answer(socket, request));
            }
        });
        Self { address, requests }
    }

    /// Answers every request with `bytes` and closes the connection.
    pub(crate) async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |mut socket, _| {
            let bytes = bytes.clone();
            async move {
                // The client may have had enough.
                drop(socket.write_all(&bytes).await);
                drop(socket.shutdown().await);
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn only_request(&self) -> String {
        let requests = self.requests.lock().unwrap();
        assert_eq!(requests.len(), 1);
        requests[0].clone()
    }
}

/// Head and body of a request; `None` if the connection ends before.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut buf = [0; 4096];
        let len = socket.read(&mut buf).await.unwrap_or(0);
        read.extend_from_slice(&buf[..len]);
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        if len == 0 {
            return None;
        }
    }
}

/// An answer whose length is announced.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
