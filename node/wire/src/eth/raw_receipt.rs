//! Receipts as `debug_getRawReceipts` hands them out: Ethereum's encoding.

use alloy_primitives::{Bloom, Bytes};
use alloy_rlp::{BufMut, Encodable, Header};
use lockstep_types::Event;

/// What Ethereum's encoding of a receipt holds.
#[derive(Clone, Copy, Debug)]
pub struct RawReceipt<'a> {
    /// Type byte of the transaction; 0 is not written.
    pub tx_type: u8,
    /// Whether the transaction did what it was asked to.
    pub is_success: bool,
    /// Gas used by the block's transactions up to and including this one.
    pub cumulative_gas_used: u64,
    /// Bloom over the events.
    pub logs_bloom: Bloom,
    /// In order of emission.
    pub events: &'a [Event],
}

impl RawReceipt<'_> {
    /// The type byte, and the RLP list of status, gas, bloom and events.
    pub fn encode(&self) -> Bytes {
        let logs: Vec<Vec<u8>> = self.events.iter().map(log).collect();
        let mut fields = Vec::new();
        self.is_success.encode(&mut fields);
        self.cumulative_gas_used.encode(&mut fields);
        self.logs_bloom.encode(&mut fields);
        put_list(&logs.concat(), &mut fields);
        let mut out = Vec::new();
        if self.tx_type != 0 {
            out.put_u8(self.tx_type);
        }
        put_list(&fields, &mut out);
        out.into()
    }
}

fn log(event: &Event) -> Vec<u8> {
    let mut fields = Vec::new();
    event.address.encode(&mut fields);
    event.topics.encode(&mut fields);
    event.data.encode(&mut fields);
    let mut out = Vec::new();
    put_list(&fields, &mut out);
    out
}

fn put_list(items: &[u8], out: &mut Vec<u8>) {
    Header { list: true, payload_length: items.len() }.encode(out);
    out.put_slice(items);
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, hex, keccak256};

    use super::*;

    const NO_EVENTS: RawReceipt<'_> = RawReceipt {
        tx_type: 0,
        is_success: true,
        cumulative_gas_used: 21_000,
        logs_bloom: Bloom::ZERO,
        events: &[],
    };

    #[test]
    fn a_receipt_without_events_is_status_gas_bloom_and_nothing() {
        let mut expected = hex!("f90108 01 825208 b90100").to_vec();
        expected.extend([0; 256]);
        expected.push(0xc0);
        assert_eq!(NO_EVENTS.encode(), expected);
        let typed = RawReceipt { tx_type: 2, ..NO_EVENTS }.encode();
        assert_eq!((typed[0], &typed[1..]), (2, &expected[..]));
    }

    #[test]
    fn a_failure_has_status_nothing() {
        let failed = RawReceipt { is_success: false, ..NO_EVENTS }.encode();
        assert_eq!(failed[3], 0x80);
    }

    #[test]
    fn an_event_is_address_topics_and_data() {
        let event = Event {
            address: Address::repeat_byte(1),
            topics: vec![B256::repeat_byte(2), keccak256([])],
            data: Bytes::from_static(&[0xda]),
        };
        let encoded = log(&event);
        assert_eq!(encoded.len(), 2 + 21 + 2 + 2 * 33 + 2);
        assert_eq!(encoded[..3], [0xf8, 21 + 2 + 2 * 33 + 2, 0x94]);
        assert_eq!(encoded[23..26], [0xf8, 66, 0xa0]);
        assert_eq!(encoded[encoded.len() - 2..], [0x81, 0xda]);
    }
}
