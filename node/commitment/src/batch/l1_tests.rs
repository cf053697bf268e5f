//! Parts of commitments in commit transactions of real chains.

use lockstep_types::{Address, U256, alloy_primitives::b256};

use super::*;
use crate::{pubdata::Pubdata, published, system_logs::SystemLog};

const CRATE: &str = "zksync_consistency_checker-29";

fn calldata(name: &str) -> Option<Vec<u8>> {
    published::read(CRATE, &format!("src/tests/commit_l1_batch_{name}.calldata"))
}

fn word(bytes: &[u8], index: usize) -> B256 {
    B256::from_slice(&bytes[32 * index..32 * index + 32])
}

fn number(bytes: &[u8], index: usize) -> usize {
    U256::from_be_bytes(word(bytes, index).0).try_into().unwrap()
}

fn dynamic(bytes: &[u8], index: usize) -> &[u8] {
    let bytes = &bytes[number(bytes, index)..];
    &bytes[32..32 + number(bytes, 0)]
}

/// The tuples of the list that follows the eight words of the stored batch.
fn batches(calldata: &[u8]) -> Vec<&[u8]> {
    let arguments = &calldata[4..];
    let list = &arguments[number(arguments, 8)..];
    let tuples = &list[32..];
    (0..number(list, 0)).map(|index| &tuples[number(tuples, index)..]).collect()
}

fn logs(bytes: &[u8]) -> Vec<L2ToL1Log> {
    let (logs, rest) = bytes.as_chunks::<{ L2ToL1Log::BYTES }>();
    assert!(rest.is_empty());
    let log = |bytes: &[u8; L2ToL1Log::BYTES]| L2ToL1Log {
        shard_id: bytes[0],
        is_service: bytes[1] == 1,
        tx_index_in_batch: u16::from_be_bytes([bytes[2], bytes[3]]),
        sender: Address::from_slice(&bytes[4..24]),
        key: B256::from_slice(&bytes[24..56]),
        value: B256::from_slice(&bytes[56..]),
    };
    logs.iter().map(log).collect()
}

#[test]
fn batches_of_goerli_before_v18_have_the_log_roots_that_l1_was_told() {
    let Some(calldata) = calldata("200000_testnet_goerli") else { return };
    let batches = batches(&calldata);
    assert_eq!(batches.len(), 9);
    let mut leaf_index = 83_988_048;
    for (expected_number, batch) in (199_995..).zip(batches) {
        assert_eq!(number(batch, 0), expected_number);
        let logs = logs(&dynamic(batch, 9)[4..]);
        let tree = LogTree::of_batch(&logs, ProtocolVersion(17)).unwrap();
        assert_eq!(tree.root(), word(batch, 5), "batch {expected_number}");
        let initial = dynamic(batch, 7);
        let initial_count = usize::try_from(u32::from_be_bytes(initial[..4].try_into().unwrap()));
        assert_eq!(initial.len(), 4 + 64 * initial_count.unwrap());
        assert_eq!(number(batch, 2) - leaf_index, initial_count.unwrap());
        leaf_index = number(batch, 2);
    }
}

/// What [`check_v18`] found in a batch.
struct Checked {
    root: B256,
    leaf_index: usize,
    hashes: [B256; 3],
}

/// Checks a batch of v18 against the one before and hashes its parts: system logs, auxiliary,
/// pass-through.
fn check_v18(batch: &[u8], previous_root: Option<B256>, leaf_index: usize) -> Checked {
    let version = ProtocolVersion::BOOJUM;
    let system_logs = logs(dynamic(batch, 8));
    let said = |log: SystemLog| log.find(&system_logs, version).unwrap();
    let published = dynamic(batch, 9);
    assert_eq!(said(SystemLog::PubdataHash), keccak256(published));
    let pubdata = Pubdata::decode(published).unwrap();
    assert_eq!(pubdata.encode(), published);
    let user_logs = logs(pubdata.logs.as_flattened());
    let tree = LogTree::of_batch(&user_logs, version).unwrap();
    assert_eq!(said(SystemLog::LogsRoot), tree.root());
    assert_eq!(said(SystemLog::L1TxCount), word(batch, 4));
    assert_eq!(said(SystemLog::PriorityOpsHash), word(batch, 5));
    if let Some(root) = previous_root {
        assert_eq!(said(SystemLog::PreviousRoot), root);
    }
    let initial_count = u16::from_be_bytes(pubdata.state_diffs[5..7].try_into().unwrap());
    assert_eq!(number(batch, 2) - leaf_index, usize::from(initial_count));
    let aux = DiffsAux {
        system_logs_hash: system_logs_hash(&system_logs),
        state_diffs_hash: said(SystemLog::StateDiffsHash),
        heap_hash: word(batch, 6),
        events_queue_hash: word(batch, 7),
        blobs: blob_hashes(None, PubdataType::Rollup, version).unwrap(),
    };
    let leaf_index = number(batch, 2);
    let next_leaf_index = LeafIndex(u64::try_from(leaf_index).unwrap());
    let pass_through = pass_through_hash(next_leaf_index, StateRoot(word(batch, 3)));
    Checked {
        root: word(batch, 3),
        leaf_index,
        hashes: [aux.system_logs_hash, aux.hash(), pass_through],
    }
}

#[test]
fn parts_of_mainnet_batches_of_v18_agree_with_each_other() {
    let Some(calldata) = calldata("351000-351004_mainnet") else { return };
    let mut root = b256!("30f3d882df19538444d76791b7ac79dc7cc1f1a0751cfa1ab1bb6ffc74628bdb");
    let mut leaf_index = 185_679_721;
    let mut hashes = Vec::new();
    for batch in batches(&calldata) {
        let checked = check_v18(batch, Some(root), leaf_index);
        (root, leaf_index) = (checked.root, checked.leaf_index);
        hashes.push(checked.hashes);
    }
    assert_eq!(hashes.len(), 5);
    let expected = [
        b256!("1e00832abbb55ae79063c232dbad08c3b64a449632d53a669e68751ee3139425"),
        b256!("79c51a930fe6928135c9bea1fbff434f66bca53ecdb0126c400fcdffd2a682a9"),
        b256!("114965a4e71da4d4870e5783c2473c0e2394059fe1a8691ebbe5db35502f106a"),
    ];
    assert_eq!(hashes[0], expected);
    let expected = [
        b256!("f1116c62013175201ca7790fa8a9ed60461010410f9094a8f5fe78fdbd24d15d"),
        b256!("949fe18bda9b942b3c31f16b90a319095cd21e5e67c8d2da38a0957b8cca0036"),
        b256!("008afe766dfff18b103abfced44ad8b9fa5019307432924e4e092c307309bc1a"),
    ];
    assert_eq!(hashes[1], expected);
}

#[test]
fn parts_of_a_sepolia_batch_of_v18_agree_with_each_other() {
    let Some(calldata) = calldata("4470_testnet_sepolia") else { return };
    let batches = batches(&calldata);
    assert_eq!(batches.len(), 1);
    let checked = check_v18(batches[0], None, 182_700);
    assert_eq!(checked.leaf_index, 182_702);
}
