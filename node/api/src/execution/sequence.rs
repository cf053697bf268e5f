//! Runs that follow each other: each sees what those before it changed.
//!
//! All of them are in one block, as far as contracts see, until the next one is begun: what a run
//! leaves in the system context (the block, the origin, the prices) is the bootloader's, which sets
//! it anew for each, and is not kept.

use lockstep_types::{
    B256, BytecodeHash, Event, L2BlockHash, L2BlockNumber, StorageSlot, TxHash, U256, UnixSeconds,
    address::SYSTEM_CONTEXT,
    block::{BlockHashInput, block_hash},
    keccak256,
};
use lockstep_vm::{Simulated, SimulatedTx, SimulationEnd, SimulationEnv, StepRules, Steps};
use lockstep_wire::eth::{BlockId, BlockOverrides, CallRequest, StateOverrides};

use super::{
    Overridden, Simulation,
    env::{BLOCK_INFO, Place},
    request::{self, Origin, narrow},
};
use crate::error::{ApiError, ApiResult};

/// Keys of the system context: first of a ring of block hashes, their number, and the current
/// virtual block, which is what contracts see as `block.number`.
const BLOCK_HASHES: u64 = 11;
const BLOCK_HASH_COUNT: u64 = 257;
const VIRTUAL_BLOCK: u64 = 268;

/// Runs that follow each other.
#[derive(Debug)]
pub(super) struct Sequence<'a> {
    simulation: &'a Simulation<'a>,
    /// The block that contracts see.
    pub(super) env: SimulationEnv,
    /// What has changed so far, over what is stored.
    pub(super) state: Overridden,
    /// Gas of a call that names none.
    pub(super) gas_max: u64,
    /// Bytes that what is kept of further runs may take.
    room: usize,
}

/// A run, and what it was made of.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) env: SimulationEnv,
    pub(super) tx: SimulatedTx,
    pub(super) simulated: Simulated,
}

impl<'a> Sequence<'a> {
    /// Of calls where `eth_call` would make them.
    pub(super) fn at(
        simulation: &'a Simulation<'a>,
        id: Option<BlockId>,
        overrides: Option<StateOverrides>,
    ) -> ApiResult<Self> {
        let place = simulation.place(id)?;
        let env = simulation.env(&place, None)?;
        Self::new(simulation, &place, env, overrides)
    }

    pub(super) fn new(
        simulation: &'a Simulation<'a>,
        place: &Place,
        env: SimulationEnv,
        overrides: Option<StateOverrides>,
    ) -> ApiResult<Self> {
        let limits = simulation.execution.vm.limits(env.version, &env.fee_input)?;
        let gas_max = simulation.call.config.call_gas_max.unwrap_or(u64::MAX).min(limits.gas_limit);
        let state = Overridden::new(simulation.state(place), overrides)?;
        let room = simulation.call.config.replay_bytes_max;
        Ok(Self { simulation, env, state, gas_max, room })
    }

    /// What `request` asks for, as `eth_call` understands it.
    pub(super) fn transaction(&self, request: CallRequest) -> ApiResult<SimulatedTx> {
        let mut tx = request::transaction(request, Origin::L2, self.gas_max)?;
        if self.simulation.call.config.call_gas_max.is_some() {
            tx.gas_limit.get_or_insert(self.gas_max);
        }
        Ok(tx)
    }

    /// Makes a call. Nothing is kept of it yet.
    pub(super) fn call(
        &self,
        request: CallRequest,
        overrides: Option<BlockOverrides>,
        with_trace: bool,
    ) -> ApiResult<Run> {
        self.call_tx(self.transaction(request)?, overrides, with_trace)
    }

    /// As [`call`](Self::call).
    pub(super) fn call_tx(
        &self,
        tx: SimulatedTx,
        overrides: Option<BlockOverrides>,
        with_trace: bool,
    ) -> ApiResult<Run> {
        let env = self.env_of_call(&tx, overrides)?;
        let storage = Box::new(self.state.fresh());
        let Simulation { execution, stop, .. } = self.simulation;
        let simulated = execution.simulator.call(&env, &tx, storage, with_trace, stop)?;
        Ok(Run { env, tx, simulated })
    }

    /// As [`call`](Self::call), with the instructions of the call if the VM shows any.
    pub(super) fn call_stepped(
        &self,
        request: CallRequest,
        overrides: Option<BlockOverrides>,
        rules: &StepRules,
    ) -> ApiResult<(Run, Option<Steps>)> {
        let tx = self.transaction(request)?;
        let env = self.env_of_call(&tx, overrides)?;
        let storage = Box::new(self.state.fresh());
        let Simulation { execution, stop, .. } = self.simulation;
        let (simulated, steps) =
            execution.simulator.call_stepped(&env, &tx, storage, rules, stop)?;
        Ok((Run { env, tx, simulated }, steps))
    }

    fn env_of_call(
        &self,
        tx: &SimulatedTx,
        overrides: Option<BlockOverrides>,
    ) -> ApiResult<SimulationEnv> {
        let mut env = self.env.clone();
        super::env::override_block(&mut env, overrides.unwrap_or_default())?;
        // A call that names a price sees it as the base fee.
        if let (None, Some(price)) = (env.base_fee_per_gas, tx.gas_price) {
            env.base_fee_per_gas = Some(narrow(price, "gasPrice")?);
        }
        Ok(env)
    }

    /// Runs a whole transaction, with nonce and fees. Nothing is kept of it yet.
    pub(super) fn run_unsigned(&self, tx: SimulatedTx) -> ApiResult<Run> {
        let env = self.env.clone();
        let storage = Box::new(self.state.fresh());
        let Simulation { execution, stop, .. } = self.simulation;
        let simulated = execution.simulator.run_unsigned(&env, &tx, storage, false, stop)?;
        Ok(Run { env, tx, simulated })
    }

    /// Keeps what a run changed, if it was not undone.
    pub(super) fn keep(&mut self, run: &Run) {
        let Simulated { end, writes, made_bytecodes, .. } = &run.simulated;
        if !matches!(end, SimulationEnd::Success { .. }) {
            return;
        }
        for write in writes.iter().filter(|write| write.slot.address != SYSTEM_CONTEXT) {
            self.state.set(write.slot, write.value);
        }
        for (hash, code) in made_bytecodes {
            self.state.add_code(*hash, code.clone());
        }
        for dep in &run.tx.factory_deps {
            // What is no bytecode was not run.
            if let Ok(hash) = BytecodeHash::of_era(dep) {
                self.state.add_code(hash, dep.clone());
            }
        }
    }

    /// Takes room for what one more run returned, emitted and showed.
    pub(super) fn spend(&mut self, run: &Simulated) -> ApiResult<()> {
        let output = match &run.end {
            SimulationEnd::Success { output } => output.len(),
            SimulationEnd::Reverted { reason: _, data } => data.len(),
            SimulationEnd::Refused { message } => message.len(),
            SimulationEnd::Stopped => 0,
        };
        let events = run.events.iter().map(|event| size_of::<Event>() + event.data.len());
        let trace = run.trace.as_ref().map_or(0, lockstep_replay::trace_bytes);
        let bytes = output + events.sum::<usize>() + trace;
        self.room = self.room.checked_sub(bytes).ok_or_else(|| {
            let text = "the answers of all calls together are too large: ask for fewer at once";
            ApiError::BadRequest(text.to_owned())
        })?;
        Ok(())
    }

    /// The hash that the block has with these transactions.
    pub(super) fn block_hash(&self, tx_hashes: &[TxHash]) -> L2BlockHash {
        let SimulationEnv { block, block_timestamp, parent, version, .. } = self.env;
        let input = BlockHashInput { number: block, timestamp: block_timestamp, parent, tx_hashes };
        block_hash(&input, version)
    }

    /// Begins a block on the one that is stored at `number`.
    pub(super) fn begin_block(&mut self, number: L2BlockNumber, timestamp: UnixSeconds) {
        self.env.block = number;
        self.env.block_timestamp = timestamp;
        self.env.batch_timestamp = timestamp;
    }

    /// Ends the block: those that follow see it as their parent.
    pub(super) fn end_block(&mut self, tx_hashes: &[TxHash]) -> L2BlockHash {
        let hash = self.block_hash(tx_hashes);
        let SimulationEnv { block, block_timestamp, parent, .. } = self.env;
        let packed: U256 = (U256::from(block.0) << 128) | U256::from(block_timestamp.0);
        let rolling = tx_hashes
            .iter()
            .fold(B256::ZERO, |rolling, tx_hash| keccak256([rolling.0, tx_hash.0.0].concat()));
        let [info_key, rolling_key] = BLOCK_INFO;
        let before = u64::from(block.0.saturating_sub(1));
        for (key, value) in [
            (info_key, B256::from(packed)),
            (rolling_key, rolling),
            (BLOCK_HASHES + before % BLOCK_HASH_COUNT, parent.0),
            (VIRTUAL_BLOCK, packed.into()),
        ] {
            let slot = StorageSlot::new(SYSTEM_CONTEXT, U256::from(key).into());
            self.state.set(slot, value);
        }
        self.env.parent = hash;
        self.env.block_info_before = None;
        hash
    }
}
