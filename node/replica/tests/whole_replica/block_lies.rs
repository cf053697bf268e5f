//! Blocks that are not what the chain is: what is refused, what halts, and what only a root or L1
//! can tell.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    chain::{BATCH_BLOCKS, VERSION},
    world::{Running, World},
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
    /// Not part of the block's hash: nothing in the block itself tells.
    Unseen,
}
use Reaction::{Halted, Lie, Unseen, Waits};

type Lies = Vec<(&'static str, u32, Reaction, Box<dyn Fn(&mut Value) + Send + Sync>)>;

fn set(path: &'static str, value: Value) -> Box<dyn Fn(&mut Value) + Send + Sync> {
    Box::new(move |block| {
        let at = block.pointer_mut(path).unwrap_or_else(|| panic!("there is no {path}"));
        assert_ne!(*at, value, "{path} is not changed");
        *at = value.clone();
    })
}

fn txs(change: fn(&mut Vec<Value>)) -> Box<dyn Fn(&mut Value) + Send + Sync> {
    Box::new(move |block| change(block["transactions"].as_array_mut().unwrap()))
}

fn lies_about_blocks() -> Lies {
    let hash = "0x1111111111111111111111111111111111111111111111111111111111111111";
    let address = "0x2222222222222222222222222222222222222222";
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
        ("tx: received", BLOCK, Unseen, set("/transactions/1/received_timestamp_ms", json!(1))),
        ("tx: ethBlock", BLOCK, Unseen, set("/transactions/1/common_data/L1/ethBlock", json!(1))),
        ("l1GasPrice", BLOCK, Unseen, set("/l1GasPrice", json!(1))),
        ("operatorAddress", BLOCK, Unseen, set("/operatorAddress", json!(address))),
        ("virtualBlocks", BLOCK, Unseen, set("/virtualBlocks", json!(3))),
    ]
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is for people")]
fn no_lie_about_a_block_is_stored() {
    let long = Duration::from_secs(180);
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
            (None, true) => Unseen,
            (None, false) => Waits,
        };
        assert_eq!(reaction, expected, "{name}: {halted:?}, head {head}");
        if reaction != Unseen {
            assert_eq!(head, number - 1, "{name}: {halted:?}");
            let before = running.block(number - 1);
            assert!(!before.is_null(), "{name}: what was verified is served");
        }
        world.upstream.be_honest();
        let healed = match reaction {
            Waits => running.within(long, |running| running.head() == tip),
            Lie | Halted(_) => {
                world.restart(running);
                let running = world.start();
                let healed = running.within(long, |running| running.head() == tip);
                world.dump(Some(running));
                healed
            }
            Unseen => true,
        };
        assert!(healed, "{name}: honest blocks are not followed after the lie");
        println!("{name:<28} {number:>5}  {reaction:<40?} {healed}");
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
