//! Layout of [`BLOCKS`](crate::tables::BLOCKS).

use lockstep_types::{
    Address, BaseSystemContracts, BlockHeader, BlockParams, Bloom, DaValidator, FeeInput,
    InteropRoot, PubdataParams, PubdataType, SettlementLayer,
};

use super::{
    Decode, Encode, Malformed,
    bytes::{layout, take},
};

layout!(BaseSystemContracts { bootloader, default_account, evm_emulator });
layout!(FeeInput { l1_gas_price, fair_l2_gas_price, fair_pubdata_price });
layout!(InteropRoot { chain_id, block_number, sides });
layout!(PubdataParams { validator, pubdata_type });
layout!(BlockParams {
    number,
    batch,
    is_fictive,
    timestamp,
    fee_input,
    base_system_contracts,
    fee_account,
    virtual_block_count,
    version,
    pubdata_params,
    pubdata_bytes_max,
    interop_roots,
    settlement_layer,
    interop_fee,
});
layout!(BlockHeader {
    params,
    hash,
    parent,
    l1_tx_count,
    l2_tx_count,
    first_tx_index_in_batch,
    base_fee_per_gas,
    gas_per_pubdata_limit,
    gas_limit,
    gas_used,
    logs_bloom,
    event_count,
    l2_to_l1_log_count,
});

impl Encode for PubdataType {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Rollup => 0,
            Self::NoDa => 1,
            Self::Avail => 2,
            Self::Celestia => 3,
            Self::Eigen => 4,
            Self::ObjectStore => 5,
        });
    }
}

impl Decode for PubdataType {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(match u8::decode(input)? {
            0 => Self::Rollup,
            1 => Self::NoDa,
            2 => Self::Avail,
            3 => Self::Celestia,
            4 => Self::Eigen,
            5 => Self::ObjectStore,
            _ => return Err(Malformed("there is no such pubdata type")),
        })
    }
}

impl Encode for DaValidator {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Address(address) => {
                out.push(0);
                address.encode(out);
            }
            Self::Scheme(scheme) => out.extend([1, *scheme]),
        }
    }
}

impl Decode for DaValidator {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        match u8::decode(input)? {
            0 => Address::decode(input).map(Self::Address),
            1 => u8::decode(input).map(Self::Scheme),
            _ => Err(Malformed("there is no such kind of DA validator")),
        }
    }
}

impl Encode for SettlementLayer {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, chain) = match self {
            Self::L1(chain) => (0, chain),
            Self::Gateway(chain) => (1, chain),
        };
        out.push(kind);
        chain.encode(out);
    }
}

impl Decode for SettlementLayer {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        match u8::decode(input)? {
            0 => Decode::decode(input).map(Self::L1),
            1 => Decode::decode(input).map(Self::Gateway),
            _ => Err(Malformed("there is no such kind of settlement layer")),
        }
    }
}

/// Most blooms are nearly empty: the positions of set bytes are shorter than 256 bytes.
impl Encode for Bloom {
    fn encode(&self, out: &mut Vec<u8>) {
        let set: Vec<_> =
            self.0.iter().zip(0_u8..=u8::MAX).filter(|(byte, _)| **byte != 0).collect();
        if set.len() < 128 {
            set.len().encode(out);
            for (byte, position) in set {
                out.extend([position, *byte]);
            }
        } else {
            256_usize.encode(out);
            out.extend_from_slice(self.as_slice());
        }
    }
}

impl Decode for Bloom {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        match usize::decode(input)? {
            256 => Ok(Self::from_slice(take(input, 256)?)),
            count if count < 128 => {
                let mut bloom = Self::ZERO;
                for _ in 0..count {
                    let position = usize::from(u8::decode(input)?);
                    bloom.0[position] = u8::decode(input)?;
                }
                Ok(bloom)
            }
            _ => Err(Malformed("a bloom has an impossible size")),
        }
    }
}
