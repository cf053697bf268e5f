//! Instructions that `zksync_vm2` does not have: those for static memory.
//!
//! Only kernel code may use them and none does. Where other code has one, whatever its condition,
//! its frame pays the price and panics, and what is left of its gas goes to the caller, as at every
//! instruction that the code may not use. `zksync_vm2` gives up there instead, which would end the
//! batch; here the frame panics, and the run goes on.

use zksync_multivm::zk_evm_latest::zkevm_opcode_defs::{Opcode, UMAOpcode};
use zksync_vm2::{
    ExecutionEnd, VirtualMachine,
    interface::{CallframeInterface, StateInterface},
};

use super::{instruction, observer::Observer, world::World};

/// Runs `vm` until it ends or calls the operator.
pub(super) fn run(
    vm: &mut VirtualMachine<Observer, World>,
    world: &mut World,
    observer: &mut Observer,
) -> ExecutionEnd {
    let mut end = vm.run(world, observer);
    while matches!(end, ExecutionEnd::Panicked) {
        let Some(price) = price_of_missing(vm.current_frame()) else { break };
        let left = vm.current_frame().gas().saturating_sub(price);
        // There is no instruction so far behind the end of the code: the frame panics and loses the
        // one unit of gas, and that much of a limit is exceeded.
        vm.current_frame().set_gas(1);
        vm.current_frame().set_program_counter(u16::MAX);
        let ended = vm.resume_with_additional_gas_limit(world, observer, 0);
        let gas = vm.current_frame().gas();
        vm.current_frame().set_gas(gas + left);
        end = match ended {
            Some((_, end)) => end,
            None => vm.run(world, observer),
        };
    }
    end
}

/// The price of the instruction that `frame` is at, if it is one of those that are missing.
fn price_of_missing(frame: impl CallframeInterface) -> Option<u32> {
    if frame.is_kernel() {
        return None;
    }
    let parsed = instruction::decode(instruction::current(&frame)?);
    let is_missing = matches!(
        parsed.variant.opcode,
        Opcode::UMA(UMAOpcode::StaticMemoryRead | UMAOpcode::StaticMemoryWrite)
    );
    is_missing.then(|| parsed.variant.ergs_price())
}
