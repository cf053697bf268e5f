//! Layout of [`RECEIPTS`](crate::tables::RECEIPTS).

use lockstep_types::{Event, Receipt, TxStatus};

use super::{Decode, Encode, Malformed, bytes::layout};

layout!(Event { address, topics, data });
layout!(Receipt {
    status,
    gas_refunded,
    contract_address,
    first_event_index,
    events,
    first_l2_to_l1_log_index,
    l2_to_l1_logs,
});

impl Encode for TxStatus {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Success => out.push(1),
            Self::Reverted { reason } => {
                out.push(0);
                reason.encode(out);
            }
        }
    }
}

impl Decode for TxStatus {
    fn decode(input: &mut &[u8]) -> Result<Self, Malformed> {
        match u8::decode(input)? {
            1 => Ok(Self::Success),
            0 => Ok(Self::Reverted { reason: String::decode(input)? }),
            _ => Err(Malformed("a status is neither 0 nor 1")),
        }
    }
}
