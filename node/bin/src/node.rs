//! `lockstep node`: real io around the replica.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use lockstep_api::BatchLayer;
use lockstep_io::{EndpointId, Io};
use lockstep_io_net::{
    EndpointConfig, HealthHandler, HealthServer, HttpConfig, NoObjects, RpcServer, RpcServerConfig,
    Served, SocketHttp, serve_health, serve_rpc, serve_rpc_with,
};
use lockstep_io_os::{FileReports, OsConfig, OsRuntime};
use lockstep_io_rocks::{RocksConfig, RocksStores};
use lockstep_pipeline::StageError;
use lockstep_replica::{CommitmentsConfig, GatewayConfig, OpenError, Replica, ReplicaConfig};
use lockstep_types::{ChainId, Quirks};
use lockstep_vm_era::{EraVm, EraVmConfig};
use tracing::{error, info, warn};

use crate::{bootloaders, config::Settings, health, logs, metrics, quirks};

/// How long jobs that have begun may take once everything was asked to stop.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A stop waits for this long without a request, but at most for [`QUIET_PATIENCE`].
const QUIET: Duration = Duration::from_millis(500);
/// See [`QUIET`].
const QUIET_PATIENCE: Duration = Duration::from_secs(10);

/// Folder of the data directory with what is known of divergences.
const DIVERGENCES: &str = "divergences";

/// Exit code when writes were halted: the operator must act, a restart alone changes nothing.
const HALTED: u8 = 3;

/// Runs the node until it is asked to stop.
///
/// # Errors
///
/// What keeps it from starting.
pub(crate) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    logs::start(&settings.log, settings.log_format)?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        chain = settings.l2_chain_id,
        datadir = %settings.datadir.display(),
        vm = ?settings.vm,
        "lockstep"
    );
    std::fs::create_dir_all(&settings.datadir).with_context(|| {
        format!("cannot make the data directory {}", settings.datadir.display())
    })?;
    let os = OsRuntime::new(OsConfig::default())?;
    os.tasks().install_signals()?;
    let result = os.block_on(serve(&settings, &os));
    os.close(CLOSE_PATIENCE);
    info!("stopped");
    result
}

async fn serve(settings: &Settings, os: &OsRuntime) -> anyhow::Result<ExitCode> {
    let io = real_io(settings, os)?;
    let mut vm = EraVm::new(EraVmConfig {
        mode: settings.vm,
        program_cache_bytes: settings.program_cache_bytes,
    });
    if let Some(dir) = &settings.bootloaders {
        let bootloaders = bootloaders::load(dir)?;
        info!(count = bootloaders.len(), dir = %dir.display(), "bootloaders of the reference node");
        vm = vm.with_bootloaders(bootloaders);
    }
    let vm = Arc::new(vm);
    let quirks = quirks::of_chain(ChainId(settings.l2_chain_id))?;
    let config = replica_config(settings, Arc::new(quirks));
    let opening = Replica::open(config, io.clone(), vm.clone(), vm.clone());
    let replica = match opening.await {
        Ok(replica) => replica,
        Err(OpenError::Stage(StageError::Stopped)) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error.into()),
    };

    let servers = serve_api(settings, &replica).await?;
    let caches = {
        let vm = vm.clone();
        move || vm.caches()
    };
    let handler = health::handler(replica.observer(), caches);
    let health = serve_page(settings.health, "health", handler);
    let health = health.await?;
    let handler = metrics::handler(replica.observer(), replica.api_stats());
    let metrics = serve_page(settings.metrics, "metrics", handler).await?;

    let admin = match settings.admin {
        None => None,
        Some(address) => {
            // No page that a browser shows may speak to it.
            let config = RpcServerConfig {
                any_origin: false,
                served: Served::Http,
                connections_max: 8,
                ..RpcServerConfig::default()
            };
            let server = serve_rpc(address, replica.admin(), config).await?;
            if !address.ip().is_loopback() {
                warn!(%address, "others can reach the admin server, and can roll back");
            }
            info!(address = %server.local_addr, "admin");
            Some(server)
        }
    };

    let ran = Box::pin(replica.run(io.tasks.shutdown())).await;
    // Whoever balances load sees by now that this node is not healthy, and asks others.
    for server in &servers {
        server.until_quiet(QUIET, QUIET_PATIENCE).await;
    }
    servers.iter().for_each(RpcServer::stop);
    for server in &servers {
        server.stopped().await;
    }
    if let Some(admin) = admin {
        admin.stop();
        admin.stopped().await;
    }
    for page in [health, metrics].iter().flatten() {
        page.stop();
    }
    match ran {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(reason) => {
            error!(code = reason.code(), %reason, "writes were halted until now");
            Ok(ExitCode::from(HALTED))
        }
    }
}

/// A page for machines, if it has an address.
async fn serve_page(
    address: Option<SocketAddr>,
    name: &str,
    handler: HealthHandler,
) -> anyhow::Result<Option<HealthServer>> {
    let Some(address) = address else { return Ok(None) };
    let server = serve_health(address, handler).await?;
    info!(address = %server.local_addr, "{name}");
    Ok(Some(server))
}

/// HTTP and WebSocket on one port, and WebSocket on another one if there is one.
async fn serve_api(settings: &Settings, replica: &Replica) -> anyhow::Result<Vec<RpcServer>> {
    let methods = replica.rpc();
    let config = settings.api.server.clone();
    let both = serve_rpc_with(settings.http, methods.clone(), BatchLayer, config.clone()).await?;
    info!(address = %both.local_addr, "JSON-RPC");
    let mut servers = vec![both];
    if let Some(address) = settings.ws {
        let config = RpcServerConfig { served: Served::WebSocket, ..config };
        let server = serve_rpc_with(address, methods, BatchLayer, config).await?;
        info!(address = %server.local_addr, "JSON-RPC by WebSocket");
        servers.push(server);
    }
    Ok(servers)
}

fn real_io(settings: &Settings, os: &OsRuntime) -> anyhow::Result<Io> {
    let gateway = settings.gateway.iter().flat_map(|gateway| &gateway.urls);
    let urls = settings.main_node_urls.iter().chain(&settings.l1_urls).chain(gateway);
    let endpoints = urls.map(EndpointConfig::new).collect();
    let rocks =
        RocksConfig { block_cache_bytes: settings.db_cache_bytes, ..RocksConfig::default() };
    Ok(Io {
        clock: os.clock(),
        entropy: os.entropy(),
        tasks: os.tasks(),
        stores: Arc::new(RocksStores::new(settings.datadir.clone(), rocks)),
        http: Arc::new(SocketHttp::new(endpoints, HttpConfig::default())?),
        objects: Arc::new(NoObjects),
        reports: Arc::new(FileReports::new(settings.datadir.join(DIVERGENCES))),
    })
}

fn replica_config(settings: &Settings, quirks: Arc<Quirks>) -> ReplicaConfig {
    let mut next = 0;
    let mut endpoints = |urls: &[String]| -> Vec<EndpointId> {
        let first = next;
        next += urls.len();
        (first..next).map(EndpointId).collect()
    };
    let main_node = endpoints(&settings.main_node_urls);
    let l1 = endpoints(&settings.l1_urls);
    let gateway = settings.gateway.as_ref().map(|gateway| GatewayConfig {
        chain_id: ChainId(gateway.chain_id),
        endpoints: endpoints(&gateway.urls),
    });
    let mut config = ReplicaConfig::new(ChainId(settings.l2_chain_id), main_node, l1);
    config.gateway = gateway;
    config.l1_contract = settings.l1_contract;
    let at_once = settings.commitments_at_once;
    config.commitments = at_once
        .map(|in_flight_max| CommitmentsConfig { in_flight_max, ..CommitmentsConfig::default() });
    config.quirks = quirks;
    config.main_node_calls.requests_per_second_max = settings.main_node_rps;
    config.tree.cache_bytes = settings.tree_cache_bytes;
    config.api = settings.api.methods;
    config.api.trace_cache_bytes_max = settings.trace_cache_bytes;
    config.serving = settings.api.serving.clone();
    config
}
