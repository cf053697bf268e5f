//! Requests of all kinds over sockets against the built binary on a recorded chain: every one gets
//! an HTTP answer with a body, no answer is an internal error, and memory stays bounded.
//!
//! The number of requests and the seed can be set by `LOCKSTEP_FUZZ_REQUESTS` and
//! `LOCKSTEP_FUZZ_SEED`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![expect(clippy::print_stdout, reason = "a long run tells what it did")]

#[expect(unreachable_pub, reason = "shared with the test without a socket")]
#[path = "../../api/src/tests/fuzz/generate.rs"]
mod generate;
#[expect(unreachable_pub, dead_code, reason = "test support")]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::{
    generate::{Chance, Generator, Known},
    support::{Node, Upstreams, recorded},
};

/// Requests where nothing else is asked for.
const REQUESTS: u64 = 2_000;
const INTERNAL_ERROR: i64 = -32_603;
/// A request longer than the server takes, bytes.
const TOO_LONG: usize = 11 << 20;
/// Memory that requests may take at any time beyond what the node had before, KiB.
const GROWTH_MAX_KIB: u64 = 512 << 10;
/// A request that takes the most memory that was ever taken further up by this is shown.
const TOLD_KIB: u64 = 32 << 10;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn every_request_over_a_socket_gets_a_body_and_no_internal_error() {
    for chain in recorded("requests of all kinds") {
        let upstreams = Upstreams::of(&chain, &[]);
        let folder = tempfile::tempdir().unwrap();
        let datadir = folder.path().join("data");
        let mut node = Node::start(&datadir, &upstreams, chain.chain_id, &[]);
        node.wait_for_rpc();
        node.wait_for_chain(&chain);
        let seed = setting("LOCKSTEP_FUZZ_SEED", 7);
        let count = setting("LOCKSTEP_FUZZ_REQUESTS", REQUESTS);
        println!("{count} requests of seed {seed}");
        let before = memory_kib(&node, "VmRSS");
        let mut peak = memory_kib(&node, "VmHWM");
        let mut generator = generator(&node, seed, chain.tip);
        let mut connection = Connection::to(&node.rpc);
        let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
        for number in 0..count {
            let request = generator.request();
            let (status, body) = connection.ask(&request);
            let place = || format!("request {number} of seed {seed}: {request}\n{status} {body}");
            assert!(!body.is_empty(), "{}", place());
            assert!(status < 500, "{}", place());
            if let Ok(answer) = serde_json::from_str::<Value>(&body) {
                check(&answer, &place);
            }
            *statuses.entry(status).or_default() += 1;
            let now = memory_kib(&node, "VmHWM");
            if now > peak + TOLD_KIB {
                let shown: String = request.chars().take(2_000).collect();
                println!("request {number} took the peak from {peak} to {now} KiB: {shown}");
            }
            peak = now;
        }
        let (status, body) = connection.ask(&"x".repeat(TOO_LONG));
        assert!((400..500).contains(&status) && !body.is_empty(), "{status} {body}");
        let after = memory_kib(&node, "VmRSS");
        println!(
            "answers by status: {statuses:?}; {before} KiB before, {after} KiB after, {peak} KiB at most"
        );
        assert!(peak < before + GROWTH_MAX_KIB, "{before} KiB before, {peak} KiB at most");
        assert!(!node.log().contains("panicked"), "{}", node.log());
        node.stop();
    }
}

/// Knows some of what the chain has.
fn generator(node: &Node, seed: u64, head: u64) -> Generator {
    let mut known = Known { head, ..Known::default() };
    for number in (0..=head).rev().take(25) {
        let params = json!([format!("{number:#x}"), true]);
        let block = node.call("eth_getBlockByNumber", &params)["result"].clone();
        known.hashes.push(block["hash"].as_str().unwrap().to_owned());
        for tx in block["transactions"].as_array().unwrap() {
            let text = |key: &str| tx[key].as_str().map(str::to_owned);
            known.hashes.extend(text("hash"));
            known.addresses.extend(text("from").into_iter().chain(text("to")));
            known.inputs.extend(text("input").filter(|input| input.len() < 2_000));
            let raw = node.call("eth_getRawTransactionByHash", &json!([tx["hash"]]));
            let raw = raw["result"].as_str().filter(|raw| raw.len() > 2);
            known.raws.extend(raw.map(str::to_owned));
        }
    }
    known.addresses.truncate(100);
    known.inputs.truncate(100);
    known.raws.truncate(100);
    let methods = include_str!("../../api/src/tests/fuzz/methods.txt");
    let methods = methods.lines().map(str::to_owned).collect();
    Generator { chance: Chance(seed), known, methods }
}

fn check(answer: &Value, place: &dyn Fn() -> String) {
    let answers = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    for answer in answers {
        assert_ne!(answer["error"]["code"].as_i64(), Some(INTERNAL_ERROR), "{}", place());
    }
}

/// Memory of the node: `VmRSS` is what it takes, `VmHWM` the most that it took.
fn memory_kib(node: &Node, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.process.0.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A connection that is kept, and made anew where the server has closed it.
struct Connection {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    fn to(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None }
    }

    /// Status and body.
    fn ask(&mut self, body: &str) -> (u16, String) {
        for _ in 0..2 {
            match self.try_ask(body) {
                Some((answer, is_kept)) => {
                    if !is_kept {
                        self.stream = None;
                    }
                    return answer;
                }
                None => self.stream = None,
            }
        }
        panic!("no answer to {}", &body[..body.len().min(1_000)]);
    }

    fn try_ask(&mut self, body: &str) -> Option<((u16, String), bool)> {
        let address = &self.address;
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(BufReader::new(TcpStream::connect(address).unwrap())),
        };
        // In one piece: the second of two would wait until the first is acknowledged, 40 ms.
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        // A server that refuses what is too long need not read it to its end.
        drop(stream.get_mut().write_all(request.as_bytes()));
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let status = line.split_whitespace().nth(1)?.parse().ok()?;
        let (mut length, mut is_kept) = (None, true);
        loop {
            line.clear();
            stream.read_line(&mut line).ok()?;
            let header = line.trim_end().to_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = Some(value.trim().parse().ok()?);
            }
            is_kept &= header != "connection: close";
        }
        let mut answer = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut answer).ok()?;
        Some(((status, String::from_utf8_lossy(&answer).into_owned()), is_kept))
    }
}
