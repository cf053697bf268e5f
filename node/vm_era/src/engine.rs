//! The machines of one batch with the state they read: everything that is not `Send` by itself, in
//! one value that is.
//!
//! Calls never unwind: a panic of a machine is a [`Fault`], and so is anything the state could not
//! answer. The process's panic hook still runs, so it must not do more than report.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lockstep_types::{B256, StorageSlot};
use lockstep_vm::VmStorage;
use zksync_multivm::interface::{FinishedL1Batch, L1BatchEnv, L2BlockEnv, SystemEnv};
use zksync_types::{ProtocolVersionId, Transaction, commitment::PubdataParams};

use crate::{
    machine::{Machine, MachineKind, TxRun},
    source::{Fault, Source},
};

/// The machine that runs the batch.
///
/// After a [`Fault`] the machine is in no defined state; drop the engine.
#[derive(Debug)]
pub(crate) struct Engine {
    machine: Machine,
    source: Source,
}

#[expect(unsafe_code, reason = "the VM crates count references without atomics")]
// SAFETY: `Engine` is not `Send` by itself because of `Rc`s: the one in `Source`, the storage views
// over it, the fast machine's table of deployed bytecodes, and tracers and pubdata builders that
// live during a call. (The fast machine also keeps raw pointers into the instructions of its
// programs, which it owns.) Moving the value to another thread is sound because all clones of each
// `Rc` move with it:
// - `open` makes them from a `Box<dyn VmStorage>`, which is `Send`, and from plain data;
// - they are reachable only through the private fields, which no method lends or copies out. What
//   methods return is `Send` by itself (checked in `answers_are_send`), and a panic's payload is
//   turned into a `String` here;
// - neither the VM crates nor what they are built on (zksync_vm2, zksync_vm_interface, zk_evm in
//   all versions, circuit_sequencer_api) have thread-locals, and none spawns threads.
// `&mut self` everywhere keeps the use to one thread at a time, and `Engine` is not `Sync`.
unsafe impl Send for Engine {}

#[expect(dead_code, reason = "compiling it is the check")]
fn answers_are_send() {
    fn is_send<T: Send>() {}
    is_send::<Option<TxRun>>();
    is_send::<FinishedL1Batch>();
    is_send::<Fault>();
    is_send::<Box<dyn VmStorage>>();
}

impl Engine {
    pub(crate) fn open(
        kind: MachineKind,
        batch: &L1BatchEnv,
        system: &SystemEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Self, Fault> {
        let source = Source::new(storage);
        let machine =
            guarded(&source, || Machine::new(kind, batch.clone(), system.clone(), source.clone()))?;
        Ok(Self { machine, source })
    }

    pub(crate) fn start_block(&mut self, block: &L2BlockEnv) -> Result<(), Fault> {
        guarded(&self.source, || self.machine.start_block(block.clone()))
    }

    /// See [`Machine::run_tx`].
    pub(crate) fn run_tx(
        &mut self,
        tx: &Transaction,
        is_watched: bool,
    ) -> Result<Option<TxRun>, Fault> {
        guarded(&self.source, || self.machine.run_tx(tx, is_watched))
    }

    /// What `slot` held before the batch.
    pub(crate) fn value_before(&mut self, slot: &StorageSlot) -> Result<B256, Fault> {
        guarded(&self.source, || self.source.value(*slot))
    }

    pub(crate) fn seal(
        &mut self,
        params: PubdataParams,
        version: ProtocolVersionId,
    ) -> Result<FinishedL1Batch, Fault> {
        guarded(&self.source, || self.machine.seal(params, version))
    }
}

/// Runs `call`; what it answers counts only if it did not panic and could read all it wanted.
fn guarded<T>(source: &Source, call: impl FnOnce() -> T) -> Result<T, Fault> {
    let outcome = unpanicked(call);
    source.fault().map_or(outcome, Err)
}

/// What `act` gives; its panic as a fault.
pub(crate) fn unpanicked<T>(act: impl FnOnce() -> T) -> Result<T, Fault> {
    // What the closure touches is dropped after a fault, so nobody sees it half-changed.
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| {
        let words = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("it gave no reason");
        Fault::BadInput(format!("the VM panicked: {words}"))
    })
}
