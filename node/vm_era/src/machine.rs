//! One machine of the crates, fast or legacy, behind the calls that a batch needs.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use zksync_multivm::{
    FastVmInstance, LegacyVmInstance, MultiVmTracer,
    interface::{
        Call, FinishedL1Batch, L1BatchEnv, L2BlockEnv, SystemEnv, VmExecutionResultAndLogs,
        VmFactory, VmInterface, VmInterfaceHistoryEnabled, storage::StorageView,
    },
    pubdata_builders::pubdata_params_to_builder,
    tracers::CallTracer,
    vm_latest::HistoryEnabled,
};
use zksync_types::{ProtocolVersionId, Transaction, commitment::PubdataParams};

use crate::source::Source;

/// The two kinds of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MachineKind {
    Fast,
    Legacy,
}

/// A machine in the middle of a batch.
#[derive(Debug)]
pub(crate) enum Machine {
    Fast(Box<FastVmInstance<Source>>),
    Legacy(Box<LegacyVmInstance<Source, HistoryEnabled>>),
}

/// What a machine says of a transaction.
#[derive(Debug)]
pub(crate) struct TxRun {
    pub(crate) result: VmExecutionResultAndLogs,
    /// Whether the transaction's bytecodes were published compressed (or there were none).
    pub(crate) is_compressed: bool,
    /// The calls, if they were watched and the machine can see them.
    pub(crate) calls: Option<Vec<Call>>,
}

impl Machine {
    pub(crate) fn new(
        kind: MachineKind,
        batch: L1BatchEnv,
        system: SystemEnv,
        source: Source,
    ) -> Self {
        let view = StorageView::new(source).to_rc_ptr();
        match kind {
            MachineKind::Fast => Self::Fast(Box::new(FastVmInstance::fast(batch, system, view))),
            MachineKind::Legacy => {
                Self::Legacy(Box::new(LegacyVmInstance::new(batch, system, view)))
            }
        }
    }

    pub(crate) fn start_block(&mut self, block: L2BlockEnv) {
        match self {
            Self::Fast(vm) => vm.start_new_l2_block(block),
            Self::Legacy(vm) => vm.start_new_l2_block(block),
        }
    }

    /// Runs a transaction, first with its bytecodes compressed and, if that cannot be paid for,
    /// again without. `None` if the second attempt leaves them unpublished too.
    pub(crate) fn run_tx(&mut self, tx: &Transaction, is_watched: bool) -> Option<TxRun> {
        match self {
            Self::Fast(vm) => run_tx(vm.as_mut(), tx, || (Default::default(), None)),
            Self::Legacy(vm) if is_watched => run_tx(vm.as_mut(), tx, || {
                let calls = Arc::new(OnceCell::new());
                let tracer = CallTracer::new(Arc::clone(&calls)).into_tracer_pointer();
                (vec![tracer].into(), Some(calls))
            }),
            Self::Legacy(vm) => run_tx(vm.as_mut(), tx, || (Default::default(), None)),
        }
    }

    pub(crate) fn seal(
        &mut self,
        params: PubdataParams,
        version: ProtocolVersionId,
    ) -> FinishedL1Batch {
        let builder = pubdata_params_to_builder(params, version);
        match self {
            Self::Fast(vm) => vm.finish_batch(builder),
            Self::Legacy(vm) => vm.finish_batch(builder),
        }
    }
}

/// Where a tracer puts the calls when the transaction has ended.
type SeenCalls = Option<Arc<OnceCell<Vec<Call>>>>;

fn run_tx<M>(
    vm: &mut M,
    tx: &Transaction,
    tracer: impl Fn() -> (M::TracerDispatcher, SeenCalls),
) -> Option<TxRun>
where
    M: VmInterface + VmInterfaceHistoryEnabled,
{
    vm.make_snapshot();
    let mut run = attempt(vm, tx, &tracer, true);
    if run.is_none() {
        vm.rollback_to_the_latest_snapshot();
        vm.make_snapshot();
        run = attempt(vm, tx, &tracer, false);
    }
    vm.pop_snapshot_no_rollback();
    run
}

/// Runs a transaction; `None` if its bytecodes stay unpublished.
fn attempt<M: VmInterface>(
    vm: &mut M,
    tx: &Transaction,
    tracer: impl Fn() -> (M::TracerDispatcher, SeenCalls),
    with_compression: bool,
) -> Option<TxRun> {
    let (mut tracer, calls) = tracer();
    let (compression, result) =
        vm.inspect_transaction_with_bytecode_compression(&mut tracer, tx.clone(), with_compression);
    let is_published = compression.is_ok();
    let calls = calls.map(|calls| calls.get().cloned().unwrap_or_default());
    is_published.then_some(TxRun { result, is_compressed: with_compression, calls })
}
