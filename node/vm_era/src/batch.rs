//! A batch on its way through the machines: checks what comes in, translates what comes out.

use std::collections::BTreeMap;

use lockstep_types::{
    B256, BatchTip, Bytes, L1BatchNumber, ProtocolVersion, StorageSlot, Transaction, TxOutcome,
    TxStatus,
};
use lockstep_vm::{BatchEnv, BlockEnv, OpenBatch, Trace, TracedTx, VmError, VmStorage};
use zksync_multivm::{
    VmVersion,
    interface::{ExecutionResult, FinishedL1Batch},
    utils::{
        get_bootloader_max_interop_roots_in_batch, get_bootloader_max_txs_in_batch,
        get_max_new_factory_deps,
    },
};
use zksync_types::{ProtocolVersionId, commitment::PubdataParams};

use crate::{
    blocks::CurrentBlock,
    convert::{self, Unusable},
    engine::Engine,
    facts::{FactBatch, TxFacts},
    machine::{MachineKind, TxRun},
    source::Fault,
};

/// A batch of the EraVM.
#[derive(Debug)]
pub(crate) struct EraBatch {
    // `None` after an error: machines that failed are in no defined state.
    engine: Option<Engine>,
    number: L1BatchNumber,
    version: ProtocolVersionId,
    pubdata_params: PubdataParams,
    has_evm: bool,
    block: CurrentBlock,
    tx_count: u32,
    interop_root_count: usize,
    /// What transactions wrote, by slot.
    written: BTreeMap<StorageSlot, B256>,
}

impl EraBatch {
    pub(crate) fn open(
        machine: MachineKind,
        version: ProtocolVersionId,
        env: &BatchEnv,
        first_block: &BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Self, VmError> {
        let unusable = |reason| VmError::BadInput { batch: env.number, reason };
        let (batch, system) = convert::environment(version, env, first_block).map_err(unusable)?;
        let pubdata_params = convert::pubdata_params(&env.pubdata_params).map_err(unusable)?;
        let mut opened = Self {
            engine: None,
            number: env.number,
            version,
            pubdata_params,
            has_evm: system.base_system_smart_contracts.evm_emulator.is_some(),
            block: CurrentBlock::new(first_block),
            tx_count: 0,
            interop_root_count: 0,
            written: BTreeMap::new(),
        };
        opened.count_interop_roots(first_block).map_err(unusable)?;
        let engine = Engine::open(machine, &batch, &system, storage);
        opened.engine = Some(engine.map_err(|fault| opened.error(fault))?);
        Ok(opened)
    }

    fn error(&self, fault: Fault) -> VmError {
        match fault {
            Fault::Storage(error) => VmError::Storage(error),
            Fault::BadInput(reason) => self.unusable(reason),
        }
    }

    fn unusable(&self, reason: Unusable) -> VmError {
        VmError::BadInput { batch: self.number, reason }
    }

    /// Takes the engine for a call; whoever succeeds puts it back.
    fn take_engine(&mut self) -> Result<Engine, VmError> {
        let engine = self.engine.take();
        engine.ok_or_else(|| self.unusable("it failed before and cannot go on".to_owned()))
    }

    fn count_interop_roots(&mut self, block: &BlockEnv) -> Result<(), Unusable> {
        let max = get_bootloader_max_interop_roots_in_batch(VmVersion::from(self.version));
        self.interop_root_count += block.interop_roots.len();
        if self.interop_root_count > max {
            return Err(format!("its blocks bring more than {max} interop roots"));
        }
        Ok(())
    }

    fn check_tx(&self, tx: &Transaction) -> Result<zksync_types::Transaction, Unusable> {
        let vm_version = VmVersion::from(self.version);
        let txs_max = get_bootloader_max_txs_in_batch(vm_version);
        if usize::try_from(self.tx_count).map_or(true, |count| count >= txs_max) {
            return Err(format!("it has more than {txs_max} transactions"));
        }
        let deps_max = get_max_new_factory_deps(vm_version);
        let dep_count = tx.execute.factory_deps.len();
        let converted = if dep_count > deps_max {
            Err(format!("it has {dep_count} factory deps, more than {deps_max}"))
        } else {
            convert::transaction(tx, self.has_evm)
        };
        converted.map_err(|why| format!("transaction {}: {why}", tx.hash()))
    }

    fn halted(&self, tx: &Transaction, reason: String) -> VmError {
        VmError::Halted {
            batch: self.number,
            index_in_batch: self.tx_count,
            tx_hash: tx.hash(),
            reason,
        }
    }

    /// What a transaction left behind, or why it cannot be in a block.
    fn facts(&self, tx: &Transaction, run: TxRun) -> Result<TxFacts, VmError> {
        let said = run.result;
        let (status, output) = match said.result {
            ExecutionResult::Success { output } => (TxStatus::Success, output),
            ExecutionResult::Revert { output } => {
                (TxStatus::Reverted { reason: output.to_string() }, Vec::new())
            }
            ExecutionResult::Halt { reason } => return Err(self.halted(tx, reason.to_string())),
        };
        let logs = said.logs;
        let mut made_bytecodes: Vec<_> = said
            .dynamic_factory_deps
            .into_iter()
            .map(|(hash, code)| (convert::b256(hash), Bytes::from(code)))
            .collect();
        made_bytecodes.sort_unstable();
        Ok(TxFacts {
            outcome: TxOutcome {
                status,
                gas_refunded: said.refunds.gas_refunded,
                l2_to_l1_logs: user_logs(&logs.user_l2_to_l1_logs),
                writes: convert::writes(logs.storage_logs.iter().map(|log| &log.log)),
                events: convert::events(logs.events),
                made_bytecodes,
            },
            output: output.into(),
            pubdata: said.statistics.pubdata_published,
            machine_gas: said.statistics.gas_used,
            is_compressed: run.is_compressed,
        })
    }

    /// Runs a transaction; with `is_watched`, also tells what was seen.
    fn run(
        &mut self,
        tx: &Transaction,
        is_watched: bool,
    ) -> Result<(TxFacts, Option<Trace>), VmError> {
        let mut engine = self.take_engine()?;
        let converted = self.check_tx(tx).map_err(|reason| self.unusable(reason))?;
        let run = engine.run_tx(&converted, is_watched).map_err(|fault| self.error(fault))?;
        let mut run = run.ok_or_else(|| {
            self.halted(tx, "its bytecodes cannot be published, compressed or not".to_owned())
        })?;
        if is_watched && run.calls.is_none() {
            let reason = "the fast machine of the crates sees no calls: trace with another --vm";
            return Err(self.unusable(reason.to_owned()));
        }
        let trace = run.calls.take().map(|calls| Trace {
            calls: calls.into_iter().map(convert::call).collect(),
            touched: convert::touched(&run.result.logs.storage_logs),
        });
        let facts = self.facts(tx, run)?;
        for write in &facts.outcome.writes {
            self.written.insert(write.slot, write.value);
        }
        self.block.tx_hashes.push(tx.hash());
        self.tx_count += 1;
        self.engine = Some(engine);
        Ok((facts, trace))
    }

    fn tip(&self, sealed: FinishedL1Batch) -> Result<BatchTip, VmError> {
        let failed = |reason| VmError::TipFailed { batch: self.number, reason };
        let tip = sealed.block_tip_execution_result;
        match tip.result {
            ExecutionResult::Success { .. } => {}
            ExecutionResult::Revert { output } => return Err(failed(output.to_string())),
            ExecutionResult::Halt { reason } => return Err(failed(reason.to_string())),
        }
        let memory = sealed.final_bootloader_memory.unwrap_or_default();
        let bootloader_heap = convert::heap(&memory)
            .ok_or_else(|| failed("the bootloader's heap is longer than it can be".to_owned()))?;
        let state = sealed.final_execution_state;
        let mut final_writes: Vec<_> = convert::writes(&state.deduplicated_storage_logs)
            .into_iter()
            .map(|write| (write.slot, write.value))
            .collect();
        final_writes.sort_unstable();
        Ok(BatchTip {
            l2_to_l1_logs: user_logs(&tip.logs.user_l2_to_l1_logs),
            writes: convert::writes(tip.logs.storage_logs.iter().map(|log| &log.log)),
            events: convert::events(tip.logs.events),
            system_logs: state
                .system_logs
                .iter()
                .map(|log| convert::l2_to_l1_log(&log.0))
                .collect(),
            final_writes,
            pubdata: sealed.pubdata_input.map(Bytes::from),
            bootloader_heap,
        })
    }
}

fn user_logs(logs: &[zksync_types::l2_to_l1_log::UserL2ToL1Log]) -> Vec<lockstep_types::L2ToL1Log> {
    logs.iter().map(|log| convert::l2_to_l1_log(&log.0)).collect()
}

impl OpenBatch for EraBatch {
    fn start_block(&mut self, env: BlockEnv) -> Result<(), VmError> {
        let mut engine = self.take_engine()?;
        let version = ProtocolVersion(self.version as u16);
        self.block
            .check_next(&env, version)
            .and_then(|()| self.count_interop_roots(&env))
            .and_then(|()| convert::block(&env))
            .map_err(Fault::BadInput)
            .and_then(|block| engine.start_block(&block))
            .map_err(|fault| self.error(fault))?;
        self.block = CurrentBlock::new(&env);
        self.engine = Some(engine);
        Ok(())
    }

    fn run_tx(&mut self, tx: &Transaction) -> Result<TxOutcome, VmError> {
        Ok(self.run(tx, false)?.0.outcome)
    }

    fn run_tx_traced(&mut self, tx: &Transaction) -> Result<TracedTx, VmError> {
        let (TxFacts { outcome, output, .. }, trace) = self.run(tx, true)?;
        Ok(TracedTx { outcome, output, trace: trace.unwrap_or_default() })
    }

    fn value(&mut self, slot: &StorageSlot) -> Result<B256, VmError> {
        if let Some(value) = self.written.get(slot) {
            return Ok(*value);
        }
        let mut engine = self.take_engine()?;
        let value = engine.value_before(slot).map_err(|fault| self.error(fault))?;
        self.engine = Some(engine);
        Ok(value)
    }

    fn seal(mut self: Box<Self>) -> Result<BatchTip, VmError> {
        let mut engine = self.take_engine()?;
        if !self.block.tx_hashes.is_empty() {
            let number = self.block.number;
            return Err(self.unusable(format!("its last block {number} is not empty")));
        }
        let said =
            engine.seal(self.pubdata_params, self.version).map_err(|fault| self.error(fault))?;
        self.tip(said)
    }
}

impl FactBatch for EraBatch {
    fn run_facts(&mut self, tx: &Transaction) -> Result<TxFacts, VmError> {
        Ok(self.run(tx, false)?.0)
    }
}
