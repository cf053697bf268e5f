//! Limits of requests.

/// Limits of requests. Bounds of sizes, batches and connections are the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// Most logs of one `eth_getLogs` over more than one block; the reference node's
    /// `req_entities_limit`.
    pub logs_max: usize,
    /// Most blocks whose headers one `eth_getLogs` looks at. The reference node has an index
    /// instead and no such bound.
    pub log_blocks_max: u32,
    /// Most events that one `eth_getLogs` over more than one block reads, whether they match or
    /// not.
    pub log_events_max: u64,
    /// Most keys of one `zks_getProof`.
    pub proof_keys_max: usize,
    /// `eth_syncing` says that the node is in step while it is at most this many blocks behind.
    pub in_step_lag_max: u32,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            logs_max: 10_000,
            log_blocks_max: 2_000_000,
            log_events_max: 5_000_000,
            proof_keys_max: 1_000,
            in_step_lag_max: 10,
        }
    }
}
