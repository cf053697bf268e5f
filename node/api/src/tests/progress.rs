//! How far batches have come: details, tags and proofs.

use lockstep_tree::{Proof, verify};
use lockstep_types::{
    B256, BatchClaim, BatchSteps, ChainId, Commitment, Finality, L1BatchNumber, L2BlockNumber,
    LeafIndex, StateRoot, StepTx, block::legacy_block_hash,
};
use lockstep_wire::zks;
use serde_json::{Value, json};

use super::{
    sample::{CONTRACT, batch_1, slot_five, world},
    world::World,
};

fn step(id: u8, finality: Finality) -> Option<StepTx> {
    let tx_hash = B256::repeat_byte(id);
    Some(StepTx { tx_hash, at: "2026-01-01T00:00:00Z".to_owned(), chain_id: ChainId(9), finality })
}

fn set_steps(world: &mut World, steps: BatchSteps) {
    world.writers.steps.persist(&[(L1BatchNumber(1), steps)]).unwrap();
}

fn block_at(world: &World, tag: &str) -> Value {
    world.ask("eth_getBlockByNumber", json!([tag, false]))["number"].clone()
}

#[test]
fn tags_follow_the_l1_steps() {
    let mut world = world();
    let tags = |world: &World| {
        ["safe", "precommitted", "l1_committed", "fast_finalized", "finalized"]
            .map(|tag| block_at(world, tag).as_str().unwrap().to_owned())
    };
    assert_eq!(tags(&world), ["0x0"; 5]);
    let pending = BatchSteps { commit: step(1, Finality::Pending), ..BatchSteps::default() };
    set_steps(&mut world, pending);
    assert_eq!(tags(&world), ["0x0"; 5]);
    let mut steps = BatchSteps {
        commit: step(1, Finality::Finalized),
        prove: step(2, Finality::Pending),
        execute: step(3, Finality::Pending),
    };
    set_steps(&mut world, steps.clone());
    assert_eq!(tags(&world), ["0x2", "0x2", "0x2", "0x0", "0x0"]);
    steps.execute = step(3, Finality::FastFinalized);
    set_steps(&mut world, steps.clone());
    assert_eq!(tags(&world), ["0x2", "0x2", "0x2", "0x2", "0x0"]);
    steps.execute = step(3, Finality::Finalized);
    set_steps(&mut world, steps);
    assert_eq!(tags(&world), ["0x2"; 5]);
}

#[test]
fn a_block_is_sealed_then_fast_finalized_then_verified() {
    let mut world = world();
    let status = |world: &World, block: u32| {
        let details = world.ask("zks_getBlockDetails", json!([block]));
        details["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&world, 0), "verified");
    for (finality, expected) in [
        (None, "sealed"),
        (Some(Finality::Pending), "sealed"),
        (Some(Finality::FastFinalized), "fastFinalized"),
        (Some(Finality::Finalized), "verified"),
    ] {
        let execute = finality.and_then(|finality| step(3, finality));
        set_steps(&mut world, BatchSteps { execute, ..BatchSteps::default() });
        assert_eq!((status(&world, 1), status(&world, 3)), (expected.to_owned(), "sealed".into()));
    }
}

#[test]
fn block_details_show_the_steps_of_the_batch() {
    let mut world = world();
    let commit = step(1, Finality::FastFinalized);
    set_steps(&mut world, BatchSteps { commit, ..BatchSteps::default() });
    let expected = json!({
        "number": 1,
        "l1BatchNumber": 1,
        "timestamp": 1_001,
        "l1TxCount": 1,
        "l2TxCount": 3,
        "rootHash": legacy_block_hash(L2BlockNumber(1)).0,
        "status": "sealed",
        "commitTxHash": B256::repeat_byte(1),
        "committedAt": "2026-01-01T00:00:00Z",
        "commitTxFinality": "fastFinalized",
        "commitChainId": 9,
        "proveTxHash": null,
        "proveTxFinality": null,
        "provenAt": null,
        "proveChainId": null,
        "executeTxHash": null,
        "executeTxFinality": null,
        "executedAt": null,
        "executeChainId": null,
        "precommitTxHash": null,
        "precommitTxFinality": null,
        "precommittedAt": null,
        "precommitChainId": null,
        "l1GasPrice": 7,
        "l2FairGasPrice": 8,
        "fairPubdataPrice": 9,
        "baseSystemContractsHashes": {
            "bootloader": B256::repeat_byte(0xb0),
            "default_aa": B256::repeat_byte(0xda),
            "evm_emulator": null,
        },
        "operatorAddress": "0xfefefefefefefefefefefefefefefefefefefefe",
        "protocolVersion": "Version29",
    });
    assert_eq!(world.ask("zks_getBlockDetails", json!([1])), expected);
    assert_eq!(world.ask("zks_getBlockDetails", json!([3]))["l1BatchNumber"], json!(2));
}

#[test]
fn batch_details_grow_with_tree_claims_and_steps() {
    let mut world = world();
    let details = |world: &World| world.ask("zks_getL1BatchDetails", json!([1]));
    let first = details(&world);
    assert_eq!(first["number"], json!(1));
    assert_eq!(first["timestamp"], json!(1_001));
    assert_eq!((&first["rootHash"], &first["commitment"]), (&Value::Null, &Value::Null));
    assert_eq!(first["status"], json!("sealed"));

    world.grow_tree(&batch_1());
    let root = lockstep_tree::root_of(world.views.now().raw(), L1BatchNumber(1)).unwrap();
    let root = root.expect("the tree has the batch").root;
    assert_eq!(details(&world)["rootHash"], json!(root.0));

    let claim = BatchClaim {
        number: L1BatchNumber(1),
        root: Some(StateRoot(B256::repeat_byte(0x66))),
        commitment: Some(Commitment(B256::repeat_byte(0x77))),
    };
    world.writers.claims.persist(&[claim], None).unwrap();
    assert_eq!(details(&world)["commitment"], json!(B256::repeat_byte(0x77)));
    assert_eq!(details(&world)["rootHash"], json!(root.0), "ours, not the claimed one");

    let execute = step(3, Finality::Finalized);
    set_steps(&mut world, BatchSteps { execute, ..BatchSteps::default() });
    assert_eq!(details(&world)["status"], json!("verified"));
    assert_eq!(details(&world)["executeTxFinality"], json!("finalized"));
}

#[test]
fn genesis_is_verified_and_has_the_commitment_it_was_made_with() {
    let details = world().ask("zks_getL1BatchDetails", json!([0]));
    assert_eq!(details["status"], json!("verified"));
    assert_eq!(details["commitment"], json!(B256::repeat_byte(0x6c)));
    assert!(details["rootHash"].is_string());
}

#[test]
fn a_batch_that_is_not_sealed_has_no_details() {
    assert_eq!(world().ask("zks_getL1BatchDetails", json!([2])), Value::Null);
}

#[test]
fn proofs_lead_to_the_root_of_their_batch() {
    let mut world = world();
    let keys = [slot_five().key, B256::with_last_byte(6)];
    let ask = |world: &World, batch: u32| world.ask("zks_getProof", json!([CONTRACT, keys, batch]));
    assert_eq!(ask(&world, 1), Value::Null, "the tree is not there yet");
    world.grow_tree(&batch_1());
    assert_eq!(ask(&world, 2), Value::Null);

    for (batch, index, value) in [(0, 0, 0), (1, 2, 7)] {
        let root = lockstep_tree::root_of(world.views.now().raw(), L1BatchNumber(batch)).unwrap();
        let answer: zks::Proof = serde_json::from_value(ask(&world, batch)).unwrap();
        assert_eq!((answer.address, answer.storage_proof.len()), (CONTRACT, 2));
        let [written, absent] = answer.storage_proof.try_into().unwrap();
        assert_eq!((written.key, written.index), (keys[0], index));
        assert_eq!(written.value, B256::with_last_byte(value));
        assert_eq!((absent.key, absent.index, absent.value), (keys[1], 0, B256::ZERO));
        let index = LeafIndex(written.index);
        let proof = Proof { index, value: written.value, siblings: written.proof };
        assert!(verify(&proof, slot_five().hashed_key(), root.unwrap().root));
    }
}
