//! The API's listener and the health server, on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jsonrpsee::RpcModule;
use lockstep_io::{EndpointId, Http as _, HttpRequest, ResultSlot};
use lockstep_io_net::{
    EndpointConfig, HealthServer, HttpConfig, ListenError, RpcServer, RpcServerConfig, Served,
    SocketHttp, serve_health, serve_rpc,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// `echo` gives back its parameters; `hold` answers when `go` is given; `held` tells of it; `leave`
/// leaves its parameters in the slot for results if there is one, and otherwise says so.
fn module(held: Arc<Notify>, go: Arc<Notify>) -> RpcModule<()> {
    let mut module = RpcModule::new(());
    module
        .register_method("echo", |params, _, _| params.parse::<Value>().unwrap_or(Value::Null))
        .unwrap();
    module
        .register_async_method("hold", move |_, _, _| {
            let (held, go) = (held.clone(), go.clone());
            async move {
                held.notify_one();
                go.notified().await;
                "held"
            }
        })
        .unwrap();
    module
        .register_async_method("leave", |params, _, extensions| async move {
            let Some(slot) = extensions.get::<ResultSlot>() else { return json!("no slot") };
            slot.put(params.as_str().unwrap_or("null").into());
            Value::Null
        })
        .unwrap();
    module
}

async fn rpc(config: RpcServerConfig) -> RpcServer {
    serve_rpc(any_port(), module(Arc::default(), Arc::default()), config).await.unwrap()
}

/// Status and body of the answer to `body`.
async fn post(address: SocketAddr, body: String) -> (u16, String) {
    let endpoints = vec![EndpointConfig::new(format!("http://{address}"))];
    let http = SocketHttp::new(endpoints, HttpConfig::default()).unwrap();
    let request = HttpRequest {
        body: Some(body.into()),
        path: String::new(),
        timeout: PATIENCE,
        response_bytes_max: 1 << 20,
    };
    let response = http.send(EndpointId(0), request).await.unwrap();
    let status = response.status;
    (status, String::from_utf8(response.collect().await.unwrap().to_vec()).unwrap())
}

async fn call(address: SocketAddr, request: Value) -> Value {
    let (status, body) = post(address, request.to_string()).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn echo(params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": params})
}

/// Sends `text` and reads until the server closes the connection.
async fn talk(address: SocketAddr, text: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that does not read to the end resets the connection; what it said counts.
    drop(timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap());
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn the_api_answers_calls_and_batches_within_its_limits() {
    let config = RpcServerConfig {
        request_body_bytes_max: 1000,
        response_body_bytes_max: 500,
        batch_max: 2,
        ..RpcServerConfig::default()
    };
    let server = rpc(config).await;
    let address = server.local_addr;
    assert_eq!(call(address, echo(json!([1]))).await["result"], json!([1]));
    let batch = call(address, json!([echo(json!([1])), echo(json!([2]))])).await;
    assert_eq!(batch.as_array().unwrap().len(), 2);
    let one = || echo(json!([]));
    assert!(call(address, json!([one(), one(), one()])).await["error"].is_object());
    let long = "x".repeat(600);
    assert!(call(address, echo(json!([long]))).await["error"].is_object());
    let longer = echo(json!(["x".repeat(1000)])).to_string();
    assert_eq!(post(address, longer).await.0, 413);
}

#[tokio::test]
async fn a_result_that_was_left_is_in_the_answer_and_batches_have_nowhere_to_leave_it() {
    let config = RpcServerConfig { response_body_bytes_max: 500, ..RpcServerConfig::default() };
    let server = rpc(config).await;
    let address = server.local_addr;
    let leave = |id: Value, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": "leave", "params": params});
    for id in [json!(7), json!("null}"), Value::Null] {
        for params in [json!([1, {"a": null}]), json!(["x".repeat(2_000)])] {
            let (status, body) = post(address, leave(id.clone(), params.clone()).to_string()).await;
            let expected = json!({"jsonrpc": "2.0", "id": id, "result": params});
            assert_eq!((status, serde_json::from_str(&body).ok()), (200, Some(expected)));
        }
    }
    let spaced = format!(" \n{}", leave(json!(1), json!([2])));
    assert!(post(address, spaced).await.1.contains("[2]"));
    let batch = call(address, json!([leave(json!(1), json!([1])), echo(json!([2]))])).await;
    assert_eq!((&batch[0]["result"], &batch[1]["result"]), (&json!("no slot"), &json!([2])));
}

#[tokio::test]
async fn clients_of_any_origin_are_served() {
    let server = rpc(RpcServerConfig::default()).await;
    let answer = talk(
        server.local_addr,
        "OPTIONS / HTTP/1.1\r\nhost: h\r\norigin: https://site.example\r\n\
         access-control-request-method: POST\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn websockets_are_served_unless_switched_off_and_end_with_the_server() {
    let server = rpc(RpcServerConfig::default()).await;
    let mut socket = TcpStream::connect(server.local_addr).await.unwrap();
    socket.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    server.stop();
    timeout(PATIENCE, server.stopped()).await.unwrap();
    timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.unwrap().unwrap();

    let server = rpc(RpcServerConfig { served: Served::Http, ..RpcServerConfig::default() }).await;
    let mut socket = TcpStream::connect(server.local_addr).await.unwrap();
    socket.write_all(UPGRADE.as_bytes()).await.unwrap();
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 403");
}

#[tokio::test]
async fn a_port_in_use_is_said_and_is_free_after_the_stop() {
    let server = rpc(RpcServerConfig::default()).await;
    let address = server.local_addr;
    let again = || serve_rpc(address, RpcModule::new(()), RpcServerConfig::default());
    let error = again().await.unwrap_err();
    assert!(matches!(error, ListenError::InUse(in_use) if in_use == address), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let health = serve_health(address, Arc::new(|_: &str| (200, "", String::new()))).await;
    assert!(matches!(health, Err(ListenError::InUse(_))));

    // A connection that stays open without a request does not hold up the stop.
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(call(address, echo(json!([1]))).await["result"], json!([1]));
    server.stop();
    server.stop();
    timeout(PATIENCE, server.stopped()).await.unwrap();
    drop(timeout(PATIENCE, idle.read_to_end(&mut Vec::new())).await.unwrap());
    again().await.unwrap();
}

#[tokio::test]
async fn an_address_of_somebody_else_is_refused() {
    let address = "192.0.2.1:80".parse().unwrap();
    let error = serve_rpc(address, RpcModule::new(()), RpcServerConfig::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ListenError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("192.0.2.1:80"), "{error}");
}

#[tokio::test]
async fn a_call_in_work_is_answered_although_the_server_stops() {
    let (held, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let config = RpcServerConfig { stop_patience: PATIENCE, ..RpcServerConfig::default() };
    let server = serve_rpc(any_port(), module(held.clone(), go.clone()), config).await.unwrap();
    let address = server.local_addr;
    let calling = tokio::spawn(async move {
        call(address, json!({"jsonrpc": "2.0", "id": 1, "method": "hold"})).await
    });
    timeout(PATIENCE, held.notified()).await.unwrap();
    server.stop();
    assert!(timeout(Duration::from_millis(50), server.stopped()).await.is_err());
    go.notify_one();
    assert_eq!(calling.await.unwrap()["result"], "held");
    timeout(PATIENCE, server.stopped()).await.unwrap();
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_off() {
    let held = Arc::new(Notify::new());
    let config =
        RpcServerConfig { stop_patience: Duration::from_millis(50), ..RpcServerConfig::default() };
    let server = serve_rpc(any_port(), module(held.clone(), Arc::default()), config).await.unwrap();
    let mut socket = TcpStream::connect(server.local_addr).await.unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"hold"}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    timeout(PATIENCE, held.notified()).await.unwrap();
    server.stop();
    timeout(PATIENCE, server.stopped()).await.unwrap();
    let mut answer = Vec::new();
    drop(timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap());
    assert!(answer.is_empty());
}

#[tokio::test]
async fn one_connection_too_many_is_told_that_the_server_is_busy() {
    let config = RpcServerConfig { connections_max: 2, ..RpcServerConfig::default() };
    let server = rpc(config).await;
    let address = server.local_addr;
    let first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let answer = talk(address, "").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(first);
    // The server sees the end of the first connection soon.
    let began = Instant::now();
    while talk(address, "GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.contains(" 503 ") {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_api_does_not_wait_for_a_header_that_never_comes() {
    let server = rpc(RpcServerConfig::default()).await;
    let mut socket = TcpStream::connect(server.local_addr).await.unwrap();
    socket.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
    let closed = timeout(Duration::from_secs(60), socket.read_to_end(&mut Vec::new())).await;
    drop(closed.unwrap());
}

async fn health() -> HealthServer {
    let handler = Arc::new(|path: &str| match path {
        "/health" => (200, "application/json", r#"{"ok":true}"#.to_owned()),
        "/panic" => panic!("on purpose"),
        _ => (404, "text/plain", "no such page\n".to_owned()),
    });
    serve_health(any_port(), handler).await.unwrap()
}

#[tokio::test]
async fn health_is_what_the_handler_says() {
    let server = health().await;
    let ask = |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nhost: h\r\n\r\n");
        async move { talk(server.local_addr, &request).await }
    };
    let answer = ask("GET /health?verbose=1").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"ok\":true}"), "{answer}");
    assert!(ask("HEAD /health").await.ends_with("\r\n\r\n"));
    assert!(ask("GET /else").await.starts_with("HTTP/1.1 404 "));
    assert!(ask("POST /health").await.starts_with("HTTP/1.1 405 "));
    assert!(ask("GET /panic").await.starts_with("HTTP/1.1 500 "));
    assert!(ask("GET /health").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn health_reads_no_endless_header() {
    let server = health().await;
    let endless = format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    assert!(talk(server.local_addr, &endless).await.starts_with("HTTP/1.1 431 "));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "x: 1\r\n".repeat(100));
    assert!(talk(server.local_addr, &many).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test(start_paused = true)]
async fn health_does_not_wait_for_a_header_that_never_comes() {
    let server = health().await;
    let answer = talk(server.local_addr, "GET /health HTTP/1.1\r\n").await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn health_stops_when_asked_or_dropped() {
    let server = health().await;
    let address = server.local_addr;
    let _idle = TcpStream::connect(address).await.unwrap();
    server.stop();
    timeout(PATIENCE, server.stopped()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());

    let server = health().await;
    let address = server.local_addr;
    drop(server);
    let began = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}
