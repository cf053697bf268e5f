//! What is known of a divergence, written down for whoever looks for the cause: one file, named in
//! one line of the log. Nothing depends on it: what cannot be learned is left out.

use std::time::Duration;

use lockstep_io::{ReportError, node_select};
use lockstep_pipeline::StageError;
use lockstep_store::{ChainView, StoreFault};
use lockstep_tree::root_of;
use lockstep_types::{Difference, L1BatchNumber, L2BlockNumber, keccak256};
use lockstep_wire::divergence::{
    BatchReport, Bundle, ClaimsReport, CommitmentReport, DifferenceReport, FORMAT, Said,
    WriteReport, WritesReport,
};
use tracing::{error, warn};

use crate::open::Core;

/// Writes of a batch that are written down one by one; of all there is a digest.
const WRITES_MAX: usize = 2_000;
/// How long the main node has to say what it knows of the batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// Reports of one moment that get names of their own.
const NAMES_MAX: u32 = 10;

/// What a divergence is about.
#[derive(Debug, Default)]
struct About {
    batch: Option<L1BatchNumber>,
    block: Option<L2BlockNumber>,
    difference: Option<Difference>,
    l1_transaction: Option<lockstep_types::B256>,
}

/// What `reason` is about; `None` if it is no divergence.
fn about(reason: &StageError, view: &ChainView) -> Option<About> {
    let of_batch = |batch: &L1BatchNumber, difference| About {
        batch: Some(*batch),
        difference: Some(difference),
        ..About::default()
    };
    match reason {
        StageError::RootMismatch { batch, ours, theirs } => {
            Some(of_batch(batch, Difference::new("state root", ours, theirs)))
        }
        StageError::CommitmentMismatch { batch, ours, theirs } => {
            Some(of_batch(batch, Difference::new("commitment", ours, theirs)))
        }
        StageError::L1Mismatch { batch, tx, difference } => {
            Some(About { l1_transaction: Some(*tx), ..of_batch(batch, difference.clone()) })
        }
        StageError::Execution(_) => {
            let block = view.head().ok().flatten().map(L2BlockNumber::next);
            let batch = view.sealed_batch().ok().flatten().map(L1BatchNumber::next);
            Some(About { batch, block, ..About::default() })
        }
        StageError::Inconsistent { block, .. } => {
            let header = view.block(*block).ok().flatten();
            let open = || view.sealed_batch().ok().flatten().map(L1BatchNumber::next);
            let batch = header.map(|header| header.params.batch).or_else(open);
            Some(About { batch, block: Some(*block), ..About::default() })
        }
        StageError::ReorgBelowFinal { last_common, block, ours, theirs, .. } => Some(About {
            block: Some(*block),
            ..of_batch(&last_common.next(), Difference::new("block hash", ours, theirs))
        }),
        StageError::Unavailable { .. }
        | StageError::Lie { .. }
        | StageError::UnknownVersion { .. }
        | StageError::Reorg { .. }
        | StageError::RollBackRefused(_)
        | StageError::RollBackAsked(_)
        | StageError::Store(_)
        | StageError::Tree(_)
        | StageError::Panicked { .. }
        | StageError::Stopped => None,
    }
}

impl Core {
    /// Writes down what is known if `reason` is a divergence.
    pub(crate) async fn report(&self, reason: &StageError) {
        let view = self.views.now();
        let Some(about) = about(reason, &view) else { return };
        let main_node = self.main_node_says(about.batch).await;
        let stored = match about.batch.map(|batch| stored(&view, batch)).transpose() {
            Ok(stored) => stored.flatten(),
            Err(fault) => {
                warn!(%fault, "what is stored of the batch cannot be read");
                None
            }
        };
        let claims = about.batch.and_then(|batch| claims(&view, batch).ok());
        let written_at_ms = self.io.clock.wall().0;
        let difference = about.difference.map(|difference| DifferenceReport {
            field: difference.field.to_owned(),
            expected: difference.ours,
            actual: difference.theirs,
        });
        let bundle = Bundle {
            format: FORMAT,
            code: reason.code().to_owned(),
            reason: reason.to_string(),
            written_at_ms,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            l2_chain_id: self.identity.l2_chain_id.0,
            l1_chain_id: self.identity.l1_chain_id.0,
            batch: about.batch.map(|batch| batch.0),
            block: about.block.map(|block| block.0),
            difference,
            l1_transaction: about.l1_transaction,
            stored,
            claims,
            main_node,
        };
        let l1_batch = bundle.batch;
        match self.write(bundle).await {
            Ok(file) => {
                error!(
                    l1_batch,
                    code = reason.code(),
                    file,
                    "a divergence: details are in the file"
                );
            }
            Err(refused) => {
                warn!(l1_batch, %refused, "details of the divergence could not be written down");
            }
        }
    }

    /// What the main node says of `batch`, if it answers soon.
    async fn main_node_says(&self, batch: Option<L1BatchNumber>) -> Option<Said> {
        let batch = batch?;
        node_select! {
            details = self.main_node.raw_batch_details(batch) => details.ok(),
            () = self.io.clock.sleep(PATIENCE) => None,
        }
    }

    async fn write(&self, bundle: Bundle) -> Result<String, String> {
        let reports = self.io.reports.clone();
        let job = move || -> Result<String, ReportError> {
            let batch =
                bundle.batch.map_or_else(|| "unknown".to_owned(), |batch| batch.to_string());
            let name = format!("batch-{batch}-{}-{}", bundle.code, bundle.written_at_ms);
            let json = bundle.to_json();
            let mut written = reports.write(&format!("{name}.json"), &json);
            for more in 2..=NAMES_MAX {
                if !matches!(written, Err(ReportError::Exists(_))) {
                    break;
                }
                written = reports.write(&format!("{name}-{more}.json"), &json);
            }
            written
        };
        let ran = self.io.tasks.blocking("report", job).await;
        ran.map_err(|end| format!("{end:?}"))?.map_err(|error| error.to_string())
    }
}

/// The batch as it is stored; `None` if it is not sealed.
fn stored(view: &ChainView, batch: L1BatchNumber) -> Result<Option<BatchReport>, StoreFault> {
    let Some(header) = view.batch(batch)? else { return Ok(None) };
    let last = view.block(header.last_block)?;
    let params = last.as_ref().map(|block| &block.params);
    let root = |batch| root_of(view.raw(), batch).ok().flatten();
    let before = batch.prev().and_then(root);
    let contracts = params.map(|params| {
        let contracts = params.base_system_contracts;
        let always = [contracts.bootloader, contracts.default_account];
        always.into_iter().chain(contracts.evm_emulator).map(|hash| hash.0).collect()
    });
    let fee_input = params.map(|params| {
        let fees = params.fee_input;
        let always = [fees.l1_gas_price, fees.fair_l2_gas_price];
        always.into_iter().chain(fees.fair_pubdata_price).collect()
    });
    Ok(Some(BatchReport {
        protocol_version: header.version.0,
        timestamp_s: header.timestamp.0,
        first_block: header.first_block.0,
        last_block: header.last_block.0,
        last_block_hash: last.as_ref().map(|block| block.hash.0),
        l1_tx_count: header.l1_tx_count,
        l2_tx_count: header.l2_tx_count,
        next_leaf_index: header.next_leaf_index.0,
        priority_ops_hash: header.priority_ops_hash,
        base_system_contracts: contracts.unwrap_or_default(),
        fee_account: params.map(|params| params.fee_account),
        fee_input: fee_input.unwrap_or_default(),
        root_before: before.map(|before| before.root.0),
        leaf_count_before: before.map(|before| before.leaf_count),
        root: root(batch).map(|after| after.root.0),
        commitment: view.commitment(batch)?.map(|ours| CommitmentReport {
            commitment: ours.commitment.0,
            pass_through_hash: ours.pass_through_hash,
            meta_hash: ours.meta_hash,
            aux_hash: ours.aux_hash,
            l2_to_l1_root: ours.l2_to_l1_root,
        }),
        writes: writes(view, batch)?,
    }))
}

fn writes(view: &ChainView, batch: L1BatchNumber) -> Result<WritesReport, StoreFault> {
    let writes = view.batch_writes(batch)?.unwrap_or_default();
    let mut bytes = Vec::with_capacity(writes.len() * 72);
    for write in &writes {
        bytes.extend_from_slice(write.hashed_key.bytes());
        bytes.extend_from_slice(&write.leaf_index.0.to_be_bytes());
        bytes.extend_from_slice(write.value.as_slice());
    }
    let first = writes.iter().take(WRITES_MAX).map(|write| WriteReport {
        key: write.hashed_key.0,
        index: write.leaf_index.0,
        value: write.value,
    });
    Ok(WritesReport { count: writes.len(), keccak256: keccak256(&bytes), first: first.collect() })
}

fn claims(view: &ChainView, batch: L1BatchNumber) -> Result<ClaimsReport, StoreFault> {
    let claim = view.claim(batch)?;
    let steps = view.steps(batch)?;
    let steps = [steps.commit, steps.prove, steps.execute];
    Ok(ClaimsReport {
        agreed_batch: view.agreed_batch()?.map(|batch| batch.0),
        root: claim.and_then(|claim| claim.root).map(|root| root.0),
        commitment: claim.and_then(|claim| claim.commitment).map(|commitment| commitment.0),
        l1_steps: steps.into_iter().flatten().map(|step| step.tx_hash).collect(),
    })
}
