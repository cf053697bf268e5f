//! Runs instruction by instruction, in the shape of geth's default tracer.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde::{Serialize, Serializer};

/// A run instruction by instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StructLogs {
    /// Gas that it used.
    pub gas: u64,
    /// Whether it was undone.
    pub failed: bool,
    /// What it returned.
    pub return_value: Bytes,
    /// Its instructions.
    pub struct_logs: Vec<StructLog>,
}

/// An instruction, and what there was before it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StructLog {
    /// Where it is in its contract.
    pub pc: u64,
    /// Its name.
    pub op: &'static str,
    /// Gas that was left.
    pub gas: u64,
    /// Gas that it cost.
    pub gas_cost: u64,
    /// Contracts that run, with this one.
    pub depth: u32,
    /// Whose code it is part of. Geth does not have this.
    pub address: Address,
    /// Why the contract ended here, if it did not mean to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// The stack, the lowest word first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Vec<U256>>,
    /// Registers from the first on, without the zeros that they end with. Geth does not have this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registers: Option<Vec<U256>>,
    /// Memory, by words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Words>,
    /// What the last call returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_data: Option<Bytes>,
    /// Slots that the contract has touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<BTreeMap<Digits, Digits>>,
}

/// Bytes as a list of words, each 64 digits of hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub std::sync::Arc<Vec<u8>>);

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.chunks(32).map(hex::encode))
    }
}

/// A word as 64 digits of hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digits(pub B256);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_not_there_and_words_have_no_prefix() {
        let log = StructLog {
            pc: 7,
            op: "log.swrite",
            gas: 900,
            gas_cost: 100,
            depth: 1,
            address: Address::repeat_byte(2),
            error: None,
            stack: None,
            registers: None,
            memory: None,
            return_data: None,
            storage: None,
        };
        let address = "0x0202020202020202020202020202020202020202";
        let plain = json!({"pc": 7, "op": "log.swrite", "gas": 900, "gasCost": 100, "depth": 1,
            "address": address});
        assert_eq!(serde_json::to_value(&log).unwrap(), plain);
        let one = B256::with_last_byte(1);
        let full = StructLog {
            error: Some("panic"),
            stack: Some(vec![U256::from(255)]),
            registers: Some(vec![U256::ZERO, U256::from(16)]),
            memory: Some(Words(Arc::new([one.0, [0xab; 32]].concat()))),
            return_data: Some(Bytes::from_static(&[1, 2])),
            storage: Some(BTreeMap::from([(Digits(one), Digits(B256::ZERO))])),
            ..log
        };
        let digits = |last: u8| format!("{last:064x}");
        assert_eq!(
            serde_json::to_value(&full).unwrap(),
            json!({"pc": 7, "op": "log.swrite", "gas": 900, "gasCost": 100, "depth": 1,
                "address": address, "error": "panic", "stack": ["0xff"],
                "registers": ["0x0", "0x10"], "memory": [digits(1), "ab".repeat(32)],
                "returnData": "0x0102", "storage": {(digits(1)): digits(0)}})
        );
    }
}
