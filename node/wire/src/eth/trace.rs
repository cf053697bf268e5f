//! Transactions seen from inside, as the debug API shows them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

/// What is to be shown of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TraceOptions {
    /// Name of a tracer; `callTracer` if absent.
    pub tracer: Option<String>,
    /// What the tracer should do.
    pub tracer_config: Option<TracerConfig>,
    /// What the tracer of instructions should show.
    #[serde(flatten)]
    pub steps: StepOptions,
}

/// What the tracer of instructions should show, as geth's options of its default tracer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StepOptions {
    /// Show memory.
    pub enable_memory: bool,
    /// Leave out registers and stack.
    pub disable_stack: bool,
    /// Leave out storage.
    pub disable_storage: bool,
    /// Show what the last call returned.
    pub enable_return_data: bool,
    /// Instructions to show; all if 0.
    pub limit: u64,
}

/// What a tracer should do; each looks at its own fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TracerConfig {
    /// Call tracers: leave out calls made during the first one.
    pub only_top_call: bool,
    /// State tracer: show what changed, before and after.
    pub diff_mode: bool,
    /// State tracer: leave out code.
    pub disable_code: bool,
    /// State tracer: leave out storage.
    pub disable_storage: bool,
}

/// A call with the calls made during it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallTrace {
    /// How it was made.
    #[serde(rename = "type")]
    pub kind: CallTraceKind,
    /// Who called.
    pub from: Address,
    /// Who was called.
    pub to: Address,
    /// Gas it was given.
    pub gas: U256,
    /// Gas it used.
    pub gas_used: U256,
    /// Base token sent along.
    pub value: U256,
    /// What came back.
    pub output: Bytes,
    /// Input.
    pub input: Bytes,
    /// Why it ended abnormally.
    pub error: Option<String>,
    /// Why it reverted.
    pub revert_reason: Option<String>,
    /// Calls made during it.
    pub calls: Vec<Self>,
}

/// How a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallTraceKind {
    /// An ordinary call, or one in the name of another account.
    Call,
    /// With the caller's storage and sender.
    DelegateCall,
    /// A constructor.
    Create,
}

/// A call in a list of all calls of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatCall {
    /// What was called.
    pub action: FlatAction,
    /// What came of it; absent if there is an error.
    pub result: Option<FlatResult>,
    /// Number of calls made during it.
    pub subtraces: usize,
    /// Why it failed.
    pub error: Option<String>,
    /// Index of the transaction in its block, and then of the call in each call around it.
    pub trace_address: Vec<usize>,
    /// Index of the transaction in its block.
    pub transaction_position: u32,
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Number of the block.
    pub block_number: u32,
    /// Hash of the block.
    pub block_hash: B256,
    /// Always a call.
    #[serde(rename = "type")]
    pub kind: CallTraceKind,
}

/// What was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatAction {
    /// How.
    pub call_type: CallTraceKind,
    /// Who called.
    pub from: Address,
    /// Who was called.
    pub to: Address,
    /// Gas it was given.
    pub gas: U256,
    /// Base token sent along.
    pub value: U256,
    /// Input.
    pub input: Bytes,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlatResult {
    /// What came back.
    pub output: Bytes,
    /// Gas it used.
    pub gas_used: U256,
}

/// A transaction of a block, and what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfBlock<T> {
    /// Hash of the transaction; `callTracer` leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_hash: Option<B256>,
    /// What is shown.
    pub result: T,
}

/// Accounts and what they held, as geth's `prestateTracer` shows them.
pub type PrestateAccounts = BTreeMap<Address, PrestateAccount>;

/// What an account held. What is absent was empty, or has not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PrestateAccount {
    /// Balance of the base token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<U256>,
    /// Code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Bytes>,
    /// Nonce, a plain number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// Slots.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage: BTreeMap<B256, B256>,
}

/// What a transaction changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrestateDiff {
    /// What changed accounts held after it, as far as that differs.
    pub post: PrestateAccounts,
    /// What they held before it.
    pub pre: PrestateAccounts,
}
