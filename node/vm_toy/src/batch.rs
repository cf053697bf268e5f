//! A toy batch: runs programs on an overlay over the state before the batch.

use std::collections::BTreeMap;

use lockstep_types::{
    Address, B256, BatchTip, BytecodeHash, Bytes, Event, FeeInput, L1BatchNumber, L2ToL1Log,
    ProtocolVersion, StorageSlot, StorageWrite, Transaction, TxOutcome, TxStatus, U256,
    address::{KNOWN_CODES_STORAGE, SYSTEM_CONTEXT},
    keccak256,
};
use lockstep_vm::{
    BatchEnv, BlockEnv, CallFrame, CallKind, OpenBatch, Simulated, SimulationEnd, StorageError,
    TouchedSlot, Trace, TracedTx, VmError, VmStorage,
};

use crate::{
    gas,
    program::{Op, Program},
};

/// A batch that is being run.
#[derive(Debug)]
pub(crate) struct ToyBatch {
    env: BatchEnv,
    block: BlockEnv,
    block_tx_count: u32,
    tx_count: u16,
    state: Overlay,
    /// Whether to go on; only simulations are ever stopped.
    stop: lockstep_vm::Stop,
}

/// The state before the batch, and what the batch wrote.
#[derive(Debug)]
struct Overlay {
    below: Box<dyn VmStorage>,
    written: BTreeMap<StorageSlot, B256>,
    /// Writes of what is being run, in order.
    log: Vec<Logged>,
}

/// A write, with what it replaced.
#[derive(Clone, Copy, Debug)]
struct Logged {
    write: StorageWrite,
    before: B256,
}

/// What a program leaves behind apart from writes.
#[derive(Debug, Default)]
struct Effects {
    gas_used: u64,
    events: Vec<Event>,
    l2_to_l1_logs: Vec<L2ToL1Log>,
    made_bytecodes: Vec<(B256, Bytes)>,
    output: Bytes,
}

/// What a transaction left behind, and what it returned.
#[derive(Debug)]
struct Ran {
    outcome: TxOutcome,
    output: Bytes,
}

/// Why a program did not come to its end.
enum Stop {
    Reverted(&'static str),
    Halted,
    /// It was told to stop.
    Due,
    Failed(VmError),
}

/// Words for a program that halts.
const HALTS: &str = "the program halts";

/// How a program ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Reverted(&'static str),
    Halted,
    Stopped,
}

/// A program that was run.
#[derive(Debug)]
struct Attempt {
    end: End,
    gas_refunded: u64,
    effects: Effects,
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Failed(error.into())
    }
}

/// The slot that holds the root after `batch`.
pub fn previous_root_slot(batch: L1BatchNumber) -> StorageSlot {
    let key = [word(u64::from(batch.0)).0, word(8).0].concat();
    StorageSlot::new(SYSTEM_CONTEXT, keccak256(key))
}

/// The account that a deployment of EVM code makes: the `nonce`-th transaction of `sender`.
pub fn evm_account(sender: Address, nonce: U256) -> Address {
    let hash = keccak256([sender.as_slice(), &nonce.to_be_bytes::<32>()].concat());
    Address::from_slice(&hash[12..])
}

impl Overlay {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        match self.written.get(slot) {
            Some(value) => Ok(*value),
            None => self.below.value(slot),
        }
    }

    fn write(&mut self, slot: StorageSlot, value: B256) -> Result<(), StorageError> {
        let before = self.value(&slot)?;
        self.written.insert(slot, value);
        self.log.push(Logged { write: StorageWrite { slot, value }, before });
        Ok(())
    }

    /// Undoes the writes from the `from`-th on by further writes, newest first.
    fn undo(&mut self, from: usize) {
        for index in (from..self.log.len()).rev() {
            let Logged { write: StorageWrite { slot, value: replaced }, before } = self.log[index];
            self.written.insert(slot, before);
            let write = StorageWrite { slot, value: before };
            self.log.push(Logged { write, before: replaced });
        }
    }

    fn take_log(&mut self) -> Vec<StorageWrite> {
        std::mem::take(&mut self.log).into_iter().map(|logged| logged.write).collect()
    }

    /// Slots that differ from the state before the batch, in canonical order.
    fn final_writes(&mut self) -> Result<Vec<(StorageSlot, B256)>, StorageError> {
        let mut changed = Vec::new();
        for (slot, value) in &self.written {
            if self.below.value(slot)? != *value {
                changed.push((*slot, *value));
            }
        }
        Ok(changed)
    }

    /// By slot: its index, for a first write its address and key, and its value.
    fn pubdata(&mut self, writes: &[(StorageSlot, B256)]) -> Result<Bytes, StorageError> {
        let mut pubdata = Vec::new();
        for (slot, value) in writes {
            let index = self.below.leaf_index(slot)?;
            pubdata.extend(index.map_or(0, |index| index.0).to_be_bytes());
            if index.is_none() {
                pubdata.extend_from_slice(slot.address.as_slice());
                pubdata.extend_from_slice(slot.key.as_slice());
            }
            pubdata.extend_from_slice(value.as_slice());
        }
        Ok(pubdata.into())
    }
}

impl ToyBatch {
    pub(crate) fn new(env: BatchEnv, block: BlockEnv, below: Box<dyn VmStorage>) -> Self {
        let state = Overlay { below, written: BTreeMap::new(), log: Vec::new() };
        let stop = lockstep_vm::Stop::default();
        Self { env, block, block_tx_count: 0, tx_count: 0, state, stop }
    }

    fn unusable(&self, reason: String) -> VmError {
        VmError::BadInput { batch: self.env.number, reason }
    }

    fn run(&mut self, tx: &Transaction, nonce: U256, effects: &mut Effects) -> Result<(), Stop> {
        let Some(target) = tx.execute.to else { return self.deploy_evm(tx, nonce, effects) };
        let program = Program::decode(&tx.execute.calldata);
        for op in program.ok_or(Stop::Reverted("the calldata is no program"))?.0 {
            effects.gas_used = effects.gas_used.saturating_add(gas::OP);
            self.step(tx, target, op, effects)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        tx: &Transaction,
        target: Address,
        op: Op,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        if self.stop.is_due() {
            return Err(Stop::Due);
        }
        let slot = |key| StorageSlot::new(target, word(key));
        match op {
            Op::Write { key, value } => self.state.write(slot(key), word(value))?,
            Op::Add { key, amount } => {
                let before = U256::from_be_bytes(self.state.value(&slot(key))?.0);
                let after = before.wrapping_add(U256::from(amount));
                self.state.write(slot(key), B256::from(after))?;
            }
            Op::Emit { topic, data } => effects.events.push(Event {
                address: target,
                topics: vec![word(topic)],
                data: Bytes::copy_from_slice(&data.to_be_bytes()),
            }),
            Op::Send { key, value } => effects.l2_to_l1_logs.push(L2ToL1Log {
                shard_id: 0,
                is_service: false,
                tx_index_in_batch: self.tx_count,
                sender: target,
                key: word(key),
                value: word(value),
            }),
            Op::Deploy { dep, account } => {
                let dep = usize::try_from(dep).ok().and_then(|i| tx.execute.factory_deps.get(i));
                let code = dep.ok_or(Stop::Reverted("there is no such factory dep"))?;
                let hash = self.code_hash(code).map_err(Stop::Failed)?;
                self.deploy(hash, Address::from_word(word(account)), effects)?;
            }
            Op::Burn { gas } => effects.gas_used = effects.gas_used.saturating_add(gas),
            Op::Revert => return Err(Stop::Reverted("the program reverts")),
            Op::Halt => return Err(Stop::Halted),
            Op::Return { key } => {
                effects.output = Bytes::from(self.state.value(&slot(key))?.0.to_vec());
            }
        }
        Ok(())
    }

    fn code_hash(&self, code: &[u8]) -> Result<BytecodeHash, VmError> {
        BytecodeHash::of_era(code).map_err(|why| self.unusable(format!("factory dep: {why}")))
    }

    fn deploy_evm(
        &mut self,
        tx: &Transaction,
        nonce: U256,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let mut code = tx.execute.calldata.to_vec();
        let bytes = u16::try_from(code.len())
            .map_err(|_too_long| Stop::Reverted("the code is too long"))?;
        // Stored code is an odd number of words.
        let words = code.len().div_ceil(32) | 1;
        code.resize(words * 32, 0);
        let hash = BytecodeHash::of_padded_evm(&code, bytes)
            .map_err(|why| Stop::Failed(self.unusable(why.to_string())))?;
        self.deploy(hash, evm_account(tx.initiator(), nonce), effects)?;
        effects.made_bytecodes.push((hash.0, code.into()));
        Ok(())
    }

    fn deploy(
        &mut self,
        hash: BytecodeHash,
        account: Address,
        effects: &mut Effects,
    ) -> Result<(), Stop> {
        let known = StorageSlot::known_code(hash.0);
        if self.state.value(&known)?.is_zero() {
            self.state.write(known, word(1))?;
            let signature = keccak256("MarkedAsKnown(bytes32,bool)");
            effects.events.push(Event {
                address: KNOWN_CODES_STORAGE,
                topics: vec![signature, hash.0, word(1)],
                data: Bytes::new(),
            });
        }
        self.state.write(StorageSlot::code_hash(account), hash.0)?;
        Ok(())
    }

    /// Adds one to the sender's nonce and returns what it was.
    fn count_tx(&mut self, tx: &Transaction) -> Result<U256, StorageError> {
        let slot = StorageSlot::nonces(tx.initiator());
        let nonces = U256::from_be_bytes(self.state.value(&slot)?.0);
        self.state.write(slot, B256::from(nonces.wrapping_add(U256::from(1))))?;
        Ok(nonces & U256::from(u128::MAX))
    }

    fn outcome(&mut self, tx: &Transaction) -> Result<Ran, VmError> {
        let nonce = self.count_tx(tx)?;
        let Attempt { end, gas_refunded, effects } = self.attempt(tx, nonce)?;
        let status = match end {
            End::Done => TxStatus::Success,
            End::Reverted(reason) => TxStatus::Reverted { reason: reason.to_owned() },
            End::Halted => {
                return Err(VmError::Halted {
                    batch: self.env.number,
                    index_in_batch: u32::from(self.tx_count),
                    tx_hash: tx.hash(),
                    reason: HALTS.to_owned(),
                });
            }
            End::Stopped => return Err(self.unusable(format!("{} was stopped", tx.hash()))),
        };
        let Effects { events, l2_to_l1_logs, made_bytecodes, output, .. } = effects;
        let writes = self.state.take_log();
        let outcome =
            TxOutcome { status, gas_refunded, events, l2_to_l1_logs, writes, made_bytecodes };
        Ok(Ran { outcome, output })
    }

    /// Runs what `tx` asks for; only what it wrote is left if it does not come to its end.
    fn attempt(&mut self, tx: &Transaction, nonce: U256) -> Result<Attempt, VmError> {
        let gas_limit = u64::try_from(tx.gas_limit())
            .map_err(|_too_big| self.unusable(format!("{} has too much gas", tx.hash())))?;
        let kept = self.state.log.len();
        let mut effects = Effects { gas_used: gas::TX, ..Effects::default() };
        let mut ended = self.run(tx, nonce, &mut effects);
        if ended.is_ok() && effects.gas_used > gas_limit {
            ended = Err(Stop::Reverted("out of gas"));
        }
        let gas_refunded = gas_limit.saturating_sub(effects.gas_used);
        let end = match ended {
            Ok(()) => return Ok(Attempt { end: End::Done, gas_refunded, effects }),
            Err(Stop::Reverted(reason)) => End::Reverted(reason),
            Err(Stop::Halted) => End::Halted,
            Err(Stop::Due) => End::Stopped,
            Err(Stop::Failed(error)) => return Err(error),
        };
        self.state.undo(kept);
        Ok(Attempt { end, gas_refunded, effects: Effects::default() })
    }
}

/// Runs `tx` by itself on `below`; `counts` says whether it is a transaction with a nonce.
pub(crate) fn simulate(
    mut batch: ToyBatch,
    tx: &Transaction,
    counts: bool,
    stop: &lockstep_vm::Stop,
) -> Result<Simulated, VmError> {
    batch.stop = stop.clone();
    let nonce = if counts { batch.count_tx(tx)? } else { U256::ZERO };
    let Attempt { end, gas_refunded, effects } = batch.attempt(tx, nonce)?;
    let gas = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
    let log = std::mem::take(&mut batch.state.log);
    let mut touched = BTreeMap::new();
    for Logged { write, before } in log {
        let slot = write.slot;
        let first = TouchedSlot { slot, before, after: write.value };
        touched.entry(slot).or_insert(first).after = write.value;
    }
    let touched: Vec<TouchedSlot> = touched.into_values().collect();
    let changed = touched.iter().filter(|touched| touched.before != touched.after);
    let writes = changed.map(|touched| StorageWrite { slot: touched.slot, value: touched.after });
    let writes: Vec<_> = writes.collect();
    let reason = if let End::Reverted(reason) = &end { Some((*reason).to_owned()) } else { None };
    let call = seen(tx, gas_refunded, reason, effects.output.clone());
    let end = match end {
        End::Done => SimulationEnd::Success { output: effects.output },
        End::Reverted(reason) => SimulationEnd::Reverted {
            reason: Some(reason.to_owned()),
            data: Bytes::from_static(reason.as_bytes()),
        },
        End::Halted => SimulationEnd::Refused { message: HALTS.to_owned() },
        End::Stopped => SimulationEnd::Stopped,
    };
    Ok(Simulated {
        end,
        gas_used: gas.saturating_sub(gas_refunded),
        pubdata: i64::try_from(writes.len() * 64).unwrap_or(i64::MAX),
        events: effects.events,
        writes,
        made_bytecodes: effects
            .made_bytecodes
            .into_iter()
            .map(|(hash, code)| (BytecodeHash(hash), code))
            .collect(),
        trace: Some(Trace { calls: vec![call], touched }),
    })
}

/// What is seen of `tx`: one call without calls of its own.
fn seen(
    tx: &Transaction,
    gas_refunded: u64,
    revert_reason: Option<String>,
    output: Bytes,
) -> CallFrame {
    let gas = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
    CallFrame {
        kind: if tx.execute.to.is_some() { CallKind::Call } else { CallKind::Create },
        from: tx.initiator(),
        to: tx.execute.to.unwrap_or_default(),
        gas,
        gas_used: gas.saturating_sub(gas_refunded),
        value: tx.execute.value,
        input: tx.execute.calldata.clone(),
        output,
        error: None,
        revert_reason,
        calls: Vec::new(),
    }
}

impl ToyBatch {
    /// Runs the next transaction of the current block.
    fn next_tx(&mut self, tx: &Transaction) -> Result<Ran, VmError> {
        let next = self.tx_count.checked_add(1);
        let next = next.ok_or_else(|| self.unusable("too many transactions".to_owned()))?;
        let ran = self.outcome(tx)?;
        self.tx_count = next;
        self.block_tx_count += 1;
        Ok(ran)
    }
}

impl OpenBatch for ToyBatch {
    fn start_block(&mut self, env: BlockEnv) -> Result<(), VmError> {
        if self.block_tx_count == 0 {
            return Err(self.unusable(format!("block {} is empty", self.block.number)));
        }
        if env.number.prev() != Some(self.block.number) {
            let (next, this) = (env.number, self.block.number);
            return Err(self.unusable(format!("block {next} follows block {this}")));
        }
        self.block = env;
        self.block_tx_count = 0;
        Ok(())
    }

    fn run_tx(&mut self, tx: &Transaction) -> Result<TxOutcome, VmError> {
        self.next_tx(tx).map(|ran| ran.outcome)
    }

    /// What is seen is one call, without calls of its own, and the slots it wrote.
    fn run_tx_traced(&mut self, tx: &Transaction) -> Result<TracedTx, VmError> {
        let before = self.state.written.clone();
        let Ran { outcome, output } = self.next_tx(tx)?;
        let mut touched = BTreeMap::new();
        for write in &outcome.writes {
            let slot = write.slot;
            let before = match before.get(&slot) {
                Some(value) => *value,
                None => self.state.below.value(&slot)?,
            };
            touched.insert(slot, TouchedSlot { slot, before, after: write.value });
        }
        let revert_reason = match &outcome.status {
            TxStatus::Success => None,
            TxStatus::Reverted { reason } => Some(reason.clone()),
        };
        let call = seen(tx, outcome.gas_refunded, revert_reason, output.clone());
        let trace = Trace { calls: vec![call], touched: touched.into_values().collect() };
        Ok(TracedTx { outcome, output, trace })
    }

    fn value(&mut self, slot: &StorageSlot) -> Result<B256, VmError> {
        Ok(self.state.value(slot)?)
    }

    fn seal(mut self: Box<Self>) -> Result<BatchTip, VmError> {
        if self.block_tx_count != 0 {
            return Err(self.unusable(format!("block {} is not empty", self.block.number)));
        }
        let info = (U256::from(self.block.number.0) << 128) | U256::from(self.block.timestamp.0);
        self.state.write(StorageSlot::new(SYSTEM_CONTEXT, word(9)), B256::from(info))?;
        if let Some(before) = self.env.number.prev() {
            self.state.write(previous_root_slot(before), self.env.previous_root.0)?;
        }
        let writes = self.state.take_log();
        let final_writes = self.state.final_writes()?;
        let pubdata = self.state.pubdata(&final_writes)?;
        let root = U256::from_be_bytes(self.env.previous_root.0.0);
        // As the real bootloader's, it holds whatever the operator chose.
        let FeeInput { l1_gas_price, fair_l2_gas_price, fair_pubdata_price } = self.env.fee_input;
        let heap = [
            U256::from(self.tx_count),
            root,
            info,
            U256::from(self.env.timestamp.0),
            U256::from(l1_gas_price),
            U256::from(fair_l2_gas_price),
            U256::from(fair_pubdata_price.unwrap_or_default()),
            U256::from_be_slice(self.env.fee_account.as_slice()),
        ];
        let bootloader_heap = (0..).zip(heap).filter(|(_index, word)| !word.is_zero()).collect();
        let system_log = L2ToL1Log {
            shard_id: 0,
            is_service: true,
            tx_index_in_batch: self.tx_count,
            sender: SYSTEM_CONTEXT,
            key: keccak256(&pubdata),
            value: self.env.previous_root.0,
        };
        let has_pubdata = self.env.version >= ProtocolVersion::BOOJUM;
        Ok(BatchTip {
            events: vec![Event {
                address: SYSTEM_CONTEXT,
                topics: vec![word(u64::from(self.env.number.0))],
                data: Bytes::new(),
            }],
            l2_to_l1_logs: Vec::new(),
            writes,
            system_logs: if has_pubdata { vec![system_log] } else { Vec::new() },
            final_writes,
            pubdata: has_pubdata.then_some(pubdata),
            bootloader_heap,
        })
    }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}
