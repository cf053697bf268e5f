//! Which block a request means.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::quantity;

/// A block by number or by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockNumberOrTag {
    /// By number. May be larger than any block's.
    Number(u64),
    /// Genesis.
    Earliest,
    /// The newest sealed block; also called `committed`.
    Latest,
    /// Same as [`Latest`](Self::Latest), and written back as it came.
    Committed,
    /// The block after the newest sealed one.
    Pending,
    /// The newest precommitted block; also called `safe`.
    Precommitted,
    /// Last block of the newest batch committed on L1.
    L1Committed,
    /// Last block of the newest batch executed at or below L1's `safe`.
    FastFinalized,
    /// Last block of the newest batch that is final.
    Finalized,
}

impl BlockNumberOrTag {
    /// Reads a name or a hex number, which may have leading zeros; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            "committed" => Self::Committed,
            "pending" => Self::Pending,
            "safe" | "precommitted" => Self::Precommitted,
            "l1_committed" => Self::L1Committed,
            "fast_finalized" => Self::FastFinalized,
            "finalized" => Self::Finalized,
            number => Self::Number(quantity::parse_lenient_u64(number).ok()?),
        })
    }
}

impl fmt::Display for BlockNumberOrTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Committed => f.write_str("committed"),
            Self::Pending => f.write_str("pending"),
            Self::Precommitted => f.write_str("precommitted"),
            Self::L1Committed => f.write_str("l1_committed"),
            Self::FastFinalized => f.write_str("fast_finalized"),
            Self::Finalized => f.write_str("finalized"),
        }
    }
}

impl Serialize for BlockNumberOrTag {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockNumberOrTag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = BlockNumberOrTag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a block number in hex or a block tag")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                BlockNumberOrTag::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        d.deserialize_str(Visitor)
    }
}

/// A block by number, name or hash: a string (32 bytes that are no small number are a hash), or an
/// object with exactly one of `blockNumber` and `blockHash` (EIP-1898).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BlockIdJson", into = "BlockIdJson")]
pub enum BlockId {
    /// By number or name.
    Number(BlockNumberOrTag),
    /// By hash.
    Hash(B256),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BlockIdJson {
    Text(BlockNumberOrTag),
    Hash(B256),
    Object(BlockIdObject),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockIdObject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_number: Option<BlockNumberOrTag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_hash: Option<B256>,
    /// Only blocks of the chain are stored, so whether others are welcome makes no difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    require_canonical: Option<bool>,
}

impl TryFrom<BlockIdJson> for BlockId {
    type Error = &'static str;

    fn try_from(json: BlockIdJson) -> Result<Self, Self::Error> {
        match json {
            BlockIdJson::Text(number) => Ok(Self::Number(number)),
            BlockIdJson::Hash(hash) => Ok(Self::Hash(hash)),
            BlockIdJson::Object(object) => match (object.block_number, object.block_hash) {
                (Some(number), None) => Ok(Self::Number(number)),
                (None, Some(hash)) => Ok(Self::Hash(hash)),
                (Some(_), Some(_)) | (None, None) => {
                    Err("exactly one of blockNumber and blockHash is expected")
                }
            },
        }
    }
}

impl From<BlockId> for BlockIdJson {
    fn from(id: BlockId) -> Self {
        match id {
            BlockId::Number(number) => Self::Text(number),
            BlockId::Hash(hash) => {
                let (block_hash, require_canonical) = (Some(hash), None);
                Self::Object(BlockIdObject { block_number: None, block_hash, require_canonical })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn tags_are_read_and_safe_is_precommitted() {
        for (text, tag, written) in [
            ("0x10", BlockNumberOrTag::Number(16), "0x10"),
            ("0x0010", BlockNumberOrTag::Number(16), "0x10"),
            ("safe", BlockNumberOrTag::Precommitted, "precommitted"),
            ("fast_finalized", BlockNumberOrTag::FastFinalized, "fast_finalized"),
            ("committed", BlockNumberOrTag::Committed, "committed"),
        ] {
            assert_eq!(BlockNumberOrTag::parse(text), Some(tag));
            assert_eq!(tag.to_string(), written);
        }
        for wrong in ["16", "", "0x", "LATEST", "0x1ffffffffffffffff"] {
            assert_eq!(BlockNumberOrTag::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_block_id_is_a_string_or_an_object_with_one_field() {
        let hash = B256::repeat_byte(7);
        let number = BlockId::Number(BlockNumberOrTag::Number(5));
        assert_eq!(from_value::<BlockId>(json!("0x5")).unwrap(), number);
        assert_eq!(from_value::<BlockId>(json!({"blockNumber": "0x5"})).unwrap(), number);
        let by_hash = from_value::<BlockId>(json!({"blockHash": hash})).unwrap();
        assert_eq!(by_hash, BlockId::Hash(hash));
        assert_eq!(to_value(by_hash).unwrap(), json!({"blockHash": hash}));
        assert_eq!(from_value::<BlockId>(json!(hash)).unwrap(), BlockId::Hash(hash));
        let canonical = json!({"blockHash": hash, "requireCanonical": true});
        assert_eq!(from_value::<BlockId>(canonical).unwrap(), BlockId::Hash(hash));
        for wrong in [
            json!({"blockNumber": "0x5", "blockHash": hash}),
            json!({"blockHash": hash, "requireCanonical": "yes"}),
            json!({}),
            json!(5),
        ] {
            assert!(from_value::<BlockId>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
