//! Layout of [`STEPS`](crate::tables::STEPS).

use lockstep_types::{BatchSteps, Finality, StepTx};

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
