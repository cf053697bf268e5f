//! Transactions without signature, as bytes.

use alloy_primitives::Bytes;
use alloy_rlp::{BufMut, Encodable, Header};

use super::FilledParts;

impl FilledParts {
    /// What a wallet signs: the list of its type, after the type byte, with an empty access list
    /// and, in the oldest type, with the chain id in the place of a signature (EIP-155).
    pub fn unsigned(&self) -> Bytes {
        let mut fields = Vec::new();
        let put = |item: &dyn Encodable, fields: &mut Vec<u8>| item.encode(fields);
        let price = self.gas_price.or(self.max_fee_per_gas).unwrap_or_default();
        let tip = self.max_priority_fee_per_gas.unwrap_or_default();
        if self.transaction_type != 0 {
            put(&self.chain_id, &mut fields);
        }
        put(&self.nonce, &mut fields);
        if self.transaction_type == 2 {
            put(&tip, &mut fields);
        }
        put(&price, &mut fields);
        put(&self.gas, &mut fields);
        match &self.to {
            Some(to) => put(to, &mut fields),
            None => fields.put_u8(alloy_rlp::EMPTY_STRING_CODE),
        }
        put(&self.value, &mut fields);
        put(&self.input.0.as_ref(), &mut fields);
        if self.transaction_type == 0 {
            put(&self.chain_id, &mut fields);
            fields.put_slice(&[alloy_rlp::EMPTY_STRING_CODE; 2]);
        } else {
            fields.put_u8(alloy_rlp::EMPTY_LIST_CODE);
        }
        let mut out = Vec::new();
        if let Some(byte) = u8::try_from(self.transaction_type).ok().filter(|byte| *byte != 0) {
            out.put_u8(byte);
        }
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.put_slice(&fields);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256, hex};

    use super::*;

    fn parts(transaction_type: u64) -> FilledParts {
        FilledParts {
            transaction_type,
            chain_id: U256::from(1),
            from: Address::ZERO,
            to: Some(Address::repeat_byte(0x35)),
            nonce: U256::from(9),
            gas: U256::from(21_000),
            gas_price: Some(U256::from(20_000_000_000_u64)),
            max_fee_per_gas: None,
            max_priority_fee_per_gas: None,
            value: U256::from(10_u64.pow(18)),
            input: Bytes::new(),
        }
    }

    /// The example of EIP-155.
    #[test]
    fn the_oldest_type_is_what_eip_155_says() {
        let expected = hex!(
            "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a7640000\
             80018080"
        );
        assert_eq!(parts(0).unsigned()[..], expected);
    }

    #[test]
    fn newer_types_begin_with_their_byte_and_chain_and_end_with_an_empty_list() {
        let fees = FilledParts {
            gas_price: None,
            max_fee_per_gas: Some(U256::from(7)),
            max_priority_fee_per_gas: Some(U256::from(3)),
            to: None,
            value: U256::ZERO,
            input: Bytes::from_static(&[0xda, 0xda]),
            ..parts(2)
        };
        assert_eq!(fees.unsigned()[..], hex!("02 cd 01 09 03 07 825208 80 80 82dada c0"));
        let one_price = FilledParts { value: U256::ZERO, ..parts(1) };
        let encoded = one_price.unsigned();
        assert_eq!((encoded[0], encoded[2], encoded[encoded.len() - 1]), (1, 1, 0xc0));
    }
}
