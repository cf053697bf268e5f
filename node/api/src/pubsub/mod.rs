//! `eth_subscribe`: what is new is pushed as soon as it is persisted.
//!
//! Nobody polls: whoever writes the chain says that it moved, and each subscriber then reads what
//! is new from a view, at its own pace. So nothing waits in a queue for a slow one, and nothing is
//! left out for a fast one: heads have no gaps and come once. A subscriber that does not take a
//! message for [`ApiConfig::subscriber_wait_max`](crate::ApiConfig::subscriber_wait_max) is dropped.
//!
//! After a rollback, logs that were told of and are gone are sent again with `removed: true`, newest
//! first, before those of the blocks that came instead; heads and transactions of the new blocks
//! follow. For that a subscriber keeps the view that it read last.

mod kinds;
mod place;
mod subscriber;

use std::sync::Arc;

use jsonrpsee::{
    PendingSubscriptionSink,
    core::middleware::Extensions,
    types::{ErrorCode, ErrorObjectOwned, Params, error::TOO_MANY_SUBSCRIPTIONS_CODE},
};
use lockstep_wire::eth::Filter;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use self::{kinds::Kind, place::Place, subscriber::Subscriber};
use crate::{
    call::{Call, Context, Methods},
    error::{ApiError, internal_error},
    forward::PendingTxs,
    one_view::OneView,
};

/// An event has at most this many topics.
const TOPICS_MAX: usize = 4;

/// What subscriptions need beside the chain.
#[derive(Clone, Debug)]
pub struct SubscriptionSeams {
    /// Goes up whenever the chain in the store has changed: after each block, and after a rollback.
    pub moved: watch::Receiver<u64>,
}

/// What subscribers share.
#[derive(Debug)]
struct Hub {
    context: Arc<Context>,
    pending: Arc<PendingTxs>,
    moved: watch::Receiver<u64>,
    places: Arc<Semaphore>,
}

pub(crate) fn register(methods: &mut Methods, seams: SubscriptionSeams, pending: &Arc<PendingTxs>) {
    let context = Arc::clone(&methods.context);
    let places = context.config.subscriptions_max.min(Semaphore::MAX_PERMITS);
    let hub = Arc::new(Hub {
        context,
        pending: Arc::clone(pending),
        moved: seams.moved,
        places: Arc::new(Semaphore::new(places)),
    });
    let Some(module) = methods.module_for("eth_subscribe") else { return };
    let subscribe =
        move |params: Params<'_>, sink: PendingSubscriptionSink, _: Arc<()>, _: &Extensions| {
            let wanted = Wanted::read(&params);
            let hub = Arc::clone(&hub);
            let tasks = Arc::clone(&hub.context.tasks);
            // It ends by itself, with its client or with the process.
            drop(tasks.spawn("subscription", Box::pin(open(hub, wanted, sink))));
        };
    module
        .register_subscription_raw(
            "eth_subscribe",
            "eth_subscription",
            "eth_unsubscribe",
            subscribe,
        )
        .expect("names of methods are distinct");
}

/// What a client subscribes to.
#[derive(Debug)]
enum Wanted {
    Heads,
    Logs(Filter),
    Transactions,
    Syncing,
}

impl Wanted {
    fn read(params: &Params<'_>) -> Result<Self, ErrorObjectOwned> {
        let mut params = params.sequence();
        let kind: String = params.next()?;
        match kind.as_str() {
            "newHeads" => Ok(Self::Heads),
            "newPendingTransactions" => Ok(Self::Transactions),
            "syncing" => Ok(Self::Syncing),
            "logs" => {
                let filter: Option<Value> = params.optional_next()?;
                let filter = filter.map(serde_json::from_value).transpose();
                let filter: Option<Filter> = filter.map_err(|_unreadable| rejected())?;
                let filter = filter.unwrap_or_default();
                let topics = filter.topics.as_ref().map_or(0, Vec::len);
                if topics > TOPICS_MAX { Err(rejected()) } else { Ok(Self::Logs(filter)) }
            }
            _unknown => Err(rejected()),
        }
    }
}

fn rejected() -> ErrorObjectOwned {
    let text = "Rejecting subscription - invalid parameters provided.";
    ErrorObjectOwned::owned::<()>(ErrorCode::InvalidParams.code(), text, None)
}

/// Answers the subscription, and then tells the client what is new as long as it listens.
async fn open(
    hub: Arc<Hub>,
    wanted: Result<Wanted, ErrorObjectOwned>,
    sink: PendingSubscriptionSink,
) {
    let place = Arc::clone(&hub.places).try_acquire_owned();
    let begun = match (wanted, place) {
        (Err(error), _) => Err(error),
        (Ok(_), Err(_none_left)) => {
            let max = hub.context.config.subscriptions_max;
            let text = "Too many subscriptions";
            let data = Some(format!("Exceeded max limit of {max}"));
            Err(ErrorObjectOwned::owned(TOO_MANY_SUBSCRIPTIONS_CODE, text, data))
        }
        (Ok(wanted), Ok(permit)) => begin(&hub, wanted).await.map(|begun| (begun, permit)),
    };
    let ((kind, place), _permit) = match begun {
        Ok(begun) => begun,
        Err(error) => return sink.reject(error).await,
    };
    // An error says that the client is gone.
    let Ok(sink) = sink.accept().await else { return };
    Subscriber::new(hub, kind, place).run(sink).await;
}

/// Where telling begins: after the newest block.
async fn begin(hub: &Arc<Hub>, wanted: Wanted) -> Result<(Kind, Place), ErrorObjectOwned> {
    const NAME: &str = "eth_subscribe";
    let (hub, tasks) = (Arc::clone(hub), Arc::clone(&hub.context.tasks));
    let kind = match wanted {
        Wanted::Heads => Kind::Heads,
        Wanted::Logs(filter) => Kind::Logs(filter),
        Wanted::Transactions => Kind::transactions(&hub.pending),
        Wanted::Syncing => Kind::Syncing(None),
    };
    let job = move || Ok((kind, Place::at_head(&hub.call())?));
    match tasks.blocking(NAME, job).await {
        Ok(begun) => begun.map_err(|error: ApiError| error.into_object(NAME)),
        Err(end) => {
            tracing::error!(?end, "a subscription did not begin");
            Err(internal_error())
        }
    }
}

impl Hub {
    /// The chain as it is now.
    fn call(&self) -> Call {
        Call::new(&self.context, &OneView::default())
    }
}
