//! Pointers to nothing, and reading a heap through one.
//!
//! A call that panics leaves a pointer to nothing, which is zero. An instruction that reads a heap
//! takes it for the position zero, and one that also tells the next position makes that a pointer
//! too. `zksync_vm2` makes it a number; what a contract then does with it ends otherwise.

use zksync_multivm::zk_evm_latest::zkevm_opcode_defs::{
    Operand, RegOrImmFlags, UMA_INCREMENT_FLAG_IDX,
};
use zksync_vm2::interface::{CallframeInterface, StateInterface};

use super::instruction;

/// Keeps next positions pointers where they are.
#[derive(Debug, Default)]
pub(super) struct NullPointers {
    /// Whether there may be any.
    may_exist: bool,
    /// The register that the instruction that is about to run fills with one.
    next: Option<u8>,
}

impl NullPointers {
    /// After a return.
    pub(super) fn returned<S: StateInterface>(&mut self, state: &S) {
        let (value, is_pointer) = state.read_register(1);
        self.may_exist |= is_pointer && value.is_zero();
    }

    /// Before an instruction that reads a heap.
    pub(super) fn before_read<S: StateInterface>(&mut self, state: &mut S) {
        if self.may_exist {
            self.next = next_position(state);
        }
    }

    /// After it. There is no position if it panicked.
    pub(super) fn after_read<S: StateInterface>(&mut self, state: &mut S) {
        let Some(register) = self.next.take() else { return };
        if state.current_frame().program_counter().is_some() {
            let (value, _is_pointer) = state.read_register(register);
            state.set_register(register, value, true);
        }
    }
}

/// The register for the next position, if the instruction reads a heap through a pointer and tells
/// it.
fn next_position<S: StateInterface>(state: &mut S) -> Option<u8> {
    let instruction = instruction::current(&state.current_frame())?;
    let register = |shift: u32| u8::try_from((instruction >> shift) & 0xf).expect("four bits");
    let (source, next) = (register(16), register(28));
    if next == 0 || !state.read_register(source).1 {
        return None;
    }
    let parsed = instruction::decode(instruction);
    let is_by_register =
        parsed.variant.src0_operand_type == Operand::RegOrImm(RegOrImmFlags::UseRegOnly);
    (is_by_register && parsed.variant.flags[UMA_INCREMENT_FLAG_IDX]).then_some(next)
}
