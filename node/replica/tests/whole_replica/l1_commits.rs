//! Commit transactions on L1, made by hand of what the replica computed, and lies about them.

use std::{sync::Arc, time::Duration};

use lockstep_checkers::CommitmentsConfig;
use lockstep_commitment::blobs::{Blob, linear_hash};
use lockstep_store::{codec::Decode, codec::decode, tables};
use lockstep_testvectors::CommitCalldata;
use lockstep_types::{
    B256, BatchCommitment, BatchHeader, CommitBody, CommitDiffs, CommitInfo, CommitmentInputs,
    L1Check, L2ToL1Log, U256, keccak256,
};
use serde_json::{Value, json};

use crate::support::{
    chain::BATCH_BLOCKS,
    upstream::{diamond, step_hash},
    world::{Tables, World},
};

/// Batches of these tests, fewer than the chain has: each takes seconds to commit to.
const BATCHES: u32 = 3;
/// The newest block.
const TIP: u32 = BATCHES * BATCH_BLOCKS;
/// The batch that is lied about.
const LIED_ABOUT: u32 = 2;

/// What is committed, batch 1 first.
#[derive(Clone)]
struct Commits(Arc<Vec<(CommitCalldata, BatchCommitment)>>);

fn row<T: Decode>(tables: &Tables, table: lockstep_io::Table, batch: u32) -> T {
    let rows = &tables[table.name];
    let row = rows.iter().find(|(key, _)| *key == batch.to_be_bytes());
    decode(&row.unwrap().1).unwrap()
}

fn word(number: impl Into<U256>) -> B256 {
    B256::from(number.into())
}

/// A world in which everything is computed, and what is to be committed in it.
fn world() -> (World, Commits) {
    let mut world = World::new();
    world.config.commitments = Some(CommitmentsConfig::default());
    world.upstream.set(|knobs| (knobs.tip, knobs.steps_until) = (TIP, BATCHES));
    world.upstream.twist(|method, _, result| {
        if method == "zks_getL1BatchDetails" && !result.is_null() {
            result["commitment"] = Value::Null;
        }
    });
    let running = world.start();
    running.follow_to(TIP);
    world.sleep(Duration::from_secs(5));
    let rows = world.dump(Some(running));
    let commits = (1..=BATCHES).map(|batch| commit(&world, &rows, batch)).collect();
    (world, Commits(Arc::new(commits)))
}

fn commit(world: &World, rows: &Tables, batch: u32) -> (CommitCalldata, BatchCommitment) {
    let ours: BatchCommitment = row(rows, tables::COMMITMENTS, batch);
    let header: BatchHeader = row(rows, tables::BATCHES, batch);
    let inputs: CommitmentInputs = row(rows, tables::COMMITMENT_INPUTS, batch);
    let before: BatchHeader = row(rows, tables::BATCHES, batch - 1);
    let chain = &world.upstream.chain;
    let (root_before, commitment_before) = match batch {
        1 => (chain.genesis.genesis_root_hash, chain.genesis.genesis_commitment),
        _ => {
            let ours: BatchCommitment = row(rows, tables::COMMITMENTS, batch - 1);
            (chain.batches[batch as usize - 2].root.0, ours.commitment.0)
        }
    };
    let diffs = ours.diffs.unwrap();
    let pubdata = inputs.pubdata.unwrap();
    let blob = Blob::of_chunk(&pubdata).unwrap();
    let da_input = [
        &diffs.state_diffs_hash[..],
        &keccak256(&pubdata)[..],
        &[1],
        &linear_hash(&pubdata).unwrap()[..],
        &[0],
        &pubdata[..],
        &blob.hashes().commitment[..],
    ];
    let info = CommitInfo {
        number: batch.into(),
        timestamp: header.timestamp.0,
        next_leaf_index: header.next_leaf_index.0,
        root: chain.batches[batch as usize - 1].root.0,
        l1_tx_count: U256::from(header.l1_tx_count),
        priority_ops_hash: header.priority_ops_hash,
        body: CommitBody::Diffs(CommitDiffs {
            heap_hash: diffs.heap_hash,
            events_queue_hash: diffs.events_queue_hash,
            system_logs: inputs.system_logs.iter().flat_map(L2ToL1Log::to_bytes).collect(),
            da_input: da_input.concat().into(),
        }),
    };
    let contract: lockstep_types::Address = serde_json::from_value(diamond()).unwrap();
    let calldata = CommitCalldata {
        selector: [0x0d, 0xb9, 0xeb, 0x87],
        arguments: vec![contract.into_word(), word(U256::from(batch)), word(U256::from(batch))],
        stored: vec![
            word(U256::from(batch - 1)),
            root_before,
            word(U256::from(before.next_leaf_index.0)),
            B256::ZERO,
            B256::ZERO,
            B256::ZERO,
            B256::ZERO,
            B256::ZERO,
            commitment_before,
        ],
        batches: vec![info],
        encoding: Some(1),
    };
    (calldata, ours)
}

/// The main node and L1 show the commits, and the execution of batches up to `executed_until`;
/// `change` is applied to the calldata of one.
fn show(world: &World, commits: &Commits, executed_until: u32, change: fn(&mut CommitCalldata)) {
    let Commits(commits) = commits.clone();
    world.upstream.twist(move |method, params, result| {
        let found = (1..=BATCHES)
            .find(|batch| json!(step_hash("commit", *batch)) == params[0])
            .map(|batch| (batch, &commits[batch as usize - 1]));
        let executed = (1..=BATCHES).find(|batch| json!(step_hash("execute", *batch)) == params[0]);
        match (method, found) {
            ("zks_getL1BatchDetails", _) if !result.is_null() => {
                let index = usize::try_from(params[0].as_u64().unwrap()).unwrap() - 1;
                result["commitment"] = json!(commits[index].1.commitment.0);
            }
            ("l1:eth_getTransactionReceipt", Some((_, (_, ours)))) => {
                result["logs"][0]["topics"][3] = json!(ours.commitment.0);
            }
            ("l1:eth_getTransactionReceipt", None) => {
                if executed > Some(executed_until) {
                    *result = Value::Null;
                } else if let Some(batch) = executed {
                    let ours = &commits[batch as usize - 1].1;
                    result["logs"][0]["topics"][3] = json!(ours.commitment.0);
                }
            }
            ("l1:eth_getTransactionByHash", Some((batch, (calldata, _)))) => {
                let mut calldata = calldata.clone();
                if batch == LIED_ABOUT {
                    change(&mut calldata);
                }
                let block = format!("{:#x}", 1_000 + batch);
                let input = calldata.encode();
                *result = json!({"hash": params[0], "blockNumber": block, "input": input});
            }
            _ => {}
        }
    });
}

fn checks(rows: &Tables) -> Vec<L1Check> {
    rows[tables::L1_CHECKS.name].iter().map(|(_, row)| decode(row).unwrap()).collect()
}

#[test]
fn every_batch_is_found_equal_to_its_commit_transaction() {
    let (mut world, commits) = world();
    show(&world, &commits, BATCHES, |_| {});
    let running = world.start();
    world.sleep(Duration::from_secs(60));
    assert_eq!(running.halted(), None);
    let rows = world.dump(Some(running));
    let equal = |batch| L1Check::Equal { tx_hash: step_hash("commit", batch) };
    assert_eq!(checks(&rows), (1..=BATCHES).map(equal).collect::<Vec<_>>());
}

#[test]
fn lies_about_a_commit_transaction_halt_writes_and_what_was_checked_before_stays() {
    type Lie = (&'static str, u32, fn(&mut CommitCalldata));
    // Where L1 has another chain, what it contradicts goes, unless it executed that.
    let before = (LIED_ABOUT - 1) * BATCH_BLOCKS;
    let lies: Vec<Lie> = vec![
        ("timestamp", before, |call| call.batches[0].timestamp += 1),
        ("newStateRoot", before, |call| call.batches[0].root.0[0] ^= 1),
        ("numberOfLayer1Txs", before, |call| call.batches[0].l1_tx_count += U256::from(1)),
        ("priorityOperationsHash", before, |call| call.batches[0].priority_ops_hash.0[0] ^= 1),
        ("newStateRoot", TIP, |call| call.batches[0].root.0[0] ^= 1),
        ("stored commitment", TIP, |call| call.stored[8].0[0] ^= 1),
        ("operatorDAInput", TIP, |call| {
            let CommitBody::Diffs(diffs) = &mut call.batches[0].body else { return };
            let mut changed = diffs.da_input.to_vec();
            changed[110] ^= 1;
            diffs.da_input = changed.into();
        }),
    ];
    let (mut world, commits) = world();
    for (field, head, lie) in lies {
        let executed = if head == TIP { BATCHES } else { LIED_ABOUT - 1 };
        show(&world, &commits, executed, lie);
        let written = world.memory.reports.all();
        let running = world.start();
        let limit = Duration::from_secs(300);
        assert!(running.within(limit, |running| running.halted().is_some()), "{field}");
        let (code, reason) = running.halted().unwrap();
        assert_eq!(code, "l1_mismatch", "{reason}");
        assert!(reason.contains("batch 2") && reason.contains(field), "{field}: {reason}");
        world.sleep(Duration::from_secs(10));
        assert_eq!(running.head(), head, "{field}: what L1 does not contradict is served");
        let mut reports = world.memory.reports.all();
        reports.retain(|name, _| !written.contains_key(name));
        let of_field = |(_, text): (&String, &Vec<u8>)| {
            let bundle: Value = serde_json::from_slice(text).unwrap();
            bundle["difference"]["field"] == json!(field)
                && bundle["l1Transaction"] == json!(step_hash("commit", LIED_ABOUT))
                && bundle["batch"] == json!(LIED_ABOUT)
                && bundle["stored"]["commitment"]["commitment"].is_string()
        };
        assert_eq!(reports.iter().filter(|report| of_field(*report)).count(), 1, "{field}");
        let rows = world.dump(Some(running));
        assert_eq!(checks(&rows).len(), 1, "{field}");
    }
}
