//! What is written down when this replica and somebody else disagree: one JSON file for whoever
//! looks for the cause.

use alloy_primitives::{Address, B256};
use serde::Serialize;
use serde_json::Value;

/// What somebody said, as it was put.
pub type Said = Value;

/// Version of the shape of [`Bundle`].
pub const FORMAT: u32 = 1;

/// Everything known of a divergence. What is not known is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// [`FORMAT`].
    pub format: u32,
    /// The stable word for the kind of divergence.
    pub code: String,
    /// The whole reason, as in the log.
    pub reason: String,
    /// When it was written, milliseconds since the Unix epoch.
    pub written_at_ms: u64,
    /// Release of this replica.
    pub release: String,
    /// The L2 chain.
    pub l2_chain_id: u64,
    /// The L1 that it settles on.
    pub l1_chain_id: u64,
    /// The batch.
    pub batch: Option<u32>,
    /// The block, if it is about one.
    pub block: Option<u32>,
    /// The field, with both values.
    pub difference: Option<DifferenceReport>,
    /// The transaction on L1 that says something else.
    pub l1_transaction: Option<B256>,
    /// The batch as it is stored here.
    pub stored: Option<BatchReport>,
    /// What the store has of what others said.
    pub claims: Option<ClaimsReport>,
    /// What the main node says of the batch now, if it answers soon.
    pub main_node: Option<Said>,
}

/// The first field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceReport {
    /// The field.
    pub field: String,
    /// Its value here: what is expected.
    pub expected: String,
    /// Its value there.
    pub actual: String,
}

/// A batch as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchReport {
    /// Protocol version.
    pub protocol_version: u16,
    /// Seconds since the Unix epoch.
    pub timestamp_s: u64,
    /// First block.
    pub first_block: u32,
    /// Last block.
    pub last_block: u32,
    /// Hash of the last block.
    pub last_block_hash: Option<B256>,
    /// Priority operations.
    pub l1_tx_count: u32,
    /// Other transactions.
    pub l2_tx_count: u32,
    /// Index of the next new leaf.
    pub next_leaf_index: u64,
    /// Rolling hash of the priority operations.
    pub priority_ops_hash: B256,
    /// Hashes of bootloader, default account and, where there is one, EVM emulator.
    pub base_system_contracts: Vec<B256>,
    /// Receives the fees.
    pub fee_account: Option<Address>,
    /// L1 gas price, fair L2 gas price, fair pubdata price.
    pub fee_input: Vec<u64>,
    /// Root before the batch.
    pub root_before: Option<B256>,
    /// Leaves before the batch.
    pub leaf_count_before: Option<u64>,
    /// Root after it.
    pub root: Option<B256>,
    /// Commitment, with the hashes of its parts.
    pub commitment: Option<CommitmentReport>,
    /// What the batch wrote.
    pub writes: WritesReport,
}

/// A commitment with its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitmentReport {
    /// The commitment.
    pub commitment: B256,
    /// Its first part.
    pub pass_through_hash: B256,
    /// Its second part.
    pub meta_hash: B256,
    /// Its third part.
    pub aux_hash: B256,
    /// Root of the logs for L1.
    pub l2_to_l1_root: B256,
}

/// What a batch wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WritesReport {
    /// How many slots.
    pub count: usize,
    /// Keccak-256 of all of them: hashed key, leaf index (8 bytes, big-endian), value.
    pub keccak256: B256,
    /// The first of them.
    pub first: Vec<WriteReport>,
}

/// A slot that a batch wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteReport {
    /// Hashed key.
    pub key: B256,
    /// Leaf index.
    pub index: u64,
    /// Value.
    pub value: B256,
}

/// What others said, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimsReport {
    /// The newest batch with a root that was equal.
    pub agreed_batch: Option<u32>,
    /// The root that the main node announced.
    pub root: Option<B256>,
    /// The commitment that it announced.
    pub commitment: Option<B256>,
    /// Commit, prove and execute transactions that L1 bears out.
    pub l1_steps: Vec<B256>,
}

impl Bundle {
    /// The file: indented JSON that ends with a line break.
    ///
    /// # Panics
    ///
    /// Never: every field has a form in JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("every field has a form in JSON");
        json.push(b'\n');
        json
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_bundle_is_json_with_null_for_what_is_not_known() {
        let bundle = Bundle {
            format: FORMAT,
            code: "root_mismatch".to_owned(),
            batch: Some(7),
            difference: Some(DifferenceReport {
                field: "root".to_owned(),
                expected: "0x1".to_owned(),
                actual: "0x2".to_owned(),
            }),
            ..Bundle::default()
        };
        let text = bundle.to_json();
        assert_eq!(text.last(), Some(&b'\n'));
        let read: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(read["batch"], json!(7));
        assert_eq!(read["difference"]["expected"], json!("0x1"));
        assert_eq!(read["mainNode"], Value::Null);
    }
}
