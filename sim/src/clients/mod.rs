//! API clients that ask and remember.

mod client;
pub mod plan;

use std::{sync::Arc, time::Duration};

use lockstep_io::BoxFuture;
use rand_chacha::ChaCha8Rng;

use self::client::Client;
pub use self::plan::ClientPlan;
use crate::{judge::SharedJudge, model::SharedModel};

/// The API of whichever process lives.
pub trait Api: Send + Sync {
    /// Sends a JSON-RPC request, or a batch of them, and gives the answer; `None` if the process
    /// died or there is none, or if the request is not answered.
    fn ask(&self, request: String) -> BoxFuture<'static, Option<String>>;

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
        } else {
            client.ask(&*api).await;
        }
    }
}
