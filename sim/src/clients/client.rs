//! One client: it draws questions about blocks that are new, old, of another fork, or nowhere.

use std::{sync::PoisonError, time::Duration};

use lockstep_types::{Address, B256, L2BlockNumber, block::legacy_block_hash};
use rand_chacha::{ChaCha8Rng, rand_core::RngCore};
use serde_json::{Value, json};

use super::Api;
use crate::{
    judge::{
        SharedJudge, Violation,
        api::{Question, ToyCall},
    },
    model::{Block, Dice, SharedModel},
};

/// Requests that are none, or of no use.
const NONSENSE: [&str; 12] = [
    "",
    "{",
    "[]",
    "null",
    "{\"jsonrpc\":\"2.0\",\"id\":1}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_nothing\",\"params\":[]}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBlockByNumber\",\"params\":[]}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBlockByNumber\",\"params\":[\"0xz\",true]}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getLogs\",\"params\":[{\"fromBlock\":\"0x9\",\"toBlock\":\"0x1\"}]}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getStorageAt\",\"params\":[\"0x1\",\"0x1\",\"latest\"]}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_call\",\"params\":[{},\"0xffffffffffffffff\"]}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"zks_getL1BatchDetails\",\"params\":[4294967296]}",
];

/// Asks, and has the judge look at the answers.
pub(super) struct Client {
    pub(super) dice: Dice,
    model: SharedModel,
    judge: SharedJudge,
}

impl Client {
    pub(super) fn new(mut rng: ChaCha8Rng, model: SharedModel, judge: SharedJudge) -> Self {
        Self { dice: Dice::new(rng.next_u64(), "client"), model, judge }
    }

    /// Asks one question.
    pub(super) async fn ask(&mut self, api: &dyn Api) {
        let question = self.draw();
        self.ask_that(api, question).await;
    }

    /// Has a program run, now and then in a state in which a slot holds something else.
    pub(super) async fn have_run(&mut self, api: &dyn Api) {
        let dice = &mut self.dice;
        let call = ToyCall {
            to: Address::repeat_byte(0xc0 + u8::try_from(dice.below(3)).unwrap_or(0)),
            key: dice.below(6),
            add: dice.below(5_000),
            put: dice.chance(1, 3).then_some(1_000_000 + dice.below(1_000)),
        };
        let question = if dice.chance(1, 4) {
            Question::Estimate(call)
        } else {
            let tip = self.model.lock().unwrap_or_else(PoisonError::into_inner).view().tip;
            let at = self.dice.chance(1, 2).then(|| self.dice.between_u32(0, tip));
            Question::Call(call, at)
        };
        self.ask_that(api, question).await;
    }

    /// Asks several questions at once, to which one chain is the answer.
    pub(super) async fn ask_batch(&mut self, api: &dyn Api) {
        let mut questions = vec![Question::Finalized, Question::BlockNumber];
        questions.extend((0..self.dice.below(3)).map(|_| self.draw()));
        questions.extend([Question::BlockByNumber(None, false), Question::Finalized]);
        let request = |question: &Question| {
            let (method, params) = question.call();
            json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
        };
        let requests = questions.iter().map(request).collect();
        let pause = Duration::from_millis(self.dice.below(400));
        let asked = api.now();
        let Some(answers) = api.ask_batch(requests, pause).await else { return };
        let answered = api.now();
        let read = |answer: &String| serde_json::from_str(answer).unwrap_or(Value::Null);
        let answers: Vec<Value> = answers.iter().map(read).collect();
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let found = judge.answered_batch(&model, &questions, &answers, asked, answered);
        if let Some(violation) = found {
            judge.add(violation);
        }
    }

    async fn ask_that(&mut self, api: &dyn Api, question: Question) {
        let (method, params) = question.call();
        let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let asked = api.now();
        let Some(answer) = api.ask(request.to_string()).await else { return };
        let answered = api.now();
        let violation = match serde_json::from_str::<Value>(&answer) {
            Err(error) => {
                Some(Violation::new("A1", "no JSON", format!("{method}: {error}: {answer}")))
            }
            Ok(answer) => {
                let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
                let judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
                judge.answered(&model, &question, &answer, asked, answered)
            }
        };
        if let Some(violation) = violation {
            self.judge.lock().unwrap_or_else(PoisonError::into_inner).add(violation);
        }
    }

    /// Sends something that must be refused or answered with nothing, and harm nobody.
    pub(super) async fn send_nonsense(&mut self, api: &dyn Api) {
        let request = *self.dice.pick(&NONSENSE);
        let Some(answer) = api.ask(request.to_owned()).await else { return };
        let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
        let has_result = answer.get("result").is_some_and(|result| {
            !result.is_null() && !result.as_array().is_some_and(Vec::is_empty)
        });
        if has_result {
            let detail = format!("{request} was answered {answer}");
            let violation = Violation::new("A7", "nonsense is answered", detail);
            self.judge.lock().unwrap_or_else(PoisonError::into_inner).add(violation);
        }
    }

    fn draw(&mut self) -> Question {
        let model = self.model.clone();
        let model = model.lock().unwrap_or_else(PoisonError::into_inner);
        let (chain, view) = (model.chain(), model.view());
        let dice = &mut self.dice;
        let number = match dice.below(4) {
            0 => view.tip,
            1 => view.tip + dice.between_u32(0, 3),
            _ => dice.between_u32(0, view.tip),
        };
        let batch = dice.between_u32(0, view.sealed(chain) + 2);
        // A block of any fork.
        let batch_count = chain.batches().count();
        let some = chain.batches().nth(dice.index(batch_count)).map(|(_, batch)| batch);
        let block: Option<&Block> = some.map(|batch| dice.pick(&batch.blocks));
        let genesis = legacy_block_hash(L2BlockNumber(0)).0;
        let hash = match dice.below(8) {
            0 => B256::repeat_byte(3),
            1 => genesis,
            _ => block.map_or(genesis, |block| block.hash.0),
        };
        let tx = block.and_then(|block| block.txs.first()).map_or(hash, |tx| tx.hash().0);
        let at = dice.chance(3, 4).then_some(number);
        match dice.below(14) {
            0 => Question::BlockNumber,
            1 | 2 => Question::BlockByNumber(at, dice.chance(1, 2)),
            3 => Question::BlockByHash(hash),
            4 => Question::Transaction(tx),
            5 => Question::Receipt(tx),
            6 | 7 => {
                let from = dice.between_u32(0, number);
                let address = Address::repeat_byte(0xc0 + u8::try_from(dice.below(3)).unwrap_or(0));
                Question::Logs(from, number, dice.chance(1, 2).then_some(address))
            }
            8 | 9 => {
                let slots = block.map(|block| block.writes.keys().copied().collect::<Vec<_>>());
                match slots.filter(|slots| !slots.is_empty()) {
                    Some(slots) => {
                        let slot = dice.pick(&slots);
                        Question::Storage(slot.address, slot.key, at)
                    }
                    None => Question::BlockNumber,
                }
            }
            10 => Question::BatchDetails(batch),
            11 => Question::BatchRange(batch),
            12 => match dice.below(2) {
                0 => Question::BatchNumber,
                _ => Question::TransactionCount(number),
            },
            _ => Question::BlockDetails(number),
        }
    }
}
