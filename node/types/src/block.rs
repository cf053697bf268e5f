//! L2 blocks: what the main node says of one, and what running it adds.

use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};

use crate::{
    BytecodeHash, ChainId, L1BatchNumber, L2BlockHash, L2BlockNumber, ProtocolVersion, Transaction,
    TxHash, UnixSeconds,
};

/// Hashes of the bytecodes that run a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BaseSystemContracts {
    /// The bootloader.
    pub bootloader: BytecodeHash,
    /// Code of accounts without code.
    pub default_account: BytecodeHash,
    /// The EVM emulator, where the chain has one.
    pub evm_emulator: Option<BytecodeHash>,
}

/// Prices that the operator set for a batch, in wei.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeeInput {
    /// Price of a unit of gas on L1.
    pub l1_gas_price: u64,
    /// Lowest price of a unit of gas on L2.
    pub fair_l2_gas_price: u64,
    /// Price of a byte of pubdata. Absent before v20, where it follows from the L1 gas price.
    pub fair_pubdata_price: Option<u64>,
}

/// Where a chain's pubdata goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PubdataType {
    /// To the settlement layer.
    #[default]
    Rollup,
    /// Nowhere.
    NoDa,
    /// To Avail.
    Avail,
    /// To Celestia.
    Celestia,
    /// To EigenDA.
    Eigen,
    /// To an object store.
    ObjectStore,
}

/// Who checks that pubdata is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaValidator {
    /// A contract on L2 (before v31).
    Address(Address),
    /// A commitment scheme by its number (from v31 on).
    Scheme(u8),
}

/// How a batch's pubdata is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubdataParams {
    /// Who checks availability.
    pub validator: DaValidator,
    /// Where pubdata goes.
    pub pubdata_type: PubdataType,
}

impl Default for PubdataParams {
    fn default() -> Self {
        Self { validator: DaValidator::Address(Address::ZERO), pubdata_type: PubdataType::Rollup }
    }
}

/// A message root of another chain that becomes known in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InteropRoot {
    /// The other chain.
    pub chain_id: u32,
    /// Its block or batch.
    pub block_number: u32,
    /// The root; one element today.
    pub sides: Vec<B256>,
}

/// The chain a batch settles on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettlementLayer {
    /// L1 itself.
    L1(ChainId),
    /// A gateway chain.
    Gateway(ChainId),
}

/// What the main node decided about a block, apart from its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockParams {
    /// Number of the block.
    pub number: L2BlockNumber,
    /// Batch that the block belongs to.
    pub batch: L1BatchNumber,
    /// Whether this is the fictive block that ends its batch.
    pub is_fictive: bool,
    /// When the block was made, as the bootloader saw it.
    pub timestamp: UnixSeconds,
    /// Prices of the batch.
    pub fee_input: FeeInput,
    /// Bytecodes of the batch.
    pub base_system_contracts: BaseSystemContracts,
    /// Receives the fees of the batch.
    pub fee_account: Address,
    /// Virtual blocks that begin with this block.
    pub virtual_block_count: u32,
    /// Rules of the batch.
    pub version: ProtocolVersion,
    /// How the batch's pubdata is published.
    pub pubdata_params: PubdataParams,
    /// Most pubdata the batch may have, bytes. Informational, from v29 on.
    pub pubdata_bytes_max: Option<u64>,
    /// Message roots that become known in this block, in order (from v29 on).
    pub interop_roots: Vec<InteropRoot>,
    /// Where the batch settles (from v31 on).
    pub settlement_layer: Option<SettlementLayer>,
    /// Fee for interop calls (from v31 on).
    pub interop_fee: Option<U256>,
}

/// A block that has been checked against its own hash: the hash was recomputed from the number,
/// the timestamp, the parent and the transaction hashes, and each of those from its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedBlock {
    /// What the main node decided.
    pub params: BlockParams,
    /// Hash of the block.
    pub hash: L2BlockHash,
    /// Hash of the block before.
    pub parent: L2BlockHash,
    /// Transactions in execution order; empty only in a fictive block.
    pub transactions: Vec<Transaction>,
}

/// A checked block together with the bytecodes that it needs and no transaction brings: base
/// system contracts of a new version. Each was checked against its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockToRun {
    /// The block.
    pub block: FetchedBlock,
    /// Bytecodes, as stored; empty for nearly every block.
    pub bytecodes: Vec<(BytecodeHash, Bytes)>,
}

/// A block of ours: checked and run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the main node decided.
    pub params: BlockParams,
    /// Hash of the block.
    pub hash: L2BlockHash,
    /// Hash of the block before; zero for genesis.
    pub parent: L2BlockHash,
    /// Number of priority operations.
    pub l1_tx_count: u32,
    /// Number of all other transactions, the upgrade transaction included.
    pub l2_tx_count: u32,
    /// Index in the batch of the block's first transaction.
    pub first_tx_index_in_batch: u32,
    /// Price of a unit of gas in the batch, wei.
    pub base_fee_per_gas: u64,
    /// Gas for a byte of pubdata, at most.
    pub gas_per_pubdata_limit: u64,
    /// Gas of a batch.
    pub gas_limit: u64,
    /// Gas used by the block's transactions.
    pub gas_used: u64,
    /// Bloom over the block's events.
    pub logs_bloom: Bloom,
    /// Number of the block's events.
    pub event_count: u32,
    /// Number of the block's user L2→L1 logs.
    pub l2_to_l1_log_count: u32,
}

impl BlockHeader {
    /// Number of all transactions.
    pub fn tx_count(&self) -> u32 {
        self.l1_tx_count + self.l2_tx_count
    }
}

/// What an L2 block's hash is made of.
#[derive(Debug)]
pub struct BlockHashInput<'a> {
    /// Number of the block.
    pub number: L2BlockNumber,
    /// When it was made.
    pub timestamp: UnixSeconds,
    /// Hash of the block before.
    pub parent: L2BlockHash,
    /// Hashes of the block's transactions, in execution order.
    pub tx_hashes: &'a [TxHash],
}

/// Computes the hash of an L2 block by the rule of its protocol version.
///
/// Genesis (block 0) has the hash of its number in every version. Versions after the newest known
/// one keep the newest rule: the hash is compared with the announced one, so a changed rule shows.
pub fn block_hash(input: &BlockHashInput<'_>, version: ProtocolVersion) -> L2BlockHash {
    if input.number == L2BlockNumber(0) || version < ProtocolVersion::CHAINED_BLOCK_HASHES {
        return legacy_block_hash(input.number);
    }
    let mut rolling = B256::ZERO;
    for tx_hash in input.tx_hashes {
        rolling = keccak256([rolling.0, tx_hash.0.0].concat());
    }
    let mut bytes = [0; 128];
    bytes[28..32].copy_from_slice(&input.number.0.to_be_bytes());
    bytes[56..64].copy_from_slice(&input.timestamp.0.to_be_bytes());
    bytes[64..96].copy_from_slice(input.parent.bytes());
    bytes[96..].copy_from_slice(rolling.as_slice());
    L2BlockHash(keccak256(bytes))
}

/// The hash of a block before v13, and of genesis: Keccak-256 of the number as four bytes.
pub fn legacy_block_hash(number: L2BlockNumber) -> L2BlockHash {
    L2BlockHash(keccak256(number.0.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    #[test]
    fn genesis_hash_is_the_same_on_every_chain() {
        let input = BlockHashInput {
            number: L2BlockNumber(0),
            timestamp: UnixSeconds(5),
            parent: L2BlockHash::default(),
            tx_hashes: &[],
        };
        let expected = b256!("e8e77626586f73b955364c7b4bbf0bb7f7685ebd40e852b164633a4acbd3244c");
        assert_eq!(block_hash(&input, ProtocolVersion(29)), L2BlockHash(expected));
    }

    #[test]
    fn legacy_hash_equals_the_published_one() {
        let hash = legacy_block_hash(L2BlockNumber(11_470_850));
        assert!(hash.to_string().starts_with("0x6a13b75b"), "{hash}");
        assert!(hash.to_string().ends_with("6099"), "{hash}");
    }
}
