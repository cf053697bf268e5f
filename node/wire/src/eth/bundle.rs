//! Calls that follow each other, as `eth_callMany` and `debug_traceCallMany` take and answer them.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize, Serializer};

use super::{BlockId, BlockOverrides, CallRequest};

/// Calls in one block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Bundle {
    /// In order.
    pub transactions: Vec<CallRequest>,
    /// What the block is to be taken for.
    pub block_override: Option<BlockOverrides>,
}

/// After what the first call is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StateContext {
    /// The block.
    #[serde(alias = "block")]
    pub block_number: Option<BlockId>,
    /// Index of the transaction of that block before which it is made; -1 after all of them.
    pub transaction_index: Option<i64>,
}

/// What came of a call of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundledCall {
    /// What it returned.
    Value(Bytes),
    /// Why it returned nothing.
    Error(String),
}

impl Serialize for BundledCall {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "lowercase")]
        enum Shown<'a> {
            Value(&'a Bytes),
            Error(&'a str),
        }
        match self {
            Self::Value(value) => Shown::Value(value).serialize(s),
            Self::Error(error) => Shown::Error(error).serialize(s),
        }
    }
}

/// Answer of `eth_createAccessList`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessListResult {
    /// Accounts and slots that a call reads or writes, ascending by address.
    pub access_list: Vec<AccessListItem>,
    /// Why the call fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Gas it uses.
    pub gas_used: U256,
}

/// An account, and slots of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessListItem {
    /// The account.
    pub address: Address,
    /// Its slots, ascending.
    pub storage_keys: Vec<B256>,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn a_bundle_and_its_place_may_leave_out_everything() {
        assert_eq!(from_value::<Bundle>(json!({})).unwrap(), Bundle::default());
        assert_eq!(from_value::<StateContext>(json!({})).unwrap(), StateContext::default());
        let context = json!({"blockNumber": "0x5", "transactionIndex": -1});
        assert_eq!(from_value::<StateContext>(context).unwrap().transaction_index, Some(-1));
    }

    #[test]
    fn a_call_of_a_bundle_has_a_value_or_an_error() {
        let value = BundledCall::Value(Bytes::from_static(&[1]));
        assert_eq!(to_value(value).unwrap(), json!({"value": "0x01"}));
        let error = BundledCall::Error("no".to_owned());
        assert_eq!(to_value(error).unwrap(), json!({"error": "no"}));
    }
}
