//! Clients that subscribe or hold a filter, and tell the judge what they are told.

use std::{sync::PoisonError, time::Duration};

use lockstep_types::Address;
use serde_json::{Value, json};

use super::Api;
use crate::{
    judge::{FilterKind, SharedJudge, Violation, Watched},
    model::{Dice, SharedModel},
};

/// Pause when there is nobody to ask.
const NOBODY: Duration = Duration::from_millis(700);

/// A filter that was asked within this time is still there.
const FILTER_STAYS: Duration = Duration::from_secs(600);

/// Somebody who watches.
pub(super) struct Watcher {
    pub(super) dice: Dice,
    pub(super) model: SharedModel,
    pub(super) judge: SharedJudge,
    pub(super) pause_ms: u64,
}

impl Watcher {
    /// Subscribes again and again, whenever a subscription ends.
    pub(super) async fn subscribe(mut self, api: &dyn Api) {
        loop {
            api.sleep(NOBODY).await;
            let (watched, params) = if self.dice.chance(1, 2) {
                (Watched::Heads, json!(["newHeads"]))
            } else {
                let of = self.address();
                let params = of.map_or(json!(["logs"]), |of| json!(["logs", {"address": of}]));
                (Watched::Logs(of), params)
            };
            let (life, asked) = (api.life(), api.now());
            let Some((answer, mut messages)) = api.subscribe(call("eth_subscribe", &params)).await
            else {
                continue;
            };
            if result_of(&answer).is_err() {
                continue;
            }
            let Some(watch) = self.begin(life, watched, (asked, api.now())) else { continue };
            while let Some(message) = messages.recv().await {
                let message: Value = serde_json::from_str(message.get()).unwrap_or(Value::Null);
                let now = api.now();
                if !self.told(watch, (now, now), &message["params"]["result"]) {
                    break;
                }
                if self.dice.chance(1, 6) {
                    // Not so slow that it is dropped.
                    api.sleep(Duration::from_millis(self.dice.below(600))).await;
                }
            }
            self.end(watch);
        }
    }

    /// Makes a filter again and again, and asks it what is new.
    pub(super) async fn hold_filter(mut self, api: &dyn Api) {
        loop {
            api.sleep(NOBODY).await;
            let (kind, method, params) = if self.dice.chance(1, 2) {
                (FilterKind::Blocks, "eth_newBlockFilter", json!([]))
            } else {
                let of = self.address();
                let filter = of.map_or(json!({}), |of| json!({"address": of}));
                (FilterKind::Logs(of), "eth_newFilter", json!([filter]))
            };
            let (life, asked) = (api.life(), api.now());
            let Some(answer) = api.ask(call(method, &params)).await else { continue };
            let Ok(id) = result_of(&answer) else { continue };
            let times = (asked, api.now());
            let Some(watch) = self.begin(life, Watched::Filter(kind), times) else { continue };
            self.ask_filter(api, (life, watch), &id).await;
            self.end(watch);
        }
    }

    /// Until the process dies or it is not known what should come.
    async fn ask_filter(&mut self, api: &dyn Api, (life, watch): (u32, u64), id: &Value) {
        let mut asked_last = api.now();
        loop {
            let pause = self.pause_ms / 2 + self.dice.below(2 * self.pause_ms.max(1));
            api.sleep(Duration::from_millis(pause.max(1))).await;
            if api.life() != life {
                return;
            }
            let asked = api.now();
            let Some(answer) = api.ask(call("eth_getFilterChanges", &json!([id]))).await else {
                return;
            };
            let times = (asked, api.now());
            let since = times.1.saturating_sub(asked_last);
            asked_last = asked;
            match result_of(&answer) {
                Ok(changes) if self.told(watch, times, &changes) => {}
                Ok(_) => return,
                Err(error) if since < FILTER_STAYS => {
                    let detail = format!("a filter asked {since:?} ago: {error}");
                    let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
                    judge.add(Violation::new("A4", "filter is gone", detail));
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn address(&mut self) -> Option<Address> {
        let some = Address::repeat_byte(0xc0 + u8::try_from(self.dice.below(3)).unwrap_or(0));
        self.dice.chance(1, 2).then_some(some)
    }

    fn begin(&self, life: u32, watched: Watched, times: (Duration, Duration)) -> Option<u64> {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        judge.watch(&model, life, watched, times)
    }

    fn told(&self, watch: u64, times: (Duration, Duration), message: &Value) -> bool {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        judge.told(&model, watch, times, message)
    }

    fn end(&self, watch: u64) {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner).unwatch(watch);
    }
}

fn call(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params}).to_string()
}

/// The result of an answer, or its error.
fn result_of(answer: &str) -> Result<Value, Value> {
    let mut answer: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    match answer.get_mut("result").map(Value::take) {
        Some(result) => Ok(result),
        None => Err(answer),
    }
}
