//! Which logs a request means.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::BlockNumberOrTag;

/// One item or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// A list; empty matches whatever an absent list matches.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// What a topic may be; `None` matches any.
pub type TopicFilter = Option<OneOrMany<B256>>;

/// Parameter of `eth_getLogs` and `eth_newFilter`.
///
/// That a block hash excludes a range, and that there are at most four topics, is for the method
/// to check: each has an error of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// First block; the newest if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_block: Option<BlockNumberOrTag>,
    /// Last block; the newest if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_block: Option<BlockNumberOrTag>,
    /// The only block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<B256>,
    /// Who emitted the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<OneOrMany<Address>>,
    /// By position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<TopicFilter>>,
}

impl Filter {
    /// Whether a log of `address` with `topics` is meant, wherever it is.
    pub fn matches(&self, address: Address, topics: &[B256]) -> bool {
        let by_address = self.addresses().is_empty() || self.addresses().contains(&address);
        by_address && self.matches_topics(topics)
    }

    /// Addresses that are meant; empty if any is.
    pub fn addresses(&self) -> &[Address] {
        self.address.as_ref().map_or(&[], OneOrMany::as_slice)
    }

    fn matches_topics(&self, topics: &[B256]) -> bool {
        let wanted = self.topics.as_deref().unwrap_or_default();
        wanted.iter().enumerate().all(|(index, wanted)| {
            let wanted = wanted.as_ref().map_or(&[][..], OneOrMany::as_slice);
            wanted.is_empty() || topics.get(index).is_some_and(|topic| wanted.contains(topic))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_filter_takes_one_or_many_of_everything() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (x, y) = (B256::repeat_byte(3), B256::repeat_byte(4));
        let one: Filter = from_value(json!({"address": a, "topics": [null, x]})).unwrap();
        assert!(one.matches(a, &[y, x]));
        assert!(!one.matches(b, &[y, x]));
        assert!(!one.matches(a, &[x]));
        let many: Filter = from_value(json!({"address": [a, b], "topics": [[x, y]]})).unwrap();
        assert!(many.matches(b, &[y]));
        assert!(!many.matches(b, &[]));
        let any: Filter = from_value(json!({"address": [], "topics": [[], null]})).unwrap();
        assert!(any.matches(a, &[]));
    }

    #[test]
    fn hash_and_range_are_both_carried() {
        let filter: Filter =
            from_value(json!({"blockHash": B256::ZERO, "fromBlock": "0x1", "toBlock": "latest"}))
                .unwrap();
        assert_eq!(filter.block_hash, Some(B256::ZERO));
        assert_eq!(filter.to_block, Some(BlockNumberOrTag::Latest));
    }
}
