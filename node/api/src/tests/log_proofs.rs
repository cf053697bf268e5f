//! Details of transactions, and proofs of their logs for L1.

use lockstep_types::{
    B256, BatchSteps, ChainId, Finality, L1BatchNumber, L2ToL1Log, ProtocolVersion, StepTx, TxType,
    address, keccak256,
};
use lockstep_vm_toy::Op;
use lockstep_wire::zks::L2ToL1LogProof;
use serde_json::{Value, json};

use super::{
    sample::{Block, batch, genesis, l2_tx, priority_tx, receipt, world},
    toy::{Setup, Toy},
    world::World,
};
use crate::ApiConfig;

const L1: ChainId = ChainId(9);

fn execute(world: &mut World, chain_id: ChainId, finality: Finality) {
    let tx_hash = B256::repeat_byte(3);
    let step = StepTx { tx_hash, at: "2026-01-01T00:00:00Z".to_owned(), chain_id, finality };
    let steps = BatchSteps { execute: Some(step), ..BatchSteps::default() };
    world.writers.steps.persist(&[(L1BatchNumber(1), steps)]).unwrap();
}

fn log(tx_index_in_batch: u16, value: u8) -> L2ToL1Log {
    L2ToL1Log {
        shard_id: 0,
        is_service: true,
        tx_index_in_batch,
        sender: address::BOOTLOADER,
        key: B256::repeat_byte(1),
        value: B256::with_last_byte(value),
    }
}

fn joined(left: B256, right: B256) -> B256 {
    keccak256([left.0, right.0].concat())
}

/// The root that `siblings` lead to from `log` at leaf `id`.
fn root(log: &L2ToL1Log, id: u32, siblings: &[B256]) -> B256 {
    let mut hash = keccak256(log.to_bytes());
    for (level, sibling) in siblings.iter().enumerate() {
        let is_right = (id >> level) & 1 == 1;
        hash = if is_right { joined(*sibling, hash) } else { joined(hash, *sibling) };
    }
    hash
}

#[test]
fn details_of_a_transaction_follow_its_batch() {
    let mut world = world();
    let ask = |world: &World, id: u8| {
        world.ask("zks_getTransactionDetails", json!([B256::repeat_byte(id)]))
    };
    let expected = json!({
        "isL1Originated": true,
        "status": "included",
        "fee": format!("{:#x}", 19_000 * 300),
        "gasPerPubdata": "0x320",
        "initiatorAddress": "0xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
        "receivedAt": "1970-01-01T00:00:00Z",
        "ethCommitTxHash": null,
        "ethProveTxHash": null,
        "ethExecuteTxHash": null,
        "ethPrecommitTxHash": null,
    });
    assert_eq!(ask(&world, 0x11), expected);
    let l2 = ask(&world, 0x14);
    assert_eq!((&l2["isL1Originated"], &l2["fee"]), (&json!(false), &json!("0xdbba0")));
    for (finality, status) in [
        (Finality::Pending, "included"),
        (Finality::FastFinalized, "fastFinalized"),
        (Finality::Finalized, "verified"),
    ] {
        execute(&mut world, L1, finality);
        assert_eq!(ask(&world, 0x11)["status"], json!(status));
        assert_eq!(ask(&world, 0x11)["ethExecuteTxHash"], json!(B256::repeat_byte(3)));
        assert_eq!(ask(&world, 0x13)["status"], json!("failed"), "it was undone");
        assert_eq!(ask(&world, 0x31)["status"], json!("included"), "its batch is open");
    }
    assert_eq!(ask(&world, 0x99), Value::Null);
}

#[test]
fn a_log_is_proved_once_its_batch_is_executed_on_l1() {
    let mut world = world();
    let hash = B256::repeat_byte(0x11);
    let ask = |world: &World| world.ask("zks_getL2ToL1LogProof", json!([hash, 0]));
    assert_eq!(ask(&world), Value::Null, "not executed");
    execute(&mut world, ChainId(10), Finality::Finalized);
    assert_eq!(ask(&world), Value::Null, "executed on a gateway");
    execute(&mut world, L1, Finality::Pending);
    let proof: L2ToL1LogProof = serde_json::from_value(ask(&world)).unwrap();
    assert_eq!((proof.id, proof.batch_number, proof.proof.len()), (0, 1, 1 + 14 + 1));
    let mut metadata = B256::ZERO;
    metadata[..4].copy_from_slice(&[1, 15, 0, 1]);
    assert_eq!(proof.proof[0], metadata);
    assert_eq!(root(&log(0, 1), proof.id, &proof.proof[1..]), proof.root);

    let first = ask(&world);
    assert_eq!(world.ask("zks_getL2ToL1LogProof", json!([hash])), first);
    let gateway = json!([hash, null, "proof_based_gw"]);
    assert_eq!(world.ask("zks_getL2ToL1LogProof", gateway), first);
    assert_eq!(world.error("zks_getL2ToL1LogProof", json!([hash, 0, "else"])).0, -32_602);
    for nothing in [
        json!([hash, 1]),
        json!([B256::repeat_byte(0x13), 0]),
        json!([B256::repeat_byte(0x31), 0]),
        json!([B256::repeat_byte(0x99), 0]),
    ] {
        assert_eq!(world.ask("zks_getL2ToL1LogProof", nothing.clone()), Value::Null, "{nothing}");
    }
}

#[test]
fn a_batch_is_expected_to_be_executed_where_the_one_before_was() {
    let mut toy = Toy::new(Setup::default());
    toy.block(&[&[Op::Send { key: 1, value: 2 }]]);
    toy.end();
    let ask = |toy: &Toy| toy.world.ask("zks_getL2ToL1LogProof", json!([toy.tx_hash(7, 0), 0]));
    assert_eq!(ask(&toy), Value::Null, "nobody knows where batches are executed");
    execute(&mut toy.world, ChainId(10), Finality::Finalized);
    assert_eq!(ask(&toy), Value::Null, "on a gateway");
    execute(&mut toy.world, L1, Finality::Pending);
    assert_eq!(ask(&toy)["batchNumber"], json!(3));
}

#[test]
fn before_v26_a_proof_leads_to_the_batchs_own_tree() {
    let mut world = World::new(ApiConfig::default());
    world.persist_genesis(&genesis(Vec::new()));
    let mut of_l2 = receipt(Vec::new());
    of_l2.l2_to_l1_logs = vec![log(1, 7), log(1, 8)];
    let mut of_l1 = receipt(Vec::new());
    of_l1.l2_to_l1_logs = vec![log(0, 1)];
    let mut block = Block {
        number: 1,
        batch: 1,
        transactions: vec![(priority_tx(0x11), of_l1), (l2_tx(0x12, TxType::Eip1559), of_l2)],
        ..Block::default()
    }
    .record();
    block.header.params.version = ProtocolVersion(24);
    world.persist(&block, None);
    let own = Some(receipt(Vec::new()));
    let mut fictive = Block { number: 2, batch: 1, own, ..Block::default() }.record();
    fictive.header.params.version = ProtocolVersion(24);
    let mut batch = batch(1, [1, 2], &[]);
    batch.header.version = ProtocolVersion(24);
    world.persist(&fictive, Some(&batch));

    for (index, leaf) in [(0, 1), (1, 2)] {
        let params = json!([B256::repeat_byte(0x12), index]);
        let answer = world.ask("zks_getL2ToL1LogProof", params);
        let proof: L2ToL1LogProof = serde_json::from_value(answer).unwrap();
        assert_eq!((proof.id, proof.proof.len()), (leaf, 14));
        let value = u8::try_from(7 + index).unwrap();
        assert_eq!(root(&log(1, value), leaf, &proof.proof), proof.root);
    }
}
