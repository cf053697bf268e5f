//! What is seen of a run from inside: calls, and the slots it touched.

use lockstep_types::{Address, B256, Bytes, StorageSlot, TxOutcome, U256};

/// How a contract was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// An ordinary call.
    Call,
    /// With the caller's storage and sender.
    Delegate,
    /// In the name of another account; only system contracts can.
    Mimic,
    /// The constructor of a new contract.
    Create,
}

/// A call, with the calls made during it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFrame {
    /// How.
    pub kind: CallKind,
    /// Who called, as the callee saw it.
    pub from: Address,
    /// Who was called: the owner of the storage that the call works on.
    pub to: Address,
    /// Gas that the callee was given.
    pub gas: u64,
    /// Gas that the caller lost by the call.
    pub gas_used: u64,
    /// Base token sent along, as the callee saw it.
    pub value: U256,
    /// Input.
    pub input: Bytes,
    /// What came back; empty unless the call succeeded.
    pub output: Bytes,
    /// Why it ended abnormally, other than by reverting.
    pub error: Option<String>,
    /// Why it reverted, in the reference node's words.
    pub revert_reason: Option<String>,
    /// Calls made during it, in order.
    pub calls: Vec<Self>,
}

/// A slot that a run read or wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchedSlot {
    /// Which.
    pub slot: StorageSlot,
    /// What it held before the run.
    pub before: B256,
    /// What it held after the run; the same if it was only read or the run was undone.
    pub after: B256,
}

/// A run seen from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The bootloader's calls, in order.
    pub calls: Vec<CallFrame>,
    /// Slots read or written by storage instructions, or to find code, in canonical order.
    pub touched: Vec<TouchedSlot>,
}

/// A transaction of a batch, with what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedTx {
    /// What it left behind.
    pub outcome: TxOutcome,
    /// What its call returned; empty unless it succeeded.
    pub output: Bytes,
    /// What was seen.
    pub trace: Trace,
}
