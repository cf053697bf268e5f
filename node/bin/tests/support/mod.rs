//! Processes for end-to-end tests: the recording as upstreams, and the built binary.

pub mod npm;
pub mod scripted;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use lockstep_testvectors::{Answer, Recording, recordings_for, skip_loudly, tools_dir};
use serde_json::{Value, json};

/// Ends the process with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The recording, served.
pub struct Upstreams {
    _process: Option<Running>,
    /// URL of the main node.
    pub main_node: String,
    pub l1: String,
}

/// A recording, and what a node that has all of it must know.
pub struct Chain {
    pub recording: Recording,
    pub chain_id: u64,
    pub tip: u64,
    pub newest_batch: u64,
    /// The newest batch whose commit transaction is final, as the main node saw it.
    pub newest_committed: u64,
    /// The newest batch whose commitment it announces.
    pub newest_announced: u64,
}

/// The recordings that are there; says loudly that the test is skipped if there are none.
pub fn recorded(test: &str) -> Vec<Chain> {
    if tools_dir().is_none() {
        skip_loudly(&format!("{test}: the tools that serve recordings are not there"));
        return Vec::new();
    }
    let chain = |recording: Recording| {
        let main_node = recording.main_node();
        let number = |method: &str| {
            let answer = main_node.answer(method, &json!([])).expect("it is recorded");
            let Answer::Result(result) = answer else { panic!("{method} failed when recorded") };
            let hex: String = serde_json::from_str(result.get()).unwrap();
            let hex = hex.trim_start_matches("0x");
            u64::from_str_radix(hex, 16).unwrap()
        };
        let newest_batch = number("zks_L1BatchNumber");
        let details = |batch: u64| -> Value {
            let answer = main_node.answer("zks_getL1BatchDetails", &json!([batch]));
            answer.expect("it is recorded").parse()
        };
        let newest = |is_so: fn(&Value) -> bool| {
            (0..=newest_batch).rev().find(|batch| is_so(&details(*batch))).unwrap_or(0)
        };
        Chain {
            chain_id: number("eth_chainId"),
            tip: number("eth_blockNumber"),
            newest_committed: newest(|it| it["commitTxFinality"] == "finalized"),
            newest_announced: newest(|it| it["commitment"].is_string()),
            newest_batch,
            recording,
        }
    };
    recordings_for(test).into_iter().map(chain).collect()
}

fn tool(name: &str) -> PathBuf {
    tools_dir().expect("the tools are there").join(name)
}

impl Upstreams {
    pub fn of(chain: &Chain, options: &[&str]) -> Self {
        let mut process = Command::new("python3")
            .arg("-u")
            .arg(tool("replay-upstreams"))
            .arg(&chain.recording.dir)
            .args(["--main", "0", "--l1", "0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut urls = line.split_whitespace().filter(|word| word.starts_with("http://"));
        let mut url = || urls.next().unwrap_or_else(|| panic!("no URL in {line:?}")).to_owned();
        Self { main_node: url(), l1: url(), _process: Some(Running(process)) }
    }

    /// `node` as the main node, and the same L1.
    pub fn through(&self, node: &Node) -> Self {
        Self { main_node: format!("http://{}", node.rpc), l1: self.l1.clone(), _process: None }
    }

    /// The same, with another main node in front of the recorded one.
    pub fn with_main_node(self, url: &str) -> Self {
        Self { main_node: url.to_owned(), ..self }
    }
}

/// A node of the built binary.
pub struct Node {
    pub process: Running,
    pub rpc: String,
    log: PathBuf,
}

pub fn command(datadir: &Path, upstreams: &Upstreams, chain_id: u64, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command
        .arg("node")
        .args(["--main-node-url", &upstreams.main_node, "--l1-url", &upstreams.l1])
        .args(["--l2-chain-id", &chain_id.to_string(), "--http-port", "0"])
        .args(["--main-node-rps", "100000", "--admin-port", "0"])
        .arg("--datadir")
        .arg(datadir)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

impl Node {
    /// Starts a node; its log goes to a file beside the data directory.
    pub fn start(datadir: &Path, upstreams: &Upstreams, chain_id: u64, options: &[&str]) -> Self {
        let log = datadir.with_extension("log");
        let file = std::fs::File::create(&log).unwrap();
        let process = command(datadir, upstreams, chain_id, options).stderr(file).spawn().unwrap();
        Self { process: Running(process), rpc: String::new(), log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for the JSON-RPC server.
    pub fn wait_for_rpc(&mut self) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains("JSON-RPC")) {
                let address = line.rsplit("address=").next().unwrap();
                self.rpc = address.trim().to_owned();
                return;
            }
            let ended = self.process.0.try_wait().unwrap();
            assert!(ended.is_none(), "the node ended: {ended:?}\n{log}");
            assert!(Instant::now() < until, "no JSON-RPC server\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the health page says; the node must have one.
    pub fn health(&self) -> Value {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("health address="));
        let address = line.and_then(|line| line.rsplit("address=").next()).unwrap();
        let mut stream = TcpStream::connect(address.trim()).unwrap();
        write!(stream, "GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub fn call(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = post(&self.rpc, &body.to_string());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// As [`call`](Self::call), by the admin server; `Null` until it listens.
    pub fn ask_admin(&self, method: &str, params: &Value) -> Value {
        let log = self.log();
        let Some(line) = log.lines().find(|line| line.contains(" admin address=")) else {
            return json!({"result": {"head": "", "sealedBatch": "", "finalBatch": "0"}});
        };
        let address = line.rsplit("address=").next().unwrap().trim();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = post(address, &body.to_string());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Waits until `done` says so.
    pub fn wait_until(&mut self, what: &str, seconds: u64, mut done: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(seconds);
        while !done(self) {
            let ended = self.process.0.try_wait().unwrap();
            assert!(ended.is_none(), "the node ended: {ended:?}\n{}", self.log());
            assert!(Instant::now() < until, "not reached: {what}\n{}", self.log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until all blocks and L1 steps of the recording are here.
    pub fn wait_for_chain(&mut self, chain: &Chain) {
        let tip = chain.tip;
        self.wait_until("the tip", 600, |node| {
            node.call("eth_blockNumber", &json!([]))["result"] == format!("{tip:#x}")
        });
        self.wait_until("all L1 steps", 300, |node| {
            conformance(chain, node, "zks_getL1BatchDetails").status.success()
        });
    }

    /// Waits until everything that the recording has is here, and compared: blocks, L1 steps,
    /// roots, commitments, commit transactions. Commitments take seconds each.
    pub fn wait_for_all(&mut self, chain: &Chain) {
        self.wait_for_chain(chain);
        let (newest, committed) = (chain.newest_batch, chain.newest_committed);
        self.wait_until("all roots and commitments compared, also with L1", 1200, |node| {
            let status = node.ask_admin("admin_status", &json!([]));
            let reached = |field: &str, batch: u64| {
                let batch = batch.to_string();
                status["result"][field] == batch
            };
            // The main node announces commitments of committed batches.
            reached("agreedBatch", newest)
                && reached("newestCommitment", newest)
                && reached("newestL1Check", committed)
                && reached("comparedBatch", chain.newest_announced)
        });
    }

    /// Asks the node to stop and gives how long it took.
    pub fn stop(mut self) -> Duration {
        let started = Instant::now();
        signal(&self.process.0, "TERM");
        let status = self.process.0.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
        started.elapsed()
    }

    /// Ends the node as a crash would.
    pub fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }
}

pub fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// A quantity, as JSON-RPC has them.
pub fn quantity(hex: &Value) -> u64 {
    let digits = hex.as_str().and_then(|hex| hex.strip_prefix("0x"));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or_else(|| panic!("{hex}"))
}

pub fn post(address: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
}

/// Compares the node's answers of the methods that begin with `method` with the golden ones.
pub fn conformance(chain: &Chain, node: &Node, method: &str) -> Output {
    Command::new("python3")
        .arg(tool("api-conformance"))
        .arg(chain.recording.dir.join("golden-api.jsonl.gz"))
        .arg(format!("http://{}", node.rpc))
        .args(["--method", method])
        .output()
        .unwrap()
}

/// A line a table: its name and the hash of its rows.
pub fn digest(datadir: &Path) -> String {
    offline(&["db", "digest"], datadir)
}

/// The verdict on the commitments of all stored batches.
pub fn verify_commitments(datadir: &Path) -> String {
    offline(&["verify", "commitments"], datadir)
}

fn offline(subcommand: &[&str], datadir: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(subcommand)
        .arg("--datadir")
        .arg(datadir)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{subcommand:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}
