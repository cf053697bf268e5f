//! Every recorded transaction is what its hash says, and a lie about one is seen.

use lockstep_testvectors::{Recording, recordings_for};
use lockstep_types::{ChainId, Transaction, TxCommon, U256};
use lockstep_wire::{
    Checked, SyncBlock, SyncBlockParts, TxMismatch, check_transaction, decode_raw,
};
use serde_json::json;

fn chain_id(recording: &Recording) -> ChainId {
    let hex: String =
        recording.main_node().answer("eth_chainId", &json!([])).expect("recorded").parse();
    ChainId(u64::from_str_radix(&hex[2..], 16).expect("hex"))
}

fn transactions(recording: &Recording) -> Vec<Transaction> {
    let main_node = recording.main_node();
    let block = |number| {
        let answer = main_node.answer("en_syncL2Block", &json!([number, true])).expect("recorded");
        let parts = SyncBlockParts::try_from(answer.parse::<SyncBlock>()).expect("a block");
        parts.transactions.expect("asked for")
    };
    (0..=main_node.head()).flat_map(block).collect()
}

#[test]
fn every_recorded_transaction_is_what_its_hash_says() {
    for recording in recordings_for("hashes of transactions") {
        let (mut l2_count, mut priority_count, mut upgrade_count) = (0, 0, 0);
        let chain_id = chain_id(&recording);
        for tx in transactions(&recording) {
            assert_eq!(check_transaction(&tx, chain_id), Ok(Checked::Whole));
            match &tx.common {
                TxCommon::L2(_) => {
                    let raw = tx.raw.as_ref().expect("recorded");
                    let received_at_ms = tx.received_at_ms;
                    let decoded = decode_raw(raw, chain_id).expect("a transaction");
                    assert_eq!(Transaction { received_at_ms, ..decoded }, tx);
                    l2_count += 1;
                }
                TxCommon::Priority(_) => priority_count += 1,
                TxCommon::Upgrade(_) => upgrade_count += 1,
            }
        }
        assert!(l2_count > 0 && priority_count > 0 && upgrade_count > 0);
    }
}

#[test]
fn a_lie_about_a_transaction_from_l1_is_seen() {
    for recording in recordings_for("lies about transactions from L1") {
        let chain_id = chain_id(&recording);
        let from_l1 = |tx: &Transaction| !matches!(tx.common, TxCommon::L2(_));
        let mut count = 0;
        for good in transactions(&recording).into_iter().filter(from_l1) {
            for (name, change) in LIES {
                let mut bad = good.clone();
                change(&mut bad);
                let checked = check_transaction(&bad, chain_id);
                assert!(
                    matches!(
                        checked,
                        Err(TxMismatch::Field { .. } | TxMismatch::FactoryDep { .. })
                    ),
                    "{name}: {checked:?}"
                );
                count += 1;
            }
        }
        assert!(count > 0);
    }
}

type Lie = (&'static str, fn(&mut Transaction));

const LIES: &[Lie] = &[
    ("to", |tx| tx.execute.to = None),
    ("value", |tx| tx.execute.value += U256::from(1)),
    ("calldata", |tx| tx.execute.calldata = [tx.execute.calldata.as_ref(), &[0]].concat().into()),
    ("another factory dep", |tx| tx.execute.factory_deps.push(vec![0; 32].into())),
    ("a factory dep that is none", |tx| tx.execute.factory_deps.push(vec![0; 31].into())),
    ("raw bytes", |tx| tx.raw = Some(vec![1].into())),
    ("hash", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.hash.0[0] ^= 1,
        TxCommon::Upgrade(common) => common.hash.0[0] ^= 1,
        TxCommon::L2(_) => {}
    }),
    ("sender", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.sender[0] ^= 1,
        TxCommon::Upgrade(common) => common.sender[0] ^= 1,
        TxCommon::L2(_) => {}
    }),
    ("position", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.serial_id += 1,
        TxCommon::Upgrade(common) => common.upgrade.0 += 1,
        TxCommon::L2(_) => {}
    }),
    ("price", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.max_fee_per_gas += U256::from(1),
        TxCommon::Upgrade(common) => common.max_fee_per_gas += U256::from(1),
        TxCommon::L2(_) => {}
    }),
    ("gas", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.gas_limit += U256::from(1),
        TxCommon::Upgrade(common) => common.gas_limit += U256::from(1),
        TxCommon::L2(_) => {}
    }),
    ("gas per pubdata", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.gas_per_pubdata_limit += U256::from(1),
        TxCommon::Upgrade(common) => common.gas_per_pubdata_limit += U256::from(1),
        TxCommon::L2(_) => {}
    }),
    ("minted", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.to_mint += U256::from(1),
        TxCommon::Upgrade(common) => common.to_mint += U256::from(1),
        TxCommon::L2(_) => {}
    }),
    ("refund recipient", |tx| match &mut tx.common {
        TxCommon::Priority(common) => common.refund_recipient[0] ^= 1,
        TxCommon::Upgrade(common) => common.refund_recipient[0] ^= 1,
        TxCommon::L2(_) => {}
    }),
];
