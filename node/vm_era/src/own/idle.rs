//! Machines between two runs.
//!
//! A new machine has two megabytes of stack for every contract that calls another, which the
//! allocator clears. That takes longer than most calls, so machines that ended well are used again.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use zksync_types::{H160, U256};
use zksync_vm2::{
    Settings, VirtualMachine, WorldDiff,
    interface::{CallframeInterface, StateInterface},
};

use super::{observer::Observer, programs::Code, world::World};

/// Machines that wait, at most.
pub(crate) const IDLE_MAX: usize = 16;
/// Frames that a machine has had at a time, at most, for it to be used again. Each has a stack that
/// takes some 70 kB as long as little of it is used.
const DEPTH_MAX: u32 = 64;
/// Calls of contracts in the life of a machine, at most: each leaves some 50 bytes behind.
const FAR_CALLS_MAX: u32 = 50_000;
/// Gas of such a run, which bounds its memory: a unit buys no more than a byte.
const GAS_MAX: u64 = 8_000_000;

/// What makes two machines the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Program of the first frame, by versioned hash; zero for that which only makes calls.
    pub(crate) program: U256,
    pub(crate) default_account: [u8; 32],
    pub(crate) emulator: [u8; 32],
    /// Address at which a write calls the operator.
    pub(crate) hook: u32,
}

/// A machine that may be used again.
#[derive(Debug)]
pub(crate) struct Spare {
    vm: VirtualMachine<Observer, World>,
    shape: Shape,
    far_calls: u32,
}

impl Spare {
    /// A new machine, at the first instruction of `code`, which runs at `address`.
    pub(crate) fn new(shape: Shape, address: H160, code: Code) -> Self {
        let settings = Settings {
            default_aa_code_hash: shape.default_account,
            evm_interpreter_code_hash: shape.emulator,
            hook_address: shape.hook,
        };
        let mut vm = VirtualMachine::new(address, code, H160::zero(), &[], u32::MAX, settings);
        let mut frame = vm.current_frame();
        // Its own memory is paid for.
        frame.set_heap_bound(u32::MAX);
        frame.set_aux_heap_bound(u32::MAX);
        drop(frame);
        Self { vm, shape, far_calls: 0 }
    }
}

impl Deref for Spare {
    type Target = VirtualMachine<Observer, World>;

    fn deref(&self) -> &Self::Target {
        &self.vm
    }
}

impl DerefMut for Spare {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.vm
    }
}

/// What runs took of their machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Of the most expensive one.
    pub(crate) gas: u64,
    /// Calls of contracts.
    pub(crate) far_calls: u32,
    /// Frames at a time, at most.
    pub(crate) depth: u32,
}

/// Machines that wait, the newest last.
#[derive(Default)]
pub(crate) struct Idle(Mutex<Vec<Waiting>>);

struct Waiting(Spare);

#[expect(unsafe_code, reason = "the machine keeps raw pointers into its programs")]
// SAFETY: as for `MachineBox`, which see: the pointers go into the program that the only frame of a
// waiting machine keeps alive.
unsafe impl Send for Waiting {}

impl Idle {
    /// A machine of this shape, if one waits.
    pub(crate) fn take(&self, shape: &Shape) -> Option<Spare> {
        let mut waiting = self.lock();
        let at = waiting.iter().rposition(|Waiting(spare)| spare.shape == *shape)?;
        Some(waiting.remove(at).0)
    }

    /// Takes back a machine that was rolled back to where it was when it was taken, or made. It
    /// forgets all it knows of the state.
    pub(crate) fn give_back(&self, mut spare: Spare, effort: Effort) {
        spare.far_calls = spare.far_calls.saturating_add(effort.far_calls);
        let is_light = effort.depth <= DEPTH_MAX && effort.gas <= GAS_MAX;
        if !is_light || spare.far_calls > FAR_CALLS_MAX {
            return;
        }
        // Its only frame began with nothing in here, and it was rolled back, so nothing in it
        // refers to what is thrown away.
        *spare.vm.world_diff_mut() = WorldDiff::default();
        let mut waiting = self.lock();
        if waiting.len() >= IDLE_MAX {
            waiting.remove(0);
        }
        waiting.push(Waiting(spare));
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// No method panics half-way, so what a panicking thread left is whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Idle").field(&self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(hook: u32) -> Spare {
        let shape =
            Shape { program: U256::one(), default_account: [1; 32], emulator: [2; 32], hook };
        Spare::new(shape, H160::zero(), zksync_vm2::Program::new(&[0; 32], false))
    }

    const LIGHT: Effort = Effort { gas: 1, far_calls: 1, depth: 1 };

    #[test]
    fn a_machine_is_taken_by_its_shape_and_once() {
        let idle = Idle::default();
        idle.give_back(spare(1), LIGHT);
        idle.give_back(spare(2), LIGHT);
        assert!(idle.take(&spare(3).shape).is_none());
        assert_eq!(idle.take(&spare(1).shape).map(|spare| spare.shape.hook), Some(1));
        assert!(idle.take(&spare(1).shape).is_none());
        assert_eq!(idle.len(), 1);
    }

    #[test]
    fn machines_that_grew_are_thrown_away_and_no_more_wait_than_may() {
        let idle = Idle::default();
        idle.give_back(spare(1), Effort { gas: GAS_MAX + 1, ..LIGHT });
        idle.give_back(spare(1), Effort { depth: DEPTH_MAX + 1, ..LIGHT });
        idle.give_back(spare(1), Effort { far_calls: FAR_CALLS_MAX + 1, ..LIGHT });
        assert_eq!(idle.len(), 0);
        for hook in 0..40 {
            idle.give_back(spare(hook), LIGHT);
        }
        assert_eq!(idle.len(), IDLE_MAX);
        assert!(idle.take(&spare(39).shape).is_some());
        assert!(idle.take(&spare(0).shape).is_none());
    }
}
