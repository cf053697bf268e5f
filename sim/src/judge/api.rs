//! A1 to A3, A6 and V6: an answer of the API comes in time and is the true answer of one chain that
//! the disk had while the question was under way.

use std::time::Duration;

use lockstep_types::{
    Address, B256, L2BlockNumber, Transaction, TxStatus, U256, block::legacy_block_hash,
};
use lockstep_vm_toy::{Op, Program};
use serde_json::{Value, json};

use super::{Judge, Place, Violation};
use crate::model::{Block, Chain, Model};

/// Logs of an answer at most; the node's own limit is far above.
const LOGS_MAX: usize = 5_000;

/// An answer comes within this time, if nothing slows the machine down.
const LATENCY_MAX: Duration = Duration::from_secs(5);

/// What a call runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToyCall {
    /// Of which contract.
    pub(crate) to: Address,
    /// A slot of it.
    pub(crate) key: u64,
    /// What is added to it, and what else is done to have the gas differ.
    pub(crate) add: u64,
    /// What the slot is taken to hold.
    pub(crate) put: Option<u64>,
}

impl ToyCall {
    fn request(&self) -> Value {
        let ops = vec![
            Op::Add { key: self.key, amount: self.add },
            Op::Burn { gas: self.add % 1_000 },
            Op::Return { key: self.key },
        ];
        json!({"to": self.to, "data": Program(ops).encode()})
    }

    fn overrides(&self) -> Option<Value> {
        let diff = json!({B256::from(U256::from(self.key)).to_string(): word(self.put?)});
        Some(json!({self.to.to_string(): {"stateDiff": diff}}))
    }

    /// Every transaction, three operations, and what is burned; and then some more.
    fn estimate(&self) -> u64 {
        (1_000 + 3 * 100 + self.add % 1_000) * 1_300 / 1_000
    }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

/// A question with a known answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// `eth_blockNumber`.
    BlockNumber,
    /// `eth_getBlockByNumber`; `None`: `latest`.
    BlockByNumber(Option<u32>, bool),
    /// `eth_getBlockByHash`.
    BlockByHash(B256),
    /// `eth_getTransactionByHash`.
    Transaction(B256),
    /// `eth_getTransactionReceipt`.
    Receipt(B256),
    /// `eth_getLogs` from a block to one, of an address.
    Logs(u32, u32, Option<Address>),
    /// `eth_getStorageAt` after a block; `None`: `latest`.
    Storage(Address, B256, Option<u32>),
    /// `zks_getL1BatchDetails`.
    BatchDetails(u32),
    /// `zks_getL1BatchBlockRange`.
    BatchRange(u32),
    /// `zks_L1BatchNumber`.
    BatchNumber,
    /// `zks_getBlockDetails`.
    BlockDetails(u32),
    /// `eth_getBlockTransactionCountByNumber`.
    TransactionCount(u32),
    /// `eth_getBlockByNumber` of `finalized`.
    Finalized,
    /// `eth_call` on a block; `None`: `latest`.
    Call(ToyCall, Option<u32>),
    /// `eth_estimateGas`.
    Estimate(ToyCall),
}

impl Question {
    /// Method and parameters.
    pub(crate) fn call(&self) -> (&'static str, Value) {
        let hex = |number: &u32| format!("{number:#x}");
        let at = |number: &Option<u32>| number.as_ref().map_or("latest".to_owned(), hex);
        match self {
            Self::BlockNumber => ("eth_blockNumber", json!([])),
            Self::BlockByNumber(number, full) => {
                ("eth_getBlockByNumber", json!([at(number), full]))
            }
            Self::BlockByHash(hash) => ("eth_getBlockByHash", json!([hash, false])),
            Self::Transaction(hash) => ("eth_getTransactionByHash", json!([hash])),
            Self::Receipt(hash) => ("eth_getTransactionReceipt", json!([hash])),
            Self::Logs(from, to, address) => {
                let mut filter = json!({"fromBlock": hex(from), "toBlock": hex(to)});
                if let Some(address) = address {
                    filter["address"] = json!(address);
                }
                ("eth_getLogs", json!([filter]))
            }
            Self::Storage(address, key, number) => {
                ("eth_getStorageAt", json!([address, key, at(number)]))
            }
            Self::BatchDetails(number) => ("zks_getL1BatchDetails", json!([number])),
            Self::BatchRange(number) => ("zks_getL1BatchBlockRange", json!([number])),
            Self::BatchNumber => ("zks_L1BatchNumber", json!([])),
            Self::BlockDetails(number) => ("zks_getBlockDetails", json!([number])),
            Self::TransactionCount(number) => {
                ("eth_getBlockTransactionCountByNumber", json!([hex(number)]))
            }
            Self::Finalized => ("eth_getBlockByNumber", json!(["finalized", false])),
            Self::Call(call, number) => {
                let mut params = vec![call.request(), json!(at(number))];
                params.extend(call.overrides());
                ("eth_call", json!(params))
            }
            Self::Estimate(call) => {
                let mut params = vec![call.request()];
                if let Some(overrides) = call.overrides() {
                    params.extend([json!("latest"), overrides]);
                }
                ("eth_estimateGas", json!(params))
            }
        }
    }

    /// What the answer must have in it when the node's chain is at `place`.
    fn golden(&self, chain: &Chain, place: &Place) -> Golden {
        let hex = |number: u32| json!(format!("{number:#x}"));
        match self {
            // Genesis is compared when it is made.
            Self::BatchDetails(0)
            | Self::BatchRange(0)
            | Self::BlockDetails(0)
            | Self::TransactionCount(0) => Golden::Unknown,
            Self::BlockNumber => Golden::Is(hex(place.head)),
            // Which one it is depends on what is known of L1.
            Self::Finalized => Golden::Unknown,
            Self::Call(call, number) => {
                let number = number.unwrap_or(place.head);
                if number > place.head {
                    return Golden::Missing;
                }
                let slot = lockstep_types::StorageSlot::new(call.to, word(call.key));
                let held = call.put.map_or_else(|| place.value(chain, &slot, number), word);
                let after = U256::from_be_bytes(held.0).wrapping_add(U256::from(call.add));
                Golden::Is(json!(B256::from(after)))
            }
            Self::Estimate(call) => Golden::Is(json!(format!("{:#x}", call.estimate()))),
            Self::BlockByNumber(number, full) => {
                let number = number.unwrap_or(place.head);
                Golden::of(block(chain, place, number, *full))
            }
            Self::BlockByHash(hash) => {
                let number = number_of(chain, place, hash);
                Golden::of(number.and_then(|number| block(chain, place, number, false)))
            }
            Self::Transaction(hash) => {
                let found = transaction(chain, place, hash);
                Golden::of(found.map(|(block, index, tx)| {
                    json!({
                        "hash": hash, "blockHash": block.hash.0,
                        "blockNumber": hex(block.params.number.0),
                        "transactionIndex": format!("{index:#x}"), "from": tx.initiator(),
                        "to": tx.execute.to, "input": tx.execute.calldata,
                    })
                }))
            }
            Self::Receipt(hash) => Golden::of(receipt(chain, place, hash)),
            Self::Logs(from, to, address) => {
                let to = (*to).min(place.head);
                if *from > place.head {
                    return Golden::Unknown; // What it says of blocks to come is its own affair.
                }
                let all: Vec<_> =
                    (*from..=to).flat_map(|n| logs(chain, place, n, *address)).collect();
                if all.len() > LOGS_MAX { Golden::Unknown } else { Golden::Is(json!(all)) }
            }
            Self::Storage(address, key, number) => {
                let number = number.unwrap_or(place.head);
                if number > place.head {
                    return Golden::Missing;
                }
                let slot = lockstep_types::StorageSlot::new(*address, *key);
                Golden::Is(json!(place.value(chain, &slot, number)))
            }
            Self::BatchDetails(number) => {
                let is_there = *number <= place.sealed(chain);
                let batch = place.batch(*number).filter(|_| is_there).map(|id| chain.batch(id));
                Golden::of(batch.map(|batch| {
                    json!({
                        "number": number, "timestamp": batch.timestamp,
                        "l1TxCount": batch.l1_tx_count, "l2TxCount": batch.l2_tx_count,
                    })
                }))
            }
            Self::BatchRange(number) => {
                let is_there = *number <= place.sealed(chain);
                let batch = place.batch(*number).filter(|_| is_there).map(|id| chain.batch(id));
                let number = |block: Option<&Block>| hex(block.map_or(0, |b| b.params.number.0));
                Golden::of(batch.map(|batch| {
                    json!([number(batch.blocks.first()), number(batch.blocks.last())])
                }))
            }
            Self::BatchNumber => Golden::Is(hex(place.sealed(chain))),
            Self::BlockDetails(number) => {
                let block = place.block(chain, *number);
                Golden::of(block.map(|block| {
                    json!({
                        "number": number, "rootHash": block.hash.0,
                        "timestamp": block.params.timestamp.0,
                    })
                }))
            }
            Self::TransactionCount(number) => {
                let block = place.block(chain, *number);
                Golden::of(block.map(|block| json!(format!("{:#x}", block.txs.len()))))
            }
        }
    }
}

/// What an answer must be.
#[derive(Clone, Debug, PartialEq)]
enum Golden {
    /// It has all of this, and perhaps more.
    Is(Value),
    /// It is `null`, or an error that says that there is nothing.
    Missing,
    /// Anything.
    Unknown,
}

impl Golden {
    fn of(value: Option<Value>) -> Self {
        value.map_or(Self::Missing, Self::Is)
    }

    fn fits(&self, answer: &Value) -> bool {
        match self {
            Self::Unknown => true,
            Self::Missing => answer.get("error").is_some() || answer["result"].is_null(),
            Self::Is(golden) => answer.get("result").is_some_and(|result| has(result, golden)),
        }
    }
}

/// Whether `found` has everything that `golden` has.
pub(super) fn has(found: &Value, golden: &Value) -> bool {
    match (found, golden) {
        (Value::Object(found), Value::Object(golden)) => {
            golden.iter().all(|(key, golden)| has(found.get(key).unwrap_or(&Value::Null), golden))
        }
        (Value::Array(found), Value::Array(golden)) => {
            found.len() == golden.len() && found.iter().zip(golden).all(|(f, g)| has(f, g))
        }
        _ => found == golden,
    }
}

impl Judge {
    /// Judges the answer to a question that was asked at `asked` and answered at `answered`.
    pub(crate) fn answered(
        &self,
        model: &Model,
        question: &Question,
        answer: &Value,
        asked: Duration,
        answered: Duration,
    ) -> Option<Violation> {
        let (method, params) = question.call();
        let is_error = answer.get("error").is_some();
        if is_error && (self.disk_fails() || self.may_be_refused(question, answer)) {
            return None;
        }
        if let Some(late) = self.late(method, asked, answered) {
            return Some(late);
        }
        let chain = model.chain();
        let places = self.heads().between(chain, asked, answered);
        let goldens: Vec<_> = places.iter().map(|place| question.golden(chain, place)).collect();
        if goldens.is_empty() || goldens.iter().any(|golden| golden.fits(answer)) {
            return self.details(model, question, answer, answered);
        }
        let was_there = goldens.iter().all(|golden| matches!(golden, Golden::Is(_)));
        let is_missing = is_error || answer["result"].is_null();
        let invariant = match by_method(question) {
            "A6" => "A6",
            _ if was_there && is_missing => "A3",
            other => other,
        };
        let heads: Vec<_> = places.iter().map(|place| place.head).collect();
        let detail = format!(
            "{method} {params} was answered {answer}; with the newest block at {heads:?} it is \
             one of {goldens:?}"
        );
        Some(Violation::new(invariant, method, detail))
    }

    /// Judges a batch: one chain fits all its answers.
    pub(crate) fn answered_batch(
        &self,
        model: &Model,
        questions: &[Question],
        answers: &[Value],
        asked: Duration,
        answered: Duration,
    ) -> Option<Violation> {
        if self.disk_fails() {
            return None;
        }
        let mut finals = questions.iter().zip(answers).filter_map(|(question, answer)| {
            (*question == Question::Finalized).then_some(&answer["result"]["number"])
        });
        if let Some(first) = finals.next()
            && let Some(other) = finals.find(|other| *other != first)
        {
            let detail = format!("block {first} is final, and in the same batch block {other} is");
            return Some(Violation::new("A2", "finalized", detail));
        }
        let chain = model.chain();
        let places = self.heads().between(chain, asked, answered);
        let fits = |place: &Place| {
            let mut both = questions.iter().zip(answers);
            both.all(|(question, answer)| question.golden(chain, place).fits(answer))
        };
        if places.is_empty() || places.iter().any(fits) {
            return None;
        }
        let heads: Vec<_> = places.iter().map(|place| place.head).collect();
        let detail = format!("{questions:?} were answered {answers:?}, with heads {heads:?}");
        Some(Violation::new("A1", "batch", detail))
    }

    fn late(&self, method: &str, asked: Duration, answered: Duration) -> Option<Violation> {
        let took = answered.saturating_sub(asked);
        (took > LATENCY_MAX && self.is_prompt()).then(|| {
            Violation::new("V6", "late answer", format!("{method} was answered after {took:?}"))
        })
    }

    /// What is run may be given up: the machine is slow, or the process is going down.
    fn may_be_refused(&self, question: &Question, answer: &Value) -> bool {
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        let is_run = matches!(question, Question::Call(..) | Question::Estimate(_));
        is_run && (!self.is_prompt() || message.contains("shutting down"))
    }

    /// A2: what is said to be final is.
    fn details(
        &self,
        model: &Model,
        question: &Question,
        answer: &Value,
        now: Duration,
    ) -> Option<Violation> {
        let Question::BatchDetails(number) = question else { return None };
        let result = &answer["result"];
        let places = self.heads().between(model.chain(), now, now);
        let names = ["commitTxHash", "proveTxHash", "executeTxHash"];
        for (kind, name) in crate::model::StepKind::ALL.into_iter().zip(names) {
            let Some(hash) = result[name].as_str().and_then(|text| text.parse::<B256>().ok())
            else {
                continue;
            };
            let is_known = places.iter().any(|place| {
                place.batch(*number).is_some_and(|id| model.step(now, &hash, kind, id).is_some())
            });
            if !is_known && !places.is_empty() {
                let detail = format!("batch {number} is shown with {name} {hash}, which L1 lacks");
                return Some(Violation::new("A2", name, detail));
            }
        }
        None
    }
}

fn by_method(question: &Question) -> &'static str {
    match question {
        Question::Logs(..) => "A4",
        Question::Call(..) | Question::Estimate(_) => "A6",
        _ => "A1",
    }
}

fn number_of(chain: &Chain, place: &Place, hash: &B256) -> Option<u32> {
    if *hash == legacy_block_hash(L2BlockNumber(0)).0 {
        return Some(0);
    }
    let (_, block) = chain.block_by_hash(&lockstep_types::L2BlockHash(*hash))?;
    let number = block.params.number.0;
    (place.hash(chain, number) == Some(*hash)).then_some(number)
}

fn block(chain: &Chain, place: &Place, number: u32, full: bool) -> Option<Value> {
    let hash = place.hash(chain, number)?;
    let Some(block) = place.block(chain, number) else {
        return Some(json!({"hash": hash, "number": "0x0", "transactions": []}));
    };
    let gas = |(tx, outcome): (&Transaction, &lockstep_types::TxOutcome)| {
        tx.gas_limit().saturating_sub(U256::from(outcome.gas_refunded))
    };
    let gas_used: U256 = block.txs.iter().zip(&block.outcomes).map(gas).sum();
    let is_sealed = block.params.batch.0 <= place.sealed(chain);
    let batch = is_sealed.then(|| format!("{:#x}", block.params.batch.0));
    let txs: Vec<Value> = block
        .txs
        .iter()
        .map(|tx| if full { json!({"hash": tx.hash().0}) } else { json!(tx.hash().0) })
        .collect();
    Some(json!({
        "hash": hash, "parentHash": block.parent.0, "number": format!("{number:#x}"),
        "timestamp": format!("{:#x}", block.params.timestamp.0), "transactions": txs,
        "gasUsed": gas_used, "l1BatchNumber": batch,
    }))
}

fn transaction<'a>(
    chain: &'a Chain,
    place: &Place,
    hash: &B256,
) -> Option<(&'a Block, usize, &'a Transaction)> {
    (1..=place.head).find_map(|number| {
        let block = place.block(chain, number)?;
        let index = block.txs.iter().position(|tx| tx.hash().0 == *hash)?;
        Some((block, index, &block.txs[index]))
    })
}

fn receipt(chain: &Chain, place: &Place, hash: &B256) -> Option<Value> {
    let (block, index, tx) = transaction(chain, place, hash)?;
    let outcome = &block.outcomes[index];
    let status = if outcome.status == TxStatus::Success { "0x1" } else { "0x0" };
    let gas_used = tx.gas_limit().saturating_sub(U256::from(outcome.gas_refunded));
    let logs: Vec<_> = outcome.events.iter().map(|event| json!({"topics": event.topics})).collect();
    Some(json!({
        "transactionHash": hash, "blockHash": block.hash.0, "status": status,
        "gasUsed": gas_used, "logs": logs,
    }))
}

pub(super) fn logs(chain: &Chain, place: &Place, number: u32, of: Option<Address>) -> Vec<Value> {
    let Some(block) = place.block(chain, number) else { return Vec::new() };
    let events = block.outcomes.iter().flat_map(|outcome| &outcome.events);
    let events = events.chain(&block.tip_events);
    (0..)
        .zip(events)
        .filter(|(_, event)| of.is_none_or(|of| event.address == of))
        .map(|(index, event): (u32, _)| {
            json!({
                "address": event.address, "topics": event.topics, "data": event.data,
                "blockHash": block.hash.0, "logIndex": format!("{index:#x}"),
            })
        })
        .collect()
}
