//! The built binary with a real L1: anvil, on which the recorded steps of batches are made again.
//! It goes back, as L1 does before blocks are final, and lets a step fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[expect(unreachable_pub, dead_code, reason = "test support")]
mod support;

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lockstep_testvectors::L1Recording;
use lockstep_types::Bytes;
use serde_json::{Value, json};

use crate::support::{
    Node, Running, Upstreams, npm, post, quantity, recorded, scripted::ScriptedMainNode,
};

/// The fields of batch details that name a step.
const STEPS: [&str; 3] = ["commitTxHash", "proveTxHash", "executeTxHash"];

#[test]
fn steps_on_a_real_l1_are_seen_and_forgotten_as_it_has_them() {
    for chain in recorded("a real L1") {
        let Some(folder) = npm::installed("anvil") else { return };
        let Some(l1) = chain.recording.l1() else { continue };
        let recorded = Upstreams::of(&chain, &[]);
        let main_node = ScriptedMainNode::in_front_of(&recorded.main_node, chain.chain_id);
        let anvil = Anvil::start(&folder, l1.chain_id);
        let said = chain.recording.main_node();
        let said = |method, params| said.answer(method, &params).unwrap().parse::<Value>();
        let contract = said("zks_getMainContract", json!([]));
        let contract = contract.as_str().unwrap();
        let steps = Steps { l1: &l1, anvil: &anvil, contract, main_node: &main_node };

        // All but the last step of the last batch that is executed.
        let batches: Vec<_> =
            (1..=chain.newest_batch).map(|n| said("zks_getL1BatchDetails", json!([n]))).collect();
        let last = batches.iter().rfind(|batch| batch["executeTxHash"].is_string()).unwrap();
        let number = last["number"].as_u64().unwrap();
        let held_back = last["executeTxHash"].as_str().unwrap();
        let hashes = batches.iter().flat_map(|batch| STEPS.map(|step| batch[step].as_str()));
        let mut hashes: Vec<_> = hashes.flatten().filter(|hash| *hash != held_back).collect();
        hashes.sort_by_key(|hash| steps.recorded_at(hash));
        hashes.dedup();
        for hash in hashes {
            steps.make(hash);
        }
        anvil.mine(3);

        let mut upstreams = recorded.with_main_node(&main_node.url);
        upstreams.l1.clone_from(&anvil.url);
        let data = tempfile::tempdir().unwrap();
        let datadir = data.path().join("data");
        let mut node = Node::start(&datadir, &upstreams, chain.chain_id, &["--commitments", "off"]);
        node.wait_for_rpc();
        let batch =
            |node: &Node| node.call("zks_getL1BatchDetails", &json!([number]))["result"].clone();
        let executed = |node: &Node| batch(node)["executeTxHash"].clone();
        node.wait_until("steps as anvil has them", 600, |node| {
            let batch = batch(node);
            let is_final = |step: &str| batch[step] == "finalized";
            is_final("commitTxFinality") && is_final("proveTxFinality")
        });
        assert_eq!(executed(&node), Value::Null, "anvil knows nothing of it");

        let failed = steps.fail(held_back);
        thread::sleep(Duration::from_secs(15));
        assert_eq!(executed(&node), Value::Null, "{failed} failed");

        let snapshot = anvil.ask("evm_snapshot", &json!([]));
        let made = steps.make(held_back);
        node.wait_until("a step of the newest block", 120, |node| executed(node) == *made);
        assert_eq!(batch(&node)["executeTxFinality"], "pending");
        assert_eq!(batch(&node)["status"], "sealed");

        assert_eq!(anvil.ask("evm_revert", &json!([snapshot])), json!(true));
        node.wait_until("the step is gone with its block", 120, |node| executed(node).is_null());

        anvil.mine(2);
        let again = steps.make(held_back);
        anvil.mine(3);
        node.wait_until("the step for good", 120, |node| {
            executed(node) == *again && batch(node)["executeTxFinality"] == "finalized"
        });
        assert_eq!(batch(&node)["status"], "verified");
        node.stop();
    }
}

/// Makes recorded steps on anvil, and has the main node name them as anvil does.
#[derive(Clone, Copy)]
struct Steps<'a> {
    l1: &'a L1Recording,
    anvil: &'a Anvil,
    contract: &'a str,
    main_node: &'a ScriptedMainNode,
}

impl Steps<'_> {
    fn receipt(&self, hash: &str) -> &Value {
        let mut receipts = self.l1.receipts.iter();
        receipts.find(|receipt| receipt["transactionHash"] == hash).unwrap()
    }

    /// Place of a recorded transaction.
    fn recorded_at(&self, hash: &str) -> (u64, u64) {
        let receipt = self.receipt(hash);
        (quantity(&receipt["blockNumber"]), quantity(&receipt["transactionIndex"]))
    }

    /// Has the contract say what it said in the recorded transaction; gives anvil's.
    fn make(&self, hash: &str) -> String {
        let logs = self.receipt(hash)["logs"].as_array().unwrap();
        let logs: Vec<_> = logs.iter().filter(|log| log["address"] == *self.contract).collect();
        assert!(!logs.is_empty(), "{hash} says nothing");
        self.send(hash, &code_that_logs(&logs), "0x1")
    }

    /// A transaction in its place that fails.
    fn fail(&self, hash: &str) -> String {
        // PUSH1 0, PUSH1 0, REVERT.
        self.send(hash, &[0x60, 0, 0x60, 0, 0xfd], "0x0")
    }

    fn send(&self, hash: &str, code: &[u8], status: &str) -> String {
        let code = Bytes::copy_from_slice(code);
        self.anvil.ask("anvil_setCode", &json!([self.contract, code]));
        let from = self.anvil.ask("eth_accounts", &json!([]))[0].clone();
        let tx = json!({"from": from, "to": self.contract, "gas": "0x400000"});
        let made = self.anvil.ask("eth_sendTransaction", &json!([tx]));
        let receipt = self.anvil.receipt(&made);
        assert_eq!(receipt["status"], status, "{receipt}");
        let made = made.as_str().unwrap().to_owned();
        self.main_node.renamed.lock().unwrap().insert(hash.to_owned(), made.clone());
        made
    }
}

/// Code of a contract that logs `logs` whenever it is called.
fn code_that_logs(logs: &[&Value]) -> Vec<u8> {
    let bytes = |value: &Value| serde_json::from_value::<Bytes>(value.clone()).unwrap();
    let logs: Vec<(Vec<Bytes>, Bytes)> = logs
        .iter()
        .map(|log| {
            let topics = log["topics"].as_array().unwrap();
            (topics.iter().map(bytes).collect(), bytes(&log["data"]))
        })
        .collect();
    let push2 = |number: usize| {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        [0x61, high, low]
    };
    // What comes before the data, which is at the end.
    let head: usize = logs.iter().map(|(topics, _)| 15 + 33 * topics.len()).sum::<usize>() + 1;
    let (mut code, mut data) = (Vec::<u8>::new(), Vec::<u8>::new());
    for (topics, said) in &logs {
        code.extend(push2(said.len()));
        code.extend(push2(head + data.len()));
        code.extend([0x60, 0, 0x39]); // CODECOPY to 0
        for topic in topics.iter().rev() {
            code.push(0x7f);
            code.extend(topic.iter());
        }
        code.extend(push2(said.len()));
        code.extend([0x60, 0, 0xa0 + u8::try_from(topics.len()).unwrap()]); // LOG from 0
        data.extend(said.iter());
    }
    code.push(0); // STOP
    assert_eq!(code.len(), head);
    code.extend(data);
    code
}

/// A real L1, whose newest block but one is safe, and the one before that is final.
struct Anvil {
    url: String,
    address: String,
    _process: Running,
}

impl Anvil {
    fn start(folder: &Path, chain_id: u64) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let binary = |package: std::path::PathBuf| package.join("bin/anvil");
        let packages = folder.join("node_modules/@foundry-rs");
        let packages = std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().path());
        let program = packages.map(binary).find(|binary| binary.is_file()).unwrap();
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--chain-id", &chain_id.to_string()])
            .args(["--slots-in-an-epoch", "1", "--silent"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        let anvil = Self { url: format!("http://{address}"), address, _process: Running(process) };
        let until = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(&anvil.address).is_err() {
            assert!(Instant::now() < until, "anvil does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        anvil
    }

    fn ask(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = post(&self.address, &body.to_string());
        let mut answer: BTreeMap<String, Value> = serde_json::from_str(&answer).unwrap();
        let failed = answer.get("error");
        assert!(failed.is_none(), "{method}: {failed:?}");
        answer.remove("result").unwrap_or_default()
    }

    /// The receipt of a transaction that is being mined.
    fn receipt(&self, hash: &Value) -> Value {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let receipt = self.ask("eth_getTransactionReceipt", &json!([hash]));
            if !receipt.is_null() {
                return receipt;
            }
            assert!(Instant::now() < until, "{hash} is not mined");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", &json!([format!("{blocks:#x}")]));
    }
}
