//! A batch on its way through the machine: checks what comes in, translates what comes out.

use std::sync::Arc;

use lockstep_types::{
    B256, BatchTip, Bytes, DaValidator, FeeInput, L1BatchNumber, ProtocolVersion, StorageSlot,
    Transaction, TxOutcome, TxStatus,
};
use lockstep_vm::{
    BatchEnv, BlockEnv, OpenBatch, StepRules, SteppedTx, Steps, Trace, TracedTx, VmError, VmStorage,
};

use super::{
    encode::{TxFields, publishes_bytecodes},
    idle::Idle,
    layout::{Layout, PubdataForm},
    log_tree::KnownMessengers,
    machine::{Ended, Machine, ReadyTx, Run},
    memory::{Terms, TxMode},
    programs::Programs,
    sealed_cell::MachineBox,
    world::World,
};
use crate::{
    blocks::CurrentBlock,
    convert::{Unusable, check_bytecode},
    facts::{FactBatch, TxFacts},
    source::Fault,
};

/// Highest gas for a byte of pubdata, by which the base fee must cover its price.
pub(crate) const GAS_PER_PUBDATA_MAX: u64 = 50_000;

/// Price of a unit of gas that follows from the prices of a batch.
pub(crate) fn base_fee(fees: &FeeInput) -> u64 {
    let for_pubdata = fees.fair_pubdata_price.unwrap_or(0).div_ceil(GAS_PER_PUBDATA_MAX);
    fees.fair_l2_gas_price.max(for_pubdata)
}

/// What batches and calls share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) programs: Arc<Programs>,
    pub(crate) messengers: Arc<KnownMessengers>,
    pub(crate) idle: Arc<Idle>,
}

/// A batch of the machine.
#[derive(Debug)]
pub(crate) struct OwnBatch {
    // `None` after an error: a machine that failed is in no defined state.
    machine: Option<MachineBox>,
    number: L1BatchNumber,
    version: ProtocolVersion,
    layout: Layout,
    has_evm: bool,
    block: CurrentBlock,
    tx_count: u32,
    interop_root_count: usize,
    messengers: Arc<KnownMessengers>,
}

/// What is watched of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watched {
    Nothing,
    /// Calls, and touched slots.
    Calls,
    /// Instructions.
    Steps(StepRules),
}

/// What was seen of what was watched.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) trace: Trace,
    pub(crate) steps: Option<Steps>,
}

/// Checks what holds for a batch as a whole.
pub(crate) fn check_env(env: &BatchEnv, layout: &Layout) -> Result<(), Unusable> {
    if env.fee_input.fair_pubdata_price.is_none() {
        return Err(format!("the pubdata price is missing, which v{} needs", env.version.0));
    }
    let contracts = &env.base_contracts;
    let emulator = contracts.evm_emulator.iter();
    for contract in [&contracts.bootloader, &contracts.default_account].into_iter().chain(emulator)
    {
        check_bytecode(&contract.code)
            .map_err(|why| format!("base contract {}: {why}", contract.hash))?;
    }
    match (layout.pubdata_form, env.pubdata_params.validator) {
        (PubdataForm::WithScheme, DaValidator::Scheme(_))
        | (PubdataForm::Bytes | PubdataForm::WithValidator, DaValidator::Address(_)) => Ok(()),
        (PubdataForm::WithScheme, DaValidator::Address(address)) => {
            Err(format!("v{} has commitment schemes, not validator {address}", env.version.0))
        }
        (PubdataForm::Bytes | PubdataForm::WithValidator, DaValidator::Scheme(scheme)) => {
            Err(format!("commitment scheme {scheme} came with v31, not before"))
        }
    }
}

/// A transaction in the machine's terms. `has_evm` says whether there is an EVM emulator.
pub(crate) fn ready_tx(
    tx: &Transaction,
    layout: &Layout,
    has_evm: bool,
) -> Result<ReadyTx, Unusable> {
    if tx.execute.to.is_none() && !has_evm {
        return Err("it deploys EVM code on a chain without EVM emulator".to_owned());
    }
    if u64::try_from(tx.gas_limit()).is_err() {
        return Err(format!("its gas limit {} does not fit in 64 bits", tx.gas_limit()));
    }
    let bytecodes = bytecodes(&tx.execute.factory_deps, layout)?;
    let hashes = bytecodes.iter().map(|(hash, _)| *hash).collect();
    Ok(ReadyTx {
        hash: tx.hash(),
        encoded: TxFields::new(tx, hashes).encode(),
        publishes_bytecodes: publishes_bytecodes(tx),
        bytecodes,
        mode: TxMode::Full,
    })
}

/// Factory deps with their hashes.
pub(crate) fn bytecodes(
    deps: &[Bytes],
    layout: &Layout,
) -> Result<Vec<(lockstep_types::BytecodeHash, Bytes)>, Unusable> {
    let deps_max = layout.factory_deps_max;
    if deps.len() > deps_max {
        return Err(format!("it has {} factory deps, more than {deps_max}", deps.len()));
    }
    let hashed = |(index, dep): (usize, &Bytes)| {
        let hash = lockstep_types::BytecodeHash::of_era(dep)
            .map_err(|why| format!("factory dep {index}: {why}"))?;
        Ok((hash, dep.clone()))
    };
    deps.iter().enumerate().map(hashed).collect()
}

impl OwnBatch {
    pub(crate) fn open(
        layout: Layout,
        env: &BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
        shared: &Shared,
    ) -> Result<Self, VmError> {
        let Shared { programs, messengers, idle: _ } = shared;
        let unusable = |reason| VmError::BadInput { batch: env.number, reason };
        check_env(env, &layout).map_err(unusable)?;
        let mut opened = Self {
            machine: None,
            number: env.number,
            version: env.version,
            layout,
            has_evm: env.base_contracts.evm_emulator.is_some(),
            block: CurrentBlock::new(&first_block),
            tx_count: 0,
            interop_root_count: 0,
            messengers: Arc::clone(messengers),
        };
        opened.check_interop_roots(&first_block).map_err(unusable)?;
        let world = World::new(storage, Arc::clone(programs));
        let terms = Terms { base_fee: base_fee(&env.fee_input), is_new: true };
        let machine =
            MachineBox::open(|| Machine::open(layout, env, terms, first_block, world, None));
        opened.machine = Some(machine.map_err(|fault| opened.error(fault))?);
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

    /// Takes the machine for a call; whoever succeeds puts it back.
    fn take_machine(&mut self) -> Result<MachineBox, VmError> {
        let machine = self.machine.take();
        machine.ok_or_else(|| self.unusable("it failed before and cannot go on".to_owned()))
    }

    fn check_interop_roots(&mut self, block: &BlockEnv) -> Result<(), Unusable> {
        let max = self.layout.interop_roots_max();
        self.interop_root_count += block.interop_roots.len();
        if self.interop_root_count > max {
            return Err(format!("its blocks bring more than {max} interop roots"));
        }
        // The bootloader's memory has one word for sides.
        match block.interop_roots.iter().find(|root| root.sides.len() != 1) {
            Some(root) => {
                Err(format!("an interop root has {} sides instead of one", root.sides.len()))
            }
            None => Ok(()),
        }
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
    fn facts(&self, tx: &Transaction, run: Run) -> Result<TxFacts, VmError> {
        let (status, output) = match run.end {
            Ended::Success(output) => (TxStatus::Success, output),
            Ended::Reverted(reason) => {
                (TxStatus::Reverted { reason: reason.to_string() }, Vec::new())
            }
            Ended::Halted(halt) => return Err(self.halted(tx, halt.to_string())),
            Ended::Stopped => return Err(self.halted(tx, "it was stopped".to_owned())),
        };
        Ok(TxFacts {
            outcome: TxOutcome {
                status,
                gas_refunded: run.gas_refunded,
                events: run.events,
                l2_to_l1_logs: run.user_logs,
                writes: run.changes.iter().map(|change| change.write).collect(),
                made_bytecodes: run.made_bytecodes,
            },
            output: output.into(),
            pubdata: run.pubdata,
            machine_gas: run.machine_gas,
            is_compressed: run.is_compressed,
        })
    }

    /// Runs a transaction; tells what was seen of what is to be watched.
    pub(crate) fn run(
        &mut self,
        tx: &Transaction,
        watched: Watched,
    ) -> Result<(TxFacts, Seen), VmError> {
        let ready = ready_tx(tx, &self.layout, self.has_evm)
            .map_err(|why| self.unusable(format!("transaction {}: {why}", tx.hash())))?;
        let mut machine = self.take_machine()?;
        let ran = machine.with(|machine| {
            machine.check_room(&ready)?;
            match watched {
                Watched::Nothing => {}
                Watched::Calls => machine.observer.watch(),
                Watched::Steps(rules) => machine.observer.step(rules),
            }
            let run = machine.run_tx(&ready);
            let seen = match watched {
                Watched::Nothing => Seen::default(),
                Watched::Calls => Seen { trace: machine.seen(&run.changes), steps: None },
                Watched::Steps(_) => {
                    Seen { trace: Trace::default(), steps: machine.observer.take_steps() }
                }
            };
            Ok((run, seen))
        });
        let ran: Result<_, Unusable> = ran.map_err(|fault| self.error(fault))?;
        let (run, seen) = ran.map_err(|why| self.unusable(why))?;
        let facts = self.facts(tx, run)?;
        self.tx_count += 1;
        self.block.tx_hashes.push(tx.hash());
        self.machine = Some(machine);
        Ok((facts, seen))
    }
}

impl OpenBatch for OwnBatch {
    fn start_block(&mut self, env: BlockEnv) -> Result<(), VmError> {
        self.block.check_next(&env, self.version).map_err(|why| self.unusable(why))?;
        self.check_interop_roots(&env).map_err(|why| self.unusable(why))?;
        let mut machine = self.take_machine()?;
        self.block = CurrentBlock::new(&env);
        machine.with(|machine| machine.start_block(env)).map_err(|fault| self.error(fault))?;
        self.machine = Some(machine);
        Ok(())
    }

    fn run_tx(&mut self, tx: &Transaction) -> Result<TxOutcome, VmError> {
        Ok(self.run(tx, Watched::Nothing)?.0.outcome)
    }

    fn run_tx_traced(&mut self, tx: &Transaction) -> Result<TracedTx, VmError> {
        let (facts, seen) = self.run(tx, Watched::Calls)?;
        let TxFacts { outcome, output, .. } = facts;
        Ok(TracedTx { outcome, output, trace: seen.trace })
    }

    fn run_tx_stepped(
        &mut self,
        tx: &Transaction,
        rules: &StepRules,
    ) -> Result<SteppedTx, VmError> {
        let (facts, seen) = self.run(tx, Watched::Steps(*rules))?;
        let TxFacts { outcome, output, .. } = facts;
        Ok(SteppedTx { outcome, output, steps: seen.steps })
    }

    fn value(&mut self, slot: &StorageSlot) -> Result<B256, VmError> {
        let mut machine = self.take_machine()?;
        let value =
            machine.with(|machine| machine.value(slot)).map_err(|fault| self.error(fault))?;
        self.machine = Some(machine);
        Ok(value)
    }

    fn seal(mut self: Box<Self>) -> Result<BatchTip, VmError> {
        if !self.block.tx_hashes.is_empty() {
            let number = self.block.number;
            return Err(self.unusable(format!("block {number} is not empty, so not its last")));
        }
        let mut machine = self.take_machine()?;
        let messengers = Arc::clone(&self.messengers);
        let sealed =
            machine.with(|machine| machine.seal(&messengers)).map_err(|fault| self.error(fault))?;
        let failed = |reason| Err(VmError::TipFailed { batch: self.number, reason });
        match sealed.tip.end {
            Ended::Success(_) => {}
            Ended::Reverted(reason) => return failed(reason.to_string()),
            Ended::Halted(halt) => return failed(halt.to_string()),
            Ended::Stopped => return failed("it was stopped".to_owned()),
        }
        Ok(BatchTip {
            events: sealed.tip.events,
            l2_to_l1_logs: sealed.tip.user_logs,
            writes: sealed.tip.changes.iter().map(|change| change.write).collect(),
            system_logs: sealed.system_logs,
            final_writes: sealed.final_writes,
            pubdata: Some(sealed.pubdata.into()),
            bootloader_heap: sealed.heap,
        })
    }
}

impl FactBatch for OwnBatch {
    fn run_facts(&mut self, tx: &Transaction) -> Result<TxFacts, VmError> {
        Ok(self.run(tx, Watched::Nothing)?.0)
    }
}
