//! Layouts of [`TRANSACTIONS`](crate::tables::TRANSACTIONS) and
//! [`TX_POSITIONS`](crate::tables::TX_POSITIONS).
//!
//! The signed bytes of a transaction contain its calldata, its factory deps and most of what the
//! main node repeats beside them, so long byte strings that occur in the signed bytes are stored
//! as positions in those.

use lockstep_io::KeyRange;
use lockstep_types::{
    Bytes, Execute, Fee, L2BlockNumber, L2Common, ObsoletePriority, PaymasterParams,
    PriorityCommon, Transaction, TxCommon, TxHash, TxType, UpgradeCommon,
};

use super::{
    Decode, Encode, Malformed,
    bytes::{layout, take},
};

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TxPosition {
    /// The block.
    pub block: L2BlockNumber,
    /// Position in the block, from 0.
    pub index: u32,
}

layout!(TxPosition { block, index });
layout!(Fee { gas_limit, max_fee_per_gas, max_priority_fee_per_gas, gas_per_pubdata_limit });
layout!(ObsoletePriority { layer_2_tip_fee, full_fee, deadline_block, eth_hash });
layout!(PaymasterParams { paymaster, input });
layout!(PriorityCommon {
    hash,
    sender,
    serial_id,
    max_fee_per_gas,
    gas_limit,
    gas_per_pubdata_limit,
    to_mint,
    refund_recipient,
    eth_block,
    obsolete,
});
layout!(UpgradeCommon {
    hash,
    sender,
    upgrade,
    max_fee_per_gas,
    gas_limit,
    gas_per_pubdata_limit,
    to_mint,
    refund_recipient,
    eth_block,
    eth_hash,
});

/// Key of a position: block, then index.
pub(crate) fn position_key(position: TxPosition) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&position.block.0.to_be_bytes());
    key[4..].copy_from_slice(&position.index.to_be_bytes());
    key
}

/// The keys of all positions of `block`.
pub(crate) fn positions_of(block: L2BlockNumber) -> KeyRange {
    KeyRange::prefix(&block.0.to_be_bytes())
}

/// Byte strings shorter than this are stored as they are.
const SHARED_BYTES_MIN: usize = 32;

/// Appends `part`, as a position in `raw` where that is shorter.
fn encode_part(part: &[u8], raw: &[u8], out: &mut Vec<u8>) {
    let position =
        (part.len() >= SHARED_BYTES_MIN).then(|| memchr::memmem::find(raw, part)).flatten();
    match position {
        // 0 means that the bytes follow, anything else is a position in `raw`, from 1.
        Some(position) => {
            (position + 1).encode(out);
            part.len().encode(out);
        }
        None => {
            0_usize.encode(out);
            part.encode(out);
        }
    }
}

fn decode_part(input: &mut &[u8], raw: &Bytes) -> Result<Bytes, Malformed> {
    match usize::decode(input)? {
        0 => Bytes::decode(input),
        position => {
            let (start, count) = (position - 1, usize::decode(input)?);
            let end = start.checked_add(count).filter(|end| *end <= raw.len());
            let end = end.ok_or(Malformed("a part lies outside of the signed bytes"))?;
            Ok(raw.slice(start..end))
        }
    }
}

impl Encode for Transaction {
    fn encode(&self, out: &mut Vec<u8>) {
        let nothing = Bytes::new();
        let raw = self.raw.as_ref().unwrap_or(&nothing);
        self.raw.encode(out);
        match &self.common {
            TxCommon::L2(common) => {
                out.push(0);
                encode_l2(common, raw, out);
            }
            TxCommon::Priority(common) => {
                out.push(1);
                common.encode(out);
            }
            TxCommon::Upgrade(common) => {
                out.push(2);
                common.encode(out);
            }
        }
        let Execute { to, calldata, value, factory_deps } = &self.execute;
        to.encode(out);
        encode_part(calldata, raw, out);
        value.encode(out);
        factory_deps.len().encode(out);
        for dep in factory_deps {
            encode_part(dep, raw, out);
        }
        self.received_at_ms.encode(out);
    }
}

impl Decode for Transaction {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        let raw = Option::<Bytes>::decode(input)?;
        let nothing = Bytes::new();
        let signed = raw.as_ref().unwrap_or(&nothing);
        let common = match u8::decode(input)? {
            0 => TxCommon::L2(Box::new(decode_l2(input, signed)?)),
            1 => TxCommon::Priority(Box::new(Decode::decode(input)?)),
            2 => TxCommon::Upgrade(Box::new(Decode::decode(input)?)),
            _ => return Err(Malformed("there is no such kind of transaction")),
        };
        let to = Decode::decode(input)?;
        let calldata = decode_part(input, signed)?;
        let value = Decode::decode(input)?;
        let dep_count = usize::decode(input)?;
        let mut factory_deps = Vec::new();
        for _ in 0..dep_count {
            factory_deps.push(decode_part(input, signed)?);
        }
        let execute = Execute { to, calldata, value, factory_deps };
        let received_at_ms = Decode::decode(input)?;
        Ok(Self { common, execute, received_at_ms, raw })
    }
}

/// The hash of a stored transaction, without reading the rest.
pub(crate) fn tx_hash(mut row: &[u8]) -> Result<TxHash, Malformed> {
    if bool::decode(&mut row)? {
        let raw_bytes = usize::decode(&mut row)?;
        take(&mut row, raw_bytes)?;
    }
    // Every kind begins with it.
    match u8::decode(&mut row)? {
        0..=2 => TxHash::decode(&mut row),
        _ => Err(Malformed("there is no such kind of transaction")),
    }
}

fn encode_l2(common: &L2Common, raw: &[u8], out: &mut Vec<u8>) {
    let L2Common { hash, nonce, fee, initiator, signature, tx_type, input, paymaster } = common;
    hash.encode(out);
    nonce.encode(out);
    fee.encode(out);
    initiator.encode(out);
    encode_part(signature, raw, out);
    tx_type.byte().encode(out);
    input.is_some().encode(out);
    if let Some(input) = input {
        encode_part(input, raw, out);
    }
    paymaster.encode(out);
}

fn decode_l2(input: &mut &[u8], raw: &Bytes) -> Result<L2Common, Malformed> {
    Ok(L2Common {
        hash: Decode::decode(input)?,
        nonce: Decode::decode(input)?,
        fee: Decode::decode(input)?,
        initiator: Decode::decode(input)?,
        signature: decode_part(input, raw)?,
        tx_type: match u8::decode(input)? {
            0x00 => TxType::Legacy,
            0x01 => TxType::Eip2930,
            0x02 => TxType::Eip1559,
            0x71 => TxType::Eip712,
            _ => return Err(Malformed("there is no such transaction type")),
        },
        input: bool::decode(input)?.then(|| decode_part(input, raw)).transpose()?,
        paymaster: Decode::decode(input)?,
    })
}

#[cfg(test)]
mod tests {
    use lockstep_types::{Address, B256, TxHash, U256, alloy_primitives::b256, keccak256};

    use super::{
        super::{decode, encode, sample::Gen},
        *,
    };

    fn transaction(raw: &[u8], calldata: &[u8]) -> Transaction {
        Transaction {
            common: TxCommon::L2(Box::new(L2Common {
                hash: TxHash(B256::repeat_byte(1)),
                nonce: 5,
                fee: Fee {
                    gas_limit: U256::from(1),
                    max_fee_per_gas: U256::from(2),
                    max_priority_fee_per_gas: U256::from(3),
                    gas_per_pubdata_limit: U256::from(4),
                },
                initiator: Address::repeat_byte(6),
                signature: Bytes::from_static(&[7; 65]),
                tx_type: TxType::Eip1559,
                input: Some(Bytes::copy_from_slice(raw)),
                paymaster: PaymasterParams::default(),
            })),
            execute: Execute {
                to: None,
                calldata: Bytes::copy_from_slice(calldata),
                value: U256::from(9),
                factory_deps: vec![Bytes::from_static(&[3; 64])],
            },
            received_at_ms: 12,
            raw: Some(Bytes::copy_from_slice(raw)),
        }
    }

    #[test]
    fn what_the_signed_bytes_contain_is_stored_once() {
        let calldata: Vec<u8> = (0..=255).collect();
        let raw = [&[1, 2, 3][..], &calldata, &[4]].concat();
        let shared = transaction(&raw, &calldata);
        let bytes = encode(&shared);
        assert_eq!(decode::<Transaction>(&bytes), Ok(shared));
        assert!(bytes.len() < raw.len() + 256, "{}", bytes.len());
    }

    #[test]
    fn the_hash_is_found_without_reading_the_rest() {
        let mut draw = Gen::new(3);
        for _ in 0..200 {
            let tx: Transaction = draw.sample();
            assert_eq!(tx_hash(&encode(&tx)), Ok(tx.hash()));
        }
        assert!(tx_hash(&[0, 3]).is_err());
        assert!(tx_hash(&[1, 9, 0]).is_err());
    }

    #[test]
    fn what_the_signed_bytes_lack_is_stored_too() {
        let apart = transaction(&[1, 2, 3], &[9; 100]);
        assert_eq!(decode::<Transaction>(&encode(&apart)), Ok(apart));
    }

    #[test]
    fn a_part_outside_of_the_signed_bytes_is_damage() {
        let mut input: &[u8] = &[2, 40];
        assert!(decode_part(&mut input, &Bytes::from_static(&[0; 16])).is_err());
    }

    #[test]
    fn the_layout_has_not_changed() {
        let bytes = encode(&transaction(&[1, 2, 3], &[8]));
        let expected = b256!("25407a9ae5e4a2a7423e14ec0a1d0c52d2feae341dcf65e9c660ffe1a7662061");
        assert_eq!(keccak256(&bytes), expected);
    }
}
