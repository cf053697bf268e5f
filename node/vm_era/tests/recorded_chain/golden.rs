//! What the reference node's API said of a recorded chain, compared with what running it gives.

use std::collections::BTreeMap;

use lockstep_testvectors::Recording;
use lockstep_types::{B256, Event, L2ToL1Log, Transaction, TxOutcome, TxStatus, U256};
use lockstep_vm::Vm;
use serde_json::{Value, json};

use crate::{batches::Ran, chain::Chain};

/// Compares outcomes with the receipts that the reference node's API gave; returns how many.
pub(crate) fn check_receipts(recording: &Recording, chain: &Chain, all: &[Ran]) -> usize {
    let receipts = receipts(recording);
    let mut compared = 0;
    for (tx, outcome) in txs(chain, all) {
        let Some(receipt) = receipts.get(&tx.hash().0) else { continue };
        check_receipt(receipt, tx, outcome);
        compared += 1;
    }
    compared
}

fn receipts(recording: &Recording) -> BTreeMap<B256, Value> {
    let golden = recording.golden_api();
    let single = golden.iter().filter(|one| one.method == "eth_getTransactionReceipt");
    let single = single.map(|one| one.answer.parse::<Value>());
    let by_block = golden.iter().filter(|one| one.method == "eth_getBlockReceipts");
    let by_block = by_block.filter(|one| one.answer.result().is_some());
    let by_block =
        by_block.flat_map(|one| one.answer.parse::<Option<Vec<Value>>>().unwrap_or_default());
    let hash =
        |receipt: &Value| serde_json::from_value(receipt["transactionHash"].clone()).unwrap();
    let found = single.chain(by_block).filter(|receipt| !receipt.is_null());
    found.map(|receipt| (hash(&receipt), receipt)).collect()
}

fn check_receipt(receipt: &Value, tx: &Transaction, outcome: &TxOutcome) {
    let hash = tx.hash();
    let gas_used = tx.gas_limit() - U256::from(outcome.gas_refunded);
    assert_eq!(receipt["gasUsed"], json!(format!("{gas_used:#x}")), "gas of {hash}");
    let status = if outcome.status == TxStatus::Success { "0x1" } else { "0x0" };
    assert_eq!(receipt["status"], json!(status), "status of {hash}: {:?}", outcome.status);
    let logs = receipt["logs"].as_array().unwrap();
    assert_eq!(logs.iter().map(event).collect::<Vec<_>>(), outcome.events, "events of {hash}");
    let index = receipt["l1BatchTxIndex"].as_str().unwrap();
    let index = u16::from_str_radix(index.trim_start_matches("0x"), 16).unwrap();
    let l1_logs = receipt["l2ToL1Logs"].as_array().unwrap();
    let l1_logs: Vec<_> = l1_logs.iter().map(|log| l2_to_l1_log(log, index)).collect();
    assert_eq!(l1_logs, outcome.l2_to_l1_logs, "L2→L1 logs of {hash}");
}

fn field<T: serde::de::DeserializeOwned>(json: &Value, name: &str) -> T {
    serde_json::from_value(json[name].clone()).unwrap()
}

fn event(json: &Value) -> Event {
    Event {
        address: field(json, "address"),
        topics: field(json, "topics"),
        data: field(json, "data"),
    }
}

fn l2_to_l1_log(json: &Value, tx_index_in_batch: u16) -> L2ToL1Log {
    L2ToL1Log {
        shard_id: 0,
        is_service: field(json, "isService"),
        tx_index_in_batch,
        sender: field(json, "sender"),
        key: field(json, "key"),
        value: field(json, "value"),
    }
}

/// Compares the words of reverts with those of traced transactions; returns how many.
pub(crate) fn check_reasons(recording: &Recording, chain: &Chain, all: &[Ran]) -> usize {
    let golden = recording.golden_api();
    let traces = golden.iter().filter(|one| one.method == "debug_traceTransaction");
    let traced = traces.filter_map(|one| {
        let hash: B256 = serde_json::from_value(one.params[0].clone()).ok()?;
        let trace: Value = one.answer.result().map(|_| one.answer.parse())?;
        Some((hash, trace.get("revertReason")?.as_str()?.to_owned()))
    });
    let reasons: BTreeMap<_, _> = traced.collect();
    let mut compared = 0;
    for (tx, outcome) in txs(chain, all) {
        let Some(expected) = reasons.get(&tx.hash().0) else { continue };
        let expected = TxStatus::Reverted { reason: expected.clone() };
        assert_eq!(outcome.status, expected, "{}", tx.hash());
        compared += 1;
    }
    compared
}

/// Compares prices and limits with those of recorded blocks; returns how many.
pub(crate) fn check_limits(vm: &dyn Vm, recording: &Recording, chain: &Chain) -> usize {
    let golden = recording.golden_api();
    let blocks = golden.iter().filter(|one| one.method == "eth_getBlockByNumber");
    let blocks: BTreeMap<String, Value> = blocks
        .filter(|one| one.answer.result().is_some())
        .map(|one| one.answer.parse::<Value>())
        .filter_map(|block| Some((block.get("number")?.as_str()?.to_owned(), block)))
        .collect();
    let mut compared = 0;
    for block in chain.batches.iter().flatten() {
        let params = &block.parts.params;
        let Some(golden) = blocks.get(&format!("{:#x}", params.number.0)) else { continue };
        let limits = vm.limits(params.version, &params.fee_input).unwrap();
        assert_eq!(golden["baseFeePerGas"], json!(format!("{:#x}", limits.base_fee_per_gas)));
        assert_eq!(golden["gasLimit"], json!(format!("{:#x}", limits.gas_limit)));
        compared += 1;
    }
    compared
}

/// Every transaction with its outcome.
fn txs<'a>(
    chain: &'a Chain,
    all: &'a [Ran],
) -> impl Iterator<Item = (&'a Transaction, &'a TxOutcome)> {
    let batches = chain.batches.iter().zip(all);
    batches.flat_map(|(blocks, ran)| {
        let txs = blocks.iter().flat_map(|block| block.txs());
        txs.zip(ran.outcomes.iter().flatten())
    })
}
