//! The chain's bootloader, running one transaction as often as one likes, each time on the same
//! state.

use std::sync::Arc;

use lockstep_types::{
    BytecodeHash, Bytes, L1BatchNumber, StorageSlot, StorageWrite, Transaction, TxHash, U256,
    UnixSeconds, storage::Nonces,
};
use lockstep_vm::{
    BaseContracts, BatchEnv, BlockEnv, Simulated, SimulatedKind, SimulationEnd, Steps, Trace,
    VmError, VmStorage,
};

use super::{
    batch::{GAS_PER_PUBDATA_MAX, base_fee, bytecodes, check_env, ready_tx},
    encode::{EncodedTx, TxFields},
    machine::{Ended, Machine, ReadyTx, Run},
    memory::{Terms, TxMode},
    refusal::{refusal, reverted},
    simulate::{Simulation, context_slot, is_success},
    words::b256_of,
    world::World,
};
use crate::{convert::Unusable, engine::unpanicked};

/// A signature in the right form that is nobody's.
const UNSIGNED: [u8; 65] = {
    let mut bytes = [0; 65];
    bytes[64] = 27;
    bytes
};

/// How a bootloader is run.
#[derive(Clone, Debug)]
pub(super) struct How {
    pub(super) contracts: Arc<BaseContracts>,
    pub(super) terms: Terms,
    pub(super) mode: TxMode,
    /// What the transaction offers for a unit of gas, wei.
    pub(super) price: U256,
}

/// A bootloader with the state below it.
#[derive(Debug)]
pub(super) struct Trials<'a> {
    simulation: &'a Simulation<'a>,
    // `None` after a run that cannot be taken back.
    machine: Option<Machine>,
    /// With no gas yet.
    fields: TxFields,
    bytecodes: Vec<(BytecodeHash, Bytes)>,
    mode: TxMode,
    /// Of the most expensive run.
    gas_max: u64,
    /// Instructions of the newest run, if they are noted.
    pub(super) steps: Option<Steps>,
}

impl<'a> Trials<'a> {
    pub(super) fn open(
        simulation: &'a Simulation<'a>,
        mut world: World,
        how: How,
    ) -> Result<Self, VmError> {
        let unusable = |why: Unusable| simulation.unusable(why);
        let layout = simulation.layout;
        let How { contracts, terms, mode, price } = how;
        let bytecodes = bytecodes(&simulation.tx.factory_deps, &layout).map_err(unusable)?;
        let hashes = bytecodes.iter().map(|(hash, _)| *hash).collect();
        let fields = fields(simulation, &mut world, hashes, price).map_err(unusable)?;
        let mut machine = open(simulation, world, contracts, terms)?;
        if terms.is_new {
            machine.observer.agree();
        }
        let machine = Some(machine);
        Ok(Self { simulation, machine, fields, bytecodes, mode, gas_max: 0, steps: None })
    }

    fn encoded(&self, gas_limit: u64) -> EncodedTx {
        let mut fields = self.fields.clone();
        fields.gas_limit = U256::from(gas_limit);
        if self.simulation.tx.kind == SimulatedKind::Priority {
            let fee = fields.gas_limit.saturating_mul(fields.max_fee_per_gas);
            fields.reserved[0] = fields.value.saturating_add(fee);
        }
        fields.encode()
    }

    /// Gas for the transaction's share of a batch.
    pub(super) fn overhead(&self) -> u64 {
        self.encoded(0).overhead
    }

    /// Runs the transaction with a gas limit. After a run that was stopped there is no other.
    pub(super) fn run(&mut self, gas_limit: u64) -> Result<Simulated, VmError> {
        let simulation = self.simulation;
        let machine = self.machine.take();
        let machine = machine
            .ok_or_else(|| simulation.unusable("it was stopped and cannot go on".to_owned()))?;
        let tx = ReadyTx {
            hash: TxHash::default(),
            encoded: self.encoded(gas_limit),
            publishes_bytecodes: simulation.tx.kind != SimulatedKind::Priority,
            bytecodes: self.bytecodes.clone(),
            mode: self.mode,
        };
        let Tried { run, trace, steps, machine } = run_on(simulation, machine, &tx)?;
        self.gas_max = self.gas_max.max(run.machine_gas);
        self.steps = steps;
        self.machine = machine;
        Ok(Simulated { trace, ..simulated(run, gas_limit) })
    }

    /// Lets others have the machine.
    pub(super) fn end(self) {
        if let Some(machine) = self.machine {
            machine.end(&self.simulation.shared.idle, self.gas_max);
        }
    }
}

/// A machine that waits for its first transaction.
fn open(
    simulation: &Simulation<'_>,
    mut world: World,
    contracts: Arc<BaseContracts>,
    terms: Terms,
) -> Result<Machine, VmError> {
    let layout = simulation.layout;
    let mut env = BatchEnv { base_contracts: contracts, ..simulation.batch_env() };
    check_env(&env, &layout).map_err(|why| simulation.unusable(why))?;
    let block = block(simulation, &mut world, &mut env, terms);
    let idle = &simulation.shared.idle;
    let opened = unpanicked(|| {
        let mut machine = Machine::open(layout, &env, terms, block, world, Some(idle));
        machine.observer.stop_when(simulation.stop.clone());
        machine
    });
    opened.map_err(|fault| simulation.error(fault))
}

/// What running a transaction gave.
struct Tried {
    run: Run,
    trace: Option<Trace>,
    steps: Option<Steps>,
    /// As before the run; `None` if that was stopped.
    machine: Option<Machine>,
}

/// Runs a transaction and takes back what it did.
fn run_on(
    simulation: &Simulation<'_>,
    mut machine: Machine,
    tx: &ReadyTx,
) -> Result<Tried, VmError> {
    machine.check_room(tx).map_err(|why| simulation.unusable(why))?;
    let ran = unpanicked(|| {
        if simulation.with_trace {
            machine.observer.watch();
        }
        if let Some(rules) = simulation.steps {
            machine.observer.step(*rules);
        }
        let run = machine.try_tx(tx);
        let trace = simulation.with_trace.then(|| machine.seen(&run.changes));
        let steps = machine.observer.take_steps();
        if run.end != Ended::Stopped {
            machine.take_back();
        }
        (run, (trace, steps), machine)
    });
    let (run, (trace, steps), machine) = ran.map_err(|fault| simulation.error(fault))?;
    if let Some(fault) = machine.world.fault() {
        return Err(simulation.error(fault));
    }
    let machine = (run.end != Ended::Stopped).then_some(machine);
    Ok(Tried { run, trace, steps, machine })
}

/// Runs a signed transaction on the chain's own bootloader. Its account is asked.
pub(super) fn check(
    simulation: &Simulation<'_>,
    tx: &Transaction,
    storage: Box<dyn VmStorage>,
) -> Result<Simulated, VmError> {
    let contracts = Arc::clone(&simulation.env.base_contracts);
    let has_evm = contracts.evm_emulator.is_some();
    let ready = ready_tx(tx, &simulation.layout, has_evm);
    let ready = ready.map_err(|why| simulation.unusable(why))?;
    let terms = Terms { base_fee: base_fee(&simulation.env.fee_input), is_new: true };
    let machine = open(simulation, simulation.world(storage), contracts, terms)?;
    let Tried { run, trace, machine, .. } = run_on(simulation, machine, &ready)?;
    if let Some(machine) = machine {
        machine.end(&simulation.shared.idle, run.machine_gas);
    }
    let is_unpublished = !run.is_compressed;
    let gas_limit = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
    let simulated = Simulated { trace, ..simulated(run, gas_limit) };
    if is_unpublished && !matches!(simulated.end, SimulationEnd::Refused { .. }) {
        let message = "not enough gas to publish compressed bytecodes".to_owned();
        return Ok(Simulated { end: SimulationEnd::Refused { message }, ..simulated });
    }
    Ok(simulated)
}

fn simulated(run: Run, gas_limit: u64) -> Simulated {
    let end = match run.end {
        Ended::Success(output) => SimulationEnd::Success { output: output.into() },
        Ended::Reverted(reason) => reverted(&reason),
        Ended::Halted(halt) => SimulationEnd::Refused { message: refusal(&halt) },
        Ended::Stopped => SimulationEnd::Stopped,
    };
    let is_done = is_success(&end);
    let kept: Vec<StorageWrite> = run.changes.iter().map(|change| change.write).collect();
    let made = run.made_bytecodes.into_iter().map(|(hash, code)| (BytecodeHash(hash), code));
    Simulated {
        end,
        gas_used: gas_limit.saturating_sub(run.gas_refunded),
        pubdata: run.pubdata.into(),
        events: if is_done { run.events } else { Vec::new() },
        writes: if is_done { kept } else { Vec::new() },
        made_bytecodes: if is_done { made.collect() } else { Vec::new() },
        trace: None,
    }
}

/// The block that the transaction is in. A bootloader that opens a new batch wants one that follows
/// the one that the state knows.
fn block(
    simulation: &Simulation<'_>,
    world: &mut World,
    env: &mut BatchEnv,
    terms: Terms,
) -> BlockEnv {
    let given = simulation.env;
    let mut block = BlockEnv {
        number: given.block,
        timestamp: given.block_timestamp,
        parent: given.parent,
        virtual_block_count: 1,
        interop_roots: Vec::new(),
    };
    if terms.is_new {
        let [batch_number, batch_timestamp] = split(world.value(&context_slot(7)));
        let [_, block_timestamp] = split(world.value(&context_slot(9)));
        env.number = L1BatchNumber(u32::try_from(batch_number).unwrap_or(u32::MAX - 1) + 1);
        let after = batch_timestamp.max(block_timestamp).saturating_add(1);
        env.timestamp = UnixSeconds(given.batch_timestamp.0.max(after));
        block.timestamp = env.timestamp;
    }
    block
}

/// Number and timestamp that share a word.
fn split(word: zksync_types::U256) -> [u64; 2] {
    [word.0[2], word.0[0]]
}

/// The transaction in the bootloader's terms, with no gas.
fn fields(
    simulation: &Simulation<'_>,
    world: &mut World,
    factory_deps: Vec<BytecodeHash>,
    price: U256,
) -> Result<TxFields, Unusable> {
    let (tx, env) = (simulation.tx, simulation.env);
    if tx.to.is_none() && env.base_contracts.evm_emulator.is_none() {
        return Err("it deploys EVM code on a chain without EVM emulator".to_owned());
    }
    let is_priority = tx.kind == SimulatedKind::Priority;
    let nonce = match tx.nonce {
        _ if is_priority => U256::ZERO,
        Some(nonce) => U256::from(nonce),
        None => Nonces::from_value(b256_of(world.value(&StorageSlot::nonces(tx.from)))).tx,
    };
    let agrees_to_pubdata = matches!(tx.kind, SimulatedKind::Eip712 | SimulatedKind::Priority);
    let pubdata_limit =
        if agrees_to_pubdata { tx.gas_per_pubdata_limit } else { GAS_PER_PUBDATA_MAX };
    let reserved = if is_priority {
        [U256::ZERO, U256::from_be_slice(tx.from.as_slice()), U256::ZERO, U256::ZERO]
    } else {
        let signs_chain_id = tx.kind == SimulatedKind::Legacy;
        let deploys = tx.to.is_none();
        [U256::from(signs_chain_id), U256::from(deploys), U256::ZERO, U256::ZERO]
    };
    Ok(TxFields {
        type_byte: match tx.kind {
            SimulatedKind::Legacy => 0x00,
            SimulatedKind::Eip2930 => 0x01,
            SimulatedKind::Eip1559 => 0x02,
            SimulatedKind::Eip712 => 0x71,
            SimulatedKind::Priority => 0xff,
        },
        from: tx.from,
        to: tx.to.unwrap_or_default(),
        gas_limit: U256::ZERO,
        gas_per_pubdata_limit: U256::from(pubdata_limit),
        max_fee_per_gas: price,
        max_priority_fee_per_gas: if is_priority { U256::ZERO } else { price },
        paymaster: tx.paymaster.paymaster,
        nonce,
        value: tx.value,
        reserved,
        input: tx.input.clone(),
        signature: match &tx.signature {
            Some(signature) => signature.clone(),
            None if is_priority => Bytes::new(),
            None => UNSIGNED.into(),
        },
        factory_deps,
        paymaster_input: tx.paymaster.input.clone(),
    })
}
