//! What a client wants to be run that is in no block, and in what world.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Deserializer};

use crate::quantity;

/// Parameter of `eth_call` and estimates. Fields that are not known are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CallRequest {
    /// Who calls; the zero address if absent.
    pub from: Option<Address>,
    /// Who is called; deploys EVM code if absent.
    pub to: Option<Address>,
    /// Gas it may use.
    #[serde(deserialize_with = "maybe")]
    pub gas: Option<U256>,
    /// Price of a unit of gas.
    #[serde(deserialize_with = "maybe")]
    pub gas_price: Option<U256>,
    /// Highest price of a unit of gas.
    #[serde(deserialize_with = "maybe")]
    pub max_fee_per_gas: Option<U256>,
    /// Highest tip for a unit of gas.
    #[serde(deserialize_with = "maybe")]
    pub max_priority_fee_per_gas: Option<U256>,
    /// Base token sent along.
    #[serde(deserialize_with = "maybe")]
    pub value: Option<U256>,
    /// Input, by its old name.
    pub data: Option<Bytes>,
    /// Input; wins over [`data`](Self::data).
    pub input: Option<Bytes>,
    /// Nonce.
    #[serde(deserialize_with = "maybe")]
    pub nonce: Option<U256>,
    /// Type byte.
    #[serde(rename = "type", deserialize_with = "maybe")]
    pub transaction_type: Option<U256>,
    /// What belongs to transactions of type 0x71.
    pub eip712_meta: Option<Eip712Meta>,
}

/// What belongs to transactions of type 0x71.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Eip712Meta {
    /// Highest gas for a byte of pubdata.
    #[serde(deserialize_with = "maybe")]
    pub gas_per_pubdata: Option<U256>,
    /// Bytecodes that come with it.
    pub factory_deps: Option<Vec<AnyBytes>>,
    /// Signature for accounts that look at it.
    pub custom_signature: Option<AnyBytes>,
    /// Who pays.
    pub paymaster_params: Option<PaymasterParams>,
}

/// Who pays instead of the sender.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymasterParams {
    /// The paymaster.
    pub paymaster: Address,
    /// What it is told.
    #[serde(default)]
    pub paymaster_input: AnyBytes,
}

/// Bytes as hex or as a list of numbers: libraries write both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "AnyBytesJson")]
pub struct AnyBytes(pub Bytes);

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyBytesJson {
    Hex(Bytes),
    List(Vec<u8>),
}

impl From<AnyBytesJson> for AnyBytes {
    fn from(json: AnyBytesJson) -> Self {
        match json {
            AnyBytesJson::Hex(bytes) => Self(bytes),
            AnyBytesJson::List(list) => Self(list.into()),
        }
    }
}

/// What accounts are to be taken for, by address.
pub type StateOverrides = BTreeMap<Address, AccountOverride>;

/// What an account is to be taken for. Unknown fields are errors: nobody should believe that they
/// had an effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountOverride {
    /// Balance of the base token.
    #[serde(deserialize_with = "maybe")]
    pub balance: Option<U256>,
    /// Nonce.
    #[serde(deserialize_with = "maybe")]
    pub nonce: Option<U256>,
    /// Code.
    pub code: Option<CodeOverride>,
    /// All slots: those that are not named are zero. Not together with
    /// [`state_diff`](Self::state_diff).
    pub state: Option<BTreeMap<B256, B256>>,
    /// Some slots.
    pub state_diff: Option<BTreeMap<B256, B256>>,
}

/// Code for an account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "CodeJson")]
pub enum CodeOverride {
    /// EVM or EraVM code, whichever it looks like.
    Any(Bytes),
    /// EVM code, without padding.
    Evm(Bytes),
    /// EraVM code.
    EraVm(Bytes),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CodeJson {
    Any(Bytes),
    Tagged(TaggedCode),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TaggedCode {
    Evm(Bytes),
    EraVm(Bytes),
}

impl From<CodeJson> for CodeOverride {
    fn from(json: CodeJson) -> Self {
        match json {
            CodeJson::Any(code) => Self::Any(code),
            CodeJson::Tagged(TaggedCode::Evm(code)) => Self::Evm(code),
            CodeJson::Tagged(TaggedCode::EraVm(code)) => Self::EraVm(code),
        }
    }
}

/// What the block is to be taken for, with the names that geth has or had. Unknown fields are
/// errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockOverrides {
    /// Number of the block.
    #[serde(deserialize_with = "maybe", alias = "blockNumber")]
    pub number: Option<U256>,
    /// Seconds since the Unix epoch.
    #[serde(deserialize_with = "maybe", alias = "timestamp")]
    pub time: Option<U256>,
    /// Price of a unit of gas.
    #[serde(deserialize_with = "maybe", alias = "baseFee")]
    pub base_fee_per_gas: Option<U256>,
    /// Difficulty.
    #[serde(deserialize_with = "maybe")]
    pub difficulty: Option<U256>,
    /// Gas of a block.
    #[serde(deserialize_with = "maybe")]
    pub gas_limit: Option<U256>,
    /// Who receives the fees.
    #[serde(alias = "coinbase")]
    pub fee_recipient: Option<Address>,
    /// Randomness of the beacon chain.
    #[serde(alias = "random")]
    pub prev_randao: Option<B256>,
    /// Price of a unit of blob gas.
    #[serde(deserialize_with = "maybe")]
    pub blob_base_fee: Option<U256>,
}

/// A number that is written in any way, or `null`.
fn maybe<'de, T, D>(d: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<U256> + fmt::LowerHex,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(bound = "T: TryFrom<U256>")]
    struct Number<T: fmt::LowerHex>(#[serde(with = "quantity::lenient")] T);

    Ok(Option::<Number<T>>::deserialize(d)?.map(|Number(number)| number))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_call_may_name_everything_or_nothing() {
        assert_eq!(from_value::<CallRequest>(json!({})).unwrap(), CallRequest::default());
        let to = Address::repeat_byte(1);
        let call: CallRequest = from_value(json!({
            "to": to, "gas": "0x10", "gasPrice": null, "value": 5, "data": "0x01", "input": "0x02",
            "type": "0x71", "accessList": [],
            "eip712Meta": {
                "gasPerPubdata": "0xc350", "factoryDeps": [[1, 2], "0x0304"],
                "paymasterParams": {"paymaster": to, "paymasterInput": [5]},
            },
        }))
        .unwrap();
        assert_eq!((call.to, call.gas, call.gas_price), (Some(to), Some(U256::from(16)), None));
        assert_eq!((call.value, call.input), (Some(U256::from(5)), Some([2_u8].into())));
        let meta = call.eip712_meta.unwrap();
        let deps = [[1_u8, 2], [3, 4]].map(|dep| AnyBytes(dep.into()));
        assert_eq!(meta.factory_deps.unwrap(), deps);
        assert_eq!(meta.paymaster_params.unwrap().paymaster_input, AnyBytes([5_u8].into()));
    }

    #[test]
    fn code_has_a_kind_or_none() {
        let code = |json| from_value::<AccountOverride>(json!({"code": json})).unwrap().code;
        let bytes = Bytes::from([0x60_u8]);
        assert_eq!(code(json!("0x60")), Some(CodeOverride::Any(bytes.clone())));
        assert_eq!(code(json!({"evm": "0x60"})), Some(CodeOverride::Evm(bytes.clone())));
        assert_eq!(code(json!({"eravm": "0x60"})), Some(CodeOverride::EraVm(bytes)));
        assert!(from_value::<AccountOverride>(json!({"code": {"wasm": "0x60"}})).is_err());
    }

    #[test]
    fn overrides_that_nobody_knows_are_errors() {
        assert!(from_value::<AccountOverride>(json!({"balanse": "0x1"})).is_err());
        assert!(from_value::<BlockOverrides>(json!({"slot": "0x1"})).is_err());
        let block: BlockOverrides =
            from_value(json!({"number": "0x1", "timestamp": "0x2", "baseFee": 3})).unwrap();
        let numbers = [block.number, block.time, block.base_fee_per_gas];
        assert_eq!(numbers, [1, 2, 3].map(|number| Some(U256::from(number))));
    }
}
