//! Honest commit transactions of every version and mode, and every field of them changed.

use std::collections::BTreeMap;

use lockstep_types::{
    BaseSystemContracts, BatchHeader, Bytes, Commitment, CommitmentInputs, DiffHashes,
    L1BatchNumber, L2BlockNumber, LeafIndex, StateRoot, UnixSeconds,
};

use super::*;
use crate::blobs::linear_hash;

fn fill(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn log(byte: u8) -> L2ToL1Log {
    L2ToL1Log {
        shard_id: 0,
        is_service: true,
        tx_index_in_batch: 3,
        sender: address::L1_MESSENGER,
        key: fill(byte),
        value: keccak256([byte]),
    }
}

/// A batch of ours.
struct Batch {
    header: BatchHeader,
    inputs: CommitmentInputs,
    pubdata_type: PubdataType,
    logs: Vec<L2ToL1Log>,
    contracts: BaseSystemContracts,
    ours: BatchCommitment,
}

impl Batch {
    fn new(version: u16, pubdata_type: PubdataType, pubdata: Vec<u8>) -> Self {
        let version = ProtocolVersion(version);
        let diffs = DiffHashes {
            state_diffs_hash: fill(0x51),
            heap_hash: fill(0x52),
            events_queue_hash: fill(0x53),
        };
        let header = BatchHeader {
            number: L1BatchNumber(7),
            timestamp: UnixSeconds(1_700_000_000),
            version,
            first_block: L2BlockNumber(20),
            last_block: L2BlockNumber(23),
            l1_tx_count: 3,
            l2_tx_count: 4,
            next_leaf_index: LeafIndex(90),
            priority_ops_hash: fill(0x22),
        };
        let ours = BatchCommitment {
            number: header.number,
            commitment: Commitment(fill(0x61)),
            pass_through_hash: fill(0x62),
            meta_hash: fill(0x63),
            aux_hash: fill(0x64),
            l2_to_l1_root: fill(0x65),
            diffs: (version >= ProtocolVersion::BOOJUM).then_some(diffs),
        };
        let inputs = CommitmentInputs {
            system_logs: vec![log(1), log(2)],
            pubdata: Some(pubdata.into()),
            ..CommitmentInputs::default()
        };
        let contracts = BaseSystemContracts::default();
        Self { header, inputs, pubdata_type, logs: vec![log(3)], contracts, ours }
    }

    fn difference(&self, theirs: &CommitInfo, tx_blobs: Option<&[B256]>) -> Option<Difference> {
        let input = CommitmentInput {
            header: &self.header,
            root: StateRoot(fill(0x21)),
            first_new_leaf_index: LeafIndex(90),
            contracts: &self.contracts,
            pubdata_type: self.pubdata_type,
            inputs: &self.inputs,
            writes: &[],
            events: &[],
            l2_to_l1_logs: &self.logs,
            aggregation_root: B256::ZERO,
        };
        commit_difference(&input, &self.ours, theirs, tx_blobs).unwrap()
    }

    /// What an honest operator commits, with `da_input` as the last field.
    fn honest(&self, da_input: Vec<u8>) -> CommitInfo {
        let body = if self.ours.diffs.is_none() {
            let logs = [vec![0, 0, 0, 1], log(3).to_bytes().to_vec()].concat();
            CommitBody::Lists(CommitLists {
                l2_to_l1_root: fill(0x65),
                initial_writes: vec![0; 4].into(),
                repeated_writes: vec![0; 4].into(),
                logs: logs.into(),
                messages: vec![vec![3].into()],
                factory_deps: Vec::new(),
            })
        } else {
            let logs = [log(1).to_bytes(), log(2).to_bytes()].concat();
            CommitBody::Diffs(CommitDiffs {
                heap_hash: fill(0x52),
                events_queue_hash: fill(0x53),
                system_logs: logs.into(),
                da_input: da_input.into(),
            })
        };
        CommitInfo {
            number: 7,
            timestamp: 1_700_000_000,
            next_leaf_index: 90,
            root: fill(0x21),
            l1_tx_count: U256::from(3),
            priority_ops_hash: fill(0x22),
            body,
        }
    }
}

const PUBDATA_BYTES: usize = 500;

fn pubdata(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

/// The last field as the reference describes it, put together from parts.
fn da_input(version: u16, pubdata_type: PubdataType, source: u8, pubdata: &[u8]) -> Vec<u8> {
    let chunks: Vec<_> = pubdata.chunks(BLOB_BYTES).collect();
    let blobs: Vec<_> = chunks.iter().map(|chunk| Blob::of_chunk(chunk).unwrap()).collect();
    let mut parts: Vec<Vec<u8>> = Vec::new();
    if pubdata_type != PubdataType::Rollup {
        return match version {
            0..=20 => Vec::new(),
            21..=25 => vec![source],
            _ if pubdata_type == PubdataType::NoDa => fill(0x51).to_vec(),
            _ => [fill(0x51).to_vec(), b"inclusion".to_vec()].concat(),
        };
    }
    if version <= 20 {
        return pubdata.to_vec();
    }
    if version >= 26 {
        parts.push(fill(0x51).to_vec());
        parts.push(keccak256(pubdata).to_vec());
        parts.push(vec![u8::try_from(chunks.len()).unwrap()]);
        parts.extend(chunks.iter().map(|chunk| linear_hash(chunk).unwrap().to_vec()));
    }
    parts.push(vec![source]);
    if source == 0 {
        parts.push(pubdata.to_vec());
        parts.extend(blobs.iter().map(|blob| blob.hashes().commitment.to_vec()));
    } else {
        for blob in &blobs {
            parts.push(blob.pubdata_commitment().to_vec());
            parts.push(vec![0; if version >= 26 { 32 } else { 0 }]);
        }
    }
    parts.concat()
}

/// Versions, modes and places of pubdata that there are.
fn cases() -> Vec<(String, Batch, CommitInfo, Option<Vec<B256>>)> {
    use PubdataType::{Avail, NoDa, Rollup};
    let short = PUBDATA_BYTES;
    let long = BLOB_BYTES + 77;
    let cases = [
        (17, Rollup, 0, short),
        (18, Rollup, 0, short),
        (20, NoDa, 0, short),
        (21, Rollup, 0, short),
        (22, Rollup, 1, short),
        (23, Rollup, 1, long),
        (24, NoDa, 0, short),
        (25, NoDa, 1, short),
        (25, Avail, 2, short),
        (26, Rollup, 0, short),
        (27, Rollup, 0, long),
        (28, NoDa, 0, 32),
        (28, Avail, 0, short),
        (29, Rollup, 0, short),
        (29, Rollup, 1, long),
        (31, Rollup, 1, short),
    ];
    let case = |(version, pubdata_type, source, length)| {
        let pubdata = pubdata(length);
        let chunks = pubdata.chunks(BLOB_BYTES);
        let hashes = chunks.map(|chunk| Blob::of_chunk(chunk).unwrap().versioned_hash()).collect();
        let in_blobs = pubdata_type == Rollup && source == 1;
        let batch = Batch::new(version, pubdata_type, pubdata.clone());
        let honest = batch.honest(da_input(version, pubdata_type, source, &pubdata));
        let name = format!("v{version} {pubdata_type:?} source {source}, {length} bytes");
        (name, batch, honest, in_blobs.then_some(hashes))
    };
    cases.into_iter().map(case).collect()
}

#[test]
fn honest_commit_transactions_are_accepted_in_every_version_and_mode() {
    for (name, batch, honest, blobs) in cases() {
        assert_eq!(batch.difference(&honest, blobs.as_deref()), None, "{name}");
        assert_eq!(batch.difference(&honest, None), None, "{name}");
        // One transaction may carry the blobs of others around ours.
        if let Some(blobs) = blobs {
            let around = [&[fill(1)], &blobs[..], &[fill(2)]].concat();
            assert_eq!(batch.difference(&honest, Some(&around)), None, "{name}");
        }
    }
}

type Change = (&'static str, Box<dyn Fn(&mut CommitInfo)>);

fn changed(what: &'static str, change: impl Fn(&mut CommitInfo) + 'static) -> Change {
    (what, Box::new(change))
}

fn lists(info: &mut CommitInfo) -> &mut CommitLists {
    match &mut info.body {
        CommitBody::Lists(lists) => lists,
        CommitBody::Diffs(_) => panic!("no lists"),
    }
}

fn diffs(info: &mut CommitInfo) -> &mut CommitDiffs {
    match &mut info.body {
        CommitBody::Diffs(diffs) => diffs,
        CommitBody::Lists(_) => panic!("no diffs"),
    }
}

fn with_byte(bytes: &mut Bytes, change: impl Fn(&mut Vec<u8>)) {
    let mut changed = bytes.to_vec();
    change(&mut changed);
    *bytes = changed.into();
}

/// Every field that all forms have.
fn header_changes() -> Vec<Change> {
    vec![
        changed("batchNumber", |info| info.number += 1),
        changed("timestamp", |info| info.timestamp += 1),
        changed("timestamp", |info| info.timestamp = 0),
        changed("indexRepeatedStorageChanges", |info| info.next_leaf_index += 1),
        changed("newStateRoot", |info| info.root.0[31] ^= 1),
        changed("numberOfLayer1Txs", |info| info.l1_tx_count += U256::from(1)),
        changed("numberOfLayer1Txs", |info| info.l1_tx_count |= U256::from(1) << 200),
        changed("priorityOperationsHash", |info| info.priority_ops_hash.0[0] ^= 1),
    ]
}

fn lists_changes() -> Vec<Change> {
    vec![
        changed("l2LogsTreeRoot", |info| lists(info).l2_to_l1_root.0[3] ^= 1),
        changed("initialStorageChanges", |info| {
            with_byte(&mut lists(info).initial_writes, |bytes| bytes.push(0))
        }),
        changed("repeatedStorageChanges", |info| {
            with_byte(&mut lists(info).repeated_writes, |bytes| bytes[3] = 1)
        }),
        changed("l2Logs", |info| with_byte(&mut lists(info).logs, |bytes| bytes[20] ^= 1)),
        changed("l2ArbitraryLengthMessages", |info| lists(info).messages.clear()),
        changed("l2ArbitraryLengthMessages", |info| {
            lists(info).messages[0] = Bytes::from_static(&[4])
        }),
    ]
}

fn diffs_changes(da_input: &[u8], is_free_from: Option<usize>) -> Vec<Change> {
    let mut changes = vec![
        changed("bootloaderHeapInitialContentsHash", |info| diffs(info).heap_hash.0[9] ^= 1),
        changed("eventsQueueStateHash", |info| diffs(info).events_queue_hash.0[9] ^= 1),
        changed("systemLogs", |info| {
            with_byte(&mut diffs(info).system_logs, |bytes| bytes[60] ^= 1)
        }),
        changed("systemLogs", |info| {
            with_byte(&mut diffs(info).system_logs, |bytes| bytes.truncate(88))
        }),
    ];
    let last = is_free_from.unwrap_or(da_input.len());
    // A byte of each part: hashes, count, source, pubdata, opening, commitment, proof, gap.
    let places = [0, 1, 31, 32, 64, 65, 96, 97, 98, 129, 130, 145, 146, 200, 250, 300, last / 2];
    let places = places.into_iter().filter(|at| *at < last).chain(last.checked_sub(1));
    for at in places {
        changes.push(changed("DA input", move |info| {
            with_byte(&mut diffs(info).da_input, |bytes| bytes[at] ^= 4)
        }));
    }
    if is_free_from.is_none() {
        changes.push(changed("DA input", |info| {
            with_byte(&mut diffs(info).da_input, |bytes| bytes.push(0))
        }));
    }
    if !da_input.is_empty() {
        changes.push(changed("DA input", |info| diffs(info).da_input = Bytes::new()));
        changes.push(changed("DA input", move |info| {
            with_byte(&mut diffs(info).da_input, |bytes| bytes.truncate(last - 1))
        }));
    }
    changes
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is the point")]
fn no_changed_field_of_a_batch_is_accepted() {
    let mut table: BTreeMap<(String, &str), (usize, Vec<&str>)> = BTreeMap::new();
    let mut accepted = 0;
    for (name, batch, honest, blobs) in cases() {
        let mut changes = header_changes();
        match &honest.body {
            CommitBody::Lists(_) => changes.extend(lists_changes()),
            CommitBody::Diffs(body) => {
                // Proofs of inclusion elsewhere are free.
                let is_free = batch.header.version.0 >= 26
                    && batch.pubdata_type != PubdataType::Rollup
                    && batch.pubdata_type != PubdataType::NoDa;
                changes.extend(diffs_changes(&body.da_input, is_free.then_some(32)));
            }
        }
        for (what, change) in changes {
            let mut theirs = honest.clone();
            change(&mut theirs);
            assert_ne!(theirs, honest, "{name}: {what} is not changed");
            let difference = batch.difference(&theirs, blobs.as_deref());
            let found = difference.as_ref().map_or("ACCEPTED", |difference| difference.field);
            accepted += usize::from(difference.is_none());
            if what != "DA input" {
                assert_eq!(found, what, "{name}");
            }
            let row = table.entry((name.clone(), what)).or_default();
            row.0 += 1;
            if !row.1.contains(&found) {
                row.1.push(found);
            }
        }
        if let Some(blobs) = blobs {
            let mut other = blobs.clone();
            other[0].0[5] ^= 1;
            let difference = batch.difference(&honest, Some(&other)).unwrap();
            assert_eq!(difference.field, "blobVersionedHashes");
            let difference = batch.difference(&honest, Some(&[])).unwrap();
            assert_eq!(difference.field, "blobVersionedHashes");
            table.insert((name, "blob hashes"), (2, vec!["blobVersionedHashes"]));
        }
    }
    for ((name, what), (count, found)) in &table {
        println!("{name:42} {what:34} {count:2} changed, found as {}", found.join(", "));
    }
    let total: usize = table.values().map(|(count, _)| count).sum();
    println!("{total} changed fields, {accepted} accepted");
    assert_eq!(accepted, 0);
}

#[test]
fn another_batch_s_pubdata_is_not_ours() {
    for (name, batch, honest, _) in cases() {
        if batch.pubdata_type != PubdataType::Rollup || batch.ours.diffs.is_none() {
            continue;
        }
        let mut theirs = honest.clone();
        let source = if name.contains("source 1") { 1 } else { 0 };
        let mut other = pubdata(batch.inputs.pubdata.as_ref().unwrap().len());
        other[100] ^= 1;
        let version = batch.header.version.0;
        diffs(&mut theirs).da_input = da_input(version, PubdataType::Rollup, source, &other).into();
        assert!(batch.difference(&theirs, None).is_some(), "{name}");
    }
}

#[test]
fn the_form_of_another_version_is_found() {
    let old = Batch::new(17, PubdataType::Rollup, Vec::new());
    let new = Batch::new(18, PubdataType::Rollup, Vec::new());
    let found = |batch: &Batch, theirs: CommitInfo| batch.difference(&theirs, None).unwrap().field;
    assert_eq!(found(&old, new.honest(Vec::new())), "form");
    assert_eq!(found(&new, old.honest(Vec::new())), "form");
}

#[test]
fn a_batch_without_stored_pubdata_cannot_be_compared() {
    let mut batch = Batch::new(29, PubdataType::Rollup, pubdata(100));
    let honest = batch.honest(da_input(29, PubdataType::Rollup, 0, &pubdata(100)));
    batch.inputs.pubdata = None;
    let CommitBody::Diffs(body) = &honest.body else { panic!("v29 has diffs") };
    let da = Da { version: batch.header.version, pubdata: None, state_diffs_hash: fill(0x51) };
    let error = da.difference(PubdataType::Rollup, &body.da_input, None).unwrap_err();
    assert_eq!(error, CommitmentError::NoPubdata);
}
