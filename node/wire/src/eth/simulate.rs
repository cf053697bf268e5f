//! Blocks that are only tried out: `eth_simulateV1`.

use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::{Block, BlockOverrides, CallRequest, Log, StateOverrides};
use crate::quantity;

/// Parameter of `eth_simulateV1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SimulatePayload {
    /// Blocks, in order.
    pub block_state_calls: Vec<BlockStateCall>,
    /// Whether transfers of the base token are shown as logs of a token at 0xeeee….
    pub trace_transfers: bool,
    /// Whether nonces and fees are checked as in a block.
    pub validation: bool,
    /// Whether blocks show their transactions, instead of the hashes of those.
    pub return_full_transactions: bool,
}

/// A block that is tried out. Unknown fields are errors: nobody should believe that they had an
/// effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockStateCall {
    /// What the block is to be taken for.
    pub block_overrides: Option<BlockOverrides>,
    /// What accounts are to be taken for, from this block on.
    pub state_overrides: Option<StateOverrides>,
    /// Calls, in order.
    pub calls: Vec<CallRequest>,
}

/// A block that was tried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SimulatedBlock {
    /// The block.
    #[serde(flatten)]
    pub block: Block,
    /// What came of its calls.
    pub calls: Vec<SimulatedCall>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedCall {
    /// What came back, also from a contract that undid the call.
    pub return_data: Bytes,
    /// Events; none if the call failed.
    pub logs: Vec<Log>,
    /// Gas it used.
    pub gas_used: U256,
    /// 1 for success, 0 for a failure.
    #[serde(with = "quantity")]
    pub status: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<CallFailure>,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallFailure {
    /// 3 for a call that a contract undid, -32015 for any other.
    pub code: i32,
    /// In words.
    pub message: String,
    /// What the contract said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
}

/// Answer of `eth_fillTransaction`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilledTransaction {
    /// What is to be signed, in the encoding of its type, without signature.
    pub raw: Bytes,
    /// The same in parts.
    pub tx: FilledParts,
}

/// A transaction that lacks nothing but its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilledParts {
    /// Type byte.
    #[serde(rename = "type", with = "quantity")]
    pub transaction_type: u64,
    /// The chain.
    pub chain_id: U256,
    /// Who sends it.
    pub from: Address,
    /// Target; absent for EVM deployments.
    pub to: Option<Address>,
    /// The sender's nonce.
    pub nonce: U256,
    /// Gas it may use.
    pub gas: U256,
    /// Price of a unit of gas, of types that have one price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas_price: Option<U256>,
    /// Highest price of a unit of gas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fee_per_gas: Option<U256>,
    /// Highest tip for a unit of gas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_priority_fee_per_gas: Option<U256>,
    /// Base token sent along.
    pub value: U256,
    /// Input.
    pub input: Bytes,
}
