//! How an upstream is asked.

use std::time::Duration;

use lockstep_types::ChainId;

/// How an upstream is asked. Zeros count as ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// An exchange is given up after this long. 30 s.
    pub request_timeout: Duration,
    /// A longer answer is given up; if several calls were asked together, fewer are asked next.
    /// 32 MiB.
    pub response_bytes_max: usize,
    /// Calls in a second, on average; each entry of a batch counts. 100.
    pub requests_per_second_max: u32,
    /// Calls asked together. 20; 1 means that batches are never used.
    pub batch_entries_max: usize,
    /// Exchanges at the same time. Fewer while the upstream is slow or says that it is too much.
    /// 16.
    pub in_flight_max: usize,
    /// How often a call is tried. 4.
    pub attempts_max: u32,
    /// Longest pause before the second try; it doubles with each further one. 250 ms.
    pub backoff_min: Duration,
    /// Bound of that doubling. 10 s.
    pub backoff_max: Duration,
    /// The longest pause that an upstream can ask for (`Retry-After`). 60 s.
    pub retry_after_max: Duration,
    /// An endpoint that failed this often in a row rests. 3.
    pub failures_in_row_max: u32,
    /// The first rest, about; it doubles as long as the endpoint does not recover. 1 s.
    pub rest_min: Duration,
    /// Bound of that doubling. 30 s.
    pub rest_max: Duration,
    /// An endpoint that refused a batch is not sent another for this long. 10 min.
    pub batches_again_after: Duration,
    /// If given, an endpoint is asked for its chain id before anything else, and not used if it
    /// is of another chain. `None`: the caller checks.
    pub chain_id: Option<ChainId>,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            response_bytes_max: 32 << 20,
            requests_per_second_max: 100,
            batch_entries_max: 20,
            in_flight_max: 16,
            attempts_max: 4,
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(60),
            failures_in_row_max: 3,
            rest_min: Duration::from_secs(1),
            rest_max: Duration::from_secs(30),
            batches_again_after: Duration::from_secs(600),
            chain_id: None,
        }
    }
}
