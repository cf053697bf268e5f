//! `lockstep node`: real io around the replica.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use lockstep_io::{EndpointId, Io};
use lockstep_io_net::{
    EndpointConfig, HttpConfig, NoObjects, RpcServerConfig, SocketHttp, serve_health, serve_rpc,
};
use lockstep_io_os::{OsConfig, OsRuntime};
use lockstep_io_rocks::{RocksConfig, RocksStores};
use lockstep_pipeline::StageError;
use lockstep_replica::{OpenError, Replica, ReplicaConfig};
use lockstep_types::ChainId;
use lockstep_vm_era::{EraVm, EraVmConfig};
use tracing::{error, info};

use crate::{config::Settings, health, logs};

/// How long jobs that have begun may take once everything was asked to stop.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

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
    let opening = Replica::open(replica_config(settings), io.clone(), vm.clone(), vm.clone());
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

    let ran = replica.run(io.tasks.shutdown()).await;
    rpc.stop();
    rpc.stopped().await;
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
    let urls = settings.main_node_urls.iter().chain(&settings.l1_urls);
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
    })
}

fn replica_config(settings: &Settings) -> ReplicaConfig {
    let main_node_count = settings.main_node_urls.len();
    let main_node = (0..main_node_count).map(EndpointId).collect();
    let l1 = (main_node_count..main_node_count + settings.l1_urls.len()).map(EndpointId).collect();
    let mut config = ReplicaConfig::new(ChainId(settings.l2_chain_id), main_node, l1);
    config.main_node_calls.requests_per_second_max = settings.main_node_rps;
    config.tree.cache_bytes = settings.tree_cache_bytes;
    config.api.logs_max = settings.logs_max;
    config.api.hides_system_logs = settings.is_ethereum_strict;
    config.api.trace_cache_bytes_max = settings.trace_cache_bytes;
    config
}
