//! `lockstep node`: real io around the replica.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use lockstep_io::{EndpointId, Io};
use lockstep_io_net::{
    EndpointConfig, HttpConfig, NoObjects, RpcServerConfig, SocketHttp, serve_health, serve_rpc,
};
use lockstep_io_os::{FileReports, OsConfig, OsRuntime};
use lockstep_io_rocks::{RocksConfig, RocksStores};
use lockstep_pipeline::StageError;
use lockstep_replica::{CommitmentsConfig, GatewayConfig, OpenError, Replica, ReplicaConfig};
use lockstep_types::{ChainId, Quirks};
use lockstep_vm_era::{EraVm, EraVmConfig};
use tracing::{error, info, warn};

use crate::{config::Settings, health, logs, quirks};

/// How long jobs that have begun may take once everything was asked to stop.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

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
    let vm = Arc::new(EraVm::new(EraVmConfig {
        mode: settings.vm,
        program_cache_bytes: settings.program_cache_bytes,
    }));
    let quirks = quirks::of_chain(ChainId(settings.l2_chain_id))?;
    let config = replica_config(settings, Arc::new(quirks));
    let opening = Replica::open(config, io.clone(), vm.clone(), vm.clone());
    let replica = match opening.await {
        Ok(replica) => replica,
        Err(OpenError::Stage(StageError::Stopped)) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error.into()),
    };

    let rpc = serve_rpc(settings.http, replica.rpc(), RpcServerConfig::default()).await?;
    info!(address = %rpc.local_addr, "JSON-RPC");
    let status = replica.status();
    let health = match settings.health {
        None => None,
        Some(address) => {
            let handler = health::handler(move || status.borrow().clone());
            let server = serve_health(address, handler).await?;
            info!(address = %server.local_addr, "health");
            Some(server)
        }
    };

    let admin = match settings.admin {
        None => None,
        Some(address) => {
            // No page that a browser shows may speak to it.
            let config = RpcServerConfig {
                any_origin: false,
                websocket: false,
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

    let ran = replica.run(io.tasks.shutdown()).await;
    rpc.stop();
    rpc.stopped().await;
    if let Some(admin) = admin {
        admin.stop();
        admin.stopped().await;
    }
    if let Some(health) = health {
        health.stop();
    }
    match ran {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(reason) => {
            error!(code = reason.code(), %reason, "writes were halted until now");
            Ok(ExitCode::from(HALTED))
        }
    }
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
    config.commitments = at_once.map(|in_flight_max| CommitmentsConfig { in_flight_max });
    config.quirks = quirks;
    config.main_node_calls.requests_per_second_max = settings.main_node_rps;
    config.tree.cache_bytes = settings.tree_cache_bytes;
    config.api.logs_max = settings.logs_max;
    config.api.hides_system_logs = settings.is_ethereum_strict;
    config.api.trace_cache_bytes_max = settings.trace_cache_bytes;
    config
}
