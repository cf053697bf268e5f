//! A machine in a box that may change threads.

use super::machine::Machine;
use crate::{engine::unpanicked, source::Fault};

/// A machine, with calls that never unwind.
///
/// After a [`Fault`] the machine is in no defined state; drop the box.
#[derive(Debug)]
pub(crate) struct MachineBox(Box<Machine>);

#[expect(unsafe_code, reason = "the machine keeps raw pointers into its programs")]
// SAFETY: everything in `Machine` is `Send` by itself except `VirtualMachine`, and that only for
// the raw pointers in its call frames. They point into the instructions of the frame's own program,
// which the frame keeps alive by an `Arc`, or into statics; programs are immutable and are `Send`
// and `Sync` by themselves (checked in `parts_are_send`). Nothing in `zksync_vm2` uses
// thread-locals or spawns threads. The machine is reachable only through the private field, and
// what methods return is `Send` by itself, which their bounds say.
unsafe impl Send for MachineBox {}

#[expect(dead_code, reason = "compiling it is the check")]
fn parts_are_send() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<super::programs::Code>();
    is_send::<super::world::World>();
    is_send::<super::observer::Observer>();
    is_send::<super::memory::Memory>();
}

impl MachineBox {
    /// Makes a machine. What it answers counts only if it did not panic and could read all it
    /// wanted.
    pub(crate) fn open(make: impl FnOnce() -> Machine) -> Result<Self, Fault> {
        let machine = unpanicked(make)?;
        Ok(Self(Box::new(machine)))
    }

    /// Does something with the machine.
    pub(crate) fn with<T: Send>(
        &mut self,
        act: impl FnOnce(&mut Machine) -> T,
    ) -> Result<T, Fault> {
        let outcome = unpanicked(|| act(&mut self.0));
        match self.0.world.fault() {
            Some(fault) => Err(fault),
            None => outcome,
        }
    }
}
