//! The built binary follows a recorded chain, answers as the reference node did, and survives
//! kill -9 at any time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![expect(clippy::print_stdout, reason = "the seed of a failed run must be seen")]

#[expect(unreachable_pub, dead_code, reason = "test support")]
mod support;

mod offline;

use std::{fs, process::Stdio, thread, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use serde_json::{Value, json};

use crate::support::{
    Node, Upstreams, command, conformance, digest, quantity, recorded, verify_commitments,
};

/// Methods that must answer exactly as recorded.
const METHODS: &[&str] = &[
    "eth_blockNumber",
    "eth_getBlockBy",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_getBalance",
    "eth_getTransactionCount",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getLogs",
    "zks_getBlockDetails",
    "zks_getL1BatchDetails",
    "zks_getProof",
];

#[test]
fn a_recorded_chain_is_followed_and_served_exactly() {
    for chain in recorded("following a recorded chain") {
        let upstreams = Upstreams::of(&chain, &[]);
        let folder = tempfile::tempdir().unwrap();
        let datadir = folder.path().join("data");
        let mut node = Node::start(&datadir, &upstreams, chain.chain_id, &[]);
        node.wait_for_rpc();
        node.wait_for_all(&chain);
        assert!(chain.newest_committed > 0, "no commit transaction was compared");
        let status = node.ask_admin("admin_status", &json!([]));
        assert_eq!(status["result"]["status"], json!("running"), "{status}");
        for method in METHODS {
            let output = conformance(&chain, &node, method);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{method}:\n{text}");
            assert!(!text.contains("\n0 passed"), "{method} compared nothing:\n{text}");
        }
        let stopped = node.stop();
        assert!(stopped < Duration::from_secs(10), "{stopped:?}");

        let verified = verify_commitments(&datadir);
        let right = format!("commitments: ok: {} batches right, 0 wrong", chain.newest_announced);
        assert!(verified.contains(&right), "{right:?} is not in\n{verified}");
    }
}

#[test]
fn transactions_are_shown_by_instructions_and_run_again_as_if_they_were_sent_now() {
    for chain in recorded("runs from inside") {
        let upstreams = Upstreams::of(&chain, &[]);
        let folder = tempfile::tempdir().unwrap();
        let datadir = folder.path().join("data");
        let off = ["--commitments", "off"];
        let mut node = Node::start(&datadir, &upstreams, chain.chain_id, &off);
        node.wait_for_rpc();
        node.wait_for_chain(&chain);
        check_runs_from_inside(&node);
        node.stop();
    }
}

/// Looks at the newest transactions that somebody signed.
fn check_runs_from_inside(node: &Node) {
    let ask = |method: &str, params: Value| node.call(method, &params)["result"].clone();
    let mut checked = 0;
    for block in (1..=quantity(&ask("eth_blockNumber", json!([])))).rev() {
        let block = ask("eth_getBlockByNumber", json!([format!("{block:#x}"), true]));
        let txs = block["transactions"].as_array().unwrap();
        for tx in txs.iter().filter(|tx| quantity(&tx["type"]) <= 2) {
            let hash = &tx["hash"];
            let options = json!({"tracer": "structLog", "limit": 2_000, "enableReturnData": true});
            let shown = node.call("debug_traceTransaction", &json!([hash, options]));
            let logs = shown["result"]["structLogs"].as_array();
            let logs = logs.unwrap_or_else(|| panic!("{hash}: {shown}"));
            let receipt = ask("eth_getTransactionReceipt", json!([hash]));
            assert_eq!(shown["result"]["gas"], json!(quantity(&receipt["gasUsed"])), "{hash}");
            assert_eq!(shown["result"]["failed"], json!(receipt["status"] == "0x0"), "{hash}");
            let called = |log: &&Value| log["op"].as_str().unwrap().ends_with("_call");
            assert!(logs.len() > 100 && logs.iter().any(|log| called(&log)), "{hash}");

            let raw = ask("eth_getRawTransactionByHash", json!([hash]));
            let sides = json!(["trace", "stateDiff"]);
            let again = node.call("trace_rawTransaction", &json!([raw, sides]));
            let root = &again["result"]["trace"][0]["action"];
            assert_eq!((&root["from"], &root["value"]), (&tx["from"], &tx["value"]), "{again}");
            checked += 1;
        }
        if checked >= 5 {
            return;
        }
    }
    panic!("only {checked} transactions");
}

#[test]
fn ten_kills_leave_the_same_data_directory_as_none() {
    for chain in recorded("kill -9 at random times") {
        let upstreams = Upstreams::of(&chain, &[]);
        let folder = tempfile::tempdir().unwrap();
        let calm = folder.path().join("calm");
        let mut node = Node::start(&calm, &upstreams, chain.chain_id, &[]);
        node.wait_for_rpc();
        node.wait_for_all(&chain);
        node.stop();

        let seed = rand::random::<u64>();
        println!("seed of the kills: {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let killed = folder.path().join("killed");
        let mut heads = Vec::new();
        for _ in 0..10 {
            let mut node = Node::start(&killed, &upstreams, chain.chain_id, &[]);
            // The first kills may come before genesis is stored, later ones at any block.
            thread::sleep(Duration::from_millis(random.gen_range(5..1_200)));
            if node.log().contains("JSON-RPC") {
                node.wait_for_rpc();
                heads.push(node.call("eth_blockNumber", &json!([]))["result"].to_string());
            }
            node.kill();
        }
        println!("heads when killed: {heads:?}");
        let mut node = Node::start(&killed, &upstreams, chain.chain_id, &[]);
        node.wait_for_rpc();
        node.wait_for_all(&chain);
        node.stop();
        assert_eq!(digest(&calm), digest(&killed), "seed {seed}");
    }
}

#[test]
fn a_data_directory_has_one_process_and_one_chain() {
    for chain in recorded("refusing a second process") {
        let upstreams = Upstreams::of(&chain, &["--head", "3"]);
        let folder = tempfile::tempdir().unwrap();
        let datadir = folder.path().join("data");
        let chain_id = chain.chain_id;
        let mut node = Node::start(&datadir, &upstreams, chain_id, &[]);
        node.wait_for_rpc();

        let second = command(&datadir, &upstreams, chain_id, &[]).output().unwrap();
        let words = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(!second.status.success() && words.contains("in use"), "{words}");
        node.stop();

        let other = command(&datadir, &upstreams, chain_id + 1, &[]).output().unwrap();
        let words = String::from_utf8_lossy(&other.stderr).into_owned();
        assert!(!other.status.success() && words.contains("--l2-chain-id"), "{words}");

        let fresh = folder.path().join("fresh");
        let other = command(&fresh, &upstreams, chain_id + 1, &[]).output().unwrap();
        let words = String::from_utf8_lossy(&other.stderr).into_owned();
        assert!(!other.status.success() && words.contains("--l2-chain-id"), "{words}");
    }
}

#[test]
fn the_head_follows_a_growing_chain_and_never_runs_ahead() {
    for chain in recorded("following a growing chain") {
        let upstreams = Upstreams::of(&chain, &["--head", "0", "--rate", "20"]);
        let folder = tempfile::tempdir().unwrap();
        let datadir = folder.path().join("data");
        let mut node = Node::start(&datadir, &upstreams, chain.chain_id, &[]);
        node.wait_for_rpc();
        let mut last = 0;
        let tip = chain.tip;
        node.wait_until("the tip", 300, |node| {
            let head = quantity(&node.call("eth_blockNumber", &json!([]))["result"]);
            assert!(head >= last, "the head went back from {last} to {head}");
            last = head;
            head == tip
        });
        node.stop();
    }
}

#[test]
fn a_second_node_follows_the_chain_through_the_first() {
    for chain in recorded("following another node") {
        let upstreams = Upstreams::of(&chain, &[]);
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        // Commitments take long, and are computed from what is compared here.
        let options = ["--health-port", "0", "--commitments", "off"];
        let mut main = Node::start(&first, &upstreams, chain.chain_id, &options);
        main.wait_for_rpc();
        main.wait_for_chain(&chain);
        let batches = json!(chain.newest_batch);
        main.wait_until("agreement on all roots", 60, |node| {
            node.health()["components"]["reorg_detector"]["details"]["l1_batch"] == batches
        });

        let through = upstreams.through(&main);
        let mut follower = Node::start(&second, &through, chain.chain_id, &options);
        follower.wait_for_rpc();
        follower.wait_for_chain(&chain);
        follower.wait_until("what the first has", 120, |node| {
            node.health()["components"] == main.health()["components"]
        });
        for method in METHODS {
            let output = conformance(&chain, &follower, method);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{method}:\n{text}");
        }
        follower.stop();
        main.stop();
        assert_eq!(digest(&first), digest(&second));
    }
}

#[test]
fn wrong_options_are_refused_with_what_to_do() {
    let run = |options: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lockstep"))
            .arg("node")
            .args(options)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&[]).contains("--main-node-url"));
    let folder = tempfile::tempdir().unwrap();
    let datadir = folder.path().to_str().unwrap();
    let bad_url = run(&["--main-node-url", "nonsense", "--l2-chain-id", "1", "--datadir", datadir]);
    assert!(bad_url.contains("nonsense"), "{bad_url}");
    let file = folder.path().join("lockstep.toml");
    fs::write(&file, "htp-port = 3\n").unwrap();
    let bad_file = run(&["--config", file.to_str().unwrap()]);
    assert!(bad_file.contains("htp-port"), "{bad_file}");
}
