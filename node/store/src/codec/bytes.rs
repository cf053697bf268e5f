//! The alphabet of the layouts: numbers, hashes, byte strings, options, lists.
//!
//! Numbers are LEB128 unless their width matters; byte strings carry their length. A value must be
//! used up exactly when it is read: left-over or missing bytes are damage.

use lockstep_types::{Address, B256, Bytes, U256};

/// A value on disk cannot be what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Writes itself.
pub trait Encode {
    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Reads itself.
pub trait Decode: Sized {
    /// Takes the bytes off the front of `input`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] says what cannot be.
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed>;
}

/// The bytes of `value`.
pub fn encode(value: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

/// The value of all of `bytes`.
///
/// # Errors
///
/// [`Malformed`] if they are not exactly one value.
pub fn decode<T: Decode>(mut bytes: &[u8]) -> Result<T, Malformed> {
    let value = T::decode(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Malformed("bytes are left over")) }
}

/// Takes `count` bytes off the front.
pub(super) fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (head, tail) = input.split_at_checked(count).ok_or(Malformed("bytes are missing"))?;
    *input = tail;
    Ok(head)
}

impl Encode for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

impl Decode for u8 {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(take(input, 1)?[0])
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag is neither 0 nor 1")),
        }
    }
}

impl Encode for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                out.push(low & 0x7f);
                return;
            }
            out.push(low | 0x80);
        }
    }
}

impl Decode for u64 {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = u8::decode(input)?;
            let bits = Self::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("a number has more than 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number has more than 64 bits"))
    }
}

macro_rules! narrow {
    ($($narrow:ty),*) => {
        $(
            impl Encode for $narrow {
                fn encode(&self, out: &mut Vec<u8>) {
                    u64::from(*self).encode(out);
                }
            }

            impl Decode for $narrow {
                fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
                    Self::try_from(u64::decode(input)?)
                        .map_err(|_too_big| Malformed("a number is too large"))
                }
            }
        )*
    };
}

narrow!(u16, u32);

impl Encode for usize {
    fn encode(&self, out: &mut Vec<u8>) {
        u64::try_from(*self).expect("usize has at most 64 bits").encode(out);
    }
}

impl Decode for usize {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Self::try_from(u64::decode(input)?).map_err(|_too_big| Malformed("a length is too large"))
    }
}

impl Encode for B256 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_slice());
    }
}

impl Decode for B256 {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(Self::from_slice(take(input, 32)?))
    }
}

impl Encode for Address {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_slice());
    }
}

impl Decode for Address {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(Self::from_slice(take(input, 20)?))
    }
}

impl Encode for U256 {
    fn encode(&self, out: &mut Vec<u8>) {
        let bytes = self.to_be_bytes::<32>();
        let digits = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(u8::try_from(digits.len()).expect("32 bytes at most"));
        out.extend_from_slice(digits);
    }
}

impl Decode for U256 {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        let count = usize::from(u8::decode(input)?);
        if count > 32 {
            return Err(Malformed("a number has more than 256 bits"));
        }
        Ok(Self::from_be_slice(take(input, count)?))
    }
}

impl Encode for [u8] {
    fn encode(&self, out: &mut Vec<u8>) {
        self.len().encode(out);
        out.extend_from_slice(self);
    }
}

impl Encode for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_ref().encode(out);
    }
}

impl Decode for Bytes {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        let count = usize::decode(input)?;
        Ok(Self::copy_from_slice(take(input, count)?))
    }
}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}

impl Decode for String {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        let count = usize::decode(input)?;
        let text = std::str::from_utf8(take(input, count)?);
        text.map(ToOwned::to_owned).map_err(|_not_utf8| Malformed("a text is not UTF-8"))
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        if bool::decode(input)? { T::decode(input).map(Some) } else { Ok(None) }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.len().encode(out);
        for item in self {
            item.encode(out);
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        let count = usize::decode(input)?;
        // A damaged count must not reserve more memory than the row has bytes.
        let reserved = count.min(input.len() / size_of::<T>().max(1));
        let mut items = Self::with_capacity(reserved);
        for _ in 0..count {
            items.push(T::decode(input)?);
        }
        Ok(items)
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok((A::decode(input)?, B::decode(input)?))
    }
}

/// Derives both directions for a newtype from its inner value.
macro_rules! newtype {
    ($($name:ty),*) => {
        $(
            impl Encode for $name {
                fn encode(&self, out: &mut Vec<u8>) {
                    self.0.encode(out);
                }
            }

            impl Decode for $name {
                fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
                    Ok(Self(Decode::decode(input)?))
                }
            }
        )*
    };
}

newtype!(
    lockstep_types::L2BlockNumber,
    lockstep_types::L1BatchNumber,
    lockstep_types::LeafIndex,
    lockstep_types::UnixSeconds,
    lockstep_types::ChainId,
    lockstep_types::ProtocolVersion,
    lockstep_types::L2BlockHash,
    lockstep_types::TxHash,
    lockstep_types::StateRoot,
    lockstep_types::Commitment,
    lockstep_types::BytecodeHash,
    lockstep_types::HashedKey
);

/// Derives both directions for a struct: its fields, in the order given.
macro_rules! layout {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.encode(out);)*
            }
        }

        impl $crate::codec::Decode for $name {
            fn decode(input: &mut &[u8]) -> Result<Self, $crate::codec::Malformed> {
                $(let $field = $crate::codec::Decode::decode(input)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}

pub(super) use layout;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_bytes_they_need() {
        assert_eq!(encode(&0_u64), [0]);
        assert_eq!(encode(&300_u64), [0xac, 0x02]);
        assert_eq!(decode::<u64>(&encode(&u64::MAX)), Ok(u64::MAX));
        assert_eq!(encode(&U256::from(0x1234)), [2, 0x12, 0x34]);
        assert_eq!(decode::<U256>(&encode(&U256::MAX)), Ok(U256::MAX));
    }

    #[test]
    fn damage_is_noticed() {
        assert!(decode::<u64>(&[0x80]).is_err());
        assert!(decode::<u64>(&[1, 1]).is_err());
        assert!(decode::<u64>(&[0xff; 10]).is_err());
        assert!(decode::<u16>(&encode(&70_000_u32)).is_err());
        assert!(decode::<Option<u64>>(&[2, 1]).is_err());
        assert!(decode::<Vec<B256>>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
        assert!(decode::<U256>(&[33]).is_err());
    }
}
