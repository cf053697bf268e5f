//! What the operator decides about the API: what is served, and how much of it.

use std::{collections::BTreeMap, thread, time::Duration};

use clap::Args;
use lockstep_api::{ApiConfig, Namespaces, Serving};
use lockstep_io_net::RpcServerConfig;
use serde::Deserialize;

/// Options of the API as given. Where a limit has an error of its own, the option names its code.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ApiFlags {
    /// Namespaces that are served, as `eth,net,…`; methods of others are not found (code -32601)
    /// [default: all of eth,net,web3,zks,en,pubsub,debug,snapshots,unstable,txpool,trace,ots].
    #[arg(long, env = "LOCKSTEP_API_NAMESPACES", value_name = "LIST")]
    api_namespaces: Option<String>,
    /// MiB of a request's body; longer ones get status 413 or code -32007 [default: 10].
    #[arg(long, env = "LOCKSTEP_MAX_REQUEST_BODY_MIB", value_name = "MIB")]
    max_request_body_mib: Option<u32>,
    /// MiB of a result, and of a whole batch; longer ones get code -32008 [default: 10].
    #[arg(long, env = "LOCKSTEP_MAX_RESPONSE_BODY_MIB", value_name = "MIB")]
    max_response_body_mib: Option<u32>,
    /// The same for single methods, as `method=MiB,…`.
    #[arg(
        long,
        env = "LOCKSTEP_MAX_RESPONSE_BODY_MIB_OVERRIDES",
        value_name = "LIST",
        value_delimiter = ','
    )]
    max_response_body_mib_overrides: Vec<String>,
    /// Requests in a batch; longer ones get code -32010; 0 allows none [default: 500].
    #[arg(long, env = "LOCKSTEP_MAX_BATCH_REQUEST_SIZE", value_name = "N")]
    max_batch_request_size: Option<u32>,
    /// Connections at once; one more gets status 503 [default: 1024].
    #[arg(long, env = "LOCKSTEP_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<u32>,
    /// Requests over one WebSocket in a minute; one more gets code 429 [default: 6000].
    #[arg(long, env = "LOCKSTEP_WEBSOCKET_REQUESTS_PER_MINUTE_LIMIT", value_name = "N")]
    websocket_requests_per_minute_limit: Option<u32>,
    /// Subscriptions at once, of all clients; one more gets code -32006 [default: 10000].
    #[arg(long, env = "LOCKSTEP_SUBSCRIPTIONS_LIMIT", value_name = "N")]
    subscriptions_limit: Option<usize>,
    /// Milliseconds after which a request gets code 503; 0: no limit beyond those of its kind
    /// [default: 0].
    #[arg(long, env = "LOCKSTEP_REQUEST_TIMEOUT_MS", value_name = "MS")]
    request_timeout_ms: Option<u64>,
    /// Requests that read at once; others wait, and get code 503 after 10 s [default: 8 a core].
    #[arg(long, env = "LOCKSTEP_READ_CONCURRENCY_LIMIT", value_name = "N")]
    read_concurrency_limit: Option<usize>,
    /// The same for those that look through many blocks, such as eth_getLogs [default: 2 a core].
    #[arg(long, env = "LOCKSTEP_SCAN_CONCURRENCY_LIMIT", value_name = "N")]
    scan_concurrency_limit: Option<usize>,
    /// The same for calls and estimates; code 503 comes after 5 s [default: 4 a core].
    #[arg(long, env = "LOCKSTEP_VM_CONCURRENCY_LIMIT", value_name = "N")]
    vm_concurrency_limit: Option<usize>,
    /// Gas of eth_call, at most, and what a call without a limit gets [default: of the protocol].
    #[arg(long, env = "LOCKSTEP_ETH_CALL_GAS_CAP", value_name = "GAS")]
    eth_call_gas_cap: Option<u64>,
    /// Milliseconds that a call or an estimate may run; code -32000 [default: 10000].
    #[arg(long, env = "LOCKSTEP_CALL_TIMEOUT_MS", value_name = "MS")]
    call_timeout_ms: Option<u64>,
    /// Logs of one eth_getLogs over several blocks; more get code -32602 with a range that works
    /// [default: 10000].
    #[arg(long, env = "LOCKSTEP_LOGS_MAX", value_name = "N")]
    logs_max: Option<usize>,
    /// Rows of the index of logs that one eth_getLogs over several blocks reads; more get code
    /// -32602 with a range that works [default: 2000000].
    #[arg(long, env = "LOCKSTEP_LOG_ROWS_MAX", value_name = "N")]
    log_rows_max: Option<u64>,
    /// MiB of blocks and logs that are kept as JSON for later requests; 0 keeps none [default: 128].
    #[arg(long, env = "LOCKSTEP_KEPT_ANSWERS_MIB", value_name = "MIB")]
    kept_answers_mib: Option<u32>,
    /// Hide logs that belong to no transaction, as tools expect that know Ethereum only.
    #[arg(
        long,
        env = "LOCKSTEP_ETHEREUM_STRICT",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    ethereum_strict: Option<bool>,
    /// Filters that are remembered; beyond, the one that was not asked for longest is forgotten
    /// [default: 10000].
    #[arg(long, env = "LOCKSTEP_FILTERS_LIMIT", value_name = "N")]
    filters_limit: Option<usize>,
    /// No filters: their methods are not found (code -32601).
    #[arg(
        long,
        env = "LOCKSTEP_FILTERS_DISABLED",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    filters_disabled: Option<bool>,
    /// Blocks of one eth_feeHistory, at most; more are taken for this many [default: 1024].
    #[arg(long, env = "LOCKSTEP_FEE_HISTORY_LIMIT", value_name = "N")]
    fee_history_limit: Option<u32>,
    /// Bytes of a transaction in the ABI's encoding; longer ones are not handed on (code 3)
    /// [default: 10485760].
    #[arg(long, env = "LOCKSTEP_MAX_TX_SIZE_BYTES", value_name = "BYTES")]
    max_tx_size_bytes: Option<usize>,
    /// How far the nonce of a transaction may be above its sender's next (code 3) [default: 50].
    #[arg(long, env = "LOCKSTEP_MAX_NONCE_AHEAD", value_name = "N")]
    max_nonce_ahead: Option<u32>,
    /// Run a transaction before it is handed on, as a block would, and refuse it with code 3 if no
    /// block could include it [default: true].
    #[arg(
        long,
        env = "LOCKSTEP_RUN_BEFORE_HANDING_ON",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    run_before_handing_on: Option<bool>,
    /// Milliseconds that eth_sendRawTransactionSync waits for a receipt; then code 4
    /// [default: 2000].
    #[arg(long, env = "LOCKSTEP_SEND_RAW_TX_SYNC_DEFAULT_TIMEOUT_MS", value_name = "MS")]
    send_raw_tx_sync_default_timeout_ms: Option<u64>,
    /// How many a client may ask it to wait; more are code -32602 [default: 10000].
    #[arg(long, env = "LOCKSTEP_SEND_RAW_TX_SYNC_MAX_TIMEOUT_MS", value_name = "MS")]
    send_raw_tx_sync_max_timeout_ms: Option<u64>,
}

/// Everything decided about the API.
#[derive(Clone, Debug)]
pub(crate) struct ApiSettings {
    pub(crate) methods: ApiConfig,
    pub(crate) serving: Serving,
    pub(crate) server: RpcServerConfig,
}

impl ApiFlags {
    /// These over those of the `file`; what is wrong is added to `problems`.
    pub(crate) fn merged(self, file: Self, problems: &mut Vec<String>) -> ApiSettings {
        let methods = self.methods(&file);
        let mut serving = Serving::default();
        if let Some(list) = self.api_namespaces.as_ref().or(file.api_namespaces.as_ref()) {
            match list.parse::<Namespaces>() {
                Ok(namespaces) => serving.namespaces = namespaces,
                Err(unknown) => problems.push(format!("--api-namespaces: {unknown}")),
            }
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let reads_max = self.read_concurrency_limit.or(file.read_concurrency_limit);
        serving.reads_max = reads_max.unwrap_or(8 * cores);
        let scans_max = self.scan_concurrency_limit.or(file.scan_concurrency_limit);
        serving.scans_max = scans_max.unwrap_or(2 * cores);
        let time_max = self.request_timeout_ms.or(file.request_timeout_ms).filter(|ms| *ms != 0);
        serving.request_time_max = time_max.map(Duration::from_millis);
        if let Some(mib) = self.max_response_body_mib.or(file.max_response_body_mib) {
            serving.response_bytes_max = bytes(mib);
        }
        let overrides = if self.max_response_body_mib_overrides.is_empty() {
            &file.max_response_body_mib_overrides
        } else {
            &self.max_response_body_mib_overrides
        };
        match response_overrides(overrides) {
            Ok(overrides) => serving.response_bytes_max_of = overrides,
            Err(problem) => problems.push(problem),
        }
        let server = self.server(&file, &serving);
        if server.connections_max == 0 {
            problems.push("--max-connections must be at least 1".to_owned());
        }
        ApiSettings { methods, serving, server }
    }

    fn methods(&self, file: &Self) -> ApiConfig {
        let mut config = ApiConfig::default();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let calls_max = self.vm_concurrency_limit.or(file.vm_concurrency_limit);
        config.calls_max = calls_max.unwrap_or(4 * cores);
        config.call_gas_max = self.eth_call_gas_cap.or(file.eth_call_gas_cap);
        set_ms(&mut config.call_time_max, self.call_timeout_ms.or(file.call_timeout_ms));
        set(&mut config.logs_max, self.logs_max.or(file.logs_max));
        set(&mut config.log_rows_max, self.log_rows_max.or(file.log_rows_max));
        let kept_bytes_max = self.kept_answers_mib.or(file.kept_answers_mib).map(bytes);
        set(&mut config.kept_bytes_max, kept_bytes_max);
        let runs = self.run_before_handing_on.or(file.run_before_handing_on);
        set(&mut config.runs_before_handing_on, runs);
        set(&mut config.hides_system_logs, self.ethereum_strict.or(file.ethereum_strict));
        set(&mut config.filters_max, self.filters_limit.or(file.filters_limit));
        set(&mut config.fee_history_blocks_max, self.fee_history_limit.or(file.fee_history_limit));
        set(&mut config.subscriptions_max, self.subscriptions_limit.or(file.subscriptions_limit));
        set(&mut config.tx_bytes_max, self.max_tx_size_bytes.or(file.max_tx_size_bytes));
        set(&mut config.nonce_ahead_max, self.max_nonce_ahead.or(file.max_nonce_ahead));
        if self.filters_disabled.or(file.filters_disabled).unwrap_or(false) {
            config.filters_max = 0;
        }
        let wait = self.send_raw_tx_sync_default_timeout_ms;
        set_ms(&mut config.send_wait, wait.or(file.send_raw_tx_sync_default_timeout_ms));
        let wait_max = self.send_raw_tx_sync_max_timeout_ms;
        set_ms(&mut config.send_wait_max, wait_max.or(file.send_raw_tx_sync_max_timeout_ms));
        config.send_wait = config.send_wait.min(config.send_wait_max);
        config
    }

    fn server(&self, file: &Self, serving: &Serving) -> RpcServerConfig {
        let mut server = RpcServerConfig::default();
        if let Some(mib) = self.max_request_body_mib.or(file.max_request_body_mib) {
            server.request_body_bytes_max = mib.saturating_mul(1 << 20);
        }
        // Results are bounded before they get to the server; it adds a few bytes to each.
        let longest = serving.response_bytes_max_of_any().saturating_add(4_096);
        server.response_body_bytes_max = u32::try_from(longest).unwrap_or(u32::MAX);
        set(&mut server.batch_max, self.max_batch_request_size.or(file.max_batch_request_size));
        set(&mut server.connections_max, self.max_connections.or(file.max_connections));
        let per_minute = self.websocket_requests_per_minute_limit;
        let per_minute = per_minute.or(file.websocket_requests_per_minute_limit);
        set(&mut server.websocket_requests_per_minute_max, per_minute);
        server
    }
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

fn set_ms(field: &mut Duration, given: Option<u64>) {
    set(field, given.map(Duration::from_millis));
}

fn bytes(mib: u32) -> usize {
    usize::try_from(mib).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}

fn response_overrides(list: &[String]) -> Result<BTreeMap<String, usize>, String> {
    let entry = |text: &String| {
        let (method, mib) = text.split_once('=')?;
        Some((method.trim().to_owned(), bytes(mib.trim().parse().ok()?)))
    };
    let problem =
        |text: &String| format!("--max-response-body-mib-overrides: `{text}` is not `method=MiB`");
    list.iter().map(|text| entry(text).ok_or_else(|| problem(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_single_methods_are_read() {
        let flags = ApiFlags {
            max_response_body_mib: Some(5),
            max_response_body_mib_overrides: vec!["eth_getLogs=20".into(), " a = 1".into()],
            ..ApiFlags::default()
        };
        let mut problems = Vec::new();
        let settings = flags.merged(ApiFlags::default(), &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        let serving = &settings.serving;
        assert_eq!(serving.response_bytes_max("eth_getLogs"), 20 << 20);
        assert_eq!(serving.response_bytes_max("a"), 1 << 20);
        assert_eq!(serving.response_bytes_max("b"), 5 << 20);
        assert!(settings.server.response_body_bytes_max > 20 << 20);
    }

    #[test]
    fn system_logs_are_hidden_only_where_that_is_asked_for() {
        let flags = |ethereum_strict| ApiFlags { ethereum_strict, ..ApiFlags::default() };
        let hides = |ours: Option<bool>, file: Option<bool>| {
            flags(ours).merged(flags(file), &mut Vec::new()).methods.hides_system_logs
        };
        assert!(!hides(None, None));
        assert!(hides(None, Some(true)) && hides(Some(true), None));
        assert!(!hides(Some(false), Some(true)));
    }

    #[test]
    fn a_flag_of_a_limit_wins_over_the_file_and_the_file_over_the_default() {
        let flags = |rows, mib, run| ApiFlags {
            log_rows_max: rows,
            kept_answers_mib: mib,
            run_before_handing_on: run,
            ..ApiFlags::default()
        };
        let merged = |ours: ApiFlags, file: ApiFlags| {
            let methods = ours.merged(file, &mut Vec::new()).methods;
            let ApiConfig { log_rows_max, kept_bytes_max, runs_before_handing_on, .. } = methods;
            (log_rows_max, kept_bytes_max, runs_before_handing_on)
        };
        let none = || flags(None, None, None);
        assert_eq!(merged(none(), none()), (2_000_000, 128 << 20, true));
        let file = || flags(Some(7), Some(0), Some(false));
        assert_eq!(merged(none(), file()), (7, 0, false));
        assert_eq!(merged(flags(Some(8), Some(2), Some(true)), file()), (8, 2 << 20, true));
    }

    #[test]
    fn what_cannot_be_is_told_with_its_option() {
        let flags = ApiFlags {
            api_namespaces: Some("eth,nonsense".into()),
            max_response_body_mib_overrides: vec!["eth_getLogs".into()],
            max_connections: Some(0),
            ..ApiFlags::default()
        };
        let mut problems = Vec::new();
        flags.merged(ApiFlags::default(), &mut problems);
        let text = problems.join("; ");
        for part in ["--api-namespaces", "`nonsense`", "`eth_getLogs`", "--max-connections"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
