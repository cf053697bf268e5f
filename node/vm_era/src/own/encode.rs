//! Transactions and bytecodes as the bootloader reads them.

use std::collections::{BTreeMap, HashMap};

use lockstep_types::{Address, BytecodeHash, Bytes, L2Common, Transaction, TxCommon, TxType, U256};
use zksync_types::U256 as Word;

use super::words::{u256_of, word_of, word_of_address, words_of};

/// Gas that a transaction may compute with, at most.
pub(crate) const COMPUTE_GAS_MAX: u64 = 80_000_000;
/// Highest gas for a byte of pubdata; what Ethereum's envelopes, which say nothing of it, agree to.
const GAS_PER_PUBDATA_MAX: u64 = 50_000;
/// Gas for a place in the batch, and for a word of the bootloader's memory.
const PLACE_GAS: u64 = 10_000;
const WORD_GAS: u64 = 10;

/// A transaction in the bootloader's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TxFields {
    pub(crate) type_byte: u8,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) gas_limit: U256,
    pub(crate) gas_per_pubdata_limit: U256,
    pub(crate) max_fee_per_gas: U256,
    pub(crate) max_priority_fee_per_gas: U256,
    pub(crate) paymaster: Address,
    pub(crate) nonce: U256,
    pub(crate) value: U256,
    pub(crate) reserved: [U256; 4],
    pub(crate) input: Bytes,
    pub(crate) signature: Bytes,
    pub(crate) factory_deps: Vec<BytecodeHash>,
    pub(crate) paymaster_input: Bytes,
}

/// An encoded transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodedTx {
    pub(crate) words: Vec<Word>,
    /// Gas for its share of the batch.
    pub(crate) overhead: u64,
    /// Gas that it may compute with.
    pub(crate) compute_gas: Word,
    pub(crate) gas_limit: U256,
}

/// Whether bytecodes that come with it are published with the transaction itself.
pub(crate) fn publishes_bytecodes(tx: &Transaction) -> bool {
    matches!(tx.common, TxCommon::L2(_))
}

impl TxFields {
    /// Fields of `tx`, whose factory deps have these hashes.
    pub(crate) fn new(tx: &Transaction, factory_deps: Vec<BytecodeHash>) -> Self {
        let execute = &tx.execute;
        let fields = Self {
            type_byte: tx.type_byte(),
            from: tx.initiator(),
            to: execute.to.unwrap_or_default(),
            gas_limit: tx.gas_limit(),
            gas_per_pubdata_limit: tx.gas_per_pubdata_limit(),
            max_fee_per_gas: tx.max_fee_per_gas(),
            value: execute.value,
            input: execute.calldata.clone(),
            factory_deps,
            ..Self::default()
        };
        let from_l1 = |nonce: u64, to_mint: U256, refund_recipient: Address| {
            let recipient = U256::from_be_slice(refund_recipient.as_slice());
            let reserved = [to_mint, recipient, U256::ZERO, U256::ZERO];
            Self { nonce: U256::from(nonce), reserved, ..fields.clone() }
        };
        match &tx.common {
            TxCommon::L2(common) => {
                let signs_chain_id =
                    common.tx_type == TxType::Legacy && signs_chain_id(common, tx.raw.as_ref());
                let deploys = execute.to.is_none();
                let mut limit = fields.gas_per_pubdata_limit;
                if common.tx_type != TxType::Eip712 {
                    limit = U256::from(GAS_PER_PUBDATA_MAX);
                }
                Self {
                    gas_per_pubdata_limit: limit,
                    max_priority_fee_per_gas: common.fee.max_priority_fee_per_gas,
                    paymaster: common.paymaster.paymaster,
                    nonce: U256::from(common.nonce),
                    reserved: [
                        U256::from(signs_chain_id),
                        U256::from(deploys),
                        U256::ZERO,
                        U256::ZERO,
                    ],
                    signature: common.signature.clone(),
                    paymaster_input: common.paymaster.input.clone(),
                    ..fields
                }
            }
            TxCommon::Priority(common) => {
                from_l1(common.serial_id, common.to_mint, common.refund_recipient)
            }
            TxCommon::Upgrade(common) => {
                from_l1(u64::from(common.upgrade.0), common.to_mint, common.refund_recipient)
            }
        }
    }

    /// Encodes the fields as the only argument of a Solidity function.
    pub(crate) fn encode(&self) -> EncodedTx {
        let number = |number: u64| Word::from(number);
        let length = |length: usize| Word::from(length);
        let bytes = |bytes: &Bytes| {
            let mut tail = vec![length(bytes.len())];
            tail.extend(words_of(bytes));
            tail
        };
        let mut deps = vec![length(self.factory_deps.len())];
        deps.extend(self.factory_deps.iter().map(|hash| u256_of(hash.0)));
        let tails =
            [bytes(&self.input), bytes(&self.signature), deps, bytes(&self.paymaster_input)];
        let reserved_dynamic = vec![Word::zero()];

        let mut words = vec![
            number(32),
            number(u64::from(self.type_byte)),
            word_of_address(self.from),
            word_of_address(self.to),
            word_of(self.gas_limit),
            word_of(self.gas_per_pubdata_limit),
            word_of(self.max_fee_per_gas),
            word_of(self.max_priority_fee_per_gas),
            word_of_address(self.paymaster),
            word_of(self.nonce),
            word_of(self.value),
        ];
        words.extend(self.reserved.iter().copied().map(word_of));
        let tails: Vec<_> = tails.into_iter().chain([reserved_dynamic]).collect();
        let head_words = words.len() - 1 + tails.len();
        let mut offset = head_words;
        for tail in &tails {
            words.push(length(offset * 32));
            offset += tail.len();
        }
        words.extend(tails.into_iter().flatten());

        let overhead = overhead(words.len());
        let compute_gas = word_of(self.gas_limit).min(Word::from(COMPUTE_GAS_MAX));
        EncodedTx { words, overhead, compute_gas, gas_limit: self.gas_limit }
    }
}

/// Gas for the share of a batch that a transaction of this many words takes.
pub(crate) fn overhead(words: usize) -> u64 {
    PLACE_GAS.max(WORD_GAS * u64::try_from(words).unwrap_or(u64::MAX / WORD_GAS))
}

/// Whether the hash that a legacy transaction signed covers the chain id: then `v`, the seventh
/// field, is more than a parity.
fn signs_chain_id(common: &L2Common, raw: Option<&Bytes>) -> bool {
    let Some(signed) = common.input.as_ref().or(raw) else { return false };
    v_of_legacy(signed).is_some_and(|v| v >= 35)
}

fn v_of_legacy(signed: &[u8]) -> Option<u64> {
    let mut rest = signed;
    let list = alloy_rlp::Header::decode(&mut rest).ok().filter(|header| header.list)?;
    let mut fields = rest.get(..list.payload_length)?;
    for _ in 0..6 {
        let field = alloy_rlp::Header::decode(&mut fields).ok()?;
        fields = fields.get(field.payload_length..)?;
    }
    alloy_rlp::Decodable::decode(&mut fields).ok()
}

/// A bytecode and its compressed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) hash: BytecodeHash,
    words: Vec<Word>,
}

impl Compressed {
    /// Compresses `code`: a dictionary of its 8-byte chunks, most frequent first, and an index of
    /// two bytes for each chunk. `None` if it has more different chunks than fit.
    pub(crate) fn new(hash: BytecodeHash, code: &[u8]) -> Option<Self> {
        let (chunks, []) = code.as_chunks::<8>() else { return None };
        // By chunk: how often it comes, and where first.
        let mut counts: HashMap<[u8; 8], (usize, usize)> = HashMap::new();
        for (position, chunk) in chunks.iter().enumerate() {
            counts.entry(*chunk).or_insert((0, position)).0 += 1;
        }
        let by_rank: BTreeMap<_, _> = counts.iter().map(|(chunk, rank)| (*rank, *chunk)).collect();
        let count = u16::try_from(by_rank.len()).ok()?;
        let mut compressed = count.to_be_bytes().to_vec();
        let mut indices: HashMap<[u8; 8], u16> = HashMap::new();
        for (index, chunk) in (0..count).zip(by_rank.into_values().rev()) {
            compressed.extend_from_slice(&chunk);
            indices.insert(chunk, index);
        }
        for chunk in chunks {
            compressed.extend_from_slice(&indices.get(chunk)?.to_be_bytes());
        }
        Some(Self { hash, words: publication(hash, code, &compressed) })
    }

    /// Words that the bootloader reads: the hash, and the arguments of a call that publishes it.
    pub(crate) fn words(&self) -> &[Word] {
        &self.words
    }
}

fn publication(hash: BytecodeHash, code: &[u8], compressed: &[u8]) -> Vec<Word> {
    let length = |bytes: &[u8]| Word::from(bytes.len());
    let second = 64 + 32 + code.len().next_multiple_of(32);
    // The word after the hash is where the bootloader puts the selector.
    let mut words = vec![u256_of(hash.0), Word::zero(), Word::from(64), Word::from(second)];
    for bytes in [code, compressed] {
        words.push(length(bytes));
        words.extend(words_of(bytes));
    }
    words
}

#[cfg(test)]
mod tests {
    use lockstep_types::alloy_primitives::hex;
    use zksync_types::fee::encoding_len;

    use super::*;

    #[test]
    fn an_encoded_transaction_has_the_length_that_its_overhead_is_charged_for() {
        let fields = TxFields {
            input: vec![1; 65].into(),
            signature: vec![2; 65].into(),
            factory_deps: vec![BytecodeHash::default(); 2],
            paymaster_input: vec![3; 85].into(),
            ..TxFields::default()
        };
        assert_eq!(fields.encode().words.len(), encoding_len(65, 65, 2, 85, 0));
        assert_eq!(TxFields::default().encode().words.len(), encoding_len(0, 0, 0, 0, 0));
        assert_eq!(overhead(100), 10_000);
        assert_eq!(overhead(1_001), 10_010);
    }

    #[test]
    fn frequent_chunks_come_first_and_of_equals_the_later() {
        let code = hex!("0000000000000000 1111111111111111 1111111111111111 2222222222222222");
        let compressed = Compressed::new(BytecodeHash::default(), &code).unwrap();
        let expected =
            hex!("0003 1111111111111111 2222222222222222 0000000000000000 0002 0000 0000 0001");
        let words: Vec<_> = words_of(&expected).collect();
        let tail = &compressed.words()[6..];
        assert_eq!(tail[0], Word::from(expected.len()));
        assert_eq!(&tail[1..], words);
    }

    #[test]
    fn only_a_protected_legacy_transaction_signs_the_chain_id() {
        let signed = |v: &str| {
            let fields = format!("0102038080{v}0101");
            let fields = format!("80{fields}");
            let bytes = alloy_primitives_hex(&fields);
            let mut list = vec![0xc0 + u8::try_from(bytes.len()).unwrap()];
            list.extend(bytes);
            list
        };
        assert_eq!(v_of_legacy(&signed("1b")), Some(27));
        assert_eq!(v_of_legacy(&signed("82022b")), Some(0x22b));
        assert_eq!(v_of_legacy(&[0xc1, 0x01]), None);
        assert_eq!(v_of_legacy(&[]), None);
        assert_eq!(v_of_legacy(&[0xff; 9]), None);
    }

    fn alloy_primitives_hex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }
}
