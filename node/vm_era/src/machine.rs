//! One machine of the crates, fast or legacy, behind the calls that a batch needs.

use zksync_multivm::{
    FastVmInstance, LegacyVmInstance,
    interface::{
        FinishedL1Batch, L1BatchEnv, L2BlockEnv, SystemEnv, VmExecutionResultAndLogs, VmFactory,
        VmInterface, VmInterfaceExt, VmInterfaceHistoryEnabled, storage::StorageView,
    },
    pubdata_builders::pubdata_params_to_builder,
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
    pub(crate) fn run_tx(&mut self, tx: &Transaction) -> Option<TxRun> {
        match self {
            Self::Fast(vm) => run_tx(vm.as_mut(), tx),
            Self::Legacy(vm) => run_tx(vm.as_mut(), tx),
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

fn run_tx<M>(vm: &mut M, tx: &Transaction) -> Option<TxRun>
where
    M: VmInterface + VmInterfaceHistoryEnabled,
{
    vm.make_snapshot();
    let (compression, result) = vm.execute_transaction_with_bytecode_compression(tx.clone(), true);
    let is_compressed = compression.is_ok();
    if is_compressed {
        vm.pop_snapshot_no_rollback();
        return Some(TxRun { result, is_compressed });
    }
    vm.rollback_to_the_latest_snapshot();
    vm.make_snapshot();
    let (compression, result) = vm.execute_transaction_with_bytecode_compression(tx.clone(), false);
    let is_published = compression.is_ok();
    vm.pop_snapshot_no_rollback();
    is_published.then_some(TxRun { result, is_compressed })
}
