//! Time from the operating system, timers from tokio.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use lockstep_io::{BoxFuture, Clock, Mono, UnixTime};
use tokio::runtime::Handle;

/// Time since this value was made, and timers that may be awaited anywhere.
#[derive(Debug)]
pub struct OsClock {
    origin: Instant,
    timers: Handle,
}

impl OsClock {
    /// A clock whose monotonic time begins now.
    pub(crate) fn new(timers: Handle) -> Self {
        Self { origin: Instant::now(), timers }
    }
}

impl Clock for OsClock {
    fn mono(&self) -> Mono {
        Mono(0).plus(self.origin.elapsed())
    }

    fn wall(&self) -> UnixTime {
        // A clock before 1970 shows 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixTime(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, until: Mono) -> BoxFuture<'static, ()> {
        let Some(deadline) = self.origin.checked_add(Duration::from_nanos(until.0)) else {
            return futures::future::pending().boxed(); // The end of time.
        };
        // The timer is bound to its runtime here, so it works on any executor.
        let _timers = self.timers.enter();
        tokio::time::sleep_until(deadline.into()).boxed()
    }
}
