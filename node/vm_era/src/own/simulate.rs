//! Calls and unsigned transactions.

use std::sync::Arc;

use lockstep_types::{
    Address, B256, Bytes, DaValidator, FeeInput, PubdataParams, PubdataType, StateRoot,
    StorageSlot, Transaction, U256, address,
};
use lockstep_vm::{
    BatchEnv, Simulated, SimulatedTx, SimulationEnd, SimulationEnv, StepRules, Steps, Stop,
    VmError, VmStorage,
};
use zksync_multivm::interface::{Halt, VmRevertReason};
use zksync_types::U256 as Word;

use super::{
    batch::{Shared, base_fee, bytecodes, check_env},
    bootloaders::Bootloaders,
    caller::{Called, Caller, SystemCall, input},
    encode::COMPUTE_GAS_MAX,
    layout::{BATCH_GAS_LIMIT, Layout, PubdataForm},
    memory::{Terms, TxMode},
    refusal::{broken, refusal, reverted},
    trials::{self, How, Trials},
    words::word_of_address,
    world::World,
};
use crate::{convert::Unusable, engine::unpanicked, source::Fault};

/// Gas that a transaction pays before its call begins, by the recorded calls of the reference node.
const CALL_OVERHEAD: u64 = 24_448;

/// Contract that passes value on.
const MSG_VALUE_SIMULATOR: Address = {
    let mut bytes = [0; 20];
    bytes[18] = 0x80;
    bytes[19] = 0x09;
    Address::new(bytes)
};

/// Functions that the bootloader calls.
mod selector {
    /// `unsafeOverrideBatch(uint256,uint256,uint256)`.
    pub(super) const OVERRIDE_BATCH: [u8; 4] = [0x29, 0xf1, 0x72, 0xad];
    /// `setL2Block(uint128,uint128,bytes32,bool,uint128)`.
    pub(super) const SET_L2_BLOCK: [u8; 4] = [0x06, 0xbe, 0xd0, 0x36];
    /// `setPubdataInfo(uint256,uint256)`.
    pub(super) const SET_PUBDATA_INFO: [u8; 4] = [0xa2, 0x25, 0xef, 0xcb];
    /// `setTxOrigin(address)`.
    pub(super) const SET_TX_ORIGIN: [u8; 4] = [0xa8, 0x51, 0xae, 0x78];
    /// `setGasPrice(uint256)`.
    pub(super) const SET_GAS_PRICE: [u8; 4] = [0xbf, 0x1f, 0xe4, 0x20];
    /// `markFactoryDeps(bool,bytes32[])`.
    pub(super) const MARK_FACTORY_DEPS: [u8; 4] = [0xe5, 0x16, 0x76, 0x1e];
    /// `createEVM(bytes)`.
    pub(super) const CREATE_EVM: [u8; 4] = [0xff, 0x31, 0x16, 0x01];
}

/// What a simulation runs on.
#[derive(Debug)]
pub(crate) struct Simulation<'a> {
    pub(crate) layout: Layout,
    pub(crate) env: &'a SimulationEnv,
    pub(crate) tx: &'a SimulatedTx,
    pub(crate) shared: &'a Shared,
    pub(crate) bootloaders: &'a Bootloaders,
    pub(crate) with_trace: bool,
    /// By which rules instructions are noted, if they are.
    pub(crate) steps: Option<&'a StepRules>,
    pub(crate) stop: &'a Stop,
}

impl Simulation<'_> {
    pub(super) fn error(&self, fault: Fault) -> VmError {
        match fault {
            Fault::Storage(error) => VmError::Storage(error),
            Fault::BadInput(reason) => self.unusable(reason),
        }
    }

    pub(super) fn unusable(&self, reason: Unusable) -> VmError {
        VmError::BadInput { batch: self.env.batch, reason }
    }

    /// Where the simulation takes place, as a batch.
    pub(super) fn batch_env(&self) -> BatchEnv {
        let env = self.env;
        let validator = match self.layout.pubdata_form {
            PubdataForm::Bytes | PubdataForm::WithValidator => DaValidator::Address(Address::ZERO),
            PubdataForm::WithScheme => DaValidator::Scheme(1),
        };
        BatchEnv {
            chain_id: env.chain_id,
            version: env.version,
            number: env.batch,
            timestamp: env.batch_timestamp,
            previous_root: StateRoot(B256::repeat_byte(1)),
            fee_input: env.fee_input,
            fee_account: FEE_ACCOUNT,
            base_contracts: Arc::clone(&env.base_contracts),
            pubdata_params: PubdataParams { validator, pubdata_type: PubdataType::Rollup },
            settlement_layer: env.settlement_layer,
            interop_fee: env.interop_fee,
        }
    }

    pub(super) fn world(&self, storage: Box<dyn VmStorage>) -> World {
        let mut world = World::new(storage, Arc::clone(&self.shared.programs));
        if let Some([info, rolling_hash]) = self.env.block_info_before {
            world.set(&context_slot(9), info);
            world.set(&context_slot(10), rolling_hash);
        }
        world
    }

    /// Makes a call: with the bootloader for calls if it is there. Tells its instructions if there
    /// are rules for them.
    pub(crate) fn call(
        &self,
        storage: Box<dyn VmStorage>,
    ) -> Result<(Simulated, Option<Steps>), VmError> {
        let env = self.env;
        let Some(contracts) = self.bootloaders.for_calls(env.version, &env.base_contracts) else {
            return self.call_directly(storage);
        };
        let price = env.base_fee_per_gas.unwrap_or_else(|| base_fee(&env.fee_input));
        let terms = Terms { base_fee: price, is_new: false };
        let price = self.tx.gas_price.unwrap_or_default();
        self.run_once(storage, How { contracts, terms, mode: TxMode::Call, price })
    }

    fn run_once(
        &self,
        storage: Box<dyn VmStorage>,
        how: How,
    ) -> Result<(Simulated, Option<Steps>), VmError> {
        let gas_limit = self.tx.gas_limit.unwrap_or(BATCH_GAS_LIMIT);
        let mut trials = Trials::open(self, self.world(storage), how)?;
        let ran = trials.run(gas_limit)?;
        let steps = trials.steps.take();
        trials.end();
        Ok((ran, steps))
    }

    fn call_directly(
        &self,
        storage: Box<dyn VmStorage>,
    ) -> Result<(Simulated, Option<Steps>), VmError> {
        check_env(&self.batch_env(), &self.layout).map_err(|why| self.unusable(why))?;
        let deps =
            bytecodes(&self.tx.factory_deps, &self.layout).map_err(|why| self.unusable(why))?;
        let mut world = self.world(storage);
        world.brought.extend(deps.iter().cloned());
        let called = unpanicked(|| {
            let contracts = &self.env.base_contracts;
            let idle = &self.shared.idle;
            let mut caller = Caller::new(contracts, world, self.with_trace, self.stop, idle);
            let hashes: Vec<_> = deps.iter().map(|(hash, _)| hash.0).collect();
            let simulated = self.run_call(&mut caller, &hashes);
            let gas_used = simulated.gas_used;
            let steps = caller.take_steps();
            ((simulated, steps), caller.end(idle, gas_used).fault())
        });
        match called.map_err(|fault| self.error(fault))? {
            (_, Some(fault)) => Err(self.error(fault)),
            (simulated, None) => Ok(simulated),
        }
    }

    fn run_call(&self, caller: &mut Caller, deps: &[B256]) -> Simulated {
        let gas_limit = self.tx.gas_limit.unwrap_or(BATCH_GAS_LIMIT);
        let (end, gas_used) = match self.prepare_call(caller, deps, gas_limit) {
            Err(end) => (end, 0),
            Ok(()) => {
                let gas_before = u64::from(caller.gas());
                if let Some(rules) = self.steps {
                    caller.step(*rules);
                }
                let end = self.main_call(caller, gas_limit);
                (end, CALL_OVERHEAD + gas_before.saturating_sub(u64::from(caller.gas())))
            }
        };
        let is_done = matches!(end, SimulationEnd::Success { .. });
        let writes = caller.changes().into_iter().map(|change| change.write);
        Simulated {
            gas_used: gas_used.min(gas_limit),
            pubdata: i64::from(caller.pubdata()),
            events: if is_done { caller.events() } else { Vec::new() },
            writes: if is_done { writes.collect() } else { Vec::new() },
            made_bytecodes: if is_done { caller.world.made.list() } else { Vec::new() },
            trace: self.with_trace.then(|| caller.seen()),
            end,
        }
    }

    /// Brings batch, block and transaction into the system context, as the bootloader does.
    fn prepare_call(
        &self,
        caller: &mut Caller,
        deps: &[B256],
        gas_limit: u64,
    ) -> Result<(), SimulationEnd> {
        let env = self.env;
        let price = env.base_fee_per_gas.unwrap_or_else(|| base_fee(&env.fee_input));
        let number = |number: u64| U256::from(number);
        let context =
            |selector, arguments: &[U256]| (address::SYSTEM_CONTEXT, input(selector, arguments));
        let is_set = |done| match done {
            Called::Returned(_) => Ok(()),
            Called::Failed(data) => Err(broken(&data)),
            Called::OutOfGas => {
                Err(SimulationEnd::Refused { message: refusal(&Halt::NotEnoughGasProvided) })
            }
            Called::Stopped => Err(SimulationEnd::Stopped),
        };
        let batch = [number(env.batch_timestamp.0), number(env.batch.0.into()), number(price)];
        let block = [
            number(env.block.0.into()),
            number(env.block_timestamp.0),
            U256::from_be_bytes(env.parent.0.0),
            U256::from(1),
            U256::from(1),
        ];
        for (to, input) in
            [context(selector::OVERRIDE_BATCH, &batch), context(selector::SET_L2_BLOCK, &block)]
        {
            is_set(caller.call(&SystemCall { from: address::BOOTLOADER, to, input, extra: None }))?;
        }

        let gas = gas_limit.min(COMPUTE_GAS_MAX).saturating_sub(CALL_OVERHEAD);
        caller.set_gas(u32::try_from(gas).expect("at most 80 million"));
        let published = caller.pubdata().max(0).cast_unsigned();
        let info = [number(gas_per_pubdata(&env.fee_input, price)), number(published.into())];
        let origin = U256::from_be_slice(self.tx.from.as_slice());
        let mut calls = vec![
            context(selector::SET_PUBDATA_INFO, &info),
            context(selector::SET_TX_ORIGIN, &[origin]),
        ];
        calls.extend(self.tx.gas_price.map(|price| context(selector::SET_GAS_PRICE, &[price])));
        if !deps.is_empty() {
            let mut arguments = vec![U256::ZERO, U256::from(64), U256::from(deps.len())];
            arguments.extend(deps.iter().map(|hash| U256::from_be_bytes(hash.0)));
            let input = input(selector::MARK_FACTORY_DEPS, &arguments);
            calls.push((address::KNOWN_CODES_STORAGE, input));
        }
        for (to, input) in calls {
            is_set(caller.call(&SystemCall { from: address::BOOTLOADER, to, input, extra: None }))?;
        }
        Ok(())
    }

    /// The call that was asked for.
    fn main_call(&self, caller: &mut Caller, gas_limit: u64) -> SimulationEnd {
        let tx = self.tx;
        let (to, data) = match tx.to {
            Some(to) => (to, tx.input.clone()),
            None => (address::CONTRACT_DEPLOYER, bytes_input(selector::CREATE_EVM, &tx.input)),
        };
        let is_system = to == address::CONTRACT_DEPLOYER;
        let value = super::words::word_of(tx.value);
        let extra = [value, word_of_address(to), Word::from(u8::from(is_system))];
        let call =
            SystemCall { from: tx.from, to: MSG_VALUE_SIMULATOR, input: data, extra: Some(extra) };
        match caller.call(&call) {
            Called::Stopped => SimulationEnd::Stopped,
            Called::Failed(data) => reverted(&VmRevertReason::from(data.as_slice())),
            Called::OutOfGas => reverted(&VmRevertReason::from([].as_slice())),
            Called::Returned(output) => {
                if !self.can_pay_pubdata(caller, gas_limit) {
                    return reverted(&VmRevertReason::from([].as_slice()));
                }
                let output = match tx.to {
                    Some(_) => output.into(),
                    None => self.deployed_code(caller, &output),
                };
                SimulationEnd::Success { output }
            }
        }
    }

    /// Whether the gas that is left covers what the call publishes.
    fn can_pay_pubdata(&self, caller: &mut Caller, gas_limit: u64) -> bool {
        let env = self.env;
        let price = env.base_fee_per_gas.unwrap_or_else(|| base_fee(&env.fee_input));
        let pubdata = u64::from(caller.pubdata().max(0).cast_unsigned());
        let needed = pubdata.saturating_mul(gas_per_pubdata(&env.fee_input, price));
        let reserved = gas_limit.saturating_sub(COMPUTE_GAS_MAX);
        needed <= reserved.saturating_add(u64::from(caller.gas()))
    }

    /// The code of the EVM contract that the deployer has just made, whose address is the last
    /// word of its answer.
    fn deployed_code(&self, caller: &mut Caller, output: &[u8]) -> Bytes {
        let Some(word) = output.last_chunk::<32>() else { return Bytes::new() };
        let account = Address::from_word(B256::new(*word));
        let hash = lockstep_types::BytecodeHash(caller.value(&StorageSlot::code_hash(account)));
        match caller.world.made.get(&hash) {
            Some(code) => Bytes::copy_from_slice(hash.displayed(&code)),
            None => Bytes::new(),
        }
    }

    /// Runs a signed transaction with the chain's own bootloader.
    pub(crate) fn check(
        &self,
        tx: &Transaction,
        storage: Box<dyn VmStorage>,
    ) -> Result<Simulated, VmError> {
        trials::check(self, tx, storage)
    }

    /// Runs the whole transaction with the chain's own bootloader.
    pub(crate) fn run_unsigned(&self, storage: Box<dyn VmStorage>) -> Result<Simulated, VmError> {
        let base_fee = base_fee(&self.env.fee_input);
        let (ran, _no_steps) = self.run_once(
            storage,
            How {
                contracts: Arc::clone(&self.env.base_contracts),
                terms: Terms { base_fee, is_new: true },
                mode: TxMode::Full,
                price: self.tx.gas_price.unwrap_or(U256::from(base_fee)),
            },
        )?;
        Ok(ran)
    }
}

/// Receives the fees of simulated transactions.
const FEE_ACCOUNT: Address = {
    let mut bytes = [0; 20];
    bytes[0] = 0xfe;
    bytes[1] = 0xe0;
    Address::new(bytes)
};

pub(super) fn context_slot(number: u64) -> StorageSlot {
    StorageSlot::new(address::SYSTEM_CONTEXT, B256::from(U256::from(number)))
}

pub(super) fn is_success(end: &SimulationEnd) -> bool {
    matches!(end, SimulationEnd::Success { .. })
}

/// Gas for a byte of pubdata at these prices.
pub(super) fn gas_per_pubdata(fees: &FeeInput, base_fee: u64) -> u64 {
    let price = fees.fair_pubdata_price.unwrap_or(0);
    if price == 0 || base_fee == 0 { 0 } else { price.div_ceil(base_fee) }
}

/// Input of a Solidity function whose only argument are bytes.
fn bytes_input(selector: [u8; 4], bytes: &[u8]) -> Bytes {
    let mut data = input(selector, &[U256::from(32), U256::from(bytes.len())]).to_vec();
    data.extend_from_slice(bytes);
    data.resize(4 + 64 + bytes.len().next_multiple_of(32), 0);
    data.into()
}

#[cfg(test)]
mod tests {
    use lockstep_types::keccak256;

    use super::*;

    #[test]
    fn selectors_are_hashes_of_their_signatures() {
        for (signature, selector) in [
            ("unsafeOverrideBatch(uint256,uint256,uint256)", selector::OVERRIDE_BATCH),
            ("setL2Block(uint128,uint128,bytes32,bool,uint128)", selector::SET_L2_BLOCK),
            ("setPubdataInfo(uint256,uint256)", selector::SET_PUBDATA_INFO),
            ("setTxOrigin(address)", selector::SET_TX_ORIGIN),
            ("setGasPrice(uint256)", selector::SET_GAS_PRICE),
            ("markFactoryDeps(bool,bytes32[])", selector::MARK_FACTORY_DEPS),
            ("createEVM(bytes)", selector::CREATE_EVM),
        ] {
            assert_eq!(keccak256(signature)[..4], selector, "{signature}");
        }
    }
}
