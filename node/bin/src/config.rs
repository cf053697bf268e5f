//! What the operator decides: flags over environment over file over defaults, checked as a whole
//! before anything is touched.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use lockstep_types::{Address, alloy_primitives::address};
use lockstep_vm_era::VmMode;
use serde::Deserialize;

use crate::api_config::{ApiFlags, ApiSettings};

/// Chains with known endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Chain {
    /// ZKsync Era mainnet, chain id 324.
    EraMainnet,
    /// ZKsync Era Sepolia testnet, chain id 300.
    EraSepolia,
}

impl VmChoice {
    pub(crate) fn mode(self) -> VmMode {
        match self {
            Self::Own => VmMode::Own,
            Self::Fast => VmMode::Fast,
            Self::Legacy => VmMode::Legacy,
            Self::Shadow => VmMode::Shadow,
        }
    }
}

impl Chain {
    fn id(self) -> u64 {
        match self {
            Self::EraMainnet => 324,
            Self::EraSepolia => 300,
        }
    }

    /// The chain's contract on L1.
    pub(crate) fn l1_contract(self) -> Address {
        match self {
            Self::EraMainnet => address!("32400084c286cf3e17e7b677ea9583e60a000324"),
            Self::EraSepolia => address!("9a6de0f62aa270a8bcb1e2610078650d539b1ef9"),
        }
    }

    fn main_node_url(self) -> &'static str {
        match self {
            Self::EraMainnet => "https://mainnet.era.zksync.io",
            Self::EraSepolia => "https://sepolia.era.zksync.dev",
        }
    }
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
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
#[serde(rename_all = "kebab-case", default)]
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
    /// The chain's contract on L1 (its diamond proxy), which the main node must name as well.
    /// Known for the chains of --chain; without it, what the main node names is believed.
    #[arg(long, env = "LOCKSTEP_L1_CONTRACT", value_name = "ADDRESS")]
    l1_contract: Option<String>,
    /// JSON-RPC endpoints of the gateway that the chain settles on, or has settled on; needs
    /// --gateway-chain-id.
    #[arg(long, env = "LOCKSTEP_GATEWAY_URL", value_name = "URL", value_delimiter = ',')]
    gateway_url: Vec<String>,
    /// Chain id of the gateway.
    #[arg(long, env = "LOCKSTEP_GATEWAY_CHAIN_ID", value_name = "ID")]
    gateway_chain_id: Option<u64>,
    /// Whether batch commitments are computed and compared with the main node and L1 [default:
    /// on].
    #[arg(long, env = "LOCKSTEP_COMMITMENTS")]
    commitments: Option<Switch>,
    /// Commitments computed at the same time [default: one less than there are cores, at least 1].
    #[arg(long, env = "LOCKSTEP_COMMITMENTS_AT_ONCE", value_name = "N")]
    commitments_at_once: Option<usize>,
    /// Chain id of the chain to follow.
    #[arg(long, env = "LOCKSTEP_L2_CHAIN_ID", value_name = "ID")]
    l2_chain_id: Option<u64>,
    /// Where everything is stored.
    #[arg(long, env = "LOCKSTEP_DATADIR", value_name = "DIR")]
    datadir: Option<PathBuf>,
    /// Address of the JSON-RPC server [default: 127.0.0.1].
    #[arg(long, env = "LOCKSTEP_HTTP_ADDR", value_name = "IP")]
    http_addr: Option<IpAddr>,
    /// Port of the JSON-RPC server, HTTP and WebSocket; 0 takes any free one [default: 3060].
    #[arg(long, env = "LOCKSTEP_HTTP_PORT", value_name = "PORT")]
    http_port: Option<u16>,
    /// Another port, for WebSocket alone [default: 3061, or none if --http-port is given].
    #[arg(long, env = "LOCKSTEP_WS_PORT", value_name = "PORT")]
    ws_port: Option<u16>,
    #[command(flatten)]
    #[serde(flatten)]
    api: ApiFlags,
    /// Port for GET /health on the same address; without it there is none.
    #[arg(long, env = "LOCKSTEP_HEALTH_PORT", value_name = "PORT")]
    health_port: Option<u16>,
    /// Port for GET /metrics, in Prometheus' format, on the same address; without it there is none.
    #[arg(long, env = "LOCKSTEP_METRICS_PORT", value_name = "PORT")]
    metrics_port: Option<u16>,
    /// Address of the admin server [default: 127.0.0.1]. Whoever reaches it can roll back.
    #[arg(long, env = "LOCKSTEP_ADMIN_ADDR", value_name = "IP")]
    admin_addr: Option<IpAddr>,
    /// Port of the admin server (JSON-RPC: admin_status, admin_rollback); without it there is
    /// none.
    #[arg(long, env = "LOCKSTEP_ADMIN_PORT", value_name = "PORT")]
    admin_port: Option<u16>,
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
    /// Folder with the reference node's bootloaders for calls and estimates, recognised by their
    /// hashes. Calls and estimates need none of them; with them they differ in no unit of gas.
    #[arg(long, env = "LOCKSTEP_BOOTLOADERS", value_name = "DIR")]
    bootloaders: Option<PathBuf>,
    /// MiB of traces kept in memory [default: 256].
    #[arg(long, env = "LOCKSTEP_TRACE_CACHE_MIB", value_name = "MIB")]
    trace_cache_mib: Option<usize>,
    /// What is logged, as `level` or `target=level,…` [default: info].
    #[arg(long, env = "LOCKSTEP_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How the log looks [default: text].
    #[arg(long, env = "LOCKSTEP_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

/// A gateway that the chain settles on.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) chain_id: u64,
    pub(crate) urls: Vec<String>,
}

/// Everything decided.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) main_node_urls: Vec<String>,
    pub(crate) l1_urls: Vec<String>,
    pub(crate) l2_chain_id: u64,
    pub(crate) datadir: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) ws: Option<SocketAddr>,
    pub(crate) api: ApiSettings,
    pub(crate) health: Option<SocketAddr>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) l1_contract: Option<Address>,
    pub(crate) gateway: Option<Gateway>,
    /// Commitments computed at the same time; `None`: none are.
    pub(crate) commitments_at_once: Option<usize>,
    pub(crate) vm: VmMode,
    pub(crate) main_node_rps: u32,
    pub(crate) db_cache_bytes: usize,
    pub(crate) tree_cache_bytes: usize,
    pub(crate) program_cache_bytes: usize,
    pub(crate) bootloaders: Option<PathBuf>,
    pub(crate) trace_cache_bytes: usize,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

impl Flags {
    /// Options of a file: the names of the flags are its keys.
    fn from_toml(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        let command = Self::augment_args(clap::Command::new("node"));
        let known: Vec<&str> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
        let known = known.into_iter().filter(|name| *name != "config").collect::<Vec<_>>();
        let unknown: Vec<_> = table.keys().filter(|key| !known.contains(&key.as_str())).collect();
        if !unknown.is_empty() {
            bail!("there are no options {unknown:?}; `lockstep node --help` lists all");
        }
        Ok(toml::from_str(text)?)
    }
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
                Flags::from_toml(&text)
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
        let http_port = flags.http_port.or(file.http_port);
        let http = SocketAddr::new(address, http_port.unwrap_or(3060));
        let ws_port = flags.ws_port.or(file.ws_port).or(http_port.is_none().then_some(3061));
        let ws = ws_port.map(|port| SocketAddr::new(address, port));
        let health = flags.health_port.or(file.health_port);
        let health = health.map(|port| SocketAddr::new(address, port));
        let local = IpAddr::from([127, 0, 0, 1]);
        let admin_address = flags.admin_addr.or(file.admin_addr).unwrap_or(local);
        let admin = flags.admin_port.or(file.admin_port);
        let admin = admin.map(|port| SocketAddr::new(admin_address, port));
        let metrics = flags.metrics_port.or(file.metrics_port);
        let metrics = metrics.map(|port| SocketAddr::new(address, port));
        let ports = [
            ("--http-port", Some(http)),
            ("--ws-port", ws),
            ("--health-port", health),
            ("--metrics-port", metrics),
            ("--admin-port", admin),
        ];
        problems.extend(same_ports(&ports));
        let l1_contract = match flags.l1_contract.or(file.l1_contract) {
            None => chain.map(Chain::l1_contract),
            Some(given) => parse_contract(&given).map_err(|problem| problems.push(problem)).ok(),
        };
        let gateway_urls = either(flags.gateway_url, file.gateway_url);
        let gateway = match (flags.gateway_chain_id.or(file.gateway_chain_id), gateway_urls) {
            (None, urls) if urls.is_empty() => None,
            (Some(chain_id), urls) if !urls.is_empty() => Some(Gateway { chain_id, urls }),
            (None | Some(_), _) => {
                problems.push("give --gateway-url and --gateway-chain-id together".to_owned());
                None
            }
        };
        let at_once = flags.commitments_at_once.or(file.commitments_at_once);
        if at_once == Some(0) {
            problems.push(
                "--commitments-at-once must be at least 1; --commitments off computes none"
                    .to_owned(),
            );
        }
        let commitments_at_once = match flags.commitments.or(file.commitments) {
            Some(Switch::Off) => None,
            Some(Switch::On) | None => Some(at_once.unwrap_or_else(spare_cores)),
        };
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
            ws,
            api: flags.api.merged(file.api, &mut problems),
            health,
            metrics,
            admin,
            l1_contract,
            gateway,
            commitments_at_once,
            vm: flags.vm.or(file.vm).unwrap_or(VmChoice::Own).mode(),
            main_node_rps,
            db_cache_bytes: mib(flags.db_cache_mib.or(file.db_cache_mib), 512),
            tree_cache_bytes: mib(flags.tree_cache_mib.or(file.tree_cache_mib), 256),
            program_cache_bytes: mib(flags.program_cache_mib.or(file.program_cache_mib), 256),
            bootloaders: flags.bootloaders.or(file.bootloaders),
            trace_cache_bytes: mib(flags.trace_cache_mib.or(file.trace_cache_mib), 256),
            log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            log_format: flags.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
        };
        if problems.is_empty() {
            return Ok(settings);
        }
        bail!("the configuration is not complete: {}", problems.join("; "))
    }
}

/// A sentence for each two options that name one address; port 0 is any free one.
fn same_ports(ports: &[(&str, Option<SocketAddr>)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, (name, address)) in ports.iter().enumerate() {
        for (other, at) in &ports[..index] {
            if address.is_some_and(|address| address.port() != 0 && Some(address) == *at) {
                problems.push(format!("{other} and {name} must differ"));
            }
        }
    }
    problems
}

/// Reads an address as it is written.
///
/// # Errors
///
/// What to do.
pub(crate) fn parse_contract(given: &str) -> Result<Address, String> {
    match given.parse() {
        Ok(Address::ZERO) | Err(_) => {
            Err(format!("--l1-contract {given} is not an address: give 0x and 40 hex digits"))
        }
        Ok(address) => Ok(address),
    }
}

/// One less than there are cores, at least 1: what follows the chain needs one.
pub(crate) fn spare_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_sub(1).max(1)
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
    fn websockets_have_a_port_of_their_own_unless_the_other_was_chosen() {
        let ports = |http_port, ws_port| {
            let flags = Flags { http_port, ws_port, ..complete() };
            let settings = Settings::merged(flags, Flags::default()).unwrap();
            (settings.http.port(), settings.ws.map(|ws| ws.port()))
        };
        assert_eq!(ports(None, None), (3060, Some(3061)));
        assert_eq!(ports(Some(4000), None), (4000, None));
        assert_eq!(ports(Some(4000), Some(4001)), (4000, Some(4001)));
        let same = Flags { http_port: Some(4000), ws_port: Some(4000), ..complete() };
        assert!(Settings::merged(same, Flags::default()).is_err());
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
        assert_eq!(settings.l1_contract, Some(Chain::EraSepolia.l1_contract()));
        let other = Flags { chain: Some(Chain::EraMainnet), ..complete() };
        assert!(Settings::merged(other, Flags::default()).is_err());
    }

    #[test]
    fn the_contract_on_l1_can_be_given_and_must_be_an_address() {
        let given = |contract: &str| {
            let l1_contract = Some(contract.to_owned());
            Settings::merged(Flags { l1_contract, ..complete() }, Flags::default())
        };
        let contract = "0x32400084c286cf3e17e7b677ea9583e60a000324";
        assert_eq!(given(contract).unwrap().l1_contract, Some(Chain::EraMainnet.l1_contract()));
        for bad in ["0x12", "nonsense", "0x0000000000000000000000000000000000000000"] {
            let error = given(bad).unwrap_err().to_string();
            assert!(error.contains("--l1-contract") && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn commitments_leave_a_core_to_what_follows_the_chain() {
        let settings = Settings::merged(complete(), Flags::default()).unwrap();
        assert_eq!(settings.commitments_at_once, Some(spare_cores()));
        let off = Flags { commitments: Some(Switch::Off), ..complete() };
        assert_eq!(Settings::merged(off, Flags::default()).unwrap().commitments_at_once, None);
        let none = Flags { commitments_at_once: Some(0), ..complete() };
        let error = Settings::merged(none, Flags::default()).unwrap_err().to_string();
        assert!(error.contains("--commitments off"), "{error}");
    }

    #[test]
    fn the_admin_server_is_off_unless_asked_for_and_then_local() {
        assert_eq!(Settings::merged(complete(), Flags::default()).unwrap().admin, None);
        let on = Flags { admin_port: Some(7), ..complete() };
        let admin = Settings::merged(on, Flags::default()).unwrap().admin.unwrap();
        assert!(admin.ip().is_loopback() && admin.port() == 7, "{admin}");
        let taken = Flags { admin_port: Some(3060), ..complete() };
        let error = Settings::merged(taken, Flags::default()).unwrap_err().to_string();
        assert!(error.contains("--admin-port"), "{error}");
    }

    #[test]
    fn a_gateway_needs_its_url_and_its_id() {
        let half = Flags { gateway_chain_id: Some(506), ..complete() };
        let error = Settings::merged(half, Flags::default()).unwrap_err().to_string();
        assert!(error.contains("--gateway-url"), "{error}");
        let gateway_url = vec!["http://g".to_owned()];
        let whole = Flags { gateway_chain_id: Some(506), gateway_url, ..complete() };
        let gateway = Settings::merged(whole, Flags::default()).unwrap().gateway.unwrap();
        assert_eq!((gateway.chain_id, gateway.urls.len()), (506, 1));
    }

    #[test]
    fn unknown_keys_of_the_file_are_refused() {
        let good = "http-port = 1\nmax-nonce-ahead = 3\nfilters-disabled = true";
        assert!(Flags::from_toml(good).is_ok());
        for bad in ["http-prot = 1", "http_port = 1", "config = 'x'"] {
            let error = format!("{:#}", Flags::from_toml(bad).unwrap_err());
            let key = bad.split(' ').next().unwrap();
            assert!(error.contains(key), "{error}");
        }
    }
}
