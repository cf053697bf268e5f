//! Traces as the `trace_*` methods show them: a flat list of calls, and what a run changed.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::{BlockNumberOrTag, CallTraceKind};
use crate::quantity;

/// A call, or the making of a contract, in a list of all of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceItem {
    /// What was to be done.
    pub action: TraceAction,
    /// The block and the transaction; absent for what is in no block.
    #[serde(flatten)]
    pub place: Option<TracePlace>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What came of it; `null` if it failed.
    pub result: Option<TraceResult>,
    /// Number of calls made during it.
    pub subtraces: usize,
    /// Index in each call around it; empty for the transaction's own.
    pub trace_address: Vec<usize>,
    /// Which of both.
    #[serde(rename = "type")]
    pub kind: TraceItemKind,
}

/// Where a call happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TracePlace {
    /// Hash of the block.
    pub block_hash: B256,
    /// Number of the block, a plain number.
    pub block_number: u32,
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Index in the block, a plain number.
    pub transaction_position: u32,
}

/// What a [`TraceItem`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TraceItemKind {
    /// A call.
    Call,
    /// The making of a contract.
    Create,
}

/// What was to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TraceAction {
    /// A call.
    #[serde(rename_all = "camelCase")]
    Call {
        /// How: `call` or `delegatecall`.
        call_type: TraceCallType,
        /// Who called.
        from: Address,
        /// Gas it was given.
        gas: U256,
        /// Input.
        input: Bytes,
        /// Who was called.
        to: Address,
        /// Base token sent along.
        value: U256,
    },
    /// The making of a contract.
    #[serde(rename_all = "camelCase")]
    Create {
        /// Who made it.
        from: Address,
        /// Gas it was given.
        gas: U256,
        /// Input of the constructor.
        init: Bytes,
        /// Base token sent along.
        value: U256,
    },
}

/// How a call was made, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceCallType {
    /// An ordinary call.
    Call,
    /// With the caller's storage and sender.
    DelegateCall,
}

impl From<CallTraceKind> for TraceCallType {
    fn from(kind: CallTraceKind) -> Self {
        match kind {
            CallTraceKind::Call | CallTraceKind::Create => Self::Call,
            CallTraceKind::DelegateCall => Self::DelegateCall,
        }
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TraceResult {
    /// Of a call.
    #[serde(rename_all = "camelCase")]
    Call {
        /// Gas it used.
        gas_used: U256,
        /// What came back.
        output: Bytes,
    },
    /// Of the making of a contract.
    #[serde(rename_all = "camelCase")]
    Create {
        /// The contract.
        address: Address,
        /// Its code.
        code: Bytes,
        /// Gas it used.
        gas_used: U256,
    },
}

/// What is to be shown of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TraceType {
    /// Its calls.
    Trace,
    /// Its instructions.
    VmTrace,
    /// What it changed.
    StateDiff,
}

/// A run from all sides that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceResults {
    /// What came back.
    pub output: Bytes,
    /// What changed, if that was asked for.
    pub state_diff: Option<BTreeMap<Address, AccountDiff>>,
    /// Calls; empty unless they were asked for.
    pub trace: Vec<TraceItem>,
    /// Always `null`.
    pub vm_trace: Option<()>,
    /// Hash of the transaction, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<B256>,
}

/// What changed of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountDiff {
    /// Balance of the base token.
    pub balance: Delta<U256>,
    /// Code.
    pub code: Delta<Bytes>,
    /// Nonce.
    pub nonce: Delta<U256>,
    /// Slots that changed.
    pub storage: BTreeMap<B256, Delta<B256>>,
}

/// Something before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Delta<T> {
    /// It is what it was.
    #[serde(rename = "=")]
    Same,
    /// It is new, with its account.
    #[serde(rename = "+")]
    Born(T),
    /// It is another now.
    #[serde(rename = "*")]
    Changed {
        /// Before.
        from: T,
        /// After.
        to: T,
    },
}

impl<T: PartialEq> Delta<T> {
    /// What became of `from`, in an account that was there before or was not.
    pub fn of(from: T, to: T, was_there: bool) -> Self {
        if !was_there {
            return Self::Born(to);
        }
        if from == to { Self::Same } else { Self::Changed { from, to } }
    }
}

/// Parameter of `trace_filter`. Unknown fields are errors: nobody should believe that they had an
/// effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TraceFilter {
    /// First block; the newest if absent.
    pub from_block: Option<BlockNumberOrTag>,
    /// Last block; the newest if absent.
    pub to_block: Option<BlockNumberOrTag>,
    /// Callers; any if empty.
    pub from_address: Option<Vec<Address>>,
    /// Callees, and contracts that were made; any if empty.
    pub to_address: Option<Vec<Address>>,
    /// Whether both of them must fit.
    pub mode: TraceFilterMode,
    /// How many of the first to leave out.
    #[serde(deserialize_with = "maybe_count")]
    pub after: Option<u64>,
    /// How many to show.
    #[serde(deserialize_with = "maybe_count")]
    pub count: Option<u64>,
}

/// Whether caller and callee must both fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceFilterMode {
    /// One of both must.
    #[default]
    Union,
    /// Both must.
    Intersection,
}

impl TraceFilter {
    /// Whether a call is meant, wherever it is.
    pub fn matches(&self, from: Address, to: Address) -> bool {
        let wanted = |list: &Option<Vec<Address>>| list.clone().unwrap_or_default();
        let (callers, callees) = (wanted(&self.from_address), wanted(&self.to_address));
        let (by_caller, by_callee) = (callers.contains(&from), callees.contains(&to));
        match (callers.is_empty(), callees.is_empty()) {
            (true, true) => true,
            (false, true) => by_caller,
            (true, false) => by_callee,
            (false, false) => match self.mode {
                TraceFilterMode::Union => by_caller || by_callee,
                TraceFilterMode::Intersection => by_caller && by_callee,
            },
        }
    }
}

fn maybe_count<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Count(#[serde(with = "quantity::lenient")] u64);

    Ok(Option::<Count>::deserialize(d)?.map(|Count(count)| count))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn what_changed_is_written_with_a_sign() {
        let was_there = true;
        assert_eq!(to_value(Delta::of(1, 1, was_there)).unwrap(), json!("="));
        let changed = json!({"*": {"from": 1, "to": 2}});
        assert_eq!(to_value(Delta::of(1, 2, was_there)).unwrap(), changed);
        assert_eq!(to_value(Delta::of(0, 2, !was_there)).unwrap(), json!({"+": 2}));
    }

    #[test]
    fn a_filter_takes_one_side_or_both() {
        let (a, b, c) = (Address::repeat_byte(1), Address::repeat_byte(2), Address::repeat_byte(3));
        let filter = |json| from_value::<TraceFilter>(json).unwrap();
        assert!(filter(json!({})).matches(a, b));
        let by_caller = filter(json!({"fromAddress": [a], "toAddress": [], "count": 3}));
        assert_eq!((by_caller.matches(a, c), by_caller.matches(c, a)), (true, false));
        assert_eq!(by_caller.count, Some(3));
        let any = filter(json!({"fromAddress": [a], "toAddress": [b], "after": "0x2"}));
        assert_eq!((any.matches(a, c), any.matches(c, b), any.matches(c, c)), (true, true, false));
        assert_eq!(any.after, Some(2));
        let both = filter(json!({"fromAddress": [a], "toAddress": [b], "mode": "intersection"}));
        assert_eq!((both.matches(a, b), both.matches(a, c)), (true, false));
        assert!(from_value::<TraceFilter>(json!({"from": a})).is_err());
    }
}
