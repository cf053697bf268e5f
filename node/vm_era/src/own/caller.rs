//! A machine that makes single calls for the operator, in place of a bootloader.
//!
//! The program at the bootloader's address does nothing but wait for the operator, who puts the
//! next call into its registers, and make that call. So contracts see the bootloader as the caller
//! where they must, and everything else is up to the operator.

use std::sync::OnceLock;

use lockstep_types::{Address, B256, Bytes, StorageSlot, U256, address};
use lockstep_vm::{BaseContracts, StepRules, Steps, Stop, TouchedSlot, Trace};
use zksync_types::{H160, U256 as Word};
use zksync_vm2::{
    ExecutionEnd, FatPointer, Instruction, ModeRequirements, Predicate, Program, Snapshot,
    addressing_modes::{
        AnySource, Arguments, Immediate1, Register, Register1, Register2, RegisterOrImmediate,
    },
    interface::{CallframeInterface, HeapId, StateInterface, opcodes::Mimic},
};

use super::{
    idle::{Effort, Idle, Spare},
    machine::{Change, changes_after, shape, slot},
    observer::{Depth, Observer},
    programs::Code,
    static_memory,
    words::{b256_of, u256_of, word_of_address, words_of},
    world::World,
};

/// Where the program calls the operator, by a write to its heap.
const HOOK_ADDRESS: u32 = 0;
/// Where the input of a call begins.
const INPUT_ADDRESS: u32 = 32;
/// Where the program goes on after a call that succeeded; after one that did not it goes on
/// elsewhere.
const AFTER_SUCCESS: u16 = 3;

/// The program: wait; call; wait (succeeded), go back to call; wait (failed), go back to call.
fn program() -> Code {
    static PROGRAM: OnceLock<Code> = OnceLock::new();
    let arguments = || Arguments::new(Predicate::Always, 0, ModeRequirements::none());
    let nowhere = Register::new(0);
    let wait = || {
        let at = RegisterOrImmediate::Immediate1(Immediate1(0));
        Instruction::from_heap_write(at, Register2(nowhere), None, arguments(), true)
    };
    let back_to_call = || {
        Instruction::from_jump(
            AnySource::Immediate1(Immediate1(1)),
            Register1(nowhere),
            arguments(),
        )
    };
    let call = || {
        let (abi, callee) = (Register1(Register::new(1)), Register2(Register::new(2)));
        Instruction::from_far_call::<Mimic>(abi, callee, Immediate1(4), false, false, arguments())
    };
    let make = || {
        let instructions = vec![wait(), call(), wait(), back_to_call(), wait(), back_to_call()];
        Program::from_raw(instructions, vec![Word::zero()])
    };
    PROGRAM.get_or_init(make).clone()
}

/// A call to make.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemCall {
    /// Whom the callee sees as its caller.
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) input: Bytes,
    /// Further values for system contracts; with them it is a system call.
    pub(crate) extra: Option<[Word; 3]>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Returned(Vec<u8>),
    /// Reverted or failed; what it said about that.
    Failed(Vec<u8>),
    /// There was not even gas enough to call. No other call can be made.
    OutOfGas,
    /// The observer stopped it.
    Stopped,
}

/// A machine that makes calls.
#[derive(Debug)]
pub(crate) struct Caller {
    vm: Spare,
    pub(crate) world: World,
    observer: Observer,
    start: Snapshot,
}

impl Caller {
    /// A machine that waits for its first call: one of those that are `idle`, or a new one.
    pub(crate) fn new(
        contracts: &BaseContracts,
        mut world: World,
        is_watched: bool,
        stop: &Stop,
        idle: &Idle,
    ) -> Self {
        for contract in contracts.evm_emulator.iter().chain([&contracts.default_account]) {
            world.brought.insert(contract.hash, contract.code.clone());
        }
        let shape = shape(Word::zero(), contracts, HOOK_ADDRESS);
        let mut observer = Observer::new(world.made.clone());
        let vm = idle.take(&shape).unwrap_or_else(|| {
            let address = H160(address::BOOTLOADER.into_array());
            let mut vm = Spare::new(shape, address, program());
            // Up to where it waits for the first call.
            static_memory::run(&mut vm, &mut world, &mut observer);
            vm
        });
        if is_watched {
            observer.watch();
        }
        observer.stop_when(stop.clone());
        let start = vm.world_diff().snapshot();
        let mut caller = Self { vm, world, observer, start };
        caller.vm.make_snapshot();
        caller.set_gas(u32::MAX);
        caller
    }

    /// Gives the machine back, and the chain below.
    pub(crate) fn end(mut self, idle: &Idle, gas: u64) -> World {
        // What was stopped is in the middle of its frames and cannot be rolled back.
        if !self.observer.was_stopped {
            let Depth { max: depth, far_calls, .. } = self.observer.depth;
            self.vm.rollback();
            idle.give_back(self.vm, Effort { gas, far_calls, depth });
        }
        self.world
    }

    fn go_on(&mut self) -> ExecutionEnd {
        static_memory::run(&mut self.vm, &mut self.world, &mut self.observer)
    }

    /// Gas that is left for calls.
    pub(crate) fn gas(&mut self) -> u32 {
        self.vm.current_frame().gas()
    }

    pub(crate) fn set_gas(&mut self, gas: u32) {
        self.vm.current_frame().set_gas(gas);
    }

    /// Bytes of pubdata so far.
    pub(crate) fn pubdata(&self) -> i32 {
        self.vm.pubdata()
    }

    /// Makes a call with all gas that is left.
    pub(crate) fn call(&mut self, call: &SystemCall) -> Called {
        let Ok(length) = u32::try_from(call.input.len()) else {
            return Called::Failed(Vec::new());
        };
        let mut at = INPUT_ADDRESS;
        for word in words_of(&call.input) {
            self.vm.write_heap_u256(HeapId::FIRST, at, word);
            at += 32;
        }
        let pointer = FatPointer {
            offset: 0,
            memory_page: HeapId::from_u32_unchecked(0),
            start: INPUT_ADDRESS,
            length,
        };
        let mut abi = pointer.into_u256();
        let is_system = u64::from(call.extra.is_some());
        abi.0[3] = u64::from(u32::MAX) | is_system << 56;
        self.vm.set_register(1, abi, false);
        self.vm.set_register(2, word_of_address(call.to), false);
        for (register, value) in (3..).zip(call.extra.unwrap_or_default()) {
            self.vm.set_register(register, value, false);
        }
        self.vm.set_register(15, word_of_address(call.from), false);
        match self.go_on() {
            ExecutionEnd::SuspendedOnHook(_) => {}
            ExecutionEnd::StoppedByTracer => return Called::Stopped,
            ExecutionEnd::ProgramFinished(_)
            | ExecutionEnd::Reverted(_)
            | ExecutionEnd::Panicked => return Called::OutOfGas,
        }
        let output = self.returned();
        if self.vm.current_frame().program_counter() == Some(AFTER_SUCCESS) {
            Called::Returned(output)
        } else {
            Called::Failed(output)
        }
    }

    fn returned(&self) -> Vec<u8> {
        let (raw, is_pointer) = self.vm.read_register(1);
        if !is_pointer {
            return Vec::new();
        }
        let FatPointer { offset, memory_page, start, length } = FatPointer::from(raw);
        let bytes = start.saturating_add(offset)..start.saturating_add(length);
        bytes.map(|at| self.vm.read_heap_byte(memory_page, at)).collect()
    }

    /// What `slot` holds now.
    pub(crate) fn value(&mut self, slot: &StorageSlot) -> B256 {
        let key = (H160(slot.address.into_array()), u256_of(slot.key));
        let changed = self.vm.world_diff().get_storage_state().get(&key).copied();
        b256_of(changed.unwrap_or_else(|| self.world.value(slot)))
    }

    /// What changed so far, in canonical order.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = changes_after(self.vm.world_diff(), &self.start);
        changes.retain(|change| change.before != change.write.value);
        changes
    }

    pub(crate) fn events(&self) -> Vec<lockstep_types::Event> {
        super::logs::events(self.vm.world_diff().events_after(&self.start))
    }

    /// Notes instructions from now on.
    pub(crate) fn step(&mut self, rules: StepRules) {
        self.observer.step(rules);
    }

    /// What was noted since [`step`](Self::step).
    pub(crate) fn take_steps(&mut self) -> Option<Steps> {
        self.observer.take_steps()
    }

    /// What was seen.
    pub(crate) fn seen(&mut self) -> Trace {
        let (calls, touched) = self.observer.take_seen();
        let changes = self.changes();
        let touched = touched
            .into_iter()
            .map(|(contract, key)| {
                let slot = slot(&contract, key);
                let before = b256_of(self.world.value(&slot));
                let change = changes.iter().find(|change| change.write.slot == slot);
                let after = change.map_or(before, |change| change.write.value);
                TouchedSlot { slot, before, after }
            })
            .collect();
        Trace { calls, touched }
    }
}

/// Input of a Solidity function whose arguments are words.
pub(crate) fn input(selector: [u8; 4], arguments: &[U256]) -> Bytes {
    let words = arguments.iter().flat_map(|argument| argument.to_be_bytes::<32>());
    selector.into_iter().chain(words).collect::<Vec<_>>().into()
}
