//! API clients that ask and remember.

mod client;
pub mod plan;
mod watcher;

use std::{sync::Arc, time::Duration};

use lockstep_io::BoxFuture;
use rand_chacha::{ChaCha8Rng, rand_core::RngCore};
use serde_json::value::RawValue;
use tokio::sync::mpsc::Receiver;

pub use self::plan::ClientPlan;
use self::{client::Client, watcher::Watcher};
use crate::{
    judge::SharedJudge,
    model::{Dice, SharedModel},
};

/// The API of whichever process lives.
pub trait Api: Send + Sync {
    /// Sends a JSON-RPC request, or a batch of them, and gives the answer; `None` if the process
    /// died or there is none, or if the request is not answered.
    fn ask(&self, request: String) -> BoxFuture<'static, Option<String>>;

    /// Sends the requests of a batch one by one, with `pause` between them, to be answered as a
    /// batch is; `None` as of [`ask`](Self::ask).
    fn ask_batch(
        &self,
        requests: Vec<String>,
        pause: Duration,
    ) -> BoxFuture<'static, Option<Vec<String>>>;

    /// As [`ask`](Self::ask), with the messages of the subscription that is asked for.
    fn subscribe(
        &self,
        request: String,
    ) -> BoxFuture<'static, Option<(String, Receiver<Box<RawValue>>)>>;

    /// Which life answers: a client's filters end with it.
    fn life(&self) -> u32;

    /// Time since the world began.
    fn now(&self) -> Duration;

    /// Resolves after `time`.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Asks until it is dropped, and tells the judge what does not hold.
pub async fn run(
    plan: ClientPlan,
    api: Arc<dyn Api>,
    rng: ChaCha8Rng,
    model: SharedModel,
    judge: SharedJudge,
) {
    let mut client = Client::new(rng, model, judge);
    loop {
        let pause = plan.pause_ms / 2 + client.dice.below(plan.pause_ms.max(1));
        api.sleep(Duration::from_millis(pause.max(1))).await;
        if client.dice.chance(plan.malformed.into(), 100) {
            client.send_nonsense(&*api).await;
        } else if plan.batches > 0 && client.dice.chance(plan.batches.into(), 100) {
            client.ask_batch(&*api).await;
        } else if plan.calls > 0 && client.dice.chance(plan.calls.into(), 100) {
            client.have_run(&*api).await;
        } else {
            client.ask(&*api).await;
        }
    }
}

/// Watches until it is dropped, by subscriptions if `by_subscription` and by filters otherwise.
pub async fn watch(
    plan: ClientPlan,
    api: Arc<dyn Api>,
    mut rng: ChaCha8Rng,
    model: SharedModel,
    judge: SharedJudge,
    by_subscription: bool,
) {
    let dice = Dice::new(rng.next_u64(), "watcher");
    let watcher = Watcher { dice, model, judge, pause_ms: plan.pause_ms };
    if by_subscription {
        watcher.subscribe(&*api).await;
    } else {
        watcher.hold_filter(&*api).await;
    }
}
