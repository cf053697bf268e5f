//! Time.

use std::{fmt, time::Duration};

use crate::BoxFuture;

/// A point in monotonic time: nanoseconds since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub u64);

/// Wall time: milliseconds since the Unix epoch. For display and for data, never for timeouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

impl Mono {
    /// The point `after` later; the end of time if that does not fit.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long `earlier` is ago; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Monotonic time; never decreases in one process life.
    fn mono(&self) -> Mono;

    /// Wall time; may jump both ways.
    fn wall(&self) -> UnixTime;

    /// Resolves at `until` or soon after; at once if that is past.
    fn sleep_until(&self, until: Mono) -> BoxFuture<'static, ()>;
}

impl dyn Clock {
    /// Resolves after `duration` or soon after.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.mono().plus(duration))
    }
}
