//! Real clients against the built binary: ethers, viem, zksync-ethers and alloy read blocks, logs,
//! receipts and state, call, estimate, subscribe and send.
//!
//! The first three are installed by npm, in the versions of `clients/package-lock.json`, and alloy is
//! built by cargo, in those of `clients/alloy/Cargo.lock`, both into the build directory. Where npm
//! or a recording is missing the test says so loudly and passes; where a registry cannot be
//! reached, it does so only outside of CI.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![expect(clippy::print_stdout, reason = "what the clients say must be seen")]

#[expect(unreachable_pub, dead_code, reason = "test support")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use lockstep_testvectors::{Answer, skip_loudly};
use serde_json::{Value, json};

use crate::support::{Chain, Node, Upstreams, npm, recorded, scripted::ScriptedMainNode};

/// A key that everybody knows: the first rich account of local ZK Stack chains.
const KEY: &str = "0x7726827caac94a7f9e1b160f7ea819f172f7b6f9d2a97f992c38edeab82d4110";
const ACCOUNT: &str = "0x36615cf349d7f6344891b1e7ca7c72883f5dc049";

const SCRIPTS: [&str; 3] = ["ethers.mjs", "viem.mjs", "zksync.mjs"];

#[test]
fn real_clients_understand_the_node() {
    let Some(folder) = npm::installed("clients") else { return };
    // One after the other: they send from one account, and one nonce can be used once.
    with_node("real clients", SCRIPTS.len(), |settings| {
        for script in SCRIPTS {
            let mut node = Command::new("node");
            run_client(node.arg(script).current_dir(&folder), settings);
        }
    });
}

#[test]
fn alloy_understands_the_node() {
    let Some(program) = built_alloy() else { return };
    with_node("alloy", 1, |settings| run_client(&mut Command::new(&program), settings));
}

/// What clients are told by their environment.
struct Settings {
    address: String,
    call: Value,
    log: Box<dyn Fn() -> String>,
}

/// Runs `clients` against a node that follows the recorded chain slowly, in front of a main node
/// that takes `sends` transactions from them.
fn with_node(test: &str, sends: usize, clients: impl Fn(&Settings)) {
    for chain in recorded(test) {
        let upstreams = Upstreams::of(&chain, &["--head", "30", "--rate", "1"]);
        let main_node = ScriptedMainNode::in_front_of(&upstreams.main_node, chain.chain_id);
        let upstreams = upstreams.with_main_node(&main_node.url);
        let data = tempfile::tempdir().unwrap();
        let datadir = data.path().join("data");
        let mut node = Node::start(&datadir, &upstreams, chain.chain_id, &[]);
        node.wait_for_rpc();
        node.wait_until("the first blocks", 120, |node| head(node) >= 30);
        let balance = node.call("eth_getBalance", &json!([ACCOUNT, "latest"]));
        if balance["result"] == "0x0" {
            skip_loudly(&format!("{}: nobody known can pay", chain.recording.name()));
            continue;
        }
        let log = datadir.with_extension("log");
        clients(&Settings {
            address: node.rpc.clone(),
            call: recorded_call(&chain, 30),
            log: Box::new(move || fs::read_to_string(&log).unwrap()),
        });
        let taken = main_node.taken.lock().unwrap().len();
        assert_eq!(taken, sends, "each client sends one transaction");
        node.stop();
    }
}

fn head(node: &Node) -> u64 {
    let head = node.call("eth_blockNumber", &json!([]))["result"].clone();
    u64::from_str_radix(head.as_str().unwrap_or("0x0").trim_start_matches("0x"), 16).unwrap()
}

/// A call at an old block that the reference node answered with something.
fn recorded_call(chain: &Chain, newest: u64) -> Value {
    let number = |block: &str| u64::from_str_radix(block.strip_prefix("0x")?, 16).ok();
    let golden = chain.recording.golden_api();
    let calls = golden.iter().filter(|exchange| exchange.method == "eth_call");
    let mut fitting = calls.filter_map(|exchange| {
        let (request, block) = (&exchange.params[0], exchange.params[1].as_str()?);
        let Answer::Result(result) = &exchange.answer else { return None };
        let result: String = serde_json::from_str(result.get()).ok()?;
        let is_plain = exchange.params.as_array()?.len() == 2 && request.as_object()?.len() == 2;
        if !is_plain || result == "0x" || number(block)? > newest {
            return None;
        }
        let (to, data) = (&request["to"], &request["data"]);
        Some(json!({"to": to, "data": data, "block": number(block)?, "result": result}))
    });
    fitting.next().expect("calls at old blocks were recorded")
}

fn run_client(client: &mut Command, settings: &Settings) {
    let Settings { address, call, log } = settings;
    let output = client
        .env("LOCKSTEP_HTTP", format!("http://{address}"))
        .env("LOCKSTEP_WS", format!("ws://{address}"))
        .env("LOCKSTEP_CALL", call.to_string())
        .env("LOCKSTEP_KEY", KEY)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{client:?}:\n{said}\n{words}\n{}", log());
}

/// The program that uses alloy; `None` if what it is built of cannot be had here.
fn built_alloy() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/alloy/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alloy");
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).arg("--manifest-path").arg(&manifest).stdin(Stdio::null());
        // Cargo says by variables of which package this test is; build scripts look at those.
        for (name, _) in std::env::vars_os() {
            let is_ours = |prefix| name.to_str().is_some_and(|name| name.starts_with(prefix));
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].into_iter().any(is_ours) {
                cargo.env_remove(&name);
            }
        }
        cargo.env("CARGO_TARGET_DIR", &target).output().unwrap()
    };
    let fetched = cargo(&["fetch", "--locked"]);
    if !fetched.status.success() {
        println!("{}", String::from_utf8_lossy(&fetched.stderr));
        assert!(std::env::var_os("CI").is_none(), "cargo cannot fetch what alloy needs");
        skip_loudly("alloy: cargo cannot fetch it; is its registry reachable?");
        return None;
    }
    let began = Instant::now();
    let built = cargo(&["build", "--locked", "--offline"]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    println!("alloy: built in {:?}", began.elapsed());
    Some(target.join("debug/lockstep_alloy_client"))
}
