//! Every answer of L1 that is used, changed; and L1 as it is when it is not well.

use lockstep_io::{EndpointId, NetError};
use lockstep_io_memory::Answer;
use lockstep_store::codec::encode;
use lockstep_testvectors::CommitCalldata;
use lockstep_types::{
    Address, BatchSteps, CommitBody, CommitDiffs, StepTx, U256, alloy_primitives::address,
    keccak256,
};
use lockstep_upstream::{ContractSource, L1};
use serde_json::{Value, json};

use super::*;
use crate::tests::{
    BATCHES, GATEWAY_NODE, L1_CHAIN, L1_NODE, L2, MAIN_NODE, World, commitment, details, header,
    identity, root, root_of, row,
};

const DIAMOND: Address = address!("d1a0000000000000000000000000000000000001");
const BRIDGEHUB: Address = address!("0000000000000000000000000000000000010002");
const GATEWAY_CHAIN: ChainId = ChainId(506);
const TOPIC: &str = "BlockCommit(uint256,bytes32,bytes32)";

/// Batches 1 and 2 are committed together, the others alone.
fn members(batch: u32) -> std::ops::RangeInclusive<u32> {
    if batch <= 2 { 1..=2 } else { batch..=batch }
}

fn tx_hash(batch: u32) -> B256 {
    keccak256(format!("commit {}", members(batch).start()))
}

fn info(batch: u32) -> CommitInfo {
    CommitInfo {
        number: u64::from(batch),
        timestamp: header(batch).timestamp.0,
        next_leaf_index: header(batch).next_leaf_index.0,
        root: root(batch).0,
        l1_tx_count: U256::from(3),
        priority_ops_hash: keccak256([]),
        body: CommitBody::Diffs(CommitDiffs {
            heap_hash: keccak256("heap"),
            events_queue_hash: keccak256("events"),
            system_logs: vec![1; 88].into(),
            da_input: vec![2; 70].into(),
        }),
    }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn calldata(batch: u32) -> CommitCalldata {
    let members = members(batch);
    let (first, last) = (*members.start(), *members.end());
    let before = first - 1;
    CommitCalldata {
        selector: [0x0d, 0xb9, 0xeb, 0x87],
        arguments: vec![DIAMOND.into_word(), word(first.into()), word(last.into())],
        stored: vec![
            word(before.into()),
            root(before).0,
            word(header(before).next_leaf_index.0),
            word(3),
            keccak256([]),
            B256::ZERO,
            keccak256("logs"),
            word(header(before).timestamp.0),
            commitment(before).0,
        ],
        batches: members.map(info).collect(),
        encoding: Some(1),
    }
}

fn receipt(batch: u32) -> Value {
    let log = |batch: u32| {
        let topics = [keccak256(TOPIC), word(batch.into()), root(batch).0, commitment(batch).0];
        json!({"address": DIAMOND, "topics": topics, "data": "0x"})
    };
    let logs: Vec<_> = members(batch).map(log).collect();
    json!({
        "transactionHash": tx_hash(batch), "blockNumber": "0x10", "status": "0x1", "logs": logs,
    })
}

fn transaction(batch: u32) -> Value {
    json!({
        "hash": tx_hash(batch), "blockNumber": "0x10", "input": calldata(batch).encode(),
        "to": Address::repeat_byte(5), "blobVersionedHashes": [keccak256("blob")],
    })
}

fn by_hash(params: &Value, say: fn(u32) -> Value) -> Value {
    let batch = (1..=BATCHES).find(|batch| json!(tx_hash(*batch)) == params[0]);
    batch.map_or(Value::Null, say)
}

fn say(endpoint: EndpointId, method: &str, params: &Value) -> Value {
    match (endpoint, method) {
        (MAIN_NODE, "zks_getMainContract") => json!(DIAMOND),
        (MAIN_NODE, "zks_getL1BatchDetails") => {
            details(u32::try_from(params[0].as_u64().unwrap()).unwrap())
        }
        (L1_NODE, "eth_chainId") => json!(format!("{:#x}", L1_CHAIN.0)),
        (GATEWAY_NODE, "eth_chainId") => json!(format!("{:#x}", GATEWAY_CHAIN.0)),
        (GATEWAY_NODE, "eth_call") => json!(DIAMOND.into_word()),
        (GATEWAY_NODE, "eth_getBlockByNumber") => json!({"number": "0x10"}),
        (_, "eth_getTransactionReceipt") => by_hash(params, receipt),
        (_, "eth_getTransactionByHash") => by_hash(params, transaction),
        other => panic!("asked for {other:?}"),
    }
}

fn step(batch: u32, finality: Finality, chain_id: ChainId) -> BatchSteps {
    let at = String::new();
    let commit = StepTx { tx_hash: tx_hash(batch), at, chain_id, finality };
    BatchSteps { commit: Some(commit), ..BatchSteps::default() }
}

/// What is equal to `expected` is as it must be. The real comparison is of another crate, and is
/// given whole there.
fn difference() -> CommitDifference {
    Arc::new(|_, number, theirs, blobs| {
        assert_eq!(blobs, Some(&[keccak256("blob")][..]));
        let ours = info(number.0);
        let text = |info: &CommitInfo| format!("{info:?}");
        Ok((ours != *theirs).then(|| Difference::new("batch", text(&ours), text(theirs))))
    })
}

/// Steps of all batches are stored as `step` says, and the checker runs.
struct Run {
    world: World,
    ended: Arc<std::sync::Mutex<Option<StageError>>>,
    checked: watch::Receiver<L1BatchNumber>,
    views: Views,
}

fn start(world: World, steps: impl Fn(u32) -> BatchSteps, with_gateway: bool) -> Run {
    start_with(world, steps, with_gateway, ContractSource::MainNode)
}

fn start_with(
    world: World,
    steps: impl Fn(u32) -> BatchSteps,
    with_gateway: bool,
    on_l1: ContractSource,
) -> Run {
    let (views, mut writers) = world.store();
    let rows: Vec<_> = (1..=BATCHES).map(row).collect();
    writers.commitments.persist(&rows).unwrap();
    let steps: Vec<_> = (1..=BATCHES).map(|batch| (L1BatchNumber(batch), steps(batch))).collect();
    writers.steps.persist(&steps).unwrap();
    let layer = |name, endpoint, contract| SettlementClient {
        client: L1::new(world.client(name, endpoint)),
        contract,
    };
    let mut layers = BTreeMap::from([(L1_CHAIN, layer("L1", L1_NODE, on_l1))]);
    if with_gateway {
        let contract = ContractSource::Bridgehub(BRIDGEHUB);
        layers.insert(GATEWAY_CHAIN, layer("gateway", GATEWAY_NODE, contract));
    }
    let parts = L1CommitsParts {
        main_node: MainNode::new(world.client("main node", MAIN_NODE)),
        layers,
        views: views.clone(),
        writer: writers.l1_checks,
        root_of: root_of(),
        difference: difference(),
        identity: identity(),
        quirks: world.quirks.clone(),
    };
    let checker = L1Commits::open(&world.memory.io(), parts, L1CommitsConfig::default()).unwrap();
    let checked = checker.checked();
    let ended = world.run(Box::pin(checker.run()));
    Run { world, ended, checked, views }
}

fn final_on_l1(batch: u32) -> BatchSteps {
    step(batch, Finality::Finalized, L1_CHAIN)
}

impl Run {
    /// What is stored, batch by batch.
    fn stored(&self) -> Vec<Option<L1Check>> {
        let view = self.views.now();
        (1..=BATCHES).map(|batch| view.l1_check(L1BatchNumber(batch)).unwrap()).collect()
    }

    fn checked(&self) -> u32 {
        self.checked.borrow().0
    }

    fn end(&self) -> Option<StageError> {
        self.ended.lock().unwrap().clone()
    }
}

#[test]
fn batches_that_l1_was_told_as_they_are_become_equal() {
    let run = start(World::new(say), final_on_l1, false);
    run.world.sleep(10);
    assert_eq!(run.end(), None);
    let equal = |batch| Some(L1Check::Equal { tx_hash: tx_hash(batch) });
    assert_eq!(run.stored(), (1..=BATCHES).map(equal).collect::<Vec<_>>());
    assert_eq!(run.checked(), BATCHES);
}

/// What is changed of batch 3 and how; batches 1, 2 and 4 are honest.
type Change = (&'static str, Box<dyn Fn(&mut CommitCalldata) + Send + Sync>);

fn calldata_changes() -> Vec<Change> {
    fn one(
        what: &'static str,
        change: impl Fn(&mut CommitCalldata) + Send + Sync + 'static,
    ) -> Change {
        (what, Box::new(change))
    }
    fn diffs(call: &mut CommitCalldata) -> &mut CommitDiffs {
        match &mut call.batches[0].body {
            CommitBody::Diffs(diffs) => diffs,
            CommitBody::Lists(_) => panic!("v29 has diffs"),
        }
    }
    vec![
        one("selector, unknown", |call| call.selector = [9; 4]),
        one("selector, of v26", |call| {
            (call.selector, call.encoding) = ([0x98, 0xf8, 0x19, 0x62], Some(0));
            call.arguments[0] = word(L2.0);
        }),
        one("encoding version", |call| call.encoding = Some(0)),
        one("chain address", |call| call.arguments[0].0[31] ^= 1),
        one("chain address, dirty", |call| call.arguments[0].0[0] ^= 1),
        one("first batch", |call| call.arguments[1] = word(2)),
        one("last batch", |call| call.arguments[2] = word(4)),
        one("stored batchNumber", |call| call.stored[0] = word(1)),
        one("stored batchHash", |call| call.stored[1].0[0] ^= 1),
        one("stored index", |call| call.stored[2] = word(1)),
        one("stored commitment", |call| call.stored[8].0[31] ^= 1),
        one("batchNumber", |call| call.batches[0].number = 4),
        one("whole range moved", |call| {
            call.batches[0].number = 4;
            (call.arguments[1], call.arguments[2]) = (word(4), word(4));
            call.stored[0] = word(3);
        }),
        one("no batch", |call| call.batches.clear()),
        one("one batch more", |call| call.batches.push(info(4))),
        one("timestamp", |call| call.batches[0].timestamp += 1),
        one("indexRepeatedStorageChanges", |call| call.batches[0].next_leaf_index += 1),
        one("newStateRoot", |call| call.batches[0].root.0[0] ^= 1),
        one("numberOfLayer1Txs", |call| call.batches[0].l1_tx_count += U256::from(1)),
        one("priorityOperationsHash", |call| call.batches[0].priority_ops_hash.0[0] ^= 1),
        one("bootloaderHeapInitialContentsHash", |call| diffs(call).heap_hash.0[0] ^= 1),
        one("eventsQueueStateHash", |call| diffs(call).events_queue_hash.0[0] ^= 1),
        one("systemLogs", |call| diffs(call).system_logs = vec![1; 87].into()),
        one("operatorDAInput", |call| diffs(call).da_input = vec![3; 70].into()),
    ]
}

type Twisted = (&'static str, Box<dyn Fn(&mut Value) + Send + Sync>);

fn receipt_changes() -> Vec<Twisted> {
    fn one(what: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Twisted {
        (what, Box::new(change))
    }
    let other = || json!(B256::repeat_byte(0x11));
    vec![
        one("status", |receipt| receipt["status"] = json!("0x0")),
        one("blockNumber", |receipt| receipt["blockNumber"] = json!("0x11")),
        one("no events", |receipt| receipt["logs"] = json!([])),
        one("event removed", |receipt| receipt["logs"][0]["removed"] = json!(true)),
        one("event of another contract", |receipt| {
            receipt["logs"][0]["address"] = json!(Address::repeat_byte(2))
        }),
        one("event signature", move |receipt| receipt["logs"][0]["topics"][0] = other()),
        one("event batchNumber", |receipt| receipt["logs"][0]["topics"][1] = json!(word(4))),
        one("event batchHash", move |receipt| receipt["logs"][0]["topics"][2] = other()),
        one("event commitment", move |receipt| receipt["logs"][0]["topics"][3] = other()),
        one("event cut short", |receipt| {
            receipt["logs"][0]["topics"].as_array_mut().unwrap().truncate(3)
        }),
        one("event without topics", |receipt| receipt["logs"][0]["topics"] = json!([])),
    ]
}

/// Halts writes with the difference, and stores nothing of the batch nor behind it.
fn assert_halted(run: &Run, what: &str) -> String {
    let end = run.end();
    let Some(StageError::L1Mismatch { batch, tx, difference }) = end else {
        panic!("{what}: {end:?}");
    };
    assert_eq!((batch, tx), (L1BatchNumber(3), tx_hash(3)), "{what}");
    assert_eq!(run.checked(), 2, "{what}");
    assert_eq!(run.stored()[2..], [None, None], "{what}");
    let error = StageError::L1Mismatch { batch, tx, difference: difference.clone() };
    // The main node may have another chain by now, which L1 holds; if not, writes halt.
    assert_eq!(error.reaction(), lockstep_pipeline::Reaction::LookForReorg);
    difference.field.to_owned()
}

fn is_of_batch_3(params: &Value) -> bool {
    params[0] == json!(tx_hash(3))
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is the point")]
fn every_lie_about_a_commit_transaction_ends_the_following_and_is_not_stored() {
    let mut count = 0;
    for (what, change) in calldata_changes() {
        let world = World::new(say);
        world.twist(move |_, method, params, result| {
            if method == "eth_getTransactionByHash" && is_of_batch_3(params) {
                let mut changed = calldata(3);
                change(&mut changed);
                assert_ne!(changed, calldata(3));
                result["input"] = json!(changed.encode());
            }
        });
        let run = start(world, final_on_l1, false);
        run.world.sleep(30);
        let field = assert_halted(&run, what);
        println!("calldata {what:36} stop after 3 reads, look for a reorg, halt writes: {field}");
        count += 1;
    }
    for (what, change) in receipt_changes() {
        let world = World::new(say);
        world.twist(move |_, method, params, result| {
            if method == "eth_getTransactionReceipt" && is_of_batch_3(params) {
                change(result);
            }
        });
        let run = start(world, final_on_l1, false);
        run.world.sleep(30);
        let field = assert_halted(&run, what);
        println!("receipt  {what:36} stop after 3 reads, look for a reorg, halt writes: {field}");
        count += 1;
    }
    println!("{count} lies, 0 accepted");
}

#[test]
fn no_byte_of_calldata_that_means_something_can_be_changed() {
    let honest = calldata(3).encode();
    let ours = Ours {
        header: header(3),
        root: root(3),
        commitment: commitment(3),
        before: Some(Before {
            root: root(2),
            commitment: commitment(2),
            next_leaf_index: header(2).next_leaf_index,
        }),
    };
    let target = Target { chain: L2, contract: DIAMOND };
    let receipt = L1Receipt { success: true, block_number: 16, logs: Vec::new() };
    let check = |input: Vec<u8>| {
        let tx =
            L1Transaction { block_number: 16, input: input.into(), blob_versioned_hashes: None };
        batch_in(&ours, &tx, &receipt, target).ok()
    };
    assert_eq!(check(honest.to_vec()), Some(info(3)));
    let is_accepted = |at: &usize| {
        let mut changed = honest.to_vec();
        changed[*at] ^= 0x40;
        check(changed) == Some(info(3))
    };
    let accepted: Vec<_> = (0..honest.len()).filter(is_accepted).collect();
    // Five words of the stored batch that its hash on L1 binds, and what fills up byte strings.
    let stored = 4 + 4 * 32 + 32 + 1;
    let words = stored + 3 * 32..stored + 8 * 32;
    let (of_stored, filling): (Vec<_>, Vec<_>) =
        accepted.into_iter().partition(|at| words.contains(at));
    assert_eq!(of_stored, words.collect::<Vec<_>>());
    assert_eq!(filling.len(), (96 - 88) + (96 - 70) + 31);
    assert!(filling.iter().all(|at| honest[*at] == 0));
}

#[test]
fn a_lie_that_passes_is_forgiven() {
    let world = World::new(say);
    world.twist(|_, method, params, result| {
        if method == "eth_getTransactionReceipt" && is_of_batch_3(params) {
            result["status"] = json!("0x0");
        }
    });
    let run = start(world, final_on_l1, false);
    run.world.sleep(8); // Two reads.
    assert_eq!((run.end(), run.checked()), (None, 2));
    run.world.be_honest();
    run.world.sleep(20);
    assert_eq!((run.end(), run.checked()), (None, BATCHES));
}

#[test]
fn a_main_node_that_named_another_contract_for_a_moment_is_asked_again() {
    let world = World::new(say);
    world.twist(|_, method, _, result| {
        if method == "zks_getMainContract" {
            *result = json!(Address::repeat_byte(7));
        }
    });
    let run = start(world, final_on_l1, false);
    run.world.sleep(3);
    assert_eq!((run.end(), run.checked()), (None, 0));
    run.world.be_honest();
    run.world.sleep(20);
    assert_eq!((run.end(), run.checked()), (None, BATCHES));
}

/// Waits, says nothing, stores nothing; and goes on by itself.
#[test]
fn an_l1_that_cannot_be_used_is_waited_for() {
    type Weather = fn(&World);
    let weathers: Vec<(&str, Weather)> = vec![
        ("down", |world| {
            world.fail(|endpoint| (endpoint == L1_NODE).then_some(Err(NetError::TimedOut)))
        }),
        ("503", |world| {
            world.fail(|endpoint| (endpoint == L1_NODE).then(|| Ok(Answer::status(503))))
        }),
        ("garbage", |world| {
            world.fail(|endpoint| (endpoint == L1_NODE).then(|| Ok(Answer::ok("<html>"))))
        }),
        ("main node down", |world| {
            world.fail(|endpoint| (endpoint == MAIN_NODE).then_some(Err(NetError::TimedOut)))
        }),
        ("another chain", |world| {
            world.twist(|_, method, _, result| {
                if method == "eth_chainId" {
                    *result = json!("0x1");
                }
            })
        }),
        ("receipts missing", |world| {
            world.twist(|_, method, _, result| {
                if method == "eth_getTransactionReceipt" {
                    *result = Value::Null;
                }
            })
        }),
        ("transactions missing", |world| {
            world.twist(|_, method, _, result| {
                if method == "eth_getTransactionByHash" {
                    *result = Value::Null;
                }
            })
        }),
        ("transactions pending", |world| {
            world.twist(|_, method, _, result| {
                if method == "eth_getTransactionByHash" {
                    result["blockNumber"] = Value::Null;
                }
            })
        }),
        ("other transactions", |world| {
            world.twist(|_, method, _, result| {
                if method == "eth_getTransactionByHash" {
                    result["hash"] = json!(B256::ZERO);
                }
            })
        }),
        ("input is no hex", |world| {
            world.twist(|_, method, _, result| {
                if method == "eth_getTransactionByHash" {
                    result["input"] = json!("0x0");
                }
            })
        }),
        ("no contract", |world| {
            world.twist(|_, method, _, result| {
                if method == "zks_getMainContract" {
                    *result = json!(Address::ZERO);
                }
            })
        }),
    ];
    for (what, weather) in weathers {
        let world = World::new(say);
        weather(&world);
        let run = start(world, final_on_l1, false);
        run.world.sleep(600);
        assert_eq!(run.end(), None, "{what}");
        assert_eq!(run.stored(), [None; BATCHES as usize], "{what}");
        run.world.be_honest();
        run.world.sleep(120);
        assert_eq!((run.end(), run.checked()), (None, BATCHES), "{what}");
    }
}

#[test]
fn a_commit_that_is_not_final_is_not_looked_at() {
    let steps = |batch| {
        if batch == 3 { step(3, Finality::FastFinalized, L1_CHAIN) } else { final_on_l1(batch) }
    };
    let run = start(World::new(say), steps, false);
    run.world.sleep(60);
    assert_eq!((run.end(), run.checked()), (None, 2));
}

#[test]
fn a_batch_that_is_not_committed_is_waited_for() {
    let steps = |batch| if batch == 3 { BatchSteps::default() } else { final_on_l1(batch) };
    let run = start(World::new(say), steps, false);
    run.world.sleep(60);
    assert_eq!((run.end(), run.checked()), (None, 2));
}

/// Batches 3 and 4 are committed on the gateway, as the main node says.
fn moved_to_gateway() -> World {
    let world = World::new(say);
    world.twist(|_, method, params, result| {
        let batch = params[0].as_u64();
        if method == "zks_getL1BatchDetails" && batch >= Some(3) {
            result["commitTxHash"] = json!(tx_hash(u32::try_from(batch.unwrap()).unwrap()));
            result["committedAt"] = json!("2025-06-15T15:07:11Z");
            result["commitChainId"] = json!(GATEWAY_CHAIN.0);
        }
    });
    world
}

fn not_on_l1_from_3(batch: u32) -> BatchSteps {
    if batch >= 3 { BatchSteps::default() } else { final_on_l1(batch) }
}

#[test]
fn batches_on_a_chain_that_nobody_is_asked_about_are_passed_over() {
    let run = start(moved_to_gateway(), not_on_l1_from_3, false);
    run.world.sleep(30);
    assert_eq!((run.end(), run.checked()), (None, BATCHES));
    let passed = Some(L1Check::NotChecked { settles_on: GATEWAY_CHAIN });
    assert_eq!(run.stored()[2..], [passed, passed]);
    assert!(matches!(run.stored()[1], Some(L1Check::Equal { .. })));
}

#[test]
fn batches_on_a_gateway_are_compared_there() {
    let run = start(moved_to_gateway(), not_on_l1_from_3, true);
    run.world.sleep(30);
    assert_eq!((run.end(), run.checked()), (None, BATCHES));
    assert_eq!(run.stored()[3], Some(L1Check::Equal { tx_hash: tx_hash(4) }));
}

#[test]
fn a_gateway_that_was_told_something_else_halts_writes() {
    let say = |endpoint, method: &str, params: &Value| {
        let mut result = say(endpoint, method, params);
        if endpoint == GATEWAY_NODE && method == "eth_getTransactionReceipt" {
            result["logs"] = json!([]);
        }
        if method == "zks_getL1BatchDetails" {
            result["commitTxHash"] = json!(tx_hash(3));
            result["commitChainId"] = json!(GATEWAY_CHAIN.0);
        }
        result
    };
    let run = start(World::new(say), not_on_l1_from_3, true);
    run.world.sleep(60);
    assert_eq!(assert_halted(&run, "gateway"), "event BlockCommit");
}

#[test]
fn comparing_goes_on_where_it_stopped() {
    let world = World::new(say);
    let (_, mut writers) = world.store();
    let passed = L1Check::NotChecked { settles_on: GATEWAY_CHAIN };
    writers.l1_checks.persist(&[(L1BatchNumber(1), passed)]).unwrap();
    drop(writers);
    let run = start(world, final_on_l1, false);
    run.world.sleep(10);
    assert_eq!(run.checked(), BATCHES);
    assert_eq!(run.stored()[0], Some(passed));
    assert_eq!(encode(&run.stored()[1].unwrap())[0], 0);
}

/// Two chains of one making, down to the contract on L1: the operator's word settles it.
#[test]
fn a_contract_that_the_operator_knows_is_not_asked_of_the_main_node() {
    let fake = || {
        let world = World::new(say);
        world.twist(|_, method, _, result| {
            let fake = json!(Address::repeat_byte(7));
            match method {
                "zks_getMainContract" => *result = fake,
                "eth_getTransactionReceipt" => {
                    result["logs"].as_array_mut().unwrap().iter_mut().for_each(|log| {
                        log["address"] = fake.clone();
                    });
                }
                "eth_getTransactionByHash" => {
                    let batch =
                        (1..=BATCHES).find(|batch| result["hash"] == json!(tx_hash(*batch)));
                    let mut changed = calldata(batch.unwrap());
                    changed.arguments[0] = Address::repeat_byte(7).into_word();
                    result["input"] = json!(changed.encode());
                }
                _ => {}
            }
        });
        world
    };
    let run = start(fake(), final_on_l1, false);
    run.world.sleep(30);
    assert_eq!((run.end(), run.checked()), (None, BATCHES), "nobody knows better");
    let run = start_with(fake(), final_on_l1, false, ContractSource::Known(DIAMOND));
    run.world.sleep(30);
    let Some(StageError::L1Mismatch { batch, difference, .. }) = run.end() else {
        panic!("{:?}", run.end());
    };
    assert_eq!((batch, difference.field), (L1BatchNumber(1), "event BlockCommit"));
    assert_eq!(run.stored(), [None; BATCHES as usize]);
}

/// What becomes of a lie about where batch 3, which is on the gateway, was committed.
#[derive(Debug, PartialEq)]
enum Becomes {
    Ends,
    Waits,
    PassedOver,
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is the point")]
fn no_lie_about_where_a_batch_was_committed_makes_it_equal() {
    let lies = [
        ("commitTxHash", json!(tx_hash(4)), Becomes::Ends),
        ("commitTxHash", json!(B256::repeat_byte(9)), Becomes::Waits),
        ("commitTxHash", Value::Null, Becomes::Waits),
        ("commitTxHash", json!("0x12"), Becomes::Waits),
        ("commitChainId", Value::Null, Becomes::Waits),
        ("commitChainId", json!(L1_CHAIN.0), Becomes::Waits),
        ("commitChainId", json!(999), Becomes::PassedOver),
        ("number", json!(4), Becomes::Waits),
    ];
    for (field, value, expected) in lies {
        let world = World::new(say);
        let lie = value.clone();
        world.twist(move |_, method, params, result| {
            if method == "zks_getL1BatchDetails" && params[0] == json!(3) {
                result["commitTxHash"] = json!(tx_hash(3));
                result["commitChainId"] = json!(GATEWAY_CHAIN.0);
                result[field] = lie.clone();
            }
        });
        let run = start(world, not_on_l1_from_3, true);
        run.world.sleep(120);
        let passed = Some(L1Check::NotChecked { settles_on: ChainId(999) });
        let found = match (run.end(), run.stored()[2]) {
            (Some(StageError::L1Mismatch { .. }), None) => Becomes::Ends,
            (None, None) => Becomes::Waits,
            (None, stored) if stored == passed => Becomes::PassedOver,
            other => panic!("{field} {value}: {other:?}"),
        };
        assert_eq!(found, expected, "{field} {value}");
        println!("details  {field:14} {value} {found:?}");
    }
}

#[test]
fn a_known_divergence_from_l1_is_tolerated_and_stored_as_that() {
    let lying = || {
        let world = World::new(say);
        world.twist(move |_, method, params, result| {
            if method == "eth_getTransactionReceipt" && is_of_batch_3(params) {
                result["logs"] = json!([]);
            }
        });
        world
    };
    let world = lying().knowing(QuirkCheck::L1Commit, 3);
    let run = start(world, final_on_l1, false);
    run.world.sleep(60);
    assert_eq!((run.end(), run.checked()), (None, BATCHES));
    assert_eq!(run.stored()[2], Some(L1Check::Tolerated { tx_hash: tx_hash(3) }));

    let world = lying().knowing(QuirkCheck::Root, 3);
    let run = start(world, final_on_l1, false);
    run.world.sleep(60);
    assert_halted(&run, "another check is known to differ");
}
