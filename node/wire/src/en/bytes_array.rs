//! Bytes as JSON arrays of numbers.

use alloy_primitives::Bytes;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes an array of numbers.
pub(super) fn serialize<S: Serializer>(bytes: &Bytes, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(bytes.iter())
}

/// Reads an array of numbers, or a hex string.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
    Bytes::deserialize(d)
}

/// Lists of bytes, each an array of numbers; `null` is the empty list.
pub(super) mod list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Bytes;

    #[derive(Serialize)]
    struct One<'a>(#[serde(serialize_with = "super::serialize")] &'a Bytes);

    pub(crate) fn serialize<S: Serializer>(list: &[Bytes], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(One))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Bytes>, D::Error> {
        Ok(Option::<Vec<Bytes>>::deserialize(d)?.unwrap_or_default())
    }
}
