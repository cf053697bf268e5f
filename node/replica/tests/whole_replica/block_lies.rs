//! Blocks that are not what the chain is: what is refused, what halts, and what only a root or L1
//! can tell.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    chain::{BATCH_BLOCKS, VERSION},
    upstream::{MAIN_NODE, OTHER_MAIN_NODE},
    world::{Running, Tables, World},
};

/// The block that is lied about: the second of batch 2.
const BLOCK: u32 = BATCH_BLOCKS + 2;
/// The fictive block of batch 2.
const FICTIVE: u32 = BATCH_BLOCKS * 2;

/// What must come of a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// Asked again; halted as a lie when it goes on.
    Lie,
    /// Cannot be read at all: asked again for as long as it takes.
    Waits,
    /// Runs into a contradiction.
    Halted(&'static str),
    /// Nothing that is verified depends on it, and nothing can tell: handed on as it came.
    HandedOn,
}
use Reaction::{Halted, HandedOn, Lie, Waits};

type Lies = Vec<(&'static str, u32, Reaction, Box<dyn Fn(&mut Value) + Send + Sync>)>;

fn set(path: &'static str, value: Value) -> Box<dyn Fn(&mut Value) + Send + Sync> {
    Box::new(move |block| {
        let at = block.pointer_mut(path).unwrap_or_else(|| panic!("there is no {path}"));
        assert_ne!(*at, value, "{path} is not changed");
        *at = value.clone();
    })
}

fn add(field: &'static str, value: Value) -> Box<dyn Fn(&mut Value) + Send + Sync> {
    Box::new(move |block| {
        assert_eq!(block.get(field), None, "{field} is there already");
        block[field] = value.clone();
    })
}

fn txs(change: fn(&mut Vec<Value>)) -> Box<dyn Fn(&mut Value) + Send + Sync> {
    Box::new(move |block| change(block["transactions"].as_array_mut().unwrap()))
}

fn lies_about_blocks() -> Lies {
    let hash = "0x1111111111111111111111111111111111111111111111111111111111111111";
    let address = "0x2222222222222222222222222222222222222222";
    let root = json!([{"chain_id": 5, "block_number": 6, "sides": [hash]}]);
    vec![
        ("hash", BLOCK, Lie, set("/hash", json!(hash))),
        ("hash: none", BLOCK, Lie, set("/hash", Value::Null)),
        ("number", BLOCK, Waits, set("/number", json!(BLOCK + 1))),
        ("timestamp", BLOCK, Lie, set("/timestamp", json!(5))),
        (
            "timestamp, no hash",
            BLOCK,
            Lie,
            Box::new(|block| {
                (block["timestamp"], block["hash"]) = (json!(5), Value::Null);
            }),
        ),
        ("batch after", BLOCK, Lie, set("/l1BatchNumber", json!(3))),
        ("batch before", BLOCK, Lie, set("/l1BatchNumber", json!(1))),
        ("batch of the first", BATCH_BLOCKS + 1, Lie, set("/l1BatchNumber", json!(9))),
        ("batch of the fictive", FICTIVE, Lie, set("/l1BatchNumber", json!(3))),
        ("last in batch", BLOCK, Lie, set("/lastInBatch", json!(true))),
        ("not last in batch", FICTIVE, Lie, set("/lastInBatch", json!(false))),
        ("version in a batch", BLOCK, Lie, set("/protocolVersion", json!("Version28"))),
        (
            "version of a batch",
            BATCH_BLOCKS + 1,
            Halted("unknown_protocol_version"),
            set("/protocolVersion", json!("Version31")),
        ),
        ("version: unreadable", BLOCK, Waits, set("/protocolVersion", json!("x"))),
        ("fairPubdataPrice: none", BLOCK, Lie, set("/fairPubdataPrice", Value::Null)),
        ("pubdataParams: none", BLOCK, Lie, set("/pubdataParams", Value::Null)),
        ("bootloader", BLOCK, Waits, set("/baseSystemContractsHashes/bootloader", json!(hash))),
        ("transactions: none", BLOCK, Lie, set("/transactions", Value::Null)),
        ("transactions: empty", BLOCK, Lie, set("/transactions", json!([]))),
        (
            "fictive: an unreadable tx",
            FICTIVE,
            Waits,
            Box::new(move |block| {
                block["transactions"] = json!([{"common_data": 1}]);
            }),
        ),
        ("transaction dropped", BLOCK, Lie, txs(|txs| drop(txs.pop()))),
        ("transaction twice", BLOCK, Lie, txs(|txs| txs.push(txs[0].clone()))),
        ("transactions swapped", BLOCK, Lie, txs(|txs| txs.swap(0, 1))),
        (
            "tx: hash",
            BLOCK,
            Lie,
            set("/transactions/1/common_data/L1/canonicalTxHash", json!(hash)),
        ),
        ("tx: sender", BLOCK, Lie, set("/transactions/1/common_data/L1/sender", json!(address))),
        ("tx: serialId", BLOCK, Lie, set("/transactions/1/common_data/L1/serialId", json!(1))),
        (
            "tx: maxFeePerGas",
            BLOCK,
            Lie,
            set("/transactions/1/common_data/L1/maxFeePerGas", json!("0x1")),
        ),
        ("tx: gasLimit", BLOCK, Lie, set("/transactions/1/common_data/L1/gasLimit", json!("0x1"))),
        (
            "tx: gasPerPubdata",
            BLOCK,
            Lie,
            set("/transactions/1/common_data/L1/gasPerPubdataLimit", json!("0x1")),
        ),
        ("tx: toMint", BLOCK, Lie, set("/transactions/1/common_data/L1/toMint", json!("0x1"))),
        (
            "tx: refundRecipient",
            BLOCK,
            Lie,
            set("/transactions/1/common_data/L1/refundRecipient", json!(address)),
        ),
        ("tx: to", BLOCK, Lie, set("/transactions/1/execute/contractAddress", json!(address))),
        ("tx: no target", BLOCK, Lie, set("/transactions/1/execute/contractAddress", Value::Null)),
        ("tx: calldata", BLOCK, Lie, set("/transactions/1/execute/calldata", json!("0x07"))),
        ("tx: value", BLOCK, Lie, set("/transactions/1/execute/value", json!("0x1"))),
        (
            "tx: factory deps dropped",
            BLOCK,
            Lie,
            set("/transactions/1/execute/factoryDeps", json!([])),
        ),
        ("tx: raw bytes", BLOCK, Lie, set("/transactions/1/raw_bytes", json!("0x01"))),
        // What holds for a batch is checked against its first block.
        ("l1GasPrice", BLOCK, Lie, set("/l1GasPrice", json!(1))),
        ("l2FairGasPrice", BLOCK, Lie, set("/l2FairGasPrice", json!(1))),
        ("fairPubdataPrice", BLOCK, Lie, set("/fairPubdataPrice", json!(1))),
        ("operatorAddress", BLOCK, Lie, set("/operatorAddress", json!(address))),
        ("operatorAddress, fictive", FICTIVE, Lie, set("/operatorAddress", json!(address))),
        (
            "an emulator that exists",
            BLOCK,
            Lie,
            Box::new(|block| {
                let hashes = &mut block["baseSystemContractsHashes"];
                hashes["evm_emulator"] = hashes["default_aa"].clone();
            }),
        ),
        ("no emulator", BLOCK, Lie, set("/baseSystemContractsHashes/evm_emulator", Value::Null)),
        ("pubdata type", BLOCK, Lie, set("/pubdataParams/pubdata_type", json!("NoDA"))),
        ("DA validator", BLOCK, Lie, set("/pubdataParams/l2_da_validator_address", json!(address))),
        (
            "settlementLayer",
            BLOCK,
            Lie,
            add("settlementLayer", json!({"type": "Gateway", "chain_id": 506})),
        ),
        ("interopFee", BLOCK, Lie, add("interopFee", json!("0x5"))),
        ("interopRoots, fictive", FICTIVE, Lie, set("/interopRoots", root.clone())),
        // The wall clock of the sequencer: shown, and part of nothing.
        (
            "tx: received_timestamp_ms",
            BLOCK,
            HandedOn,
            set("/transactions/1/received_timestamp_ms", json!(1)),
        ),
        // Obsolete, and in no hash.
        ("tx: ethBlock", BLOCK, HandedOn, set("/transactions/1/common_data/L1/ethBlock", json!(1))),
        // Only told, and only by newer main nodes.
        ("pubdataLimit", BLOCK, HandedOn, set("/pubdataLimit", json!(1))),
        // Inputs of the VM: the EraVM's state tells, the toy machine's does not.
        ("virtualBlocks", BLOCK, HandedOn, set("/virtualBlocks", json!(3))),
        ("interopRoots", BLOCK, HandedOn, set("/interopRoots", root)),
    ]
}

/// What is stored when nobody lies.
fn clean() -> Tables {
    let mut world = World::new();
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    world.dump(Some(running))
}

/// Tables whose rows say how far this replica has come, not what the chain is.
const PROGRESS: [&str; 1] = ["cursors"];

/// Panics if `found` has a row that `clean` does not have just so.
#[track_caller]
fn assert_nothing_else(found: &Tables, clean: &Tables, name: &str) {
    for (table, rows) in found.iter().filter(|(table, _)| !PROGRESS.contains(table)) {
        let clean: std::collections::BTreeMap<_, _> = clean[table].iter().cloned().collect();
        for (key, row) in rows {
            assert_eq!(clean.get(key), Some(row), "{name}: a lie is stored in {table}");
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is for people")]
fn no_lie_about_a_block_is_stored() {
    let long = Duration::from_secs(180);
    let clean = clean();
    let (mut lies, mut handed_on) = (0, 0);
    println!("{:<28} {:>5}  {:<40} healed", "lie", "block", "reaction");
    for (name, number, expected, lie) in lies_about_blocks() {
        let mut world = World::new();
        let tip = world.upstream.chain.tip();
        world.upstream.twist_block(number, lie);
        let running = world.start();
        let over = |running: &Running| running.halted().is_some() || running.head() == tip;
        let is_over = running.within(long, over);
        let (head, halted) = (running.head(), running.halted());
        let code = halted.as_ref().map(|(code, _)| *code);
        let reaction = match (code, is_over) {
            (Some("upstream_lie"), _) => Lie,
            (Some(code), _) => Halted(code),
            (None, true) => HandedOn,
            (None, false) => Waits,
        };
        assert_eq!(reaction, expected, "{name}: {halted:?}, head {head}");
        if reaction == HandedOn {
            handed_on += 1;
        } else {
            lies += 1;
            assert_eq!(head, number - 1, "{name}: {halted:?}");
            let before = running.block(number - 1);
            assert!(!before.is_null(), "{name}: what was verified is served");
            assert_nothing_else(&world.dump(Some(running)), &clean, name);
            world.upstream.be_honest();
            let running = world.start();
            let healed = running.within(long, |running| running.head() == tip);
            assert!(healed, "{name}: honest blocks are not followed after the lie");
            world.sleep(Duration::from_secs(60));
            assert_nothing_else(&world.dump(Some(running)), &clean, name);
        }
        println!("{name:<28} {number:>5}  {reaction:<40?} {}", reaction != HandedOn);
    }
    println!("{lies} lies, 0 accepted; {handed_on} fields are handed on as they came");
}

#[test]
fn what_is_wrong_in_the_first_block_of_a_batch_only_is_found_and_fetched_again() {
    for (field, value) in [
        ("l1GasPrice", json!(1)),
        ("fairPubdataPrice", json!(1)),
        ("operatorAddress", json!("0x2222222222222222222222222222222222222222")),
    ] {
        let mut world = World::new();
        let (tip, clock) = (world.upstream.chain.tip(), world.memory.clock.clone());
        world.upstream.twist_block(BATCH_BLOCKS + 1, move |block| {
            if lockstep_io::Clock::mono(&clock).0 < 2_000_000_000 {
                block[field] = value.clone();
            }
        });
        let running = world.start();
        let done = running.within(Duration::from_secs(180), |running| running.head() == tip);
        assert!(done, "{field}: {:?}", running.halted());
        world.sleep(Duration::from_secs(60));
        assert_nothing_else(&world.dump(Some(running)), &clean(), field);
    }
}

#[test]
fn a_lie_that_stops_is_forgotten() {
    let world = World::new();
    let tip = world.upstream.chain.tip();
    let told = std::sync::atomic::AtomicU32::new(0);
    world.upstream.twist_block(BLOCK, move |block| {
        if told.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
            block["timestamp"] = json!(1);
        }
    });
    let running = world.start();
    running.follow_to(tip);
    assert_eq!(running.halted(), None);
}

#[test]
fn a_lie_of_one_second_does_not_halt() {
    let world = World::new();
    let (tip, clock) = (world.upstream.chain.tip(), world.memory.clock.clone());
    world.upstream.twist_block(BLOCK, move |block| {
        if lockstep_io::Clock::mono(&clock).0 < 1_000_000_000 {
            block["timestamp"] = json!(1);
        }
    });
    world.start().follow_to(tip);
}

#[test]
fn an_unknown_version_halts_before_its_block_and_the_rest_is_served() {
    let mut world = World::new();
    let first = BATCH_BLOCKS * 3 + 1;
    world.upstream.twist(move |method, params, result| {
        if method == "en_syncL2Block"
            && params[0].as_u64() >= Some(u64::from(first))
            && !result.is_null()
        {
            assert_eq!(VERSION.0, 29);
            result["protocolVersion"] = json!("Version31");
        }
    });
    let running = world.start();
    assert!(running.within(Duration::from_secs(60), |running| running.halted().is_some()));
    let (code, reason) = running.halted().unwrap();
    assert_eq!(code, "unknown_protocol_version");
    assert!(reason.contains(&format!("block {first} ")) && reason.contains("v31"), "{reason}");
    for number in 0..first {
        assert!(!running.block(number).is_null(), "{number}");
    }
    assert_eq!(running.head(), first - 1);
    world.upstream.be_honest();
    world.restart(running);
    world.start().follow_to(world.upstream.chain.tip());
}

#[test]
fn a_block_of_a_release_that_is_newer_than_this_one_halts_though_it_cannot_be_read() {
    let mut world = World::new();
    let first = BATCH_BLOCKS * 3 + 1;
    world.upstream.twist(move |method, params, result| {
        if method == "en_syncL2Block" && params[0].as_u64() >= Some(u64::from(first)) {
            *result = json!({"number": params[0], "protocolVersion": "Version40", "news": [1]});
        }
    });
    let running = world.start();
    assert!(running.within(Duration::from_secs(1_200), |running| running.halted().is_some()));
    let (code, reason) = running.halted().unwrap();
    assert_eq!(code, "unknown_protocol_version");
    assert!(reason.contains(&format!("block {first} ")) && reason.contains("v40"), "{reason}");
    assert_eq!(running.head(), first - 1);
    world.upstream.be_honest();
    world.restart(running);
    world.start().follow_to(world.upstream.chain.tip());
}

#[test]
fn what_one_endpoint_lies_about_another_one_is_asked_for() {
    type Lie = fn(&mut Value);
    let lies: [(&str, &str, Lie); 4] = [
        ("a block's timestamp", "en_syncL2Block", |block| block["timestamp"] = json!(5)),
        ("the batch of a block", "en_syncL2Block", |block| block["l1BatchNumber"] = json!(9)),
        ("a version", "en_syncL2Block", |block| block["protocolVersion"] = json!("Version31")),
        ("a root", "zks_getL1BatchDetails", |batch| {
            batch["rootHash"] = json!(format!("0x{}", "11".repeat(32)));
        }),
    ];
    for (what, asked, lie) in lies {
        let mut world = World::new();
        world.config.main_node = vec![MAIN_NODE, OTHER_MAIN_NODE];
        // Always, by the endpoint that is preferred.
        world.upstream.twist(move |method, params, result| {
            let number = if asked == "en_syncL2Block" { BATCH_BLOCKS + 1 } else { 2 };
            if method == asked && params[0] == json!(number) && !result.is_null() {
                lie(result);
            }
        });
        let running = world.start();
        let tip = world.upstream.chain.tip();
        let done = running.within(Duration::from_secs(600), |running| {
            running.head() == tip && running.batch(6)["status"] == json!("verified")
        });
        assert!(done, "{what}: head {}, {:?}", running.head(), running.halted());
        assert_eq!(running.halted(), None, "{what}");
        assert_nothing_else(&world.dump(Some(running)), &clean(), what);
    }
}
