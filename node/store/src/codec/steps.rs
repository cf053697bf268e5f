//! Layouts of [`STEPS`](crate::tables::STEPS) and [`L1_CHECKS`](crate::tables::L1_CHECKS).

use lockstep_types::{BatchSteps, Finality, L1Check, StepTx};

use super::{Decode, Encode, Malformed, bytes::layout};

layout!(StepTx { tx_hash, at, chain_id, finality });
layout!(BatchSteps { commit, prove, execute });

impl Encode for Finality {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Pending => 0,
            Self::FastFinalized => 1,
            Self::Finalized => 2,
        });
    }
}

impl Decode for Finality {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(match u8::decode(input)? {
            0 => Self::Pending,
            1 => Self::FastFinalized,
            2 => Self::Finalized,
            _ => return Err(Malformed("there is no such finality")),
        })
    }
}

impl Encode for L1Check {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Equal { tx_hash } => {
                out.push(0);
                tx_hash.encode(out);
            }
            Self::NotChecked { settles_on } => {
                out.push(1);
                settles_on.encode(out);
            }
            Self::Tolerated { tx_hash } => {
                out.push(2);
                tx_hash.encode(out);
            }
        }
    }
}

impl Decode for L1Check {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(match u8::decode(input)? {
            0 => Self::Equal { tx_hash: Decode::decode(input)? },
            1 => Self::NotChecked { settles_on: Decode::decode(input)? },
            2 => Self::Tolerated { tx_hash: Decode::decode(input)? },
            _ => return Err(Malformed("there is no such outcome of a check")),
        })
    }
}
