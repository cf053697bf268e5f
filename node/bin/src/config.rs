//! What the operator decides: flags over environment over file over defaults, checked as a whole
//! before anything is touched.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use lockstep_vm_era::VmMode;
use serde::Deserialize;

/// Chains with known endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Chain {
    /// ZKsync Era mainnet, chain id 324.
    EraMainnet,
    /// ZKsync Era Sepolia testnet, chain id 300.
    EraSepolia,
}

impl Chain {
    fn id(self) -> u64 {
        match self {
            Self::EraMainnet => 324,
            Self::EraSepolia => 300,
        }
    }

    fn main_node_url(self) -> &'static str {
        match self {
            Self::EraMainnet => "https://mainnet.era.zksync.io",
            Self::EraSepolia => "https://sepolia.era.zksync.dev",
        }
    }
}

/// Which VM runs batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VmChoice {
    /// Our own operator of the EraVM from v24 on, the crates' legacy VMs for older batches.
    Own,
    /// The crates' fast VM from v24 on, their legacy VMs for older batches. It cannot trace.
    Fast,
    /// The crates' legacy VMs for everything, as the reference node.
    Legacy,
    /// Own and legacy, compared after every transaction; a difference halts writes.
    Shadow,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Options as given; the same names serve as flags, as `LOCKSTEP_…` and as keys of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Flags {
    /// TOML file with options; its keys are the names of the flags.
    #[arg(long, env = "LOCKSTEP_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Chain with known endpoints: sets --l2-chain-id and --main-node-url.
    #[arg(long, env = "LOCKSTEP_CHAIN")]
    chain: Option<Chain>,
    /// JSON-RPC endpoints of the main node, the preferred one first.
    #[arg(long, env = "LOCKSTEP_MAIN_NODE_URL", value_name = "URL", value_delimiter = ',')]
    main_node_url: Vec<String>,
    /// JSON-RPC endpoints of L1, the preferred one first. Without one, L1 statuses stay unknown.
    #[arg(long, env = "LOCKSTEP_L1_URL", value_name = "URL", value_delimiter = ',')]
    l1_url: Vec<String>,
    /// Chain id of the chain to follow.
    #[arg(long, env = "LOCKSTEP_L2_CHAIN_ID", value_name = "ID")]
    l2_chain_id: Option<u64>,
    /// Where everything is stored.
    #[arg(long, env = "LOCKSTEP_DATADIR", value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// Address of the JSON-RPC server [default: 127.0.0.1].
    #[arg(long, env = "LOCKSTEP_HTTP_ADDR", value_name = "IP")]
    http_addr: Option<IpAddr>,
    /// Port of the JSON-RPC server; 0 takes any free one [default: 3060].
    #[arg(long, env = "LOCKSTEP_HTTP_PORT", value_name = "PORT")]
    http_port: Option<u16>,
    /// Port for GET /health on the same address; without it there is none.
    #[arg(long, env = "LOCKSTEP_HEALTH_PORT", value_name = "PORT")]
    health_port: Option<u16>,
    /// Which VM runs batches [default: own].
    #[arg(long, env = "LOCKSTEP_VM")]
    vm: Option<VmChoice>,
    /// Requests to the main node per second, at most [default: 400]; a batch counts
    /// as many as it holds. Refusals slow it down by themselves.
    #[arg(long, env = "LOCKSTEP_MAIN_NODE_RPS", value_name = "N")]
    main_node_rps: Option<u32>,
    /// MiB of database blocks kept in memory [default: 512].
    #[arg(long, env = "LOCKSTEP_DB_CACHE_MIB", value_name = "MIB")]
    db_cache_mib: Option<usize>,
    /// MiB of tree nodes kept in memory [default: 256].
    #[arg(long, env = "LOCKSTEP_TREE_CACHE_MIB", value_name = "MIB")]
    tree_cache_mib: Option<usize>,
    /// MiB of decoded programs kept in memory [default: 256].
    #[arg(long, env = "LOCKSTEP_PROGRAM_CACHE_MIB", value_name = "MIB")]
    program_cache_mib: Option<usize>,
    /// MiB of traces kept in memory [default: 256].
    #[arg(long, env = "LOCKSTEP_TRACE_CACHE_MIB", value_name = "MIB")]
    trace_cache_mib: Option<usize>,
    /// Logs of one eth_getLogs over several blocks, at most [default: 10000].
    #[arg(long, env = "LOCKSTEP_LOGS_MAX", value_name = "N")]
    logs_max: Option<usize>,
    /// Hide logs that belong to no transaction, as tools expect that know Ethereum only.
    #[arg(long, env = "LOCKSTEP_ETHEREUM_STRICT", num_args = 0..=1, default_missing_value = "true",
          value_name = "BOOL")]
    ethereum_strict: Option<bool>,
    /// What is logged, as `level` or `target=level,…` [default: info].
    #[arg(long, env = "LOCKSTEP_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How the log looks [default: text].
    #[arg(long, env = "LOCKSTEP_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

/// Everything decided.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) main_node_urls: Vec<String>,
    pub(crate) l1_urls: Vec<String>,
    pub(crate) l2_chain_id: u64,
    pub(crate) datadir: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) health: Option<SocketAddr>,
    pub(crate) vm: VmMode,
    pub(crate) main_node_rps: u32,
    pub(crate) db_cache_bytes: usize,
    pub(crate) tree_cache_bytes: usize,
    pub(crate) program_cache_bytes: usize,
    pub(crate) trace_cache_bytes: usize,
    pub(crate) logs_max: usize,
    pub(crate) is_ethereum_strict: bool,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

impl Settings {
    /// Reads the file that the flags name, if any, and puts everything together.
    ///
    /// # Errors
    ///
    /// All problems at once, each with what to do.
    pub(crate) fn read(flags: Flags) -> anyhow::Result<Self> {
        let file = match &flags.config {
            None => Flags::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the config file {}", path.display()))?;
                toml::from_str(&text)
                    .with_context(|| format!("the config file {} is wrong", path.display()))?
            }
        };
        Self::merged(flags, file)
    }

    fn merged(flags: Flags, file: Flags) -> anyhow::Result<Self> {
        let either =
            |ours: Vec<String>, theirs: Vec<String>| if ours.is_empty() { theirs } else { ours };
        let chain = flags.chain.or(file.chain);
        let mut problems = Vec::new();

        let mut main_node_urls = either(flags.main_node_url, file.main_node_url);
        if let (true, Some(chain)) = (main_node_urls.is_empty(), chain) {
            main_node_urls.push(chain.main_node_url().to_owned());
        }
        if main_node_urls.is_empty() {
            problems.push("give --main-node-url (or --chain)".to_owned());
        }
        let given_id = flags.l2_chain_id.or(file.l2_chain_id);
        let l2_chain_id = match (given_id, chain) {
            (Some(id), Some(chain)) if id != chain.id() => {
                problems.push(format!(
                    "--l2-chain-id {id} is not the chain that --chain names, {}",
                    chain.id()
                ));
                id
            }
            (Some(id), _) => id,
            (None, Some(chain)) => chain.id(),
            (None, None) => {
                problems.push("give --l2-chain-id (or --chain)".to_owned());
                0
            }
        };
        let datadir = flags.datadir.or(file.datadir).unwrap_or_else(|| {
            problems.push("give --datadir, a folder for everything that is stored".to_owned());
            PathBuf::new()
        });
        let address = flags.http_addr.or(file.http_addr).unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let http = SocketAddr::new(address, flags.http_port.or(file.http_port).unwrap_or(3060));
        let health = flags.health_port.or(file.health_port);
        let health = health.map(|port| SocketAddr::new(address, port));
        if health.is_some_and(|health| health.port() != 0 && health == http) {
            problems.push("--health-port and --http-port must differ".to_owned());
        }
        let main_node_rps = flags.main_node_rps.or(file.main_node_rps).unwrap_or(400);
        if main_node_rps == 0 {
            problems.push("--main-node-rps must be at least 1".to_owned());
        }
        let mib =
            |given: Option<usize>, default: usize| given.unwrap_or(default).saturating_mul(1 << 20);
        let settings = Self {
            main_node_urls,
            l1_urls: either(flags.l1_url, file.l1_url),
            l2_chain_id,
            datadir,
            http,
            health,
            vm: match flags.vm.or(file.vm).unwrap_or(VmChoice::Own) {
                VmChoice::Own => VmMode::Own,
                VmChoice::Fast => VmMode::Fast,
                VmChoice::Legacy => VmMode::Legacy,
                VmChoice::Shadow => VmMode::Shadow,
            },
            main_node_rps,
            db_cache_bytes: mib(flags.db_cache_mib.or(file.db_cache_mib), 512),
            tree_cache_bytes: mib(flags.tree_cache_mib.or(file.tree_cache_mib), 256),
            program_cache_bytes: mib(flags.program_cache_mib.or(file.program_cache_mib), 256),
            trace_cache_bytes: mib(flags.trace_cache_mib.or(file.trace_cache_mib), 256),
            logs_max: flags.logs_max.or(file.logs_max).unwrap_or(10_000),
            is_ethereum_strict: flags.ethereum_strict.or(file.ethereum_strict).unwrap_or(false),
            log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            log_format: flags.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
        };
        if problems.is_empty() {
            return Ok(settings);
        }
        bail!("the configuration is not complete: {}", problems.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Flags {
        Flags {
            main_node_url: vec!["http://a".to_owned()],
            l2_chain_id: Some(9),
            datadir: Some("/tmp/x".into()),
            ..Flags::default()
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = Flags { http_port: Some(1), main_node_rps: Some(7), ..complete() };
        let flags = Flags { http_port: Some(2), ..Flags::default() };
        let settings = Settings::merged(flags, file).unwrap();
        assert_eq!(settings.http.port(), 2);
        assert_eq!(settings.main_node_rps, 7);
        assert_eq!(settings.l2_chain_id, 9);
    }

    #[test]
    fn system_logs_are_hidden_only_where_that_is_asked_for() {
        let strict = |flags: Flags, file: Flags| Settings::merged(flags, file).unwrap();
        assert!(!strict(complete(), Flags::default()).is_ethereum_strict);
        let file = || Flags { ethereum_strict: Some(true), ..Flags::default() };
        assert!(strict(complete(), file()).is_ethereum_strict);
        let flags = Flags { ethereum_strict: Some(false), ..complete() };
        assert!(!strict(flags, file()).is_ethereum_strict);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let error = Settings::merged(Flags::default(), Flags::default()).unwrap_err().to_string();
        for option in ["--main-node-url", "--l2-chain-id", "--datadir"] {
            assert!(error.contains(option), "{error}");
        }
    }

    #[test]
    fn a_known_chain_sets_its_id_and_endpoint() {
        let flags = Flags {
            chain: Some(Chain::EraSepolia),
            datadir: Some("/tmp/x".into()),
            ..Flags::default()
        };
        let settings = Settings::merged(flags, Flags::default()).unwrap();
        assert_eq!(settings.l2_chain_id, 300);
        assert_eq!(settings.main_node_urls, ["https://sepolia.era.zksync.dev"]);
        let other = Flags { chain: Some(Chain::EraMainnet), ..complete() };
        assert!(Settings::merged(other, Flags::default()).is_err());
    }

    #[test]
    fn unknown_keys_of_the_file_are_refused() {
        assert!(toml::from_str::<Flags>("http-port = 1").is_ok());
        let error = toml::from_str::<Flags>("http-prot = 1").unwrap_err().to_string();
        assert!(error.contains("http-prot"), "{error}");
    }
}
