//! The API of whichever process lives, as clients see it.

use std::time::Duration;

use lockstep_io::{BoxFuture, First, race};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::mpsc::Receiver;

use super::{World, lock};
use crate::clients::Api;

/// The world waits this long for an answer: the process may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

impl Api for World {
    fn ask(&self, request: String) -> BoxFuture<'static, Option<String>> {
        let current = lock(&self.current).clone();
        match current {
            Some(life) => life.ask(request),
            None => Box::pin(async { None }),
        }
    }

    fn ask_batch(
        &self,
        requests: Vec<String>,
        pause: Duration,
    ) -> BoxFuture<'static, Option<Vec<String>>> {
        let current = lock(&self.current).clone();
        match current {
            Some(life) => life.ask_batch(self.executor.clone(), requests, pause),
            None => Box::pin(async { None }),
        }
    }

    fn subscribe(
        &self,
        request: String,
    ) -> BoxFuture<'static, Option<(String, Receiver<Box<RawValue>>)>> {
        let current = lock(&self.current).clone();
        match current {
            Some(life) => life.subscribe(request),
            None => Box::pin(async { None }),
        }
    }

    fn life(&self) -> u32 {
        lock(&self.current).as_ref().map_or(0, |life| life.life)
    }

    fn now(&self) -> Duration {
        self.executor.now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.executor.sleep(time))
    }
}

impl World {
    /// The result of a call of the API; `None` if there is none.
    pub(super) async fn call(&self, method: &str, params: Value) -> Option<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let patience = self.executor.sleep(PATIENCE);
        let answer = match race(Api::ask(self, request.to_string()), patience).await {
            First::Left(answer) => answer?,
            First::Right(()) => return None,
        };
        let mut answer: Value = serde_json::from_str(&answer).ok()?;
        answer.get_mut("result").map(Value::take)
    }

    /// The newest block that is served.
    pub(super) async fn head(&self) -> Option<u32> {
        let head = self.call("eth_blockNumber", json!([])).await?;
        u32::from_str_radix(head.as_str()?.strip_prefix("0x")?, 16).ok()
    }

    /// What the API says of the status of `batch`.
    pub(super) async fn batch_status(&self, batch: u32) -> Option<String> {
        let details = self.call("zks_getL1BatchDetails", json!([batch])).await?;
        details.get("status")?.as_str().map(ToOwned::to_owned)
    }
}
