//! The model chain behind real sockets: a main node and L1 for a binary to follow over loopback.
//!
//! Plain HTTP/1.1 with one thread a connection: enough for a smoke test, and not meant for more.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lockstep_io::{EndpointId, HttpRequest};

use crate::{
    model::{Model, ModelPlan, SharedModel},
    runner,
};

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 8 << 20;

/// Serves the chain of `plan` from now on: the main node's endpoints on ports from `port` on, then
/// those of L1. Says on which, and does not return.
///
/// # Errors
///
/// A port that is taken; threads that the system refuses.
pub fn serve(
    plan: &ModelPlan,
    seed: u64,
    port: u16,
    say: &mut dyn FnMut(&str),
) -> std::io::Result<()> {
    let model = Model::new(plan, seed);
    let (main_nodes, l1_nodes) = (model.main_nodes(), model.l1_nodes());
    let chain = model.l2_chain_id();
    let model: SharedModel = Arc::new(Mutex::new(model));
    let started = runner::now();
    let mut threads = Vec::new();
    let named = main_nodes.iter().map(|endpoint| ("main node", *endpoint));
    for (name, endpoint) in named.chain(l1_nodes.iter().map(|endpoint| ("L1", *endpoint))) {
        let port = port + u16::try_from(endpoint.0).map_err(std::io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        say(&format!("{name}: http://127.0.0.1:{port}"));
        let model = model.clone();
        let accept = move || {
            for stream in listener.incoming().flatten() {
                let model = model.clone();
                let connection = thread::Builder::new().spawn(move || {
                    // Whoever has gone away needs no answer.
                    connection(&stream, &model, endpoint, started).unwrap_or(());
                });
                drop(connection);
            }
        };
        threads.push(thread::Builder::new().spawn(accept)?);
    }
    say(&format!("chain id {chain}; it grows until it has {} batches", plan.batch_count));
    for thread in threads {
        // They end with the process.
        drop(thread.join());
    }
    Ok(())
}

/// Answers requests until the other side closes.
fn connection(
    stream: &TcpStream,
    model: &SharedModel,
    endpoint: EndpointId,
    started: Instant,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader)? {
        let answer = {
            let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
            model.answer(started.elapsed(), endpoint, &request)
        };
        let head = format!(
            "HTTP/1.1 {} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.status,
            answer.body.len()
        );
        writer.write_all(head.as_bytes())?;
        writer.write_all(&answer.body)?;
    }
    Ok(())
}

/// The next request; `None` when there is none any more.
fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<HttpRequest>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut length = 0_usize;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(usize::MAX);
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(std::io::Error::other("the request is too long"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(HttpRequest {
        body: Some(body.into()),
        path: String::new(),
        timeout: Duration::from_secs(60),
        response_bytes_max: usize::MAX,
    }))
}
