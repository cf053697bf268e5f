//! Commitments of recorded chains, as far as they can be computed without running a batch: what
//! only the VM knows (heap, state diffs) is taken from the commit transaction on L1, all else is
//! our own, and the result must be the commitment that the main node announced.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use lockstep_commitment::{
    DiffsAux, blobs,
    blobs::BlobHashes,
    commitment,
    events_queue::events_queue_hash,
    meta_hash, pass_through_hash,
    system_logs::{SystemLog, system_logs_hash},
};
use lockstep_testvectors::{MainNodeRecording, Recording, recordings_for};
use lockstep_types::{
    Address, B256, BaseSystemContracts, BytecodeHash, Commitment, Event, L2ToL1Log, LeafIndex,
    ProtocolVersion, StateRoot,
};
use serde_json::{Value, json};

/// `commitBatchesSharedBridge(address,uint256,uint256,bytes)`.
const COMMIT: &str = "0x0db9eb87";
const VERSION: ProtocolVersion = ProtocolVersion(29);

/// What a commit transaction says of a batch; transactions of the recorded chains have one each.
struct Committed {
    number: u64,
    next_leaf_index: LeafIndex,
    root: StateRoot,
    heap_hash: B256,
    events_queue_hash: B256,
    system_logs: Vec<L2ToL1Log>,
    da_input: Vec<u8>,
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

fn word(bytes: &[u8], index: usize) -> B256 {
    B256::from_slice(&bytes[32 * index..32 * index + 32])
}

fn small(word: B256) -> u64 {
    assert!(word[..24].iter().all(|byte| *byte == 0));
    u64::from_be_bytes(word[24..].try_into().unwrap())
}

fn place(word: B256) -> usize {
    usize::try_from(small(word)).unwrap()
}

fn dynamic(bytes: &[u8], word_index: usize) -> &[u8] {
    let bytes = &bytes[place(word(bytes, word_index))..];
    &bytes[32..32 + place(word(bytes, 0))]
}

fn committed(calldata: &[u8]) -> Committed {
    let data = dynamic(&calldata[4..], 3);
    assert_eq!(data[0], 1, "encoding of v29");
    // The stored batch before takes nine words; then comes the list of batches.
    let list = &data[1..][place(word(&data[1..], 9))..];
    assert_eq!(small(word(list, 0)), 1);
    let batch = &list[32 + place(word(list, 1))..];
    Committed {
        number: small(word(batch, 0)),
        next_leaf_index: LeafIndex(small(word(batch, 2))),
        root: StateRoot(word(batch, 3)),
        heap_hash: word(batch, 6),
        events_queue_hash: word(batch, 7),
        system_logs: dynamic(batch, 8).as_chunks().0.iter().map(log).collect(),
        da_input: dynamic(batch, 9).to_vec(),
    }
}

fn log(bytes: &[u8; L2ToL1Log::BYTES]) -> L2ToL1Log {
    let log = L2ToL1Log {
        shard_id: bytes[0],
        is_service: bytes[1] == 1,
        tx_index_in_batch: u16::from_be_bytes([bytes[2], bytes[3]]),
        sender: Address::from_slice(&bytes[4..24]),
        key: B256::from_slice(&bytes[24..56]),
        value: B256::from_slice(&bytes[56..]),
    };
    assert_eq!(log.to_bytes(), *bytes);
    log
}

fn commits(recording: &Recording) -> Vec<Committed> {
    let l1 = recording.l1().expect("the recording has an L1");
    let transactions = l1.blocks.iter().flat_map(|block| block["transactions"].as_array().unwrap());
    let calls = transactions.filter(|tx| tx["input"].as_str().unwrap().starts_with(COMMIT));
    calls.map(|tx| committed(&bytes(&tx["input"]))).collect()
}

fn details(main_node: &MainNodeRecording, number: u64) -> Value {
    main_node.answer("zks_getL1BatchDetails", &json!([number])).unwrap().parse()
}

/// State diffs' hash and blobs as a rollup's DA input has them.
fn da_parts(input: &[u8]) -> (B256, Vec<BlobHashes>) {
    let blob_count = usize::from(input[64]);
    let (linear_hashes, rest) = input[65..].split_at(32 * blob_count);
    assert_eq!(rest[0], 1, "pubdata is in blobs");
    let mut hashes = vec![BlobHashes::default(); blobs::blob_slot_count(VERSION)];
    // Each opening is followed by a word for blobs published before: zero here.
    for (index, opening) in rest[1..].chunks_exact(144 + 32).enumerate() {
        let versioned_hash = blobs::versioned_hash(opening[48..96].try_into().unwrap());
        let point = opening[..16].try_into().unwrap();
        let value = B256::from_slice(&opening[16..48]);
        let commitment = blobs::blob_commitment(versioned_hash, point, value);
        hashes[index] = BlobHashes { linear_hash: word(linear_hashes, index), commitment };
    }
    (word(input, 0), hashes)
}

#[test]
fn commitments_of_the_recorded_chain_are_made_of_what_its_l1_was_told() {
    for recording in recordings_for("commitments against L1") {
        let main_node = recording.main_node();
        let commits = commits(&recording);
        assert!(!commits.is_empty());
        let mut checked = 0;
        for batch in &commits {
            let number = batch.number;
            let details = details(&main_node, number);
            // The newest batch was committed after the main node had been asked.
            let Some(expected) = details["commitment"].as_str() else { continue };
            let contract = |name: &str| {
                BytecodeHash(
                    details["baseSystemContractsHashes"][name].as_str().unwrap().parse().unwrap(),
                )
            };
            let contracts = BaseSystemContracts {
                bootloader: contract("bootloader"),
                default_account: contract("default_aa"),
                evm_emulator: Some(contract("evm_emulator")),
            };
            assert_eq!(details["rootHash"], batch.root.to_string());
            let (state_diffs_hash, blobs) = da_parts(&batch.da_input);
            let aux = DiffsAux {
                system_logs_hash: system_logs_hash(&batch.system_logs),
                state_diffs_hash,
                heap_hash: batch.heap_hash,
                events_queue_hash: batch.events_queue_hash,
                blobs,
            };
            let pass_through = pass_through_hash(batch.next_leaf_index, batch.root);
            let meta = meta_hash(&contracts, VERSION);
            let computed = commitment(pass_through, meta, aux.hash());
            assert_eq!(computed, Commitment(expected.parse().unwrap()), "batch {number}");
            checked += 1;
        }
        assert!(checked + 1 >= commits.len(), "{checked} of {}", commits.len());
        let pairs = commits.windows(2).filter(|pair| pair[0].number + 1 == pair[1].number);
        for pair in pairs {
            let previous = SystemLog::PreviousRoot.find(&pair[1].system_logs, VERSION);
            assert_eq!(previous, Some(pair[0].root.0), "batch {}", pair[1].number);
        }
    }
}

/// First transaction index in its batch, and number of transactions, of every recorded block.
fn tx_indices(main_node: &MainNodeRecording) -> BTreeMap<u64, (u32, u32)> {
    let mut indices = BTreeMap::new();
    let mut open = (0, 0_u32);
    for number in 0.. {
        let Some(answer) = main_node.answer("en_syncL2Block", &json!([number, true])) else {
            break;
        };
        let block: Value = answer.parse();
        if block.is_null() {
            break;
        }
        let batch = block["l1BatchNumber"].as_u64().unwrap();
        let first = if batch == open.0 { open.1 } else { 0 };
        let count = u32::try_from(block["transactions"].as_array().unwrap().len()).unwrap();
        indices.insert(number, (first, count));
        open = (batch, first + count);
    }
    indices
}

/// All recorded events with the indices of their transactions, by batch.
fn events(recording: &Recording) -> BTreeMap<u64, Vec<(u32, Event)>> {
    let indices = tx_indices(&recording.main_node());
    let number = |value: &Value| {
        u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let mut by_batch: BTreeMap<u64, Vec<(u32, Event)>> = BTreeMap::new();
    let all =
        recording.golden_api().into_iter().filter(|exchange| exchange.method == "eth_getLogs");
    // The first one asked for everything.
    let all = all.map(|exchange| exchange.answer.parse::<Vec<Value>>()).max_by_key(Vec::len);
    for log in all.unwrap_or_default() {
        let (first, _) = indices[&number(&log["blockNumber"])];
        let tx_index = first + u32::try_from(number(&log["transactionIndex"])).unwrap();
        let event = Event {
            address: log["address"].as_str().unwrap().parse().unwrap(),
            topics: log["topics"]
                .as_array()
                .unwrap()
                .iter()
                .map(|topic| topic.as_str().unwrap().parse().unwrap())
                .collect(),
            data: bytes(&log["data"]).into(),
        };
        by_batch.entry(number(&log["l1BatchNumber"])).or_default().push((tx_index, event));
    }
    by_batch
}

#[test]
fn events_queues_of_the_recorded_chain_are_what_its_l1_was_told() {
    for recording in recordings_for("events queues against L1") {
        let events = events(&recording);
        let mut checked = 0;
        for batch in commits(&recording) {
            let Some(events) = events.get(&batch.number) else { continue };
            let events = events.iter().map(|(tx_index, event)| (*tx_index, event));
            assert_eq!(
                events_queue_hash(events),
                batch.events_queue_hash,
                "batch {}",
                batch.number
            );
            checked += 1;
        }
        assert!(checked > 0, "{} has events of committed batches", recording.name());
    }
}
