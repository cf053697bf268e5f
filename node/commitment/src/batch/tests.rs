//! Published commitments, part by part.

use lockstep_types::{
    Address, BytecodeHash, HashedKey, L1BatchNumber, L2BlockNumber, StorageSlot, UnixSeconds,
};
use serde_json::Value;

use super::*;
use crate::{published, state_diffs::compress};

const CRATE: &str = "zksync_types-29";

fn vector(name: &str) -> Option<Value> {
    published::json(CRATE, &format!("src/commitment/tests/{name}.json"))
}

fn version(common: &Value) -> ProtocolVersion {
    let text = common["protocol_version"].as_str().unwrap();
    ProtocolVersion(text.strip_prefix("Version").unwrap().parse().unwrap())
}

fn contracts(common: &Value) -> BaseSystemContracts {
    let hash = |name: &str| BytecodeHash(published::word(&common[name]));
    BaseSystemContracts {
        bootloader: hash("bootloader_code_hash"),
        default_account: hash("default_aa_code_hash"),
        evm_emulator: common
            .get("evm_emulator_code_hash")
            .filter(|hash| !hash.is_null())
            .map(|hash| BytecodeHash(published::word(hash))),
    }
}

fn check_hashes(vector: &Value, common: &Value, aux: &Aux) {
    let expected = |name: &str| published::word(&vector["hashes"][name]);
    let leaf_index = LeafIndex(common["rollup_last_leaf_index"].as_u64().unwrap());
    let root = StateRoot(published::word(&common["rollup_root_hash"]));
    let pass_through = pass_through_hash(leaf_index, root);
    assert_eq!(pass_through, expected("pass_through_data"));
    let meta = meta_hash(&contracts(common), version(common));
    assert_eq!(meta, expected("meta_parameters"));
    assert_eq!(aux.hash(), expected("aux_output"));
    let commitment = commitment(pass_through, meta, aux.hash());
    assert_eq!(commitment, Commitment(expected("commitment")));
}

fn diff(value: &Value) -> StateDiff {
    let slot =
        StorageSlot::new(published::address(&value["address"]), published::number(&value["key"]));
    let hashed_key = HashedKey(B256::from_slice(&published::bytes(&value["derived_key"])));
    assert_eq!(slot.hashed_key(), hashed_key);
    let index = value["enumeration_index"].as_u64().unwrap();
    StateDiff {
        slot,
        hashed_key,
        leaf_index: (index != 0).then_some(LeafIndex(index)),
        before: published::number(&value["initial_value"]),
        after: published::number(&value["final_value"]),
    }
}

#[test]
fn published_commitments_from_v18_on_are_met_in_every_part() {
    let names = [
        "post_boojum_1_4_1_test",
        "post_boojum_1_4_2_test",
        "post_boojum_1_5_0_test",
        "post_boojum_1_5_0_test_with_evm",
        "post_gateway_test",
    ];
    for name in names {
        let Some(vector) = vector(name) else { return };
        let input = &vector["input"]["PostBoojum"];
        let expected = &vector["auxiliary_output"]["PostBoojum"];
        let common = &input["common"];
        let version = version(common);
        let logs = published::logs(&common["l2_to_l1_logs"]);
        let local = LogTree::of_batch(&logs, version).unwrap().root();
        assert_eq!(local, published::word(&expected["local_root"]), "{name}");
        let root = l2_to_l1_root(local, published::word(&input["aggregation_root"]), version);
        assert_eq!(root, published::word(&expected["common"]["l2_l1_logs_merkle_root"]), "{name}");

        let mut diffs: Vec<_> = input["state_diffs"].as_array().unwrap().iter().map(diff).collect();
        diffs.sort_by_key(|diff| diff.slot);
        let compressed = compress(&diffs).unwrap();
        assert_eq!(compressed, published::bytes(&expected["state_diffs_compressed"]), "{name}");

        let blob = |blob: &Value| BlobHashes {
            linear_hash: published::word(&blob["linear_hash"]),
            commitment: published::word(&blob["commitment"]),
        };
        let commitments = &input["aux_commitments"];
        let aux = DiffsAux {
            system_logs_hash: system_logs_hash(&published::logs(&input["system_logs"])),
            state_diffs_hash: state_diffs_hash(&diffs),
            heap_hash: published::word(&commitments["bootloader_initial_content_commitment"]),
            events_queue_hash: published::word(&commitments["events_queue_commitment"]),
            blobs: input["blob_hashes"].as_array().unwrap().iter().map(blob).collect(),
        };
        assert_eq!(aux.blobs.len(), blob_slot_count(version), "{name}");
        assert_eq!(aux.system_logs_hash, published::word(&expected["system_logs_linear_hash"]));
        assert_eq!(aux.state_diffs_hash, published::word(&expected["state_diffs_hash"]));
        check_hashes(&vector, common, &Aux::Diffs(aux));
    }
}

/// The slots themselves are not published, so the lists are made of hashed keys.
#[test]
fn published_commitment_before_v18_is_met_in_every_part() {
    let Some(vector) = vector("pre_boojum_test") else { return };
    let input = &vector["input"]["PreBoojum"];
    let expected = &vector["auxiliary_output"]["PreBoojum"];
    let common = &input["common"];
    let logs = published::logs(&common["l2_to_l1_logs"]);
    let slot = StorageSlot::new(Address::ZERO, B256::ZERO);
    let initial = input["initial_writes"].as_array().unwrap().iter().map(|write| {
        let mut hashed_key = published::number(&write["key"]);
        hashed_key.reverse();
        let after = published::word(&write["value"]);
        let hashed_key = HashedKey(hashed_key);
        StateDiff { slot, hashed_key, leaf_index: None, before: B256::ZERO, after }
    });
    let repeated = input["repeated_writes"].as_array().unwrap().iter().map(|write| {
        let leaf_index = Some(LeafIndex(write["index"].as_u64().unwrap()));
        let after = published::word(&write["value"]);
        let hashed_key = HashedKey::default();
        StateDiff { slot, hashed_key, leaf_index, before: B256::ZERO, after }
    });
    let writes = WriteLists::of(&initial.chain(repeated).collect::<Vec<_>>());
    assert_eq!(writes.initial, published::bytes(&expected["initial_writes_compressed"]));
    assert_eq!(writes.repeated, published::bytes(&expected["repeated_writes_compressed"]));
    let l2_to_l1_root = LogTree::of_batch(&logs, version(common)).unwrap().root();
    assert_eq!(l2_to_l1_root, published::word(&expected["common"]["l2_l1_logs_merkle_root"]));
    let aux = ListsAux { l2_to_l1_root, logs_hash: logs_list_hash(&logs), writes };
    assert_eq!(aux.logs_hash, published::word(&expected["l2_l1_logs_linear_hash"]));
    check_hashes(&vector, common, &Aux::Lists(aux));
}

fn header(version: u16) -> BatchHeader {
    BatchHeader {
        number: L1BatchNumber(5),
        timestamp: UnixSeconds(7),
        version: ProtocolVersion(version),
        first_block: L2BlockNumber(8),
        last_block: L2BlockNumber(9),
        l1_tx_count: 0,
        l2_tx_count: 1,
        next_leaf_index: LeafIndex(3),
        priority_ops_hash: B256::ZERO,
    }
}

fn commit(
    header: &BatchHeader,
    inputs: &CommitmentInputs,
    pubdata_type: PubdataType,
    writes: &[BatchWrite],
) -> Result<CommitmentParts, CommitmentError> {
    batch_commitment(&CommitmentInput {
        header,
        root: StateRoot(B256::repeat_byte(1)),
        first_new_leaf_index: LeafIndex(2),
        contracts: &BaseSystemContracts::default(),
        pubdata_type,
        inputs,
        writes,
        events: &[],
        l2_to_l1_logs: &[],
        aggregation_root: B256::ZERO,
    })
}

fn one_write() -> (CommitmentInputs, Vec<BatchWrite>) {
    let slot = StorageSlot::new(Address::with_last_byte(1), B256::ZERO);
    let changed = vec![(slot, B256::ZERO)];
    let value = B256::with_last_byte(9);
    let write = BatchWrite { hashed_key: slot.hashed_key(), leaf_index: LeafIndex(2), value };
    (CommitmentInputs { changed, ..CommitmentInputs::default() }, vec![write])
}

#[test]
fn a_batch_before_v18_needs_no_heap_and_no_pubdata() {
    let (inputs, writes) = one_write();
    let parts = commit(&header(17), &inputs, PubdataType::Rollup, &writes).unwrap();
    let Aux::Lists(aux) = &parts.aux else { panic!("{parts:?}") };
    assert_eq!(aux.writes.initial.len(), 4 + 64);
    assert_eq!(aux.writes.repeated, [0; 4]);
    assert_eq!(parts.aux_hash, aux.hash());
    assert_eq!(parts.local_root, parts.l2_to_l1_root);
}

#[test]
fn batches_of_every_version_with_blobs_need_pubdata_only_as_rollups() {
    let pubdata = [7; 10];
    for version in [20, 21, 24, 29].map(ProtocolVersion) {
        let hashes = |pubdata, kind| blob_hashes(pubdata, kind, version);
        let slots = blob_slot_count(version);
        let empty = vec![BlobHashes::default(); slots];
        assert_eq!(hashes(None, PubdataType::NoDa), Ok(empty.clone()));
        assert_eq!(hashes(Some(&pubdata), PubdataType::Avail), Ok(empty.clone()));
        if version.0 == 20 {
            assert_eq!(hashes(None, PubdataType::Rollup), Ok(empty));
            continue;
        }
        assert_eq!(hashes(None, PubdataType::Rollup), Err(CommitmentError::NoPubdata));
        let full = hashes(Some(&pubdata), PubdataType::Rollup).unwrap();
        assert_eq!(full.len(), slots);
        assert_ne!(full[0], BlobHashes::default());
        assert_eq!(full[1..], empty[1..]);
        let long = vec![0; slots * BLOB_BYTES + 1];
        let refused = hashes(Some(&long), PubdataType::Rollup);
        assert_eq!(refused, Err(CommitmentError::TooMuchPubdata(long.len())));
    }
}

#[test]
fn contradictions_in_what_is_stored_are_errors() {
    let (inputs, writes) = one_write();
    let refused = commit(&header(17), &inputs, PubdataType::Rollup, &[]).unwrap_err();
    let count = StateDiffError::OtherCount { writes: 0, changed: 1 };
    assert_eq!(refused, CommitmentError::StateDiffs(count));
    let refused = commit(&header(21), &inputs, PubdataType::Rollup, &writes).unwrap_err();
    assert_eq!(refused, CommitmentError::NoPubdata);
    let bootloader_heap = vec![(u32::MAX, lockstep_types::U256::from(1))];
    let inputs = CommitmentInputs { bootloader_heap, ..inputs };
    let refused = commit(&header(21), &inputs, PubdataType::NoDa, &writes).unwrap_err();
    assert_eq!(refused, CommitmentError::Heap);
}
