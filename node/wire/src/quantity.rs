//! Hex quantities: `0x` and digits without leading zeros, as `eth_*` methods write numbers.
//!
//! Use as `#[serde(with = "quantity")]` on unsigned integers, with [`option`] where `null` means
//! absent, and with [`lenient`] for answers of nodes that write plain numbers or leading zeros.

use std::fmt;

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// A quantity begins with `0x`.
    #[error("0x prefix is missing")]
    NoPrefix,
    /// There must be a digit.
    #[error("no digits after 0x")]
    Empty,
    /// Only `0` itself begins with a zero.
    #[error("leading zero")]
    LeadingZero,
    /// Something is no hexadecimal digit.
    #[error("not a hexadecimal digit")]
    BadDigit,
    /// It does not fit.
    #[error("number too large")]
    TooLarge,
}

/// Reads a quantity as it must be written.
///
/// # Errors
///
/// [`QuantityError`] if it is written otherwise.
pub fn parse(text: &str) -> Result<U256, QuantityError> {
    let digits = text.strip_prefix("0x").ok_or(QuantityError::NoPrefix)?;
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(QuantityError::LeadingZero);
    }
    parse_lenient(text)
}

/// Reads a quantity that may have leading zeros.
///
/// # Errors
///
/// [`QuantityError`] if it is no hexadecimal number with `0x`, or needs more than 256 bits.
pub fn parse_lenient(text: &str) -> Result<U256, QuantityError> {
    let digits = text.strip_prefix("0x").ok_or(QuantityError::NoPrefix)?;
    if digits.is_empty() {
        return Err(QuantityError::Empty);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(QuantityError::BadDigit);
    }
    U256::from_str_radix(digits, 16).map_err(|_only_overflow_is_left| QuantityError::TooLarge)
}

/// [`parse_lenient`] for a `u64`.
///
/// # Errors
///
/// As [`parse_lenient`], and [`QuantityError::TooLarge`] above 64 bits.
pub fn parse_lenient_u64(text: &str) -> Result<u64, QuantityError> {
    u64::try_from(parse_lenient(text)?).map_err(|_only_overflow_is_left| QuantityError::TooLarge)
}

/// Writes `value` as a quantity.
///
/// # Errors
///
/// What the serializer says.
pub fn serialize<T: fmt::LowerHex, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{value:#x}"))
}

/// Reads a quantity, strictly.
///
/// # Errors
///
/// What is wrong with it, by way of the deserializer.
pub fn deserialize<'de, T: TryFrom<U256>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    let text = TextOrNumber::deserialize(d)?;
    match text {
        TextOrNumber::Text(text) => narrow(parse(&text).map_err(de::Error::custom)?),
        TextOrNumber::Number(_) => Err(de::Error::custom("a hex string expected, not a number")),
    }
}

fn narrow<T: TryFrom<U256>, E: de::Error>(value: U256) -> Result<T, E> {
    T::try_from(value).map_err(|_only_overflow_is_left| E::custom(QuantityError::TooLarge))
}

/// A JSON string or an unsigned JSON number.
enum TextOrNumber {
    Text(String),
    Number(u64),
}

impl<'de> Deserialize<'de> for TextOrNumber {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = TextOrNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a hex quantity")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrNumber, E> {
                Ok(TextOrNumber::Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<TextOrNumber, E> {
                Ok(TextOrNumber::Number(number))
            }
        }

        d.deserialize_any(Visitor)
    }
}

/// Quantities that may be `null`.
pub mod option {
    use super::{Deserialize, Deserializer, Serializer, U256, fmt};

    #[derive(serde::Deserialize)]
    #[serde(bound = "T: TryFrom<U256>")]
    struct Strict<T>(#[serde(with = "super")] T)
    where
        T: fmt::LowerHex;

    /// Writes a quantity or `null`.
    ///
    /// # Errors
    ///
    /// What the serializer says.
    pub fn serialize<T: fmt::LowerHex, S: Serializer>(
        value: &Option<T>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, s),
            None => s.serialize_none(),
        }
    }

    /// Reads a quantity or `null`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by way of the deserializer.
    pub fn deserialize<'de, T: TryFrom<U256> + fmt::LowerHex, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<T>, D::Error> {
        Ok(Option::<Strict<T>>::deserialize(d)?.map(|Strict(value)| value))
    }
}

/// Numbers of nodes that are not strict: plain numbers and leading zeros are read as well.
pub mod lenient {
    use super::{Deserialize, Deserializer, Serialize, Serializer, TextOrNumber, U256, de, fmt};

    /// A number that was written in any way. Written as a quantity.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Lenient(pub u64);

    impl Serialize for Lenient {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            super::serialize(&self.0, s)
        }
    }

    impl<'de> Deserialize<'de> for Lenient {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            deserialize(d).map(Self)
        }
    }

    /// Writes `value` as a quantity.
    ///
    /// # Errors
    ///
    /// What the serializer says.
    pub fn serialize<T: fmt::LowerHex, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        super::serialize(value, s)
    }

    /// Reads a number that is written in any way.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by way of the deserializer.
    pub fn deserialize<'de, T: TryFrom<U256>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        let value = match TextOrNumber::deserialize(d)? {
            TextOrNumber::Text(text) => super::parse_lenient(&text).map_err(de::Error::custom)?,
            TextOrNumber::Number(number) => U256::from(number),
        };
        super::narrow(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, to_string};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Numbers {
        #[serde(with = "super")]
        strict: u32,
        #[serde(default, with = "super::option")]
        maybe: Option<u64>,
        #[serde(with = "super::lenient")]
        lenient: u64,
    }

    #[test]
    fn quantities_are_written_without_leading_zeros() {
        let numbers = Numbers { strict: 0, maybe: Some(16), lenient: 255 };
        let text = r#"{"strict":"0x0","maybe":"0x10","lenient":"0xff"}"#;
        assert_eq!(to_string(&numbers).unwrap(), text);
        assert_eq!(from_str::<Numbers>(text).unwrap(), numbers);
    }

    #[test]
    fn absent_numbers_are_null() {
        let numbers = Numbers { strict: 1, maybe: None, lenient: 2 };
        let text = r#"{"strict":"0x1","maybe":null,"lenient":"0x2"}"#;
        assert_eq!(to_string(&numbers).unwrap(), text);
        assert_eq!(from_str::<Numbers>(r#"{"strict":"0x1","lenient":2}"#).unwrap(), numbers);
        assert_eq!(from_str::<Numbers>(r#"{"strict":"0x1","lenient":"0x002"}"#).unwrap(), numbers);
    }

    #[test]
    fn strict_numbers_are_read_strictly() {
        for (text, error) in [
            ("1", QuantityError::NoPrefix),
            ("0x", QuantityError::Empty),
            ("0x01", QuantityError::LeadingZero),
            ("0x+1", QuantityError::BadDigit),
            ("0x1_0", QuantityError::BadDigit),
            (&format!("0x1{}", "0".repeat(64)), QuantityError::TooLarge),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(parse("0xfF"), Ok(U256::from(255)));
        for wrong in [r#"1"#, r#""0x100000000""#, r#"null"#, r#"-1"#, r#"1.5"#, r#"[]"#] {
            let text = format!(r#"{{"strict":{wrong},"lenient":1}}"#);
            assert!(from_str::<Numbers>(&text).is_err(), "{text}");
        }
    }
}
