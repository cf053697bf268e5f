//! Calls against upstreams that misbehave, in virtual time.

mod answers;
mod batches;
mod check;
mod endpoints;
mod l1;
mod limits;
mod main_node;
mod recording;
mod slow_http;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_io::{Clock, EndpointId, HttpRequest, Mono, NetError};
use lockstep_io_memory::{Answer, MemoryIo};
use serde_json::{Value, json, value::RawValue};

use crate::{RpcClient, UpstreamConfig, UpstreamError};

/// The world of one test.
struct World {
    memory: MemoryIo,
}

/// What one request was.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    at: Mono,
    endpoint: usize,
    methods: Vec<String>,
}

/// What an upstream says to one call: the members of the response beside its id.
type Said = Value;

fn result(value: impl Into<Value>) -> Said {
    json!({"result": value.into()})
}

fn error(code: i64, message: &str) -> Said {
    json!({"error": {"code": code, "message": message}})
}

impl World {
    fn new() -> Self {
        Self { memory: MemoryIo::new(1) }
    }

    /// Requests are answered by `server`; returns what is asked, as it comes.
    fn serve(
        &self,
        server: impl Fn(usize, &HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static,
    ) -> Arc<Mutex<Vec<Asked>>> {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (logged, clock) = (log.clone(), self.memory.clock.clone());
        self.memory.http.set_script(move |EndpointId(endpoint), request| {
            let methods = calls(request).iter().map(|call| text(&call["method"])).collect();
            logged.lock().unwrap().push(Asked { at: clock.mono(), endpoint, methods });
            server(endpoint, request)
        });
        log
    }

    fn client(&self, endpoints: usize, config: UpstreamConfig) -> RpcClient {
        let endpoints = (0..endpoints).map(EndpointId).collect();
        RpcClient::new(&self.memory.io(), "test", endpoints, config)
    }

    /// One call of `method` by a client of its own.
    fn call(&self, method: &'static str) -> Result<String, UpstreamError> {
        let client = self.client(1, UpstreamConfig::default());
        self.memory.block_on(client.call(method, json!([]))).map(raw)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.memory.clock.mono().0)
    }

    fn sleep(&self, duration: Duration) {
        let clock: &dyn Clock = &self.memory.clock;
        self.memory.block_on(clock.sleep(duration));
    }
}

#[expect(clippy::boxed_local, reason = "that is how calls answer")]
fn raw(result: Box<RawValue>) -> String {
    result.get().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The calls of a request.
fn calls(request: &HttpRequest) -> Vec<Value> {
    let body = request.body.as_ref().unwrap();
    if is_batch(request) {
        serde_json::from_slice(body).unwrap()
    } else {
        vec![serde_json::from_slice(body).unwrap()]
    }
}

fn is_batch(request: &HttpRequest) -> bool {
    request.body.as_ref().unwrap().starts_with(b"[")
}

/// The response to one call.
fn respond(call: &Value, said: Said) -> Value {
    let mut response = said;
    response["jsonrpc"] = json!("2.0");
    response["id"] = call["id"].clone();
    response
}

/// An answer to each call by `say`, as servers should give it.
fn faithful(request: &HttpRequest, say: impl Fn(&str, &Value) -> Said) -> Answer {
    let calls = calls(request);
    let responses =
        calls.iter().map(|call| respond(call, say(&text(&call["method"]), &call["params"])));
    let mut responses: Vec<_> = responses.collect();
    let body = if is_batch(request) { json!(responses) } else { responses.remove(0) };
    Answer::ok(body.to_string())
}

/// The same result to each call.
fn well(request: &HttpRequest) -> Result<Answer, NetError> {
    Ok(faithful(request, |_, _| result("well")))
}

/// Sizes of the requests, in order.
fn sizes(log: &Mutex<Vec<Asked>>) -> Vec<usize> {
    log.lock().unwrap().iter().map(|asked| asked.methods.len()).collect()
}

/// Endpoints that were asked, in order.
fn endpoints(log: &Mutex<Vec<Asked>>) -> Vec<usize> {
    log.lock().unwrap().iter().map(|asked| asked.endpoint).collect()
}

/// `first` to the first request, then `later`.
fn at_first(
    first: impl Fn(&HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static,
    later: impl Fn(&HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static,
) -> impl Fn(usize, &HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static {
    let is_first = Mutex::new(true);
    move |_, request| {
        let was_first = std::mem::replace(&mut *is_first.lock().unwrap(), false);
        if was_first { first(request) } else { later(request) }
    }
}
