//! WebSockets of the API's listener, on loopback: their limits, and what is pushed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jsonrpsee::{PendingSubscriptionSink, RpcModule};
use lockstep_io_net::{RpcServer, RpcServerConfig, Served, serve_rpc};
use serde_json::{Value, json, value::to_raw_value};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Notify, watch},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client's end.
struct WebSocket(TcpStream);

impl WebSocket {
    async fn open(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(UPGRADE.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self(socket)
    }

    /// Sends a text of less than 64 KiB; a mask of zeros changes nothing.
    async fn send(&mut self, text: &str) {
        let length = u16::try_from(text.len()).unwrap();
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(length.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(&request.to_string()).await;
    }

    /// The next text that the server sends.
    async fn next(&mut self) -> Value {
        timeout(PATIENCE, async {
            loop {
                let kind = self.0.read_u8().await.unwrap() & 0x0f;
                let length = match self.0.read_u8().await.unwrap() & 0x7f {
                    126 => u64::from(self.0.read_u16().await.unwrap()),
                    127 => self.0.read_u64().await.unwrap(),
                    short => u64::from(short),
                };
                let mut text = vec![0; usize::try_from(length).unwrap()];
                self.0.read_exact(&mut text).await.unwrap();
                if kind == 1 {
                    return serde_json::from_slice(&text).unwrap();
                }
            }
        })
        .await
        .unwrap()
    }
}

/// `echo` gives back its parameters, `hold` answers when `go` is given, and subscribers hear of
/// each number that `count` comes to.
fn module(go: Arc<Notify>, count: watch::Receiver<u64>) -> RpcModule<()> {
    let mut module = RpcModule::new(());
    module
        .register_method("echo", |params, _, _| params.parse::<Value>().unwrap_or(Value::Null))
        .unwrap();
    module
        .register_async_method("hold", move |_, _, _| {
            let go = go.clone();
            async move {
                go.notified().await;
                "held"
            }
        })
        .unwrap();
    let subscribe = move |_: jsonrpsee::types::Params<'_>,
                          sink: PendingSubscriptionSink,
                          _: Arc<()>,
                          _: &jsonrpsee::core::middleware::Extensions| {
        let mut count = count.clone();
        tokio::spawn(async move {
            let sink = sink.accept().await.unwrap();
            while count.changed().await.is_ok() {
                let number = *count.borrow_and_update();
                if sink.send(to_raw_value(&number).unwrap()).await.is_err() {
                    return;
                }
            }
        });
    };
    module.register_subscription_raw("subscribe", "heard", "unsubscribe", subscribe).unwrap();
    module
}

struct World {
    server: RpcServer,
    go: Arc<Notify>,
    count: watch::Sender<u64>,
}

async fn world(config: RpcServerConfig) -> World {
    let go = Arc::<Notify>::default();
    let (count, counted) = watch::channel(0);
    let address = "127.0.0.1:0".parse().unwrap();
    let server = serve_rpc(address, module(go.clone(), counted), config).await.unwrap();
    World { server, go, count }
}

#[tokio::test]
async fn what_is_pushed_comes_with_an_id_that_nobody_guesses() {
    let world = world(RpcServerConfig::default()).await;
    let mut socket = WebSocket::open(world.server.local_addr).await;
    socket.ask(1, "subscribe", json!([])).await;
    let answer = socket.next().await;
    let id = answer["result"].as_str().unwrap();
    assert!(id.starts_with("0x") && id.len() == 34, "{answer}");
    for number in 1..4 {
        world.count.send_replace(number);
        let heard = socket.next().await;
        let expected = json!({
            "jsonrpc": "2.0", "method": "heard", "params": {"subscription": id, "result": number},
        });
        assert_eq!(heard, expected);
    }
    socket.ask(2, "unsubscribe", json!([id])).await;
    assert_eq!(socket.next().await["result"], true);
}

#[tokio::test]
async fn a_websocket_that_asks_too_often_is_told_so() {
    let config =
        RpcServerConfig { websocket_requests_per_minute_max: 3, ..RpcServerConfig::default() };
    let world = world(config).await;
    let mut socket = WebSocket::open(world.server.local_addr).await;
    for id in 1..4 {
        socket.ask(id, "echo", json!([id])).await;
        assert_eq!(socket.next().await["result"], json!([id]));
    }
    socket.ask(4, "echo", json!([])).await;
    let refused = socket.next().await;
    assert_eq!(refused["error"], json!({"code": 429, "message": "Too many requests"}));
    assert_eq!(refused["id"], 4);
    // Another client is another matter, and each entry of a batch counts.
    let mut other = WebSocket::open(world.server.local_addr).await;
    let one = json!({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": []});
    other.send(&json!([one, one, one, one]).to_string()).await;
    assert_eq!(other.next().await["error"]["code"], 429);
    other.send(&json!([one, one, one]).to_string()).await;
    assert_eq!(other.next().await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_websocket_has_so_many_requests_in_work_and_no_more() {
    let config =
        RpcServerConfig { websocket_requests_in_work_max: 2, ..RpcServerConfig::default() };
    let world = world(config).await;
    let mut socket = WebSocket::open(world.server.local_addr).await;
    for id in 1..4 {
        socket.ask(id, "hold", json!([])).await;
    }
    let refused = socket.next().await;
    assert_eq!(refused["error"]["code"], 503);
    world.go.notify_one();
    world.go.notify_one();
    for _ in 0..2 {
        assert_eq!(socket.next().await["result"], "held");
    }
    socket.ask(5, "echo", json!([5])).await;
    assert_eq!(socket.next().await["result"], json!([5]));
}

#[tokio::test]
async fn requests_in_work_have_so_much_memory_and_no_more() {
    let config = RpcServerConfig { requests_bytes_max: 10 << 10, ..RpcServerConfig::default() };
    let world = world(config).await;
    let mut socket = WebSocket::open(world.server.local_addr).await;
    socket.ask(1, "echo", json!(["x".repeat(20_000)])).await;
    assert_eq!(socket.next().await["error"]["code"], 503);
    socket.ask(2, "echo", json!(["x".repeat(5_000)])).await;
    assert!(socket.next().await["result"].is_array());
}

#[tokio::test]
async fn a_port_for_websockets_alone_answers_no_http() {
    let config = RpcServerConfig { served: Served::WebSocket, ..RpcServerConfig::default() };
    let world = world(config).await;
    let mut socket = WebSocket::open(world.server.local_addr).await;
    socket.ask(1, "echo", json!([1])).await;
    assert_eq!(socket.next().await["result"], json!([1]));
    let mut plain = TcpStream::connect(world.server.local_addr).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: 2\r\n\r\n{}";
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = world(RpcServerConfig::default()).await;
    let mut slow = TcpStream::connect(world.server.local_addr).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(60), slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_server_is_quiet_when_nobody_has_asked_for_a_while() {
    let world = world(RpcServerConfig::default()).await;
    let (quiet, patience) = (Duration::from_millis(50), Duration::from_millis(300));
    let mut socket = WebSocket::open(world.server.local_addr).await;
    socket.ask(1, "hold", json!([])).await;
    socket.ask(2, "echo", json!([])).await;
    socket.next().await;
    let began = Instant::now();
    world.server.until_quiet(quiet, patience).await;
    assert!(began.elapsed() >= patience, "a request was in work all the time");
    world.go.notify_one();
    socket.next().await;
    let began = Instant::now();
    world.server.until_quiet(quiet, PATIENCE).await;
    assert!((quiet / 2..PATIENCE / 2).contains(&began.elapsed()), "{:?}", began.elapsed());
}

/// Body of the answer to an HTTP request.
async fn post(address: SocketAddr, body: &Value) -> Value {
    let body = body.to_string();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn who_subscribes_over_http_is_told_where_that_is_possible() {
    let world = world(RpcServerConfig::default()).await;
    let address = world.server.local_addr;
    let ask = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method});
    let refusal = json!({
        "code": -32601,
        "message": "notifications not supported: subscribe over a WebSocket",
    });
    for method in ["subscribe", "unsubscribe"] {
        let refused = json!({"jsonrpc": "2.0", "id": 7, "error": refusal});
        assert_eq!(post(address, &ask(7, method)).await, refused);
    }
    let batch = json!([ask(1, "echo"), ask(2, "subscribe"), ask(3, "echo")]);
    let answers = post(address, &batch).await;
    assert_eq!(answers[1], json!({"jsonrpc": "2.0", "id": 2, "error": refusal}));
    for (index, id) in [(0, 1), (2, 3)] {
        assert_eq!(answers[index], json!({"jsonrpc": "2.0", "id": id, "result": null}));
    }
    let unknown = post(address, &ask(1, "nothing")).await;
    assert_eq!(unknown["error"]["message"], "Method not found");
    let mut socket = WebSocket::open(address).await;
    socket.ask(4, "subscribe", json!([])).await;
    assert!(socket.next().await["result"].is_string());
}
