//! What has been asked for, in numbers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Upper bounds of the buckets of times, seconds; the last bucket has none.
pub const TIME_BUCKETS_S: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

/// What has been asked for since the process began, by method. Clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct ApiStats(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    methods: Mutex<BTreeMap<&'static str, Arc<MethodStats>>>,
    subscriptions: AtomicU64,
    slow_subscribers: AtomicU64,
    forwarded: AtomicU64,
    refused: AtomicU64,
}

/// Of one method.
#[derive(Debug, Default)]
pub(crate) struct MethodStats {
    calls: AtomicU64,
    errors: AtomicU64,
    micros: AtomicU64,
    buckets: [AtomicU64; TIME_BUCKETS_S.len() + 1],
}

/// How often a method was called, and how that went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodCount {
    /// Calls that have ended.
    pub calls: u64,
    /// Those that ended with an error.
    pub errors: u64,
    /// Time of all calls together.
    pub time: Duration,
    /// Calls by [`TIME_BUCKETS_S`]: each counts in one bucket.
    pub by_time: Vec<u64>,
}

impl ApiStats {
    /// The numbers of `method`, for whoever serves it.
    pub(crate) fn of(&self, method: &'static str) -> Arc<MethodStats> {
        let mut methods = self.0.methods.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(methods.entry(method).or_default())
    }

    /// Methods that have been called, by name.
    pub fn by_method(&self) -> BTreeMap<&'static str, MethodCount> {
        let methods = self.0.methods.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = methods.iter().map(|(name, stats)| (*name, stats.count()));
        counts.filter(|(_, count)| count.calls != 0).collect()
    }

    /// Subscriptions that are open.
    pub fn subscriptions(&self) -> u64 {
        self.0.subscriptions.load(Relaxed)
    }

    /// Subscriptions that were dropped because their client was too slow.
    pub fn slow_subscribers(&self) -> u64 {
        self.0.slow_subscribers.load(Relaxed)
    }

    /// Transactions that the main node took from here, and those that were refused, here or there.
    pub fn forwarded_and_refused(&self) -> (u64, u64) {
        (self.0.forwarded.load(Relaxed), self.0.refused.load(Relaxed))
    }

    pub(crate) fn add_subscription(&self) {
        self.0.subscriptions.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove_subscription(&self, is_slow: bool) {
        self.0.subscriptions.fetch_sub(1, Relaxed);
        self.0.slow_subscribers.fetch_add(u64::from(is_slow), Relaxed);
    }

    pub(crate) fn add_transaction(&self, is_forwarded: bool) {
        let count = if is_forwarded { &self.0.forwarded } else { &self.0.refused };
        count.fetch_add(1, Relaxed);
    }
}

impl MethodStats {
    pub(crate) fn add(&self, took: Duration, is_error: bool) {
        self.calls.fetch_add(1, Relaxed);
        self.errors.fetch_add(u64::from(is_error), Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        let bucket = TIME_BUCKETS_S.iter().position(|bound| took.as_secs_f64() <= *bound);
        self.buckets[bucket.unwrap_or(TIME_BUCKETS_S.len())].fetch_add(1, Relaxed);
    }

    fn count(&self) -> MethodCount {
        MethodCount {
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            time: Duration::from_micros(self.micros.load(Relaxed)),
            by_time: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
        }
    }
}
