//! Limits of requests.

use std::time::Duration;

/// Limits of requests. Bounds of sizes, batches and connections are the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// Most logs of one `eth_getLogs` over more than one block, and about the most items of one
    /// `eth_getFilterChanges`; the reference node's `req_entities_limit`.
    pub logs_max: usize,
    /// Most blocks whose headers one `eth_getLogs` or `eth_getFilterChanges` looks at that names
    /// neither address nor topic (or more than a thousand of each that it names).
    pub log_blocks_max: u32,
    /// Most rows of the index of logs that one `eth_getLogs` over more than one block, one
    /// `eth_getFilterChanges` or one `en_syncTokens` reads. Those of the rarest address or topic that
    /// is asked for count, and about as many of each other one. The reference node has no such
    /// bound.
    pub log_rows_max: u64,
    /// Most events that one `eth_getLogs` over more than one block reads, whether they match or
    /// not.
    pub log_events_max: u64,
    /// Leaves out logs that belong to no transaction (those of fictive blocks, with a zero hash)
    /// where logs are asked for, as tools expect that know Ethereum only. Receipts have none.
    pub hides_system_logs: bool,
    /// Most filters that are remembered; the reference node's `filters_limit`.
    pub filters_max: usize,
    /// How long a filter is remembered that nobody asks for.
    pub filter_idle_max: Duration,
    /// Bytes of logs that filters have told of and remember, to tell of them again as removed when
    /// the chain is rolled back. One filter remembers a sixteenth of them at most.
    pub told_bytes_max: usize,
    /// Subscriptions that are open at once, of all clients; one more is refused with code −32006.
    pub subscriptions_max: usize,
    /// A subscriber that does not take a message for this long is dropped.
    pub subscriber_wait_max: Duration,
    /// Transactions that were handed on and are remembered until they are in a block, and bytes
    /// that they take; beyond, the oldest is forgotten.
    pub pending_txs_max: usize,
    /// See [`pending_txs_max`](Self::pending_txs_max).
    pub pending_bytes_max: usize,
    /// Transactions that are handed on at once; others wait as calls do.
    pub forwards_max: usize,
    /// Bytes of a transaction in the ABI's encoding; the reference node's `max_tx_size`.
    pub tx_bytes_max: usize,
    /// The nonce of a transaction may be this much above its sender's next; the reference node's
    /// `max_nonce_ahead`.
    pub nonce_ahead_max: u32,
    /// Whether a transaction is run before it is handed on, with its account's own validation and
    /// its sender's funds, and not handed on if no block could include it. Such a run counts as a
    /// call: see [`calls_max`](Self::calls_max).
    pub runs_before_handing_on: bool,
    /// How long `eth_sendRawTransactionSync` waits for a receipt if the client does not say.
    pub send_wait: Duration,
    /// How long a client may have it wait.
    pub send_wait_max: Duration,
    /// Most keys of one `zks_getProof`.
    pub proof_keys_max: usize,
    /// `eth_syncing` says that the node is in step while it is at most this many blocks behind.
    pub in_step_lag_max: u32,
    /// Most blocks of one `eth_feeHistory`; more are taken for this many.
    pub fee_history_blocks_max: u32,
    /// Most gas of a call, and what a call without a limit gets; the reference node's
    /// `eth_call_gas_cap`. `None` is what the protocol version allows.
    pub call_gas_max: Option<u64>,
    /// Calls, estimates and traces of calls that run at once. Each keeps a thread of the disk pool
    /// busy, so this should be well below the number of those.
    pub calls_max: usize,
    /// How long one of those waits for its turn before its client is told that there are too many.
    pub call_wait_max: Duration,
    /// How long one of those may run.
    pub call_time_max: Duration,
    /// An estimate may be this much gas above the least that works, before scaling.
    pub estimate_overestimation_max: u64,
    /// Estimates are multiplied by this, in thousandths; the reference node's
    /// `estimate_gas_scale_factor`.
    pub estimate_scale_per_mille: u64,
    /// Batches that are run again for traces at once. Each keeps a thread of the disk pool busy.
    pub replays_max: usize,
    /// How long a batch waits for its turn before those who wait for it are told that there are
    /// too many.
    pub replay_wait_max: Duration,
    /// How long running a batch again may take.
    pub replay_time_max: Duration,
    /// Bytes of traces that running a batch again may make for the block that was asked for, and
    /// again for the batch's other blocks. A block with more cannot be traced; of the others, those
    /// that do not fit are run again when they are asked for.
    pub replay_bytes_max: usize,
    /// Bytes of blocks and logs that are kept as JSON for later requests.
    pub kept_bytes_max: usize,
    /// Bytes of traces that are kept for later requests.
    pub trace_cache_bytes_max: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            logs_max: 10_000,
            log_blocks_max: 2_000_000,
            log_rows_max: 2_000_000,
            log_events_max: 5_000_000,
            hides_system_logs: false,
            filters_max: 10_000,
            filter_idle_max: Duration::from_secs(15 * 60),
            told_bytes_max: 64 << 20,
            subscriptions_max: 10_000,
            subscriber_wait_max: Duration::from_secs(1),
            pending_txs_max: 10_000,
            pending_bytes_max: 64 << 20,
            forwards_max: 32,
            tx_bytes_max: 10 << 20,
            nonce_ahead_max: 50,
            runs_before_handing_on: true,
            send_wait: Duration::from_secs(2),
            send_wait_max: Duration::from_secs(10),
            proof_keys_max: 1_000,
            in_step_lag_max: 10,
            fee_history_blocks_max: 1_024,
            call_gas_max: None,
            calls_max: 16,
            call_wait_max: Duration::from_secs(5),
            call_time_max: Duration::from_secs(10),
            estimate_overestimation_max: 1_000,
            estimate_scale_per_mille: 1_300,
            replays_max: 2,
            replay_wait_max: Duration::from_secs(60),
            replay_time_max: Duration::from_secs(120),
            replay_bytes_max: 256 << 20,
            kept_bytes_max: 128 << 20,
            trace_cache_bytes_max: 256 << 20,
        }
    }
}
