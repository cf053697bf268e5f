//! Hashes of transactions that L1 requested: Keccak-256 of their canonical encoding.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use lockstep_types::{
    BytecodeHash, Execute, PriorityCommon, Transaction, TxCommon, TxHash, UpgradeCommon,
    bytecode::InvalidBytecode,
};

const WORD: usize = 32;
/// Words in the head of the encoded struct: ten numbers, four reserved, five offsets.
const HEAD_WORDS: usize = 19;

/// A bytecode of the transaction is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadFactoryDep {
    pub(super) index: usize,
    pub(super) source: InvalidBytecode,
}

/// What the hash of a transaction that L1 requested is made of, after the byte of its type; `None`
/// for any other transaction, and for one with a bytecode that is none.
pub fn requested_bytes(tx: &Transaction) -> Option<Bytes> {
    let head = match &tx.common {
        TxCommon::L2(_) => return None,
        TxCommon::Priority(common) => priority_head(common),
        TxCommon::Upgrade(common) => upgrade_head(common),
    };
    let encoded = head.encode(&tx.execute).ok()?;
    Some([&[head.tx_type], encoded.as_slice()].concat().into())
}

pub(super) fn priority_hash(
    common: &PriorityCommon,
    execute: &Execute,
) -> Result<TxHash, BadFactoryDep> {
    priority_head(common).hash(execute)
}

pub(super) fn upgrade_hash(
    common: &UpgradeCommon,
    execute: &Execute,
) -> Result<TxHash, BadFactoryDep> {
    upgrade_head(common).hash(execute)
}

fn priority_head(common: &PriorityCommon) -> Head {
    Head {
        tx_type: Transaction::PRIORITY_TYPE,
        from: common.sender,
        gas_limit: common.gas_limit,
        gas_per_pubdata_limit: common.gas_per_pubdata_limit,
        max_fee_per_gas: common.max_fee_per_gas,
        nonce: U256::from(common.serial_id),
        to_mint: common.to_mint,
        refund_recipient: common.refund_recipient,
    }
}

fn upgrade_head(common: &UpgradeCommon) -> Head {
    Head {
        tx_type: Transaction::UPGRADE_TYPE,
        from: common.sender,
        gas_limit: common.gas_limit,
        gas_per_pubdata_limit: common.gas_per_pubdata_limit,
        max_fee_per_gas: common.max_fee_per_gas,
        nonce: U256::from(common.upgrade.0),
        to_mint: common.to_mint,
        refund_recipient: common.refund_recipient,
    }
}

/// What both kinds have in common.
struct Head {
    tx_type: u8,
    from: Address,
    gas_limit: U256,
    gas_per_pubdata_limit: U256,
    max_fee_per_gas: U256,
    nonce: U256,
    to_mint: U256,
    refund_recipient: Address,
}

impl Head {
    fn hash(&self, execute: &Execute) -> Result<TxHash, BadFactoryDep> {
        Ok(TxHash(keccak256(self.encode(execute)?)))
    }

    fn encode(&self, execute: &Execute) -> Result<Vec<u8>, BadFactoryDep> {
        let deps = factory_dep_hashes(execute)?;
        let mut tail = Vec::new();
        let mut offset_of = |encoded: Vec<u8>| {
            let offset = U256::from(HEAD_WORDS * WORD + tail.len());
            tail.extend_from_slice(&encoded);
            offset
        };
        // Dynamic fields in their order; a signature, a paymaster's input and a reserved field
        // exist and are empty.
        let data = offset_of(bytes(&execute.calldata));
        let signature = offset_of(bytes(&[]));
        let factory_deps = offset_of(words(&deps));
        let paymaster_input = offset_of(bytes(&[]));
        let reserved_dynamic = offset_of(bytes(&[]));
        let number = |address: Address| U256::from_be_bytes(address.into_word().0);
        let head: [U256; HEAD_WORDS] = [
            U256::from(self.tx_type),
            number(self.from),
            number(execute.to.unwrap_or_default()),
            self.gas_limit,
            self.gas_per_pubdata_limit,
            self.max_fee_per_gas,
            U256::ZERO, // No tip.
            U256::ZERO, // No paymaster.
            self.nonce,
            execute.value,
            self.to_mint,
            number(self.refund_recipient),
            U256::ZERO,
            U256::ZERO,
            data,
            signature,
            factory_deps,
            paymaster_input,
            reserved_dynamic,
        ];
        let mut encoded = U256::from(WORD).to_be_bytes::<WORD>().to_vec();
        encoded.extend(head.iter().flat_map(U256::to_be_bytes::<WORD>));
        encoded.extend_from_slice(&tail);
        Ok(encoded)
    }
}

fn factory_dep_hashes(execute: &Execute) -> Result<Vec<B256>, BadFactoryDep> {
    let deps = execute.factory_deps.iter().enumerate();
    deps.map(|(index, dep)| match BytecodeHash::of_era(dep) {
        Ok(hash) => Ok(hash.0),
        Err(source) => Err(BadFactoryDep { index, source }),
    })
    .collect()
}

/// Length and content, padded to whole words.
fn bytes(content: &[u8]) -> Vec<u8> {
    let mut encoded = U256::from(content.len()).to_be_bytes::<WORD>().to_vec();
    encoded.extend_from_slice(content);
    encoded.resize(encoded.len().next_multiple_of(WORD), 0);
    encoded
}

/// Count and items.
fn words(items: &[B256]) -> Vec<u8> {
    let mut encoded = U256::from(items.len()).to_be_bytes::<WORD>().to_vec();
    encoded.extend(items.iter().flat_map(|item| item.0));
    encoded
}
