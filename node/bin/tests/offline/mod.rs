//! Commands on a stopped data directory: each finds all right on a recorded chain, and finds what
//! was planted.

use std::{path::Path, process::Command};

use lockstep_io::{Durability, StoreName, Stores as _, Table, WriteSet};
use lockstep_io_rocks::{RocksConfig, RocksStores};
use lockstep_store::{
    codec::{Decode, Encode, decode, encode},
    tables,
};
use lockstep_types::{
    B256, BatchCommitment, BatchSteps, BatchWrite, BlockHeader, L2BlockNumber, Receipt,
    Transaction, U256,
};
use serde_json::{Value, json};

use crate::support::{Chain, Node, Upstreams, recorded};

/// The newest block of these tests: commitments take their time.
const HEAD: &str = "24";
/// A batch in the middle, and its first block.
const BATCH: u32 = 3;

/// What a command said and whether it found all right.
struct Said {
    is_right: bool,
    words: String,
}

fn run(words: &[&str], datadir: &Path) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(words)
        .arg("--datadir")
        .arg(datadir)
        .output()
        .unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8(words).unwrap();
    Said { is_right: output.status.success(), words }
}

/// Changes a row through the store and gives what it was.
fn change<T: Encode + Decode>(
    datadir: &Path,
    table: Table,
    key: &[u8],
    change: impl FnOnce(&mut T),
) -> Vec<u8> {
    let before = get(datadir, table, key);
    let mut row: T = decode(&before).unwrap();
    change(&mut row);
    let after = encode(&row);
    assert_ne!(before, after, "{table:?}");
    put(datadir, table, key, after);
    before
}

fn get(datadir: &Path, table: Table, key: &[u8]) -> Vec<u8> {
    let (views, _writers) =
        lockstep_store::open(&RocksStores::new(datadir.to_owned(), RocksConfig::default()))
            .unwrap();
    let view = views.now();
    view.raw().get(table, key).unwrap().unwrap().to_vec()
}

fn put(datadir: &Path, table: Table, key: &[u8], row: Vec<u8>) {
    let stores = RocksStores::new(datadir.to_owned(), RocksConfig::default());
    let name = StoreName("chain".to_owned());
    let (_reader, mut writer) = stores.open(&name, &tables::schema()).unwrap();
    let mut set = WriteSet::new();
    set.put(table, key, row);
    writer.write(set, Durability::Synced).unwrap();
}

/// A data directory with the beginning of the chain, its steps and commitments compared with L1.
fn synced(chain: &Chain, upstreams: &Upstreams, datadir: &Path) -> u32 {
    let mut node = Node::start(datadir, upstreams, chain.chain_id, &[]);
    node.wait_for_rpc();
    let number = |status: &Value, field: &str| -> u32 {
        status["result"][field].as_str().unwrap().parse().unwrap_or(0)
    };
    let mut sealed = 0;
    node.wait_until("all commitments compared with L1", 600, |node| {
        let status = node.ask_admin("admin_status", &json!([]));
        sealed = number(&status, "sealedBatch");
        // The newest batches need not be committed yet.
        number(&status, "newestCommitment") == sealed
            && number(&status, "head").to_string() == HEAD
            && number(&status, "newestL1Check") > BATCH
    });
    node.stop();
    sealed
}

fn first_block(datadir: &Path) -> L2BlockNumber {
    let (views, _writers) =
        lockstep_store::open(&RocksStores::new(datadir.to_owned(), RocksConfig::default()))
            .unwrap();
    let view = views.now();
    let blocks = (1..).map(L2BlockNumber).map(|number| view.block(number).unwrap().unwrap());
    // One with transactions.
    let mut blocks =
        blocks.filter(|block| block.params.batch.0 == BATCH && !block.params.is_fictive);
    blocks.next().unwrap().params.number
}

#[test]
fn stored_batches_are_checked_again_and_what_was_planted_is_found() {
    for chain in recorded("checking stored batches again") {
        let upstreams = Upstreams::of(&chain, &["--head", HEAD]);
        let folder = tempfile::tempdir().unwrap();
        let datadir = folder.path().join("data");
        let sealed = synced(&chain, &upstreams, &datadir);
        let block = first_block(&datadir);

        let l1 =
            ["verify", "l1", "--l1-url", &upstreams.l1, "--main-node-url", &upstreams.main_node];
        let commands: [&[&str]; 5] = [
            &["verify", "tree"],
            &["verify", "blocks"],
            &["verify", "commitments", "--from", "3", "--to", "3"],
            &l1,
            &["re-execute", "--jobs", "2"],
        ];
        for command in commands {
            let said = run(command, &datadir);
            assert!(said.is_right, "{command:?}: {}", said.words);
            assert!(said.words.contains(": ok: "), "{command:?}: {}", said.words);
            assert!(!said.words.contains(": ok: 0 "), "{command:?}: {}", said.words);
        }
        let all = format!(": ok: {sealed} batches right, 0 wrong, 0 not");
        assert!(run(&["re-execute"], &datadir).words.contains(&all));
        let beyond = run(&["verify", "tree", "--to", "1000"], &datadir);
        assert!(!beyond.is_right && beyond.words.contains("--from"), "{}", beyond.words);

        let batch_key = BATCH.to_be_bytes();
        let block_key = block.0.to_be_bytes();
        let tx_key = [block_key, 0_u32.to_be_bytes()].concat();
        let [tree, blocks, commitments, l1, again] = commands;
        let finds = |command: &[&str], table: Table, key: &[u8], before: Vec<u8>| {
            let said = run(command, &datadir);
            let (words, name) = (&said.words, table.name);
            assert!(!said.is_right, "{command:?} finds nothing wrong with {name}: {words}");
            let line = format!("batch {BATCH}: WRONG");
            assert!(words.contains(&line), "{command:?} does not say which batch: {words}");
            put(&datadir, table, key, before);
        };

        let table = tables::BATCH_WRITES;
        let was = change(&datadir, table, &batch_key, |writes: &mut Vec<BatchWrite>| {
            writes[0].value.0[31] ^= 1;
        });
        finds(tree, table, &batch_key, was);
        // The root's own node.
        let table = tables::TREE_NODES;
        let node_key = node_key(&datadir);
        let was = get(&datadir, table, &node_key);
        let mut flipped = was.clone();
        *flipped.last_mut().unwrap() ^= 1;
        put(&datadir, table, &node_key, flipped);
        finds(tree, table, &node_key, was);

        let table = tables::BLOCKS;
        let was = change(&datadir, table, &block_key, |header: &mut BlockHeader| {
            header.gas_used += 1;
        });
        finds(blocks, table, &block_key, was);
        let table = tables::TRANSACTIONS;
        let was = change(&datadir, table, &tx_key, |tx: &mut Transaction| {
            tx.execute.value += U256::from(1);
        });
        finds(blocks, table, &tx_key, was);

        let table = tables::RECEIPTS;
        let was = change(&datadir, table, &tx_key, |receipt: &mut Receipt| {
            receipt.gas_refunded += 1;
        });
        finds(again, table, &tx_key, was);

        let table = tables::COMMITMENTS;
        let was = change(&datadir, table, &batch_key, |row: &mut BatchCommitment| {
            row.aux_hash.0[0] ^= 1;
        });
        finds(commitments, table, &batch_key, was);

        let table = tables::STEPS;
        let was = change(&datadir, table, &batch_key, |steps: &mut BatchSteps| {
            let prove = steps.prove.as_ref().unwrap().tx_hash;
            steps.execute.as_mut().unwrap().tx_hash = prove;
        });
        finds(l1, table, &batch_key, was);
        let table = tables::COMMITMENTS;
        let was = change(&datadir, table, &batch_key, |row: &mut BatchCommitment| {
            row.commitment.0 = B256::repeat_byte(1);
        });
        finds(l1, table, &batch_key, was);

        for command in commands {
            let said = run(command, &datadir);
            assert!(said.is_right, "put right again: {command:?}: {}", said.words);
        }
    }
}

/// Key of the first node that the batch made.
fn node_key(datadir: &Path) -> Vec<u8> {
    let (views, _writers) =
        lockstep_store::open(&RocksStores::new(datadir.to_owned(), RocksConfig::default()))
            .unwrap();
    let view = views.now();
    let keys = view.dump(tables::TREE_NODES).map(|row| row.unwrap().0);
    let mut of_batch = keys.filter(|key| key.starts_with(&BATCH.to_be_bytes()));
    of_batch.next().unwrap()
}

#[test]
fn a_running_node_goes_back_when_its_operator_asks() {
    for chain in recorded("rolling back by the admin server") {
        let upstreams = Upstreams::of(&chain, &["--head", HEAD]);
        let folder = tempfile::tempdir().unwrap();
        let datadir = folder.path().join("data");
        let options = ["--commitments", "off"];
        let mut node = Node::start(&datadir, &upstreams, chain.chain_id, &options);
        node.wait_for_rpc();
        node.wait_until("the head", 60, |node| {
            let status = node.ask_admin("admin_status", &json!([]));
            status["result"]["head"] == HEAD && status["result"]["finalBatch"] != "0"
        });
        let refused = node.ask_admin("admin_rollback", &json!([0]));
        let why = refused["error"]["message"].as_str().unwrap();
        assert!(why.contains("executed on L1 for good"), "{refused}");
        let refused = node.ask_admin("admin_rollback", &json!([100_000]));
        let why = refused["error"]["message"].as_str().unwrap();
        assert!(why.contains("newest sealed batch"), "{refused}");
        let refused = node.ask_admin("admin_rollback", &json!(["x"]));
        let why = refused["error"]["message"].as_str().unwrap();
        assert!(why.contains("one batch number"), "{refused}");

        let status = node.ask_admin("admin_status", &json!([]));
        let sealed: u32 = status["result"]["sealedBatch"].as_str().unwrap().parse().unwrap();
        let done = node.ask_admin("admin_rollback", &json!([sealed]));
        assert_eq!(done["result"]["batch"], json!(sealed), "{done}");
        node.wait_until("the head again", 60, |node| {
            node.ask_admin("admin_status", &json!([]))["result"]["head"] == HEAD
        });
        // The API knows nothing of it.
        let unknown = node.call("admin_status", &json!([]));
        assert_eq!(unknown["error"]["code"], json!(-32_601), "{unknown}");
        node.stop();
    }
}
