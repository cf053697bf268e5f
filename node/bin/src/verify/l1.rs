//! `lockstep verify l1`: asks L1 again about everything that was believed of it.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use lockstep_io::{EndpointId, Io};
use lockstep_io_net::{EndpointConfig, HttpConfig, NoObjects, SocketHttp};
use lockstep_io_os::{FileReports, OsConfig, OsRuntime};
use lockstep_replica::{L1Check, L1Verifier, L1VerifierConfig};
use lockstep_types::{ChainId, L1BatchNumber};
use lockstep_upstream::UpstreamConfig;

use super::{Outcome, Range, Verdict, known};
use crate::config::{Chain, parse_contract};

/// How long a job that has begun may take once all is done.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Which batches, and whom to ask.
#[derive(Args, Debug)]
pub(crate) struct L1 {
    #[command(flatten)]
    range: Range,
    /// JSON-RPC endpoints of L1, the preferred one first.
    #[arg(
        long,
        env = "LOCKSTEP_L1_URL",
        value_name = "URL",
        value_delimiter = ',',
        required = true
    )]
    l1_url: Vec<String>,
    /// Chain whose contract on L1 is known.
    #[arg(long, env = "LOCKSTEP_CHAIN")]
    chain: Option<Chain>,
    /// The chain's contract on L1 (its diamond proxy).
    #[arg(long, env = "LOCKSTEP_L1_CONTRACT", value_name = "ADDRESS")]
    l1_contract: Option<String>,
    /// The main node, which is asked for the contract if neither --l1-contract nor --chain says.
    #[arg(long, env = "LOCKSTEP_MAIN_NODE_URL", value_name = "URL", value_delimiter = ',')]
    main_node_url: Vec<String>,
    /// JSON-RPC endpoints of the gateway; needs --gateway-chain-id.
    #[arg(long, value_name = "URL", value_delimiter = ',', requires = "gateway_chain_id")]
    gateway_url: Vec<String>,
    /// Chain id of the gateway.
    #[arg(long, value_name = "ID", requires = "gateway_url")]
    gateway_chain_id: Option<u64>,
}

/// Compares and prints a verdict. The exit code says whether anything is wrong.
///
/// # Errors
///
/// If the data directory cannot be read or L1 does not answer.
pub(crate) fn run(command: &L1) -> anyhow::Result<ExitCode> {
    let contract = match &command.l1_contract {
        None => command.chain.map(Chain::l1_contract),
        Some(given) => Some(parse_contract(given).map_err(anyhow::Error::msg)?),
    };
    if contract.is_none() && command.main_node_url.is_empty() {
        anyhow::bail!(
            "the chain's contract on L1 is not known: give --l1-contract, or --chain, or \
             --main-node-url to ask the main node for it"
        );
    }
    let os = OsRuntime::new(OsConfig::default())?;
    let result = os.block_on(check(command, contract, &os));
    os.close(CLOSE_PATIENCE);
    result
}

async fn check(
    command: &L1,
    contract: Option<lockstep_types::Address>,
    os: &OsRuntime,
) -> anyhow::Result<ExitCode> {
    let (views, writers) = command.range.datadir.open_whole()?;
    let batches = command.range.batches(&views.now(), 1)?;
    let urls = [&command.l1_url, &command.main_node_url, &command.gateway_url];
    let mut next = 0;
    let [l1, main_node, gateway] = urls.map(|urls| {
        let first = next;
        next += urls.len();
        (first..next).map(EndpointId).collect::<Vec<_>>()
    });
    let endpoints = urls.into_iter().flatten().map(EndpointConfig::new).collect();
    let io = Io {
        clock: os.clock(),
        entropy: os.entropy(),
        tasks: os.tasks(),
        stores: Arc::new(command.range.datadir.stores()?),
        http: Arc::new(SocketHttp::new(endpoints, HttpConfig::default())?),
        objects: Arc::new(NoObjects),
        reports: Arc::new(FileReports::new(std::env::temp_dir())),
    };
    let gateway = command
        .gateway_chain_id
        .map(|id| lockstep_replica::GatewayConfig { chain_id: ChainId(id), endpoints: gateway });
    let config = L1VerifierConfig {
        l1,
        l1_calls: UpstreamConfig::default(),
        contract,
        main_node,
        gateway,
        quirks: Arc::new(known(&views)?),
    };
    let mut verifier = L1Verifier::open(&io, views, writers, config).await?;
    let mut verdict = Verdict::default();
    let mut steps = 0;
    for batch in batches.iter().copied() {
        let checked = verifier.check(L1BatchNumber(batch)).await;
        let checked = checked.with_context(|| format!("batch {batch} could not be compared"))?;
        steps += checked.steps;
        verdict.note(batch, &outcome(checked))?;
    }
    Ok(verdict.say(&format!("l1: {steps} steps shown by L1"))?)
}

fn outcome(check: L1Check) -> Outcome {
    if !check.problems.is_empty() {
        return Outcome::Wrong(check.problems.join("; "));
    }
    if check.is_commit_equal {
        return Outcome::Right;
    }
    Outcome::PassedOver(check.passed_over.join("; "))
}
