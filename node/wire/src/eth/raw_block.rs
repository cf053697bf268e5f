//! Blocks and headers as `debug_getRawBlock` and `debug_getRawHeader` hand them out: Ethereum's
//! encoding of what `eth_getBlockByNumber` shows.
//!
//! The hash of a block of this chain is not the hash of this encoding.

use alloy_primitives::Bytes;
use alloy_rlp::{BufMut, EMPTY_LIST_CODE, Encodable, Header as ListHeader};

use super::Header;

impl Header {
    /// The RLP list of parent, uncles, beneficiary, the three roots, bloom, difficulty, number, gas
    /// limit, gas used, time, extra data, mix hash, nonce and base fee.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        self.put(&mut out);
        out.into()
    }

    fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Vec::new();
        for hash in [&self.parent_hash, &self.sha3_uncles] {
            hash.encode(&mut fields);
        }
        self.miner.encode(&mut fields);
        for root in [&self.state_root, &self.transactions_root, &self.receipts_root] {
            root.encode(&mut fields);
        }
        self.logs_bloom.encode(&mut fields);
        self.difficulty.encode(&mut fields);
        self.number.encode(&mut fields);
        self.gas_limit.encode(&mut fields);
        self.gas_used.encode(&mut fields);
        self.timestamp.encode(&mut fields);
        fields.put_u8(alloy_rlp::EMPTY_STRING_CODE);
        self.mix_hash.encode(&mut fields);
        self.nonce.encode(&mut fields);
        self.base_fee_per_gas.encode(&mut fields);
        put_list(&fields, out);
    }

    /// The RLP list of the header, `transactions` and no uncles. A transaction is given as it was
    /// signed: the oldest type is a list itself, any other becomes a string.
    pub fn encode_block(&self, transactions: &[Bytes]) -> Bytes {
        let mut encoded = Vec::new();
        for tx in transactions {
            let is_list = tx.first().is_some_and(|byte| *byte >= EMPTY_LIST_CODE && *byte != 0xff);
            if is_list {
                encoded.put_slice(tx);
            } else {
                tx.as_ref().encode(&mut encoded);
            }
        }
        let mut fields = Vec::new();
        self.put(&mut fields);
        put_list(&encoded, &mut fields);
        fields.put_u8(EMPTY_LIST_CODE);
        let mut out = Vec::new();
        put_list(&fields, &mut out);
        out.into()
    }
}

fn put_list(items: &[u8], out: &mut Vec<u8>) {
    ListHeader { list: true, payload_length: items.len() }.encode(out);
    out.put_slice(items);
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B64, B256, Bloom, U256};

    use super::*;
    use crate::eth::Block;

    fn header() -> Header {
        Header {
            hash: B256::ZERO,
            parent_hash: B256::repeat_byte(1),
            sha3_uncles: Block::NO_UNCLES,
            miner: Address::ZERO,
            state_root: B256::ZERO,
            transactions_root: B256::ZERO,
            receipts_root: B256::ZERO,
            number: 0x1234,
            l1_batch_number: None,
            gas_used: U256::from(7),
            gas_limit: U256::from(1_u64 << 50),
            base_fee_per_gas: U256::from(9),
            extra_data: Bytes::new(),
            logs_bloom: Bloom::ZERO,
            timestamp: 5,
            l1_batch_timestamp: None,
            difficulty: U256::ZERO,
            mix_hash: B256::ZERO,
            nonce: B64::ZERO,
        }
    }

    #[test]
    fn a_header_has_sixteen_fields() {
        let encoded = header().encode();
        let mut rest = encoded.as_ref();
        let mut fields = ListHeader::decode_bytes(&mut rest, true).unwrap();
        assert!(rest.is_empty());
        let mut lengths = Vec::new();
        while !fields.is_empty() {
            let field = ListHeader::decode(&mut fields).unwrap();
            lengths.push(field.payload_length);
            fields = &fields[field.payload_length..];
        }
        assert_eq!(lengths, [32, 32, 20, 32, 32, 32, 256, 0, 2, 7, 1, 1, 0, 32, 8, 1]);
    }

    #[test]
    fn a_block_holds_lists_as_they_are_and_everything_else_as_strings() {
        let txs = [[0xc1, 0x80].as_slice(), &[0x02, 0xc0], &[0xff, 0x01]];
        let txs = txs.map(Bytes::copy_from_slice);
        let encoded = header().encode_block(&txs);
        let end = [0xc8, 0xc1, 0x80, 0x82, 0x02, 0xc0, 0x82, 0xff, 0x01, 0xc0];
        assert_eq!(encoded[encoded.len() - end.len()..], end);
        let header = header().encode();
        assert_eq!(encoded[3..3 + header.len()], header);
    }
}
