//! Two things that the reference's machine does from v31 on, because the circuits do them, and
//! `zksync_vm2` does not.
//!
//! An instruction names two registers for what it computes, and most compute one thing. The second
//! one is cleared then, before anything is written. Compilers name none there, so programs are
//! looked through when a batch first runs them, and only those that do are watched.
//!
//! A contract that panics by an instruction pays for the memory that it would have returned, where
//! that cannot be: with all that it has.

use std::sync::{Arc, Mutex, PoisonError};

use lockstep_types::ProtocolVersion;
use zksync_multivm::zk_evm_latest::zkevm_opcode_defs::{
    Condition, ContextOpcode, ImmMemHandlerFlags, LogOpcode, Opcode, OpcodeVariant, Operand,
    RetABI, RetForwardPageType, RetOpcode, UMA_INCREMENT_FLAG_IDX, UMAOpcode,
};
use zksync_types::U256;
use zksync_vm2::interface::{
    CallframeInterface, Flags, Opcode as Running, ReturnType, StateInterface,
};

use super::instruction::{self, IN_WORD};

/// First version with them.
pub(crate) const SINCE: ProtocolVersion = ProtocolVersion(31);

/// A call fills the registers before this one, or leaves nothing in them.
const FIRST_PARAMETER: u8 = 3;

/// What is known of the program of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Words of its code; none if the call failed.
    words: usize,
    /// Whether it names second outputs beside those that it has.
    names_others: bool,
}

/// The program that is about to be entered, if there is one. Shared between the world, which finds
/// it, and the observer, which sees the call.
#[derive(Clone, Debug, Default)]
pub(crate) struct NextEntry(Arc<Mutex<Option<Entry>>>);

impl NextEntry {
    pub(crate) fn set(&self, entry: Entry) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
    }

    fn take(&self) -> Entry {
        let entry = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        entry.unwrap_or(Entry { words: 0, names_others: false })
    }
}

/// A register to clear.
#[derive(Clone, Copy, Debug)]
enum Due {
    Always(u8),
    /// Unless the instruction filled it.
    IfPanicked(u8),
}

/// Does what `zksync_vm2` does not.
#[derive(Debug)]
pub(crate) struct Parity {
    next: NextEntry,
    /// The current frame and those below it.
    current: Entry,
    below: Vec<Entry>,
    due: Option<Due>,
}

impl Parity {
    pub(crate) fn new(next: NextEntry) -> Self {
        Self { next, current: Entry::FIRST, below: Vec::new(), due: None }
    }

    /// All frames but the first are gone.
    pub(super) fn start_over(&mut self) {
        self.current = Entry::FIRST;
        self.below.clear();
    }

    pub(super) fn before<S: StateInterface>(&mut self, running: Running, state: &mut S) {
        let is_read =
            matches!(running, Running::HeapRead | Running::AuxHeapRead | Running::PointerRead);
        if self.current.names_others || is_read {
            self.due = due(running, self.current, state);
        }
        if running == Running::Ret(ReturnType::Panic) {
            pay_for_memory(self.current, state);
        }
    }

    pub(super) fn after<S: StateInterface>(&mut self, running: Running, state: &mut S) {
        if let Some(due) = self.due.take() {
            let register = match due {
                Due::Always(register) => Some(register),
                Due::IfPanicked(register) => {
                    let has_panicked = state.current_frame().program_counter().is_none();
                    has_panicked.then_some(register)
                }
            };
            if let Some(register) = register {
                state.set_register(register, U256::zero(), false);
            }
        }
        if let Running::FarCall(_) = running {
            self.below.push(self.current);
            self.current = self.next.take();
        }
        if running == Running::NearCall {
            self.below.push(self.current);
        }
        if let Running::Ret(_) = running {
            self.current = self.below.pop().unwrap_or(Entry::FIRST);
        }
    }
}

impl Entry {
    /// Of the first frame, the bootloader's.
    const FIRST: Self = Self { words: usize::MAX, names_others: false };

    /// What is known of `code`.
    pub(crate) fn of(code: &[U256]) -> Self {
        let instructions = code.iter().flat_map(|word| word.0);
        let mut naming = instructions.filter(|instruction| names_second_output(*instruction));
        let names_others =
            naming.any(|instruction| !has_second_output(&instruction::decode(instruction).variant));
        Self { words: code.len(), names_others }
    }
}

fn names_second_output(instruction: u64) -> bool {
    (instruction >> 28) & 0xf != 0
}

fn has_second_output(variant: &OpcodeVariant) -> bool {
    let reads = matches!(
        variant.opcode,
        Opcode::UMA(UMAOpcode::HeapRead | UMAOpcode::AuxHeapRead | UMAOpcode::FatPointerRead)
    );
    matches!(variant.opcode, Opcode::Mul(_) | Opcode::Div(_))
        || reads && variant.flags[UMA_INCREMENT_FLAG_IDX]
}

/// The instruction that is about to run. `None` where there is none: after one that panicked, and
/// behind the end of the code.
fn current<S: StateInterface>(entry: Entry, state: &mut S) -> Option<u64> {
    let frame = state.current_frame();
    let word = usize::from(frame.program_counter()? / IN_WORD);
    if word < entry.words { instruction::current(&frame) } else { None }
}

/// The register to clear after the instruction that is about to run as `running`.
fn due<S: StateInterface>(running: Running, entry: Entry, state: &mut S) -> Option<Due> {
    let instruction =
        current(entry, state).filter(|instruction| names_second_output(*instruction))?;
    let parsed = instruction::decode(instruction);
    let register = parsed.dst1_reg_idx;
    let is_filled = parsed.dst0_reg_idx == register && fills_register(&parsed.variant);
    let is_panic = running == Running::Ret(ReturnType::Panic);
    match parsed.variant.opcode {
        Opcode::Nop(_) if !is_panic => {
            is_met(parsed.condition, &state.flags()).then_some(Due::Always(register))
        }
        // Its condition is not met.
        _ if running == Running::Nop => None,
        Opcode::Ret(kind) => {
            let is_itself = !is_panic || kind == RetOpcode::Panic;
            let is_near = state.current_frame().is_near_call();
            (is_itself && is_near).then_some(Due::Always(register))
        }
        // It may not run, or cannot be paid for.
        _ if is_panic => None,
        Opcode::Nop(_) | Opcode::Invalid(_) | Opcode::Mul(_) | Opcode::Div(_) => None,
        Opcode::FarCall(_) => (register >= FIRST_PARAMETER).then_some(Due::Always(register)),
        Opcode::UMA(_) if has_second_output(&parsed.variant) => Some(Due::IfPanicked(register)),
        Opcode::Jump(_) => (!is_filled).then_some(Due::Always(register)),
        Opcode::Add(_)
        | Opcode::Sub(_)
        | Opcode::Context(_)
        | Opcode::Shift(_)
        | Opcode::Binop(_)
        | Opcode::Ptr(_)
        | Opcode::NearCall(_)
        | Opcode::Log(_)
        | Opcode::UMA(_) => {
            Some(if is_filled { Due::IfPanicked(register) } else { Due::Always(register) })
        }
    }
}

/// Whether an instruction writes its first output to a register.
fn fills_register(variant: &OpcodeVariant) -> bool {
    let has_output = match variant.opcode {
        Opcode::Add(_)
        | Opcode::Sub(_)
        | Opcode::Mul(_)
        | Opcode::Div(_)
        | Opcode::Jump(_)
        | Opcode::Shift(_)
        | Opcode::Binop(_)
        | Opcode::Ptr(_) => true,
        Opcode::Context(context) => !matches!(
            context,
            ContextOpcode::SetContextU128
                | ContextOpcode::AuxMutating0
                | ContextOpcode::IncrementTxNumber
        ),
        Opcode::Log(log) => matches!(
            log,
            LogOpcode::StorageRead
                | LogOpcode::TransientStorageRead
                | LogOpcode::PrecompileCall
                | LogOpcode::Decommit
        ),
        Opcode::UMA(UMAOpcode::HeapWrite | UMAOpcode::AuxHeapWrite) => {
            variant.flags[UMA_INCREMENT_FLAG_IDX]
        }
        Opcode::UMA(_) => true,
        Opcode::Invalid(_)
        | Opcode::Nop(_)
        | Opcode::NearCall(_)
        | Opcode::FarCall(_)
        | Opcode::Ret(_) => false,
    };
    let is_register = matches!(
        variant.dst0_operand_type,
        Operand::RegOnly | Operand::RegOrImm(_) | Operand::Full(ImmMemHandlerFlags::UseRegOnly)
    );
    has_output && is_register
}

fn is_met(condition: Condition, flags: &Flags) -> bool {
    let (less, equal, greater) = (flags.less_than, flags.equal, flags.greater);
    match condition {
        Condition::Always => true,
        Condition::Gt => greater,
        Condition::Lt => less,
        Condition::Eq => equal,
        Condition::Ge => greater || equal,
        Condition::Le => less || equal,
        Condition::Ne => !equal,
        Condition::GtOrLt => greater || less,
    }
}

/// Takes all gas of a contract that is about to panic by an instruction that names memory beyond
/// what there can be.
fn pay_for_memory<S: StateInterface>(entry: Entry, state: &mut S) {
    if state.current_frame().is_near_call() {
        return;
    }
    let Some(instruction) = current(entry, state) else { return };
    let parsed = instruction::decode(instruction);
    if parsed.variant.opcode != Opcode::Ret(RetOpcode::Panic) {
        return;
    }
    let (raw, _is_pointer) = state.read_register(parsed.src0_reg_idx);
    let RetABI { memory_quasi_fat_pointer: returned, page_forwarding_mode } =
        RetABI::from_u256(raw);
    let is_fresh = page_forwarding_mode != RetForwardPageType::ForwardFatPointer;
    if is_fresh && returned.start.checked_add(returned.length).is_none() {
        state.current_frame().set_gas(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_names_a_second_output_beside_those_that_it_has_is_found() {
        let names_others = |instruction| Entry::of(&[U256([0, 0, 0, instruction])]).names_others;
        assert!(!names_others(0x0400_0019), "an addition");
        assert!(names_others(0x3400_0019), "an addition that names one");
        assert!(!names_others(0x5401_0434), "a read that has one");
    }
}
