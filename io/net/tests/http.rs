//! [`SocketHttp`] against servers that behave and servers that do not.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod raw;

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lockstep_io::{EndpointId, Http as _, HttpRequest, HttpResponse, NetError};
use lockstep_io_net::{EndpointConfig, HttpConfig, HttpConfigError, SocketHttp};
use raw::{RawServer, answer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Barrier, Notify},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn http(url: impl Into<String>) -> SocketHttp {
    SocketHttp::new(vec![EndpointConfig::new(url)], HttpConfig::default()).unwrap()
}

fn post() -> HttpRequest {
    HttpRequest {
        body: Some(Bytes::from_static(b"{}")),
        path: String::new(),
        timeout: PATIENCE,
        response_bytes_max: 1000,
    }
}

async fn send(url: String, request: HttpRequest) -> Result<HttpResponse, NetError> {
    http(url).send(EndpointId(0), request).await
}

/// Status and body, or what went wrong on the way to either.
async fn whole(url: String, request: HttpRequest) -> Result<(u16, Bytes), NetError> {
    let response = send(url, request).await?;
    Ok((response.status, response.collect().await?))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// An answer in chunks, of a length that nobody knows before.
fn chunked(headers: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A zstd frame of `count` blocks that each repeat `byte` 100 000 times.
fn zstd_repeats(byte: u8, count: usize) -> Vec<u8> {
    // Magic, no content size, window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3];
    for index in 1..=count {
        let block: u32 = 100_000 << 3 | 1 << 1 | u32::from(index == count);
        frame.extend_from_slice(&block.to_le_bytes()[..3]);
        frame.push(byte);
    }
    frame
}

#[tokio::test]
async fn a_post_sends_its_json_and_the_headers_of_the_endpoint() {
    let server = RawServer::saying(answer("200 OK", "x-first: 1\r\nX-Second: 2\r\n", b"[]")).await;
    let endpoint = EndpointConfig {
        url: format!("http://user:word@{}/v2/KEY?q=1", server.address),
        headers: vec![("x-key".to_owned(), "secret".to_owned())],
    };
    let http = SocketHttp::new(vec![endpoint], HttpConfig::default()).unwrap();
    let response = http.send(EndpointId(0), post()).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!((response.header("x-first"), response.header("x-second")), (Some("1"), Some("2")));
    assert_eq!(response.collect().await.unwrap(), "[]");

    let request = server.only_request().to_ascii_lowercase();
    assert!(request.starts_with("post /v2/key?q=1 http/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{}"), "{request}");
    for header in [
        "content-type: application/json",
        "x-key: secret",
        "authorization: basic dxnlcjp3b3jk", // user:word, in lower case
        "user-agent: lockstep/",
    ] {
        assert!(request.contains(header), "{header} is not in {request}");
    }
    let encodings = request.lines().find(|line| line.starts_with("accept-encoding: ")).unwrap();
    assert!(encodings.contains("gzip") && encodings.contains("zstd"), "{encodings}");
    // What is printed shows none of it.
    let text = format!("{http:?} {:?}", http.shown(EndpointId(0)));
    assert!(text.contains("127.0.0.1"), "{text}");
    for secret in ["user", "word", "KEY", "secret"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn without_a_body_it_is_a_get_of_the_path() {
    let server = RawServer::saying(answer("200 OK", "", b"")).await;
    let request = HttpRequest { body: None, path: "x/y?z=1".to_owned(), ..post() };
    assert_eq!(whole(server.url(), request).await.unwrap(), (200, Bytes::new()));
    assert!(server.only_request().starts_with("GET /x/y?z=1 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn every_status_is_an_answer() {
    for (status, code) in [("429 Too Many Requests", 429), ("503 Nope", 503), ("404 No", 404)] {
        let server = RawServer::saying(answer(status, "Retry-After: 7\r\n", b"later")).await;
        let response = send(server.url(), post()).await.unwrap();
        assert_eq!((response.status, response.header("retry-after")), (code, Some("7")));
        assert_eq!(response.collect().await.unwrap(), "later");
        server.only_request();
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let target = RawServer::saying(answer("200 OK", "", b"")).await;
    for status in ["301 Moved", "307 Moved"] {
        let location = format!("location: {}\r\n", target.url());
        let server = RawServer::saying(answer(status, &location, b"")).await;
        let response = send(server.url(), post()).await.unwrap();
        assert_eq!(response.status.to_string(), status[..3]);
        assert_eq!(response.header("location"), Some(target.url().as_str()));
    }
    assert!(target.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn compressed_bodies_come_decompressed() {
    let server =
        RawServer::saying(answer("200 OK", "content-encoding: gzip\r\n", &gzip(b"hello"))).await;
    assert_eq!(whole(server.url(), post()).await.unwrap(), (200, "hello".into()));

    let body = zstd_repeats(b'a', 2);
    let server = RawServer::saying(answer("200 OK", "content-encoding: zstd\r\n", &body)).await;
    let request = HttpRequest { response_bytes_max: 200_000, ..post() };
    assert_eq!(whole(server.url(), request).await.unwrap(), (200, vec![b'a'; 200_000].into()));
}

#[tokio::test]
async fn a_body_in_chunks_comes_whole() {
    let server = RawServer::saying(chunked("", &[b"one ", b"two ", b"three"])).await;
    assert_eq!(whole(server.url(), post()).await.unwrap(), (200, "one two three".into()));
}

#[tokio::test]
async fn a_body_is_as_large_as_allowed_and_no_larger() {
    for (length, fits) in [(1000, true), (1001, false)] {
        let body = vec![b'x'; length];
        let (first, second) = body.split_at(500);
        let announced = RawServer::saying(answer("200 OK", "", &body)).await;
        let unannounced = RawServer::saying(chunked("", &[first, second])).await;
        let until_closed =
            RawServer::saying([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &body].concat()).await;
        let compressed =
            RawServer::saying(answer("200 OK", "content-encoding: gzip\r\n", &gzip(&body))).await;
        for server in [announced, unannounced, until_closed, compressed] {
            let expected = if fits {
                Ok((200, Bytes::from(body.clone())))
            } else {
                Err(NetError::TooLarge(1000))
            };
            assert_eq!(whole(server.url(), post()).await, expected);
        }
    }
}

#[tokio::test]
async fn an_announced_body_that_is_too_large_is_refused_before_it_comes() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n";
    let server = RawServer::start(move |mut socket, _| async move {
        socket.write_all(head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(send(server.url(), post()).await.unwrap_err(), NetError::TooLarge(1000));
}

#[tokio::test]
async fn a_bomb_is_stopped_at_the_limit() {
    // A hundred thousand times as large as it looks.
    let zstd = zstd_repeats(0, 10_000);
    let gzip = gzip(&vec![0; 50_000_000]);
    for (encoding, body) in [("zstd", zstd), ("gzip", gzip)] {
        assert!(body.len() < 100_000);
        let head = format!("content-encoding: {encoding}\r\n");
        let server = RawServer::saying(answer("200 OK", &head, &body)).await;
        let mut response = send(server.url(), post()).await.unwrap();
        let mut received = 0;
        let error = loop {
            match response.body.next().await.unwrap() {
                Ok(chunk) => received += chunk.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error, NetError::TooLarge(1000));
        assert!(received <= 1000);
        assert!(response.body.next().await.is_none(), "an error is the end");
    }
}

#[tokio::test]
async fn a_body_cut_short_is_an_error() {
    let cut_gzip = gzip(&[7; 500]);
    let cut_gzip = &cut_gzip[..cut_gzip.len() - 9];
    for bytes in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a length\r\n".to_vec(),
        answer("200 OK", "content-encoding: gzip\r\n", cut_gzip),
        answer("200 OK", "content-encoding: gzip\r\n", b"no gzip"),
        answer("200 OK", "content-encoding: zstd\r\n", &zstd_repeats(0, 1)[..8]),
    ] {
        let server = RawServer::saying(bytes.clone()).await;
        let request = HttpRequest { response_bytes_max: 1_000_000, ..post() };
        let error = whole(server.url(), request).await.unwrap_err();
        assert!(matches!(error, NetError::Reset(_)), "{error}: {}", bytes.escape_ascii());
    }
}

#[tokio::test]
async fn no_answer_at_all_is_an_error() {
    for bytes in ["", "HTTP/1.1 200", "no HTTP\r\n\r\n", "HTTP/1.1 abc Wrong\r\n\r\n"] {
        let server = RawServer::saying(bytes).await;
        let error = whole(server.url(), post()).await.unwrap_err();
        assert!(matches!(error, NetError::Reset(_)), "{error}: {bytes:?}");
        assert!(!error.to_string().contains("http://"), "{error}");
    }
}

#[tokio::test]
async fn the_timeout_covers_the_head_and_the_whole_body() {
    let silent = RawServer::start(|socket, _| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    // Each byte comes in time; all of them do not.
    let slow = RawServer::start(|mut socket, _| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        while socket.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for server in [silent, slow] {
        let request = HttpRequest { timeout: Duration::from_millis(200), ..post() };
        let began = Instant::now();
        assert_eq!(whole(server.url(), request).await, Err(NetError::TimedOut));
        assert!(began.elapsed() >= Duration::from_millis(200));
        assert!(began.elapsed() < Duration::from_secs(8));
    }
}

#[tokio::test]
async fn a_timeout_longer_than_any_life_is_fine() {
    let server = RawServer::saying(answer("200 OK", "", b"ok")).await;
    let request = HttpRequest { timeout: Duration::MAX, ..post() };
    assert_eq!(whole(server.url(), request).await.unwrap(), (200, "ok".into()));
}

#[tokio::test]
async fn what_failed_before_the_exchange_is_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/KEY", closed.local_addr().unwrap());
    drop(closed);
    let error = send(nobody, post()).await.unwrap_err();
    assert!(matches!(error, NetError::Connect(_)), "{error:?}");
    assert!(!error.to_string().contains("KEY"), "{error}");

    // A label longer than 63 characters is refused without asking anybody.
    let unknown = format!("http://{}.invalid/KEY", "x".repeat(64));
    let error = send(unknown, post()).await.unwrap_err();
    assert!(matches!(error, NetError::Dns(_)), "{error:?}");
    assert!(!error.to_string().contains("KEY"), "{error}");

    // A server that speaks no TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        drop(socket.read(&mut [0; 1]).await);
    });
    let error = send(format!("https://{address}/KEY"), post()).await.unwrap_err();
    assert!(matches!(error, NetError::Tls(_)), "{error:?}");
    assert!(!error.to_string().contains("KEY"), "{error}");

    let error = http("http://127.0.0.1:1").send(EndpointId(1), post()).await.unwrap_err();
    assert_eq!(error, NetError::NoEndpoint(1));
}

#[tokio::test]
async fn every_bad_endpoint_is_named_at_once() {
    let endpoints = ["http://good.example", "ftp://bad.example/KEY", "http://"];
    let endpoints = endpoints.map(EndpointConfig::new).to_vec();
    let error = SocketHttp::new(endpoints, HttpConfig::default()).unwrap_err();
    assert!(matches!(&error, HttpConfigError::Endpoints(problems) if problems.len() == 2));
    let text = error.to_string();
    assert!(text.contains("endpoint 1 (ftp://bad.example) must begin with http://"), "{text}");
    assert!(text.contains("endpoint 2"), "{text}");
    assert!(!text.contains("KEY"), "{text}");
}

#[tokio::test]
async fn a_proxy_is_used_only_if_it_is_configured() {
    let proxy = RawServer::saying(answer("200 OK", "", b"by proxy")).await;
    let endpoint = vec![EndpointConfig::new("http://nowhere.invalid/x")];
    let config = HttpConfig { proxy: Some(proxy.url()), ..HttpConfig::default() };
    let http = SocketHttp::new(endpoint.clone(), config).unwrap();
    let response = http.send(EndpointId(0), post()).await.unwrap();
    assert_eq!(response.collect().await.unwrap(), "by proxy");
    assert!(proxy.only_request().starts_with("POST http://nowhere.invalid/x HTTP/1.1"));

    let config = HttpConfig { proxy: Some("socks://h/KEY".to_owned()), ..HttpConfig::default() };
    let error = SocketHttp::new(endpoint, config).unwrap_err().to_string();
    assert!(error.contains("socks://h") && !error.contains("KEY"), "{error}");
}

#[tokio::test]
async fn exchanges_run_at_the_same_time() {
    const COUNT: usize = 20;
    let together = Arc::new(Barrier::new(COUNT));
    let server = RawServer::start(move |mut socket, _| {
        let together = together.clone();
        async move {
            together.wait().await; // Nobody is answered before all have asked.
            socket.write_all(&answer("200 OK", "", b"ok")).await.unwrap();
        }
    })
    .await;
    let http = http(server.url());
    let sent = (0..COUNT).map(|_| http.send(EndpointId(0), post()));
    for response in futures::future::join_all(sent).await {
        assert_eq!(response.unwrap().collect().await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn dropping_the_future_or_the_body_closes_the_connection() {
    for with_head in [false, true] {
        let closed = Arc::new(Notify::new());
        let (asked, notify) = (Arc::new(Notify::new()), closed.clone());
        let asked_server = asked.clone();
        let server = RawServer::start(move |mut socket, _| {
            let (asked, notify) = (asked_server.clone(), notify.clone());
            async move {
                if with_head {
                    let head = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n";
                    socket.write_all(head.as_bytes()).await.unwrap();
                }
                asked.notify_one();
                let end = socket.read(&mut [0; 1]).await;
                assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
                notify.notify_one();
            }
        })
        .await;
        let http = http(server.url());
        let sent = http.send(EndpointId(0), post());
        if with_head {
            drop(sent.await.unwrap());
        } else {
            futures::future::select(sent, Box::pin(asked.notified())).await;
        }
        tokio::time::timeout(PATIENCE, closed.notified()).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_exchange() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        // One connection, ever.
        let (mut socket, _) = listener.accept().await.unwrap();
        loop {
            let mut buf = [0; 4096];
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n{}") {
                let len = socket.read(&mut buf).await.unwrap();
                read.extend_from_slice(&buf[..len]);
            }
            socket.write_all(&answer("200 OK", "", b"ok")).await.unwrap();
        }
    });
    for _ in 0..5 {
        let response = http.send(EndpointId(0), post()).await.unwrap();
        assert_eq!(response.collect().await.unwrap(), "ok");
    }
}
