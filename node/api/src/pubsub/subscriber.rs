//! A subscriber: told of what is new until it leaves, is too slow, or the process ends.

use std::sync::Arc;

use jsonrpsee::SubscriptionSink;
use lockstep_io::{First, race};
use serde_json::value::RawValue;
use tracing::{debug, info};

use super::{
    Hub,
    kinds::{Kind, Messages},
    place::Place,
};
use crate::{
    ApiStats,
    error::{ApiError, ApiResult},
};

/// Why telling ended.
#[derive(Debug)]
enum End {
    /// The client unsubscribed or is gone.
    Left,
    /// The client does not take what it is sent.
    TooSlow,
    /// Nobody moves the chain any more.
    Stopped,
    /// The chain cannot be read.
    Failed(ApiError),
}

pub(super) struct Subscriber {
    hub: Arc<Hub>,
    /// Not there while a job has it.
    state: Option<(Kind, Place)>,
    counted: Counted,
}

/// One more while it lives.
struct Counted {
    stats: ApiStats,
    is_slow: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.stats.remove_subscription(self.is_slow);
    }
}

impl Subscriber {
    pub(super) fn new(hub: Arc<Hub>, kind: Kind, place: Place) -> Self {
        let stats = hub.context.stats.clone();
        stats.add_subscription();
        Self { hub, state: Some((kind, place)), counted: Counted { stats, is_slow: false } }
    }

    pub(super) async fn run(mut self, sink: SubscriptionSink) {
        match self.tell(&sink).await {
            End::Left | End::Stopped => debug!("a subscription ended"),
            End::TooSlow => {
                self.counted.is_slow = true;
                let waited = self.hub.context.config.subscriber_wait_max;
                let connection = sink.connection_id().0;
                info!(connection, ?waited, "a subscriber was too slow and is dropped");
            }
            End::Failed(error) => {
                // Logged there, as an error of a request is.
                drop(error.into_object("eth_subscription"));
            }
        }
    }

    async fn tell(&mut self, sink: &SubscriptionSink) -> End {
        let mut moved = self.hub.moved.clone();
        let mut handed_on = self.hub.pending.watch();
        let mut tip = self.hub.context.sync.0.clone();
        loop {
            moved.mark_unchanged();
            handed_on.mark_unchanged();
            tip.mark_unchanged();
            if let Err(end) = self.tell_all(sink).await {
                return end;
            }
            let (wants_pending, wants_tip) = self.wants();
            let news = async {
                let pending = async {
                    if wants_pending { handed_on.changed().await.is_ok() } else { never().await }
                };
                let tip =
                    async { if wants_tip { tip.changed().await.is_ok() } else { never().await } };
                match race(moved.changed(), race(pending, tip)).await {
                    First::Left(moved) => moved.is_ok(),
                    First::Right(First::Left(is_alive) | First::Right(is_alive)) => is_alive,
                }
            };
            match race(sink.closed(), news).await {
                First::Left(()) => return End::Left,
                First::Right(true) => {}
                First::Right(false) => return End::Stopped,
            }
        }
    }

    /// Whether transactions that are handed on, and the main node's newest block, are news.
    fn wants(&self) -> (bool, bool) {
        match &self.state {
            Some((Kind::Transactions(_), _)) => (true, false),
            Some((Kind::Syncing(_), _)) => (false, true),
            Some((Kind::Heads | Kind::Logs(_), _)) | None => (false, false),
        }
    }

    /// Tells of everything that is new.
    async fn tell_all(&mut self, sink: &SubscriptionSink) -> Result<(), End> {
        loop {
            let (messages, is_all) = self.read().await?;
            for message in lockstep_io::planted!("X41", messages, newest(messages)) {
                self.send(sink, message).await?;
            }
            if is_all {
                return Ok(());
            }
        }
    }

    /// What is new, or the next part of it. Reading is a job.
    async fn read(&mut self) -> Result<(Vec<Box<RawValue>>, bool), End> {
        let hub = Arc::clone(&self.hub);
        let Some((mut kind, mut place)) = self.state.take() else {
            return Err(End::Failed(ApiError::Died));
        };
        let job = move || {
            let mut messages = Messages::default();
            let is_all = hub.read(&mut kind, &mut place, &mut messages);
            ((kind, place), messages.ready, is_all)
        };
        match self.hub.context.tasks.blocking("subscription", job).await {
            Ok((state, messages, is_all)) => {
                self.state = Some(state);
                Ok((messages, is_all.map_err(End::Failed)?))
            }
            Err(_end) => Err(End::Failed(ApiError::Died)),
        }
    }

    async fn send(&self, sink: &SubscriptionSink, message: Box<RawValue>) -> Result<(), End> {
        let context = &self.hub.context;
        let too_slow = context.clock.sleep(context.config.subscriber_wait_max);
        match race(sink.send(message), too_slow).await {
            First::Left(Ok(())) => Ok(()),
            First::Left(Err(_gone)) => Err(End::Left),
            First::Right(()) => Err(End::TooSlow),
        }
    }
}

/// What a channel with room for one message holds after `messages`.
fn newest(mut messages: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
    messages.pop().into_iter().collect()
}

impl Hub {
    /// Reads on from `place`; says whether that is all that is new.
    fn read(&self, kind: &mut Kind, place: &mut Place, messages: &mut Messages) -> ApiResult<bool> {
        let call = self.call();
        let is_all = place.go_on(&call, kind, messages)?;
        kind.beside(&call, &self.pending, messages)?;
        Ok(is_all)
    }
}

async fn never() -> bool {
    std::future::pending().await
}
