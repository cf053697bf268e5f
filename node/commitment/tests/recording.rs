//! Commitments of recorded chains, as far as they can be computed without running a batch: what
//! only the VM knows (heap, state diffs) is taken from the commit transaction on L1, all else is
//! our own, and the result must be the commitment that the main node announced.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use lockstep_commitment::{
    CommitmentInput, DiffsAux, blobs,
    blobs::BlobHashes,
    commit_difference, commitment,
    events_queue::events_queue_hash,
    meta_hash, pass_through_hash,
    system_logs::{SystemLog, system_logs_hash},
};
use lockstep_testvectors::{MainNodeRecording, Recording, recordings_for};
use lockstep_types::{
    Address, B256, BaseSystemContracts, BatchCommitment, BatchHeader, BytecodeHash, CommitBody,
    Commitment, CommitmentInputs, DiffHashes, Event, L1BatchNumber, L2BlockNumber, L2ToL1Log,
    LeafIndex, ProtocolVersion, PubdataType, StateRoot, U256, UnixSeconds, alloy_primitives::uint,
    keccak256,
};
use lockstep_wire::commit::{CommitCall, CommitForm};
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

/// Order of the field that Ethereum's blobs are made of.
const MODULUS: U256 =
    uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

fn inverse(value: U256) -> U256 {
    value.pow_mod(MODULUS - U256::from(2), MODULUS)
}

/// The bytes that a blob was made of: the slow way, and independent of the crate's own.
///
/// A blob holds values at roots of unity in bit-reversed order; the coefficients, the highest
/// first, are 31 bytes each.
fn unpacked(blob: &[u8]) -> Vec<u8> {
    let count = 4096_usize;
    let mut values: Vec<_> = blob.chunks(32).map(U256::from_be_slice).collect();
    // 7 generates the field's units.
    let root = U256::from(7).pow_mod((MODULUS - U256::from(1)) / U256::from(count), MODULUS);
    let back = inverse(root);
    // Decimation in time takes values in bit-reversed order, as they are.
    let mut half = 1;
    while half < count {
        let step = back.pow_mod(U256::from(count / (2 * half)), MODULUS);
        for start in (0..count).step_by(2 * half) {
            let mut twiddle = U256::from(1);
            for at in start..start + half {
                let odd = values[at + half].mul_mod(twiddle, MODULUS);
                let even = values[at];
                values[at] = even.add_mod(odd, MODULUS);
                values[at + half] = even.add_mod(MODULUS - odd, MODULUS);
                twiddle = twiddle.mul_mod(step, MODULUS);
            }
        }
        half *= 2;
    }
    let scale = inverse(U256::from(count));
    let piece = |value: &U256| {
        let bytes: [u8; 32] = value.mul_mod(scale, MODULUS).to_le_bytes();
        assert_eq!(bytes[31], 0, "a piece has 31 bytes");
        bytes[..31].to_vec()
    };
    values.iter().rev().flat_map(piece).collect()
}

/// Pubdata without the zeros that fill up its blobs: as long as the hash beside it says.
fn without_filling(mut padded: Vec<u8>, hash: B256) -> Vec<u8> {
    let used = padded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for end in used..=padded.len() {
        if keccak256(&padded[..end]) == hash {
            padded.truncate(end);
            return padded;
        }
    }
    panic!("no prefix of the blobs has the hash that the DA validator saw");
}

/// What is ours comes from the main node, and the pubdata out of the blobs; heap, events, system
/// logs and the state diffs' hash, which take a VM, are those that the commitment was shown above
/// to be made of.
#[test]
#[expect(clippy::print_stdout, reason = "the count is the point")]
fn every_commit_transaction_of_the_recorded_chain_is_accepted() {
    for recording in recordings_for("commit transactions") {
        let main_node = recording.main_node();
        let l1 = recording.l1().expect("the recording has an L1");
        let transactions =
            l1.blocks.iter().flat_map(|block| block["transactions"].as_array().unwrap());
        let mut accepted = 0;
        let mut seen = 0;
        for tx in transactions.filter(|tx| tx["input"].as_str().unwrap().starts_with(COMMIT)) {
            seen += 1;
            let call = CommitCall::decode(&bytes(&tx["input"]).into()).unwrap();
            assert_eq!(call.form, CommitForm::EncodedByAddress);
            let tx_blobs: Vec<B256> =
                serde_json::from_value(tx["blobVersionedHashes"].clone()).unwrap();
            let blobs = tx["blobs"].as_array().unwrap().iter();
            let padded: Vec<u8> = blobs.flat_map(|blob| unpacked(&bytes(blob))).collect();
            assert_eq!(call.batches.len(), 1, "the recorded chain commits batches one by one");
            let theirs = &call.batches[0];
            let CommitBody::Diffs(body) = &theirs.body else { panic!("v29 has diffs") };
            let pubdata = without_filling(padded, word(&body.da_input, 1));
            let known = details(&main_node, theirs.number);
            let number = u32::try_from(theirs.number).unwrap();
            let header = BatchHeader {
                number: L1BatchNumber(number),
                timestamp: UnixSeconds(known["timestamp"].as_u64().unwrap()),
                version: VERSION,
                first_block: L2BlockNumber(0),
                last_block: L2BlockNumber(0),
                l1_tx_count: u32::try_from(known["l1TxCount"].as_u64().unwrap()).unwrap(),
                l2_tx_count: 0,
                next_leaf_index: LeafIndex(theirs.next_leaf_index),
                priority_ops_hash: theirs.priority_ops_hash,
            };
            let ours = BatchCommitment {
                number: header.number,
                commitment: Commitment(B256::ZERO),
                pass_through_hash: B256::ZERO,
                meta_hash: B256::ZERO,
                aux_hash: B256::ZERO,
                l2_to_l1_root: B256::ZERO,
                diffs: Some(DiffHashes {
                    state_diffs_hash: word(&body.da_input, 0),
                    heap_hash: body.heap_hash,
                    events_queue_hash: body.events_queue_hash,
                }),
            };
            let inputs = CommitmentInputs {
                system_logs: body.system_logs.as_chunks().0.iter().map(log).collect(),
                pubdata: Some(pubdata.into()),
                ..CommitmentInputs::default()
            };
            let root = known["rootHash"].as_str().map_or(theirs.root, |root| root.parse().unwrap());
            let input = CommitmentInput {
                header: &header,
                root: StateRoot(root),
                first_new_leaf_index: LeafIndex(0),
                contracts: &BaseSystemContracts::default(),
                pubdata_type: PubdataType::Rollup,
                inputs: &inputs,
                writes: &[],
                events: &[],
                l2_to_l1_logs: &[],
                aggregation_root: B256::ZERO,
            };
            let difference = commit_difference(&input, &ours, theirs, Some(&tx_blobs)).unwrap();
            assert_eq!(difference, None, "batch {number}");
            accepted += 1;
        }
        println!("{}: {accepted} of {seen} commit transactions accepted", recording.name());
        assert!(accepted > 0 && accepted == seen);
    }
}
