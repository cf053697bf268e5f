//! The machine with a bootloader in it: runs until the bootloader calls the operator, and does what
//! the operator has to do.

use std::collections::BTreeMap;

use lockstep_types::{
    B256, BytecodeHash, Bytes, DaValidator, Event, FeeInput, L2ToL1Log, PubdataParams, PubdataType,
    StorageSlot, StorageWrite, TxHash, address,
};
use lockstep_vm::{BatchEnv, BlockEnv, TouchedSlot, Trace};
use zksync_multivm::{
    interface::{
        Halt, TxRevertReason, VmRevertReason,
        pubdata::{L1MessengerL2ToL1Log, PubdataBuilder, PubdataInput},
    },
    pubdata_builders::{FullPubdataBuilder, HashedPubdataBuilder},
};
use zksync_types::{H160, ProtocolVersionId, U256, writes::StateDiffRecord};
use zksync_vm2::{
    ExecutionEnd, FatPointer, Snapshot,
    interface::{CallframeInterface, HeapId, StateInterface},
};

use super::{
    encode::{Compressed, EncodedTx},
    idle::{Effort, Idle, Shape, Spare},
    layout::{Layout, PUBDATA_WORDS, PubdataForm},
    log_tree::KnownMessengers,
    logs,
    memory::{Memory, Terms, TxMode, Writes},
    observer::{Depth, Observer},
    parity::{self, Parity},
    programs::{Code, Key, Programs},
    refund::{RefundTerms, refund},
    static_memory,
    words::{address_of, b256_of, u256_of, word_of_address},
    world::World,
};
use crate::convert::Unusable;

/// Where the bootloader goes on after a panic of its outermost frame: nowhere, it ends.
const FORMAL_EXCEPTION_HANDLER: u16 = u16::MAX;

/// What the bootloader calls the operator for.
mod hook {
    pub(super) const TX_ENDED: u32 = 4;
    pub(super) const REFUND_WANTED: u32 = 8;
    pub(super) const REFUND_MADE: u32 = 9;
    pub(super) const RESULT: u32 = 10;
    pub(super) const BATCH_INFO_WANTED: u32 = 11;
    pub(super) const PUBDATA_WANTED: u32 = 12;
    /// Others only tell; this is the last one.
    pub(super) const LAST: u32 = 12;
}

/// How a transaction or a batch ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    Success(Vec<u8>),
    Reverted(VmRevertReason),
    Halted(Halt),
    /// The observer stopped it.
    Stopped,
}

/// A write with what it replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) write: StorageWrite,
    pub(crate) before: B256,
}

/// What a run left behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) end: Ended,
    pub(crate) gas_refunded: u64,
    /// Gas that the machine used, the bootloader's own included.
    pub(crate) machine_gas: u64,
    /// Bytes of pubdata, as refunds count them.
    pub(crate) pubdata: u32,
    pub(crate) events: Vec<Event>,
    pub(crate) user_logs: Vec<L2ToL1Log>,
    /// In canonical order.
    pub(crate) changes: Vec<Change>,
    pub(crate) made_bytecodes: Vec<(B256, Bytes)>,
    pub(crate) is_compressed: bool,
}

/// What is known of a batch at its end.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) tip: Run,
    pub(crate) system_logs: Vec<L2ToL1Log>,
    pub(crate) final_writes: Vec<(StorageSlot, B256)>,
    pub(crate) pubdata: Vec<u8>,
    pub(crate) heap: Vec<(u32, lockstep_types::U256)>,
}

/// A transaction, ready to be run.
#[derive(Clone, Debug)]
pub(crate) struct ReadyTx {
    pub(crate) hash: TxHash,
    pub(crate) encoded: EncodedTx,
    /// Bytecodes that come with it.
    pub(crate) bytecodes: Vec<(BytecodeHash, Bytes)>,
    pub(crate) publishes_bytecodes: bool,
    pub(crate) mode: TxMode,
}

/// What a run counted while it went.
#[derive(Debug)]
struct Counted {
    end: Ended,
    gas_refunded: u64,
    pubdata: u32,
}

/// What goes on until.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    TxEnded,
    BatchEnded,
}

/// A bootloader in the middle of a batch.
#[derive(Debug)]
pub(crate) struct Machine {
    vm: Spare,
    pub(crate) world: World,
    pub(crate) observer: Observer,
    layout: Layout,
    memory: Memory,
    fees: FeeInput,
    base_fee: u64,
    /// Of the transaction that runs.
    gas_limit: u64,
    pubdata_params: PubdataParams,
    pubdata_version: ProtocolVersionId,
    pubdata: Vec<u8>,
}

/// The program of a bootloader or contract.
pub(crate) fn base_code(programs: &Programs, key: Key, code: &[u8]) -> Code {
    programs.get(key).unwrap_or_else(|| programs.decode(key, code))
}

/// What a machine is made for: a program, by its hash, and the hashes of the code of accounts
/// without code and of EVM accounts.
pub(crate) fn shape(program: U256, contracts: &lockstep_vm::BaseContracts, hook: u32) -> Shape {
    let default_account = contracts.default_account.hash.0.0;
    let emulator = contracts.evm_emulator.as_ref();
    let emulator = emulator.map_or(default_account, |code| code.hash.0.0);
    Shape { program, default_account, emulator, hook }
}

impl Machine {
    /// A machine at the first instruction of the batch's bootloader: one of those that are `idle`,
    /// or a new one.
    pub(crate) fn open(
        layout: Layout,
        env: &BatchEnv,
        terms: Terms,
        first_block: BlockEnv,
        mut world: World,
        idle: Option<&Idle>,
    ) -> Self {
        let contracts = &env.base_contracts;
        let emulator = contracts.evm_emulator.iter();
        for contract in emulator.chain([&contracts.default_account]) {
            world.brought.insert(contract.hash, contract.code.clone());
        }
        let bootloader = &contracts.bootloader;
        let hash = u256_of(bootloader.hash.0);
        let hook = u32::try_from(layout.hook * 32).expect("memory is below 64 MB");
        let shape = shape(hash, contracts, hook);
        let vm = idle.and_then(|idle| idle.take(&shape)).unwrap_or_else(|| {
            let code = base_code(&world.programs, Key::Bootloader(hash), &bootloader.code);
            let address = H160(address::BOOTLOADER.into_array());
            let mut vm = Spare::new(shape, address, code);
            let mut frame = vm.current_frame();
            frame.set_stack_pointer(0);
            frame.set_exception_handler(FORMAL_EXCEPTION_HANDLER);
            drop(frame);
            vm
        });

        let mut memory = Memory::new(layout, first_block);
        let writes = memory.open(env, terms);
        let mut observer = Observer::new(world.made.clone());
        if env.version >= parity::SINCE {
            observer.parity = Some(Parity::new(world.tell_entries()));
        }
        let mut machine = Self {
            vm,
            world,
            observer,
            layout,
            memory,
            fees: env.fee_input,
            base_fee: terms.base_fee,
            gas_limit: 0,
            pubdata_params: env.pubdata_params,
            pubdata_version: pubdata_version(env.version.0),
            pubdata: Vec::new(),
        };
        machine.write(writes);
        machine
    }

    pub(crate) fn start_block(&mut self, block: BlockEnv) {
        self.memory.start_block(block);
    }

    /// Whether `tx` fits in the batch.
    pub(crate) fn check_room(&self, tx: &ReadyTx) -> Result<(), Unusable> {
        if self.memory.tx_count() >= super::layout::TXS_MAX {
            return Err(format!("it has more than {} transactions", super::layout::TXS_MAX));
        }
        if !self.memory.has_room_for(tx.encoded.words.len()) {
            return Err(format!("transaction {} does not fit in its memory", tx.hash));
        }
        Ok(())
    }

    /// Runs a transaction, first with its bytecodes compressed and, if that leaves them
    /// unpublished, again without.
    pub(crate) fn run_tx(&mut self, tx: &ReadyTx) -> Run {
        let run = self.try_tx(tx);
        if matches!(run.end, Ended::Success(_) | Ended::Reverted(_)) {
            self.vm.pop_snapshot();
        }
        run
    }

    /// As [`run_tx`](Self::run_tx), but what it did can still be [taken back](Self::take_back).
    pub(crate) fn try_tx(&mut self, tx: &ReadyTx) -> Run {
        let is_watched = self.observer.is_watching();
        self.world.brought.extend(tx.bytecodes.iter().cloned());
        let compressed =
            if tx.publishes_bytecodes { self.compress(&tx.bytecodes) } else { Vec::new() };

        self.vm.make_snapshot();
        let mut run = self.push_and_run(tx, &compressed);
        let is_unpublished = compressed.iter().any(|bytecode| !self.is_known(bytecode.hash));
        if is_unpublished && run.end != Ended::Stopped {
            self.take_back();
            if is_watched {
                self.observer.watch();
            }
            if let Some(rules) = self.observer.step_rules() {
                self.observer.step(rules);
            }
            self.vm.make_snapshot();
            run = self.push_and_run(tx, &[]);
            run.is_compressed = false;
        }
        run
    }

    /// Takes back what [`try_tx`](Self::try_tx) did, unless it was stopped.
    pub(crate) fn take_back(&mut self) {
        self.vm.rollback();
        self.memory.undo_tx();
        self.observer.start_over();
    }

    /// Gives the machine back. All that it ran must have been taken back.
    pub(crate) fn end(self, idle: &Idle, gas: u64) {
        let Depth { max: depth, far_calls, .. } = self.observer.depth;
        idle.give_back(self.vm, Effort { gas, far_calls, depth });
    }

    fn push_and_run(&mut self, tx: &ReadyTx, compressed: &[Compressed]) -> Run {
        // A gas limit that does not fit was refused before.
        self.gas_limit = u64::try_from(tx.encoded.gas_limit).unwrap_or(u64::MAX);
        let writes = self.memory.push_tx(&tx.encoded, tx.mode, compressed);
        self.write(writes);
        self.run(Until::TxEnded)
    }

    /// Runs the end of the batch. The current block must be the fictive one.
    pub(crate) fn seal(&mut self, messengers: &KnownMessengers) -> Sealed {
        let tip = self.run_end(messengers);
        let diff = self.vm.world_diff();
        let final_writes = diff
            .get_storage_changes()
            .map(|((contract, key), change)| (slot(&contract, key), b256_of(change.after)))
            .collect();
        Sealed {
            tip,
            system_logs: self.vm.l2_to_l1_logs().map(|log| logs::system_log(&log)).collect(),
            final_writes,
            pubdata: std::mem::take(&mut self.pubdata),
            heap: self.memory.nonzero_words(),
        }
    }

    fn run_end(&mut self, messengers: &KnownMessengers) -> Run {
        let code = self.value(&StorageSlot::code_hash(address::L1_MESSENGER));
        self.observer.log_tree = Some(messengers.watch(code));
        self.vm.make_snapshot();
        let tip = self.run(Until::BatchEnded);
        let Some(tree) = self.observer.log_tree.take() else { return tip };
        let logs: Vec<_> = self.vm.l2_to_l1_logs().map(|log| b256_of(log.value)).collect();
        if tree.went_wrong(logs) {
            messengers.give_up(code);
            self.vm.rollback();
            return self.run(Until::BatchEnded);
        }
        messengers.learn(code, &tree);
        tip
    }

    /// What `slot` holds now.
    pub(crate) fn value(&mut self, slot: &StorageSlot) -> B256 {
        let key = (H160(slot.address.into_array()), u256_of(slot.key));
        let changed = self.vm.world_diff().get_storage_state().get(&key).copied();
        b256_of(changed.unwrap_or_else(|| self.world.value(slot)))
    }

    fn is_known(&mut self, hash: BytecodeHash) -> bool {
        !self.value(&StorageSlot::known_code(hash.0)).is_zero()
    }

    /// Compresses those of `bytecodes` that are not known yet, each once, in their order.
    fn compress(&mut self, bytecodes: &[(BytecodeHash, Bytes)]) -> Vec<Compressed> {
        let mut seen = std::collections::BTreeSet::new();
        let mut compressed = Vec::new();
        for (hash, code) in bytecodes {
            if seen.insert(*hash) && !self.is_known(*hash) {
                compressed.extend(Compressed::new(*hash, code));
            }
        }
        compressed
    }

    fn write(&mut self, writes: Writes) {
        for (position, word) in writes {
            let at = u32::try_from(position * 32).expect("memory is below 64 MB");
            self.vm.write_heap_u256(HeapId::FIRST, at, word);
        }
    }

    fn read(&self, position: usize) -> U256 {
        let at = u32::try_from(position * 32).expect("memory is below 64 MB");
        self.vm.read_heap_u256(HeapId::FIRST, at)
    }

    fn hook_parameters(&self) -> [U256; 3] {
        [3, 2, 1].map(|before| self.read(self.layout.hook - before))
    }

    fn run(&mut self, until: Until) -> Run {
        let start = self.vm.world_diff().snapshot();
        let gas_before = self.vm.current_frame().gas();
        let counted = self.go_on(until);
        let gas_after = self.vm.current_frame().gas();
        let diff = self.vm.world_diff();
        let is_void = matches!(counted.end, Ended::Halted(_) | Ended::Stopped);
        let (events, changes) = if is_void {
            (Vec::new(), Vec::new())
        } else {
            (logs::events(diff.events_after(&start)), changes_after(diff, &start))
        };
        // What reverted is not known; the observer does not look at that.
        let made_bytecodes = logs::known_bytecodes(&events)
            .into_iter()
            .filter_map(|hash| Some((hash.0, self.world.made.get(&hash)?)))
            .collect();
        Run {
            end: counted.end,
            gas_refunded: counted.gas_refunded,
            machine_gas: u64::from(gas_before.saturating_sub(gas_after)),
            pubdata: counted.pubdata,
            user_logs: logs::user_logs(&events),
            events,
            changes,
            made_bytecodes,
            is_compressed: true,
        }
    }

    /// Runs the bootloader and serves its calls.
    fn go_on(&mut self, until: Until) -> Counted {
        let mut counted = Counted { end: Ended::Stopped, gas_refunded: 0, pubdata: 0 };
        let mut pubdata_before = self.vm.pubdata();
        let mut result = None;
        loop {
            let end = static_memory::run(&mut self.vm, &mut self.world, &mut self.observer);
            let ExecutionEnd::SuspendedOnHook(number) = end else {
                counted.end = self.ended(end);
                return counted;
            };
            match number {
                hook::TX_ENDED if until == Until::TxEnded => {
                    counted.end = result.unwrap_or_else(|| self.posted_result());
                    return counted;
                }
                hook::REFUND_WANTED if until == Until::TxEnded => {
                    let pubdata = self.vm.pubdata();
                    let published = pubdata.max(0).cast_unsigned();
                    counted.pubdata =
                        published.saturating_sub(pubdata_before.max(0).cast_unsigned());
                    pubdata_before = pubdata;
                    self.suggest_refund(counted.pubdata);
                }
                hook::REFUND_MADE if until == Until::TxEnded => {
                    counted.gas_refunded = self.hook_parameters()[0].low_u64();
                }
                hook::RESULT => result = Some(self.handed_result()),
                hook::BATCH_INFO_WANTED => {
                    let writes = self.memory.end_block();
                    self.write(writes);
                }
                hook::PUBDATA_WANTED => {
                    if let Err(why) = self.hand_pubdata() {
                        counted.end = Ended::Halted(Halt::UnexpectedVMBehavior(why));
                        return counted;
                    }
                }
                ..=hook::LAST => {}
                unknown => {
                    let why = format!("the bootloader called the operator with {unknown}");
                    counted.end = Ended::Halted(Halt::UnexpectedVMBehavior(why));
                    return counted;
                }
            }
        }
    }

    /// What it means that the bootloader itself came to an end.
    fn ended(&mut self, end: ExecutionEnd) -> Ended {
        match end {
            ExecutionEnd::ProgramFinished(output) => Ended::Success(output),
            ExecutionEnd::Reverted(output) => reverted(&output),
            ExecutionEnd::Panicked if self.vm.current_frame().gas() == 0 => {
                Ended::Halted(Halt::BootloaderOutOfGas)
            }
            ExecutionEnd::Panicked => Ended::Halted(Halt::VMPanic),
            ExecutionEnd::StoppedByTracer => Ended::Stopped,
            ExecutionEnd::SuspendedOnHook(number) => {
                Ended::Halted(Halt::UnexpectedVMBehavior(format!("call {number}")))
            }
        }
    }

    /// What the bootloader said of the transaction.
    fn handed_result(&self) -> Ended {
        let [success, pointer, _] = self.hook_parameters();
        let pointer = FatPointer::from(pointer);
        let bytes = (pointer.start..pointer.start.saturating_add(pointer.length))
            .map(|at| self.vm.read_heap_byte(pointer.memory_page, at))
            .collect::<Vec<_>>();
        if success.is_zero() {
            Ended::Reverted(VmRevertReason::from(bytes.as_slice()))
        } else {
            Ended::Success(bytes)
        }
    }

    /// What is known of a transaction of which the bootloader said nothing: one from L1 that ran
    /// out of gas.
    fn posted_result(&self) -> Ended {
        let index = self.memory.tx_count().saturating_sub(1);
        if self.read(self.layout.results + index).is_zero() {
            let msg = "Transaction reverted with empty reason. Possibly out of gas".to_owned();
            Ended::Reverted(VmRevertReason::General { msg, data: Vec::new() })
        } else {
            Ended::Success(Vec::new())
        }
    }

    fn suggest_refund(&mut self, pubdata: u32) {
        let [bootloader_refund, gas_for_pubdata, gas_per_pubdata] = self.hook_parameters();
        let terms = RefundTerms {
            fees: &self.fees,
            base_fee: self.base_fee,
            gas_limit: self.gas_limit,
            bootloader_refund: bootloader_refund.low_u64(),
            gas_for_pubdata: gas_for_pubdata.low_u64(),
            gas_per_pubdata: gas_per_pubdata.low_u32(),
            pubdata,
        };
        let writes = self.memory.suggest_refund(refund(&terms));
        self.write(writes);
    }

    fn hand_pubdata(&mut self) -> Result<(), Unusable> {
        let records: Vec<_> = self.vm.events().collect();
        let events = logs::events(&records);
        let bytecodes = logs::published_bytecodes(&events);
        let input = PubdataInput {
            user_logs: logs::user_logs(&events).iter().map(messenger_log).collect(),
            l2_to_l1_messages: logs::messages(&events),
            published_bytecodes: bytecodes
                .into_iter()
                .map(|hash| self.world.code(hash).to_vec())
                .collect(),
            state_diffs: self.state_diffs(),
        };
        let (builder, validator) = builder(&self.pubdata_params, self.layout.pubdata_form);
        let version = self.pubdata_version;
        let handed = builder.l1_messenger_operator_input(&input, version);
        let words = self.layout.pubdata_form.words(validator, &handed);
        if words.len() + 2 > PUBDATA_WORDS {
            return Err(format!("{} bytes of pubdata are too much", handed.len()));
        }
        self.pubdata = builder.settlement_layer_pubdata(&input, version);
        let writes = self.memory.hand_pubdata(words);
        self.write(writes);
        Ok(())
    }

    /// What the batch changed, apart from the messenger's own slots.
    fn state_diffs(&mut self) -> Vec<StateDiffRecord> {
        let messenger = H160(address::L1_MESSENGER.into_array());
        let changes = self.vm.world_diff().get_storage_changes();
        changes
            .filter(|((contract, _), _)| *contract != messenger)
            .map(|((contract, key), change)| {
                let slot = slot(&contract, key);
                StateDiffRecord {
                    address: contract,
                    key,
                    derived_key: slot.hashed_key().0.0,
                    enumeration_index: self.world.leaf_index(&slot),
                    initial_value: change.before,
                    final_value: change.after,
                }
            })
            .collect()
    }

    /// What was seen of the last run.
    pub(crate) fn seen(&mut self, changes: &[Change]) -> Trace {
        let (calls, touched) = self.observer.take_seen();
        let changed: BTreeMap<_, _> =
            changes.iter().map(|change| (change.write.slot, *change)).collect();
        let touched = touched
            .into_iter()
            .map(|(contract, key)| {
                let slot = slot(&contract, key);
                match changed.get(&slot) {
                    Some(change) => {
                        TouchedSlot { slot, before: change.before, after: change.write.value }
                    }
                    None => {
                        let value = self.value(&slot);
                        TouchedSlot { slot, before: value, after: value }
                    }
                }
            })
            .collect();
        Trace { calls, touched }
    }
}

/// The code of a bootloader that could not tell the system context the hash of the batch before.
const FAILED_TO_SET_PREVIOUS_HASH: u8 = 6;

/// What a bootloader that reverted means by it.
fn reverted(output: &[u8]) -> Ended {
    // The crates panic at this one. A request can have it by putting other code there.
    if let [FAILED_TO_SET_PREVIOUS_HASH, reason @ ..] = output {
        let reason = VmRevertReason::from(reason);
        let text = format!("Failed to set previous block hash: {reason}");
        return Ended::Halted(Halt::UnexpectedVMBehavior(text));
    }
    match TxRevertReason::parse_error(output) {
        TxRevertReason::TxReverted(reason) => Ended::Reverted(reason),
        TxRevertReason::Halt(halt) => Ended::Halted(halt),
    }
}

pub(crate) fn slot(contract: &H160, key: U256) -> StorageSlot {
    StorageSlot::new(address_of(contract), b256_of(key))
}

pub(crate) fn changes_after(diff: &zksync_vm2::WorldDiff, start: &Snapshot) -> Vec<Change> {
    diff.get_storage_changes_after(start)
        .map(|((contract, key), change)| Change {
            write: StorageWrite { slot: slot(&contract, key), value: b256_of(change.after) },
            before: b256_of(change.before),
        })
        .collect()
}

fn messenger_log(log: &L2ToL1Log) -> L1MessengerL2ToL1Log {
    L1MessengerL2ToL1Log {
        l2_shard_id: log.shard_id,
        is_service: log.is_service,
        tx_number_in_block: log.tx_index_in_batch,
        sender: H160(log.sender.into_array()),
        key: u256_of(log.key),
        value: u256_of(log.value),
    }
}

/// What writes pubdata, and who checks that it is available.
fn builder(params: &PubdataParams, form: PubdataForm) -> (Box<dyn PubdataBuilder>, U256) {
    let (address, validator) = match params.validator {
        DaValidator::Address(address) => (H160(address.into_array()), word_of_address(address)),
        DaValidator::Scheme(scheme) => (H160::zero(), U256::from(scheme)),
    };
    let builder: Box<dyn PubdataBuilder> = match (form, params.pubdata_type) {
        (PubdataForm::WithValidator | PubdataForm::WithScheme, PubdataType::NoDa) => {
            Box::new(HashedPubdataBuilder::new(address))
        }
        (
            _,
            PubdataType::Rollup
            | PubdataType::NoDa
            | PubdataType::Avail
            | PubdataType::Celestia
            | PubdataType::Eigen
            | PubdataType::ObjectStore,
        ) => Box::new(FullPubdataBuilder::new(address)),
    };
    (builder, validator)
}

/// The newest version that the builders know and that writes pubdata like `version`.
fn pubdata_version(version: u16) -> ProtocolVersionId {
    ProtocolVersionId::try_from(version.min(29)).unwrap_or(ProtocolVersionId::Version29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_bootloader_says_how_it_ended() {
        for code in 0..=u8::MAX {
            for reason in [&[][..], &[0; 3], &[0x08, 0xc3, 0x79, 0xa0]] {
                let is_reverted =
                    matches!(reverted(&[&[code], reason].concat()), Ended::Reverted(_));
                assert_eq!(is_reverted, code == 0, "{code} {reason:?}");
            }
        }
    }
}
