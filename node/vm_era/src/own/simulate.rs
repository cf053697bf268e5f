//! Calls, unsigned transactions and estimates.

use std::sync::Arc;

use lockstep_types::{
    Address, B256, Bytes, DaValidator, FeeInput, L1BatchNumber, PubdataParams, PubdataType,
    StateRoot, StorageSlot, StorageWrite, TxHash, U256, UnixSeconds, address, storage::Nonces,
};
use lockstep_vm::{
    BatchEnv, BlockEnv, EstimateRules, Estimated, GasEstimate, Simulated, SimulatedKind,
    SimulatedTx, SimulationEnd, SimulationEnv, Stop, VmError, VmStorage,
};
use zksync_multivm::interface::{Halt, VmRevertReason};
use zksync_types::U256 as Word;

use super::{
    batch::{GAS_PER_PUBDATA_MAX, base_fee, bytecodes, check_env},
    bootloaders::Bootloaders,
    caller::{Called, Caller, SystemCall, input},
    encode::TxFields,
    layout::{BATCH_GAS_LIMIT, Layout, PubdataForm},
    machine::{Ended, Machine, ReadyTx},
    memory::{Terms, TxMode},
    programs::Programs,
    words::word_of_address,
    world::World,
};
use crate::{convert::Unusable, engine::unpanicked, source::Fault};

/// Gas that a call may compute with, at most.
const COMPUTE_GAS_MAX: u64 = 80_000_000;
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
    pub(crate) programs: &'a Arc<Programs>,
    pub(crate) bootloaders: &'a Bootloaders,
    pub(crate) with_trace: bool,
    pub(crate) stop: &'a Stop,
}

/// How a bootloader is run.
#[derive(Clone, Copy, Debug)]
struct How<'a> {
    contracts: &'a Arc<lockstep_vm::BaseContracts>,
    terms: Terms,
    mode: TxMode,
}

impl Simulation<'_> {
    fn error(&self, fault: Fault) -> VmError {
        match fault {
            Fault::Storage(error) => VmError::Storage(error),
            Fault::BadInput(reason) => self.unusable(reason),
        }
    }

    fn unusable(&self, reason: Unusable) -> VmError {
        VmError::BadInput { batch: self.env.batch, reason }
    }

    /// Where the simulation takes place, as a batch.
    fn batch_env(&self) -> BatchEnv {
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
            settlement_layer: None,
            interop_fee: U256::ZERO,
        }
    }

    fn world(&self, storage: Box<dyn VmStorage>) -> World {
        let mut world = World::new(storage, Arc::clone(self.programs));
        if let Some([info, rolling_hash]) = self.env.block_info_before {
            world.set(&context_slot(9), info);
            world.set(&context_slot(10), rolling_hash);
        }
        world
    }

    /// Makes a call: with the bootloader for calls if it is there.
    pub(crate) fn call(&self, storage: Box<dyn VmStorage>) -> Result<Simulated, VmError> {
        let env = self.env;
        if let Some(contracts) = self.bootloaders.for_calls(env.version, &env.base_contracts) {
            let mut world = self.world(storage);
            let gas_limit = self.tx.gas_limit.unwrap_or(BATCH_GAS_LIMIT);
            let price = env.base_fee_per_gas.unwrap_or_else(|| base_fee(&env.fee_input));
            let terms = Terms { base_fee: price, is_new: false };
            let tx_price = self.tx.gas_price.unwrap_or_default();
            let how = How { contracts: &contracts, terms, mode: TxMode::Call };
            return self.run_with(&mut world, gas_limit, tx_price, &how);
        }
        self.call_directly(storage)
    }

    fn call_directly(&self, storage: Box<dyn VmStorage>) -> Result<Simulated, VmError> {
        check_env(&self.batch_env(), &self.layout).map_err(|why| self.unusable(why))?;
        let deps =
            bytecodes(&self.tx.factory_deps, &self.layout).map_err(|why| self.unusable(why))?;
        let mut world = self.world(storage);
        world.brought.extend(deps.iter().cloned());
        let called = unpanicked(|| {
            let contracts = &self.env.base_contracts;
            let mut caller = Caller::new(contracts, world, self.with_trace, self.stop);
            let hashes: Vec<_> = deps.iter().map(|(hash, _)| hash.0).collect();
            let simulated = self.run_call(&mut caller, &hashes);
            (simulated, caller.world.fault())
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

    /// Runs the whole transaction with the chain's own bootloader.
    pub(crate) fn run_unsigned(&self, storage: Box<dyn VmStorage>) -> Result<Simulated, VmError> {
        let mut world = self.world(storage);
        let gas_limit = self.tx.gas_limit.unwrap_or(BATCH_GAS_LIMIT);
        let price = base_fee(&self.env.fee_input);
        let tx_price = self.tx.gas_price.unwrap_or(U256::from(price));
        let terms = Terms { base_fee: price, is_new: true };
        let how = How { contracts: &self.env.base_contracts, terms, mode: TxMode::Full };
        self.run_with(&mut world, gas_limit, tx_price, &how)
    }

    /// Runs the transaction with a gas limit on the state below `world`, which stays as it is.
    fn run_with(
        &self,
        world: &mut World,
        gas_limit: u64,
        tx_price: U256,
        how: &How<'_>,
    ) -> Result<Simulated, VmError> {
        let How { contracts, terms, mode } = *how;
        let layout = self.layout;
        let mut env = BatchEnv { base_contracts: Arc::clone(contracts), ..self.batch_env() };
        check_env(&env, &layout).map_err(|why| self.unusable(why))?;
        let mut ready = self.ready(world, gas_limit, tx_price).map_err(|why| self.unusable(why))?;
        ready.mode = mode;
        let mut block = BlockEnv {
            number: self.env.block,
            timestamp: self.env.block_timestamp,
            parent: self.env.parent,
            virtual_block_count: 1,
            interop_roots: Vec::new(),
        };
        if terms.is_new {
            // The bootloader opens a new batch, which must follow the one that the state knows.
            let [batch_number, batch_timestamp] = split(world.value(&context_slot(7)));
            let [_, block_timestamp] = split(world.value(&context_slot(9)));
            env.number = L1BatchNumber(u32::try_from(batch_number).unwrap_or(u32::MAX - 1) + 1);
            let timestamp =
                self.env.batch_timestamp.0.max(batch_timestamp + 1).max(block_timestamp + 1);
            env.timestamp = UnixSeconds(timestamp);
            block.timestamp = env.timestamp;
        }
        let fork = world.fork();
        let ran = unpanicked(|| {
            let mut machine = Machine::open(layout, &env, terms, block, fork, self.programs);
            if terms.is_new {
                machine.observer.agree();
            }
            machine.observer.stop_when(self.stop.clone());
            if self.with_trace {
                machine.observer.watch();
            }
            let run = machine.run_tx(&ready);
            let trace = self.with_trace.then(|| machine.seen(&run.changes));
            let fault = machine.world.fault();
            let made = machine.world.made.list();
            world.learn(machine.into_world());
            (run, trace, made, fault)
        });
        let (run, trace, made, fault) = ran.map_err(|fault| self.error(fault))?;
        if let Some(fault) = fault {
            return Err(self.error(fault));
        }
        let is_done = matches!(run.end, Ended::Success(_));
        let kept: Vec<StorageWrite> = run.changes.iter().map(|change| change.write).collect();
        Ok(Simulated {
            end: match run.end {
                Ended::Success(output) => SimulationEnd::Success { output: output.into() },
                Ended::Reverted(reason) => reverted(&reason),
                Ended::Halted(halt) => SimulationEnd::Refused { message: refusal(&halt) },
                Ended::Stopped => SimulationEnd::Stopped,
            },
            gas_used: gas_limit.saturating_sub(run.gas_refunded),
            pubdata: run.pubdata.into(),
            events: if is_done { run.events } else { Vec::new() },
            writes: if is_done { kept } else { Vec::new() },
            made_bytecodes: if is_done { made } else { Vec::new() },
            trace,
        })
    }

    /// The transaction in the bootloader's terms.
    fn ready(&self, world: &mut World, gas_limit: u64, price: U256) -> Result<ReadyTx, Unusable> {
        let tx = self.tx;
        if tx.to.is_none() && self.env.base_contracts.evm_emulator.is_none() {
            return Err("it deploys EVM code on a chain without EVM emulator".to_owned());
        }
        let bytecodes = bytecodes(&tx.factory_deps, &self.layout)?;
        let nonces_slot = StorageSlot::nonces(tx.from);
        let nonces = super::words::b256_of(world.value(&nonces_slot));
        let nonce = match tx.nonce {
            None => Nonces::from_value(nonces).tx,
            Some(nonce) => U256::from(nonce),
        };
        let gas_limit = U256::from(gas_limit);
        let is_eip712 = tx.kind == SimulatedKind::Eip712;
        let is_priority = tx.kind == SimulatedKind::Priority;
        let pubdata_limit =
            if is_eip712 || is_priority { tx.gas_per_pubdata_limit } else { GAS_PER_PUBDATA_MAX };
        let reserved = if is_priority {
            let to_mint = tx.value.saturating_add(gas_limit.saturating_mul(price));
            let recipient = U256::from_be_slice(tx.from.as_slice());
            [to_mint, recipient, U256::ZERO, U256::ZERO]
        } else {
            let signs_chain_id = tx.kind == SimulatedKind::Legacy;
            let deploys = tx.to.is_none();
            [U256::from(signs_chain_id), U256::from(deploys), U256::ZERO, U256::ZERO]
        };
        let fields = TxFields {
            type_byte: match tx.kind {
                SimulatedKind::Legacy => 0x00,
                SimulatedKind::Eip2930 => 0x01,
                SimulatedKind::Eip1559 => 0x02,
                SimulatedKind::Eip712 => 0x71,
                SimulatedKind::Priority => 0xff,
            },
            from: tx.from,
            to: tx.to.unwrap_or_default(),
            gas_limit,
            gas_per_pubdata_limit: U256::from(pubdata_limit),
            max_fee_per_gas: price,
            max_priority_fee_per_gas: if is_priority { U256::ZERO } else { price },
            paymaster: tx.paymaster.paymaster,
            nonce: if is_priority { U256::ZERO } else { nonce },
            value: tx.value,
            reserved,
            input: tx.input.clone(),
            signature: match &tx.signature {
                Some(signature) => signature.clone(),
                None if is_priority => Bytes::new(),
                None => UNSIGNED.into(),
            },
            factory_deps: bytecodes.iter().map(|(hash, _)| *hash).collect(),
            paymaster_input: tx.paymaster.input.clone(),
        };
        Ok(ReadyTx {
            hash: TxHash::default(),
            encoded: fields.encode(),
            publishes_bytecodes: !is_priority,
            bytecodes,
            mode: TxMode::Full,
        })
    }

    /// The least gas that works, scaled.
    pub(crate) fn estimate(
        &self,
        storage: Box<dyn VmStorage>,
        rules: &EstimateRules,
    ) -> Result<Estimated, VmError> {
        let mut world = self.world(storage);
        let fees = with_pubdata_limit(self.env.fee_input, self.pubdata_limit());
        let env = SimulationEnv { fee_input: fees, ..self.env.clone() };
        let inner = Simulation { env: &env, with_trace: false, ..*self };
        inner.search(&mut world, rules)
    }

    fn pubdata_limit(&self) -> u64 {
        self.tx.gas_per_pubdata_limit.min(GAS_PER_PUBDATA_MAX)
    }

    fn search(&self, world: &mut World, rules: &EstimateRules) -> Result<Estimated, VmError> {
        let tx = self.tx;
        let price = base_fee(&self.env.fee_input);
        let gas_per_pubdata = gas_per_pubdata(&self.env.fee_input, price);
        let overhead =
            self.ready(world, 0, U256::ZERO).map_err(|why| self.unusable(why))?.encoded.overhead;
        let is_priority = tx.kind == SimulatedKind::Priority;
        if !is_priority {
            let payer =
                if tx.paymaster.paymaster.is_zero() { tx.from } else { tx.paymaster.paymaster };
            let slot = StorageSlot::balance(payer);
            let balance = super::words::number_of(world.value(&slot));
            let fee = U256::from(BATCH_GAS_LIMIT).saturating_mul(U256::from(price));
            world.set(&slot, B256::from(balance.saturating_add(fee)));
        }
        if let Some(nonce) = tx.nonce.filter(|_| !is_priority) {
            let slot = StorageSlot::nonces(tx.from);
            let nonces = Nonces::from_value(super::words::b256_of(world.value(&slot)));
            let value = (nonces.deployment << 128) | U256::from(nonce);
            world.set(&slot, B256::from(value));
        }

        let gas_max = tx.gas_limit.unwrap_or(BATCH_GAS_LIMIT).min(BATCH_GAS_LIMIT);
        let given = self.bootloaders.for_estimates(self.env.version, &self.env.base_contracts);
        let how = How {
            contracts: given.as_ref().unwrap_or(&self.env.base_contracts),
            terms: Terms { base_fee: price, is_new: given.is_none() },
            mode: TxMode::Full,
        };
        let mut attempt = |gas: u64| {
            let limit = gas.saturating_add(overhead).min(gas_max);
            self.run_with(world, limit, U256::from(price), &how)
        };
        let first = attempt(gas_max)?;
        if !is_success(&first.end) {
            return Ok(Estimated::Fails(first.end));
        }
        let pubdata = u64::try_from(first.pubdata).unwrap_or(0);
        let for_pubdata = if is_priority { 0 } else { pubdata.saturating_mul(gas_per_pubdata) };
        let highest = COMPUTE_GAS_MAX.saturating_add(for_pubdata).min(gas_max);
        // What it used is near the least that works; close in on that from both sides.
        let used = first.gas_used.saturating_sub(overhead).min(highest);
        let (mut low, mut high) = (for_pubdata.min(used), highest);
        let mut guess = used.saturating_add(rules.acceptable_overestimation / 2);
        while high - low > rules.acceptable_overestimation {
            let middle = guess.clamp(low + 1, high - 1);
            let ran = attempt(middle)?;
            if ran.end == SimulationEnd::Stopped {
                return Ok(Estimated::Fails(ran.end));
            }
            if is_success(&ran.end) {
                high = middle;
                guess = low + (high - low) / 2;
                if middle.saturating_sub(rules.acceptable_overestimation) > low {
                    guess = guess.max(middle - rules.acceptable_overestimation);
                }
            } else {
                low = middle;
                let step = (middle / 16).max(rules.acceptable_overestimation);
                guess = (low + step).min(low + (high - low) / 2).max(low + 1);
            }
        }
        let scaled = u128::from(high) * u128::from(rules.scale_per_mille) / 1_000;
        let scaled = u64::try_from(scaled).unwrap_or(u64::MAX);
        let limit = scaled.saturating_add(overhead);
        if limit > BATCH_GAS_LIMIT {
            let reason = Some("exceeds block gas limit".to_owned());
            return Ok(Estimated::Fails(SimulationEnd::Reverted { reason, data: Bytes::new() }));
        }
        let last = attempt(scaled)?;
        if !is_success(&last.end) {
            return Ok(Estimated::Fails(last.end));
        }
        Ok(Estimated::Gas(GasEstimate {
            gas_limit: limit,
            base_fee_per_gas: price,
            gas_per_pubdata,
        }))
    }
}

/// Receives the fees of simulated transactions.
const FEE_ACCOUNT: Address = {
    let mut bytes = [0; 20];
    bytes[0] = 0x0f;
    bytes[1] = 0xee;
    Address::new(bytes)
};

/// A signature in the right form that is nobody's.
const UNSIGNED: [u8; 65] = {
    let mut bytes = [0; 65];
    bytes[64] = 27;
    bytes
};

fn context_slot(number: u64) -> StorageSlot {
    StorageSlot::new(address::SYSTEM_CONTEXT, B256::from(U256::from(number)))
}

/// Number and timestamp that share a word.
fn split(word: Word) -> [u64; 2] {
    [word.0[2], word.0[0]]
}

fn is_success(end: &SimulationEnd) -> bool {
    matches!(end, SimulationEnd::Success { .. })
}

/// Gas for a byte of pubdata at these prices.
fn gas_per_pubdata(fees: &FeeInput, base_fee: u64) -> u64 {
    let price = fees.fair_pubdata_price.unwrap_or(0);
    if price == 0 || base_fee == 0 { 0 } else { price.div_ceil(base_fee) }
}

/// Prices at which a byte of pubdata costs no more than `limit` gas.
fn with_pubdata_limit(fees: FeeInput, limit: u64) -> FeeInput {
    if gas_per_pubdata(&fees, base_fee(&fees)) <= limit {
        return fees;
    }
    let price = fees.fair_l2_gas_price.saturating_mul(limit.saturating_sub(1));
    FeeInput { fair_pubdata_price: Some(price), ..fees }
}

/// Input of a Solidity function whose only argument are bytes.
fn bytes_input(selector: [u8; 4], bytes: &[u8]) -> Bytes {
    let mut data = input(selector, &[U256::from(32), U256::from(bytes.len())]).to_vec();
    data.extend_from_slice(bytes);
    data.resize(4 + 64 + bytes.len().next_multiple_of(32), 0);
    data.into()
}

fn reverted(reason: &VmRevertReason) -> SimulationEnd {
    let words = reason.to_user_friendly_string();
    SimulationEnd::Reverted {
        reason: (!words.is_empty()).then_some(words),
        data: reason.encoded_data().into(),
    }
}

/// A system contract that should not fail did.
fn broken(data: &[u8]) -> SimulationEnd {
    let halt = Halt::UnexpectedVMBehavior(VmRevertReason::from(data).to_string());
    SimulationEnd::Refused { message: refusal(&halt) }
}

/// What the reference node tells a user whose transaction no block could include.
fn refusal(halt: &Halt) -> String {
    let unexpected = |problem: &str| {
        format!(
            "virtual machine entered unexpected state. please contact developers and provide \
             transaction details that caused this error. Error description: {problem}"
        )
    };
    match halt {
        Halt::ValidationFailed(reason) => {
            format!("failed to validate the transaction. reason: {reason}")
        }
        Halt::PayForTxFailed(reason) | Halt::FailedToChargeFee(reason) => {
            format!("not enough balance to cover the fee. error message: {reason}")
        }
        Halt::PaymasterValidationFailed(reason) => {
            format!("failed paymaster validation. error message: {reason}")
        }
        Halt::PrePaymasterPreparationFailed(reason) => {
            format!("failed pre-paymaster preparation. error message: {reason}")
        }
        Halt::FromIsNotAnAccount => {
            "invalid sender. can't start a transaction from a non-account".to_owned()
        }
        Halt::Unknown(reason) => {
            format!("failed to include transaction in the system. reason: {reason}")
        }
        Halt::UnexpectedVMBehavior(problem) => unexpected(problem),
        Halt::BootloaderOutOfGas => unexpected("bootloader is out of gas"),
        Halt::NotEnoughGasProvided => {
            unexpected("The bootloader did not contain enough gas to execute the transaction")
        }
        Halt::VMPanic => unexpected("VM panicked"),
        Halt::ValidationOutOfGas => {
            "failed to validate the transaction. reason: Validation run out of gas".to_owned()
        }
        Halt::InnerTxError | Halt::MissingInvocationLimitReached => {
            "execution reverted: Bootloader-based tx failed".to_owned()
        }
        Halt::FailedBlockTimestampAssertion => {
            "transaction failed block.timestamp assertion".to_owned()
        }
        Halt::TracerCustom(reason)
        | Halt::FailedToSetL2Block(reason)
        | Halt::FailedToAppendTransactionToL2Block(reason) => {
            format!("execution reverted: {reason}")
        }
        Halt::FailedToMarkFactoryDependencies(reason) => format!("execution reverted: {reason}"),
        Halt::TooBigGasLimit | Halt::FailedToPublishCompressedBytecodes => {
            format!("execution reverted: {halt}")
        }
    }
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

    #[test]
    fn the_pubdata_price_is_lowered_to_what_a_transaction_agrees_to() {
        let fees =
            FeeInput { l1_gas_price: 1, fair_l2_gas_price: 100, fair_pubdata_price: Some(100_000) };
        assert_eq!(with_pubdata_limit(fees, 1_000), fees);
        for limit in [1, 2, 7, 800, 999] {
            let lowered = with_pubdata_limit(fees, limit);
            assert!(gas_per_pubdata(&lowered, base_fee(&lowered)) <= limit, "{limit}");
        }
    }
}
