//! Sees a run instruction by instruction.
//!
//! The machine tells of an instruction after it has taken its price. What a contract had before is
//! what it had after the instruction before, so that is remembered. Most instructions cost nothing
//! but their price and touch nothing but registers and the stack: of those it is enough to hear
//! before they run, which is as much as the machine should look out for when nobody watches.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use lockstep_types::{Address, B256, Bytes};
use lockstep_vm::{Step, StepRules, Steps};
use zksync_multivm::zk_evm_latest::zkevm_opcode_defs::{
    ImmMemHandlerFlags, Operand, RegOrImmFlags,
};
use zksync_types::U256;
use zksync_vm2::interface::{
    CallframeInterface, CallingMode, GlobalStateInterface, HeapId, Opcode, ReturnType,
    StateInterface,
};

use super::{
    instruction,
    observer::returned_bytes,
    words::{address_of, b256_of, number_of},
};

/// A contract that runs, and has been noted from its first instruction.
#[derive(Debug, Default)]
struct Frame {
    /// Calls within itself that have not returned yet.
    near_calls: u32,
    pc: u16,
    /// What the last call that it made returned.
    return_data: Bytes,
    /// Its memory, as it was when it was looked at last.
    memory: Arc<Vec<u8>>,
    /// The heap that is.
    heap: u32,
}

/// Notes instructions.
#[derive(Debug)]
pub(super) struct Stepper {
    rules: StepRules,
    steps: Steps,
    bytes: usize,
    /// Contracts that have been called and have not returned, the outermost first. While there are
    /// none, the bootloader runs.
    frames: Vec<Frame>,
    /// Gas of the innermost frame after the last instruction.
    gas: u32,
    /// Gas that is left to a frame that returns.
    gas_at_return: u32,
    /// Whether the last step lacks its cost.
    is_open: bool,
    /// By the owner of the storage.
    storage: BTreeMap<Address, Arc<BTreeMap<B256, B256>>>,
    /// Heaps that have been written to.
    written: HashMap<u32, Written>,
    /// What the instruction that is running writes to: a heap, and up to where.
    writes_to: Option<(HeapId, u32)>,
}

/// What is known of a heap that has been written to.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    /// Nothing is written from here on.
    end: u32,
    /// Whether something was, since it was looked at.
    is_news: bool,
}

/// An instruction as it is encoded.
#[derive(Clone, Copy, Debug)]
struct Encoded {
    src0: u8,
    src1: u8,
    /// In the place of the first register, if the instruction has one there.
    immediate: Option<u16>,
}

impl Encoded {
    fn of(frame: &impl CallframeInterface) -> Option<Self> {
        let parsed = instruction::decode(instruction::current(frame)?);
        let is_immediate = matches!(
            parsed.variant.src0_operand_type,
            Operand::RegOrImm(RegOrImmFlags::UseImm16Only)
                | Operand::Full(ImmMemHandlerFlags::UseImm16Only)
        );
        Some(Self {
            src0: parsed.src0_reg_idx,
            src1: parsed.src1_reg_idx,
            immediate: is_immediate.then_some(parsed.imm_0),
        })
    }

    fn first(&self, state: &impl StateInterface) -> U256 {
        match self.immediate {
            Some(immediate) => U256::from(immediate),
            None => state.read_register(self.src0).0,
        }
    }
}

impl Stepper {
    pub(super) fn new(rules: StepRules) -> Self {
        Self {
            rules,
            steps: Steps::default(),
            bytes: 0,
            frames: Vec::new(),
            gas: 0,
            gas_at_return: 0,
            is_open: false,
            storage: BTreeMap::new(),
            written: HashMap::new(),
            writes_to: None,
        }
    }

    pub(super) fn rules(&self) -> StepRules {
        self.rules
    }

    pub(super) fn into_steps(self) -> Steps {
        self.steps
    }

    /// An instruction is about to run.
    pub(super) fn before<S: GlobalStateInterface>(&mut self, op: Opcode, state: &mut S) {
        let Some(frame) = self.frames.last_mut() else { return };
        let current = state.current_frame();
        let encoded = Encoded::of(&current);
        let (heap, gas_now) = (current.heap(), current.gas());
        let (owner, code_address) = (address_of(&current.address()), current.code_address());
        frame.pc = current.program_counter().unwrap_or(frame.pc);
        drop(current);
        self.gas_at_return = gas_now;
        let gas_before = self.gas;
        if is_plain(op) {
            self.gas = gas_now;
        }
        self.writes_to = encoded.filter(|_| self.rules.has_memory).and_then(|encoded| {
            let operand = encoded.first(state);
            writes_to(op, operand, heap)
        });
        if frame.heap != heap.as_u32() {
            (frame.heap, frame.memory) = (heap.as_u32(), Arc::default());
        }
        if self.steps.steps.len() >= self.rules.steps_max || self.steps.are_too_large {
            return;
        }
        if self.rules.has_memory {
            look_at(frame, heap, &mut self.written, state);
        }
        let mut step = Step {
            pc: frame.pc,
            op: name(op),
            code_address: address_of(&code_address),
            depth: u32::try_from(self.frames.len()).unwrap_or(u32::MAX),
            gas: gas_before,
            gas_cost: gas_before.saturating_sub(gas_now),
            registers: None,
            stack: Vec::new(),
            memory: None,
            storage: None,
            return_data: None,
            is_panic: op == Opcode::Ret(ReturnType::Panic),
        };
        let frame = self.frames.last().expect("there is a frame");
        step.memory = self.rules.has_memory.then(|| Arc::clone(&frame.memory));
        step.return_data = self.rules.has_return_data.then(|| frame.return_data.clone());
        if self.rules.has_stack {
            let register = |index: usize| {
                let index = u8::try_from(index + 1).expect("there are fifteen");
                number_of(state.read_register(index).0)
            };
            step.registers = Some(Box::new(std::array::from_fn(register)));
            let current = state.current_frame();
            let words = (0..current.stack_pointer()).map(|at| number_of(current.read_stack(at).0));
            step.stack = words.collect();
        }
        if let Some(encoded) = encoded.filter(|_| self.rules.has_storage) {
            step.storage = self.touch(op, owner, encoded, state);
        }
        self.push(step, is_plain(op));
    }

    fn push(&mut self, step: Step, is_plain: bool) {
        self.bytes += step.json_bytes();
        if self.bytes > self.rules.bytes_max {
            self.steps = Steps { steps: Vec::new(), are_too_large: true };
            return;
        }
        self.steps.steps.push(step);
        self.is_open = !is_plain;
    }

    /// The slots of `owner` that have been touched, if the instruction touches one of them.
    fn touch<S: GlobalStateInterface>(
        &mut self,
        op: Opcode,
        owner: Address,
        encoded: Encoded,
        state: &mut S,
    ) -> Option<Arc<BTreeMap<B256, B256>>> {
        let key = encoded.first(state);
        let value = if op == Opcode::StorageRead {
            state.get_storage(zksync_types::H160(owner.into_array()), key)
        } else if op == Opcode::StorageWrite {
            state.read_register(encoded.src1).0
        } else {
            return None;
        };
        let slots = self.storage.entry(owner).or_default();
        Arc::make_mut(slots).insert(b256_of(key), b256_of(value));
        Some(Arc::clone(slots))
    }

    /// An instruction that is not [plain](is_plain) has run.
    pub(super) fn after<S: StateInterface>(&mut self, op: Opcode, state: &mut S) {
        if let Some((heap, end)) = self.writes_to.take() {
            let written = self.written.entry(heap.as_u32()).or_default();
            *written = Written { end: end.max(written.end), is_news: true };
        }
        if let Opcode::FarCall(_) = op {
            self.end_step(state.callframe(1).gas());
            self.frames.push(Frame::default());
        } else if op == Opcode::NearCall {
            self.end_step(state.callframe(1).gas());
            if let Some(frame) = self.frames.last_mut() {
                frame.near_calls += 1;
            }
        } else if let Opcode::Ret(_) = op {
            self.end_step(self.gas_at_return);
            self.ret(state);
        } else {
            self.end_step(state.current_frame().gas());
        }
        self.gas = state.current_frame().gas();
    }

    /// The last step's contract has `gas_left` after it.
    fn end_step(&mut self, gas_left: u32) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        if let Some(step) = self.steps.steps.last_mut() {
            step.gas_cost = step.gas.saturating_sub(gas_left);
        }
    }

    fn ret<S: StateInterface>(&mut self, state: &mut S) {
        let Some(frame) = self.frames.last_mut() else { return };
        if frame.near_calls > 0 {
            frame.near_calls -= 1;
            return;
        }
        self.frames.pop();
        let returned = if self.rules.has_return_data { returned_bytes(state) } else { None };
        if let Some(caller) = self.frames.last_mut() {
            caller.return_data = returned.unwrap_or_default().into();
        }
    }
}

/// The heap that an instruction with this first operand writes to, and up to where, if it does.
fn writes_to(op: Opcode, operand: U256, heap: HeapId) -> Option<(HeapId, u32)> {
    if op == Opcode::HeapWrite {
        // An address that is too high is a panic.
        return Some((heap, u32::try_from(operand).ok()?.checked_add(32)?));
    }
    if op != Opcode::PrecompileCall {
        return None;
    }
    // Where the answer of a precompile goes: offset and length in words, and the heap if that is
    // not the contract's own.
    let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let [_, output, pages, _] = operand.0;
    let end = half(output).checked_add(half(output >> 32))?.checked_mul(32)?;
    let page = half(pages >> 32);
    Some((if page == 0 { heap } else { HeapId::from_u32_unchecked(page) }, end))
}

/// Brings what is known of a contract's memory up to date.
fn look_at<S: StateInterface>(
    frame: &mut Frame,
    heap: HeapId,
    written: &mut HashMap<u32, Written>,
    state: &S,
) {
    let Some(written) = written.get_mut(&heap.as_u32()) else { return };
    if !std::mem::take(&mut written.is_news) {
        return;
    }
    let mut memory = Vec::new();
    let mut at = 0;
    while at < written.end {
        let mut word = [0; 32];
        state.read_heap_u256(heap, at).to_big_endian(&mut word);
        memory.extend_from_slice(&word);
        at += 32;
    }
    while memory.last_chunk::<32>().is_some_and(|word| *word == [0; 32]) {
        memory.truncate(memory.len() - 32);
    }
    if *frame.memory != memory {
        frame.memory = Arc::new(memory);
    }
}

/// Whether an instruction costs nothing but its price and touches nothing but registers, the stack
/// and the place in the program.
pub(super) const fn is_plain(op: Opcode) -> bool {
    matches!(
        op,
        Opcode::Nop
            | Opcode::Add
            | Opcode::Sub
            | Opcode::And
            | Opcode::Or
            | Opcode::Xor
            | Opcode::ShiftLeft
            | Opcode::ShiftRight
            | Opcode::RotateLeft
            | Opcode::RotateRight
            | Opcode::Mul
            | Opcode::Div
            | Opcode::Jump
            | Opcode::This
            | Opcode::Caller
            | Opcode::CodeAddress
            | Opcode::ErgsLeft
            | Opcode::SP
            | Opcode::ContextMeta
            | Opcode::ContextU128
            | Opcode::PointerAdd
            | Opcode::PointerSub
            | Opcode::PointerPack
            | Opcode::PointerShrink
    )
}

/// As the assembler of the machine calls an instruction.
fn name(op: Opcode) -> &'static str {
    match op {
        Opcode::Nop => "nop",
        Opcode::Add => "add",
        Opcode::Sub => "sub",
        Opcode::And => "and",
        Opcode::Or => "or",
        Opcode::Xor => "xor",
        Opcode::ShiftLeft => "shl",
        Opcode::ShiftRight => "shr",
        Opcode::RotateLeft => "rol",
        Opcode::RotateRight => "ror",
        Opcode::Mul => "mul",
        Opcode::Div => "div",
        Opcode::NearCall => "near_call",
        Opcode::FarCall(CallingMode::Normal) => "far_call",
        Opcode::FarCall(CallingMode::Delegate) => "delegate_call",
        Opcode::FarCall(CallingMode::Mimic) => "mimic_call",
        Opcode::Ret(ReturnType::Normal) => "ret",
        Opcode::Ret(ReturnType::Revert) => "revert",
        Opcode::Ret(ReturnType::Panic) => "panic",
        Opcode::Jump => "jump",
        Opcode::Event => "log.event",
        Opcode::L2ToL1Message => "log.to_l1",
        Opcode::Decommit => "log.decommit",
        Opcode::This => "context.this",
        Opcode::Caller => "context.caller",
        Opcode::CodeAddress => "context.code_source",
        Opcode::ErgsLeft => "context.ergs_left",
        Opcode::SP => "context.sp",
        Opcode::ContextMeta => "context.meta",
        Opcode::ContextU128 => "context.get_context_u128",
        Opcode::SetContextU128 => "context.set_context_u128",
        Opcode::IncrementTxNumber => "context.inc_tx_num",
        Opcode::AuxMutating0 => "context.aux_mutating",
        Opcode::PrecompileCall => "log.precompile",
        Opcode::HeapRead => "uma.heap_read",
        Opcode::HeapWrite => "uma.heap_write",
        Opcode::AuxHeapRead => "uma.aux_heap_read",
        Opcode::AuxHeapWrite => "uma.aux_heap_write",
        Opcode::PointerRead => "uma.fat_ptr_read",
        Opcode::PointerAdd => "ptr.add",
        Opcode::PointerSub => "ptr.sub",
        Opcode::PointerPack => "ptr.pack",
        Opcode::PointerShrink => "ptr.shrink",
        Opcode::StorageRead => "log.sread",
        Opcode::StorageWrite => "log.swrite",
        Opcode::TransientStorageRead => "log.tread",
        Opcode::TransientStorageWrite => "log.twrite",
    }
}
