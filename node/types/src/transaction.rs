//! Transactions as the main node hands them on: everything needed to run, serve and re-serve one.

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::{ProtocolVersion, TxHash};

/// A transaction of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What depends on where the transaction came from.
    pub common: TxCommon,
    /// What it does.
    pub execute: Execute,
    /// When a node first saw it, milliseconds since the Unix epoch. Informational.
    pub received_at_ms: u64,
    /// The signed bytes, as submitted. Absent for transactions from L1 and for very old ones.
    pub raw: Option<Bytes>,
}

/// What a transaction does, whatever its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execute {
    /// Target; `None` deploys EVM code.
    pub to: Option<Address>,
    /// Input of the call.
    pub calldata: Bytes,
    /// Base token sent along.
    pub value: U256,
    /// Bytecodes that the transaction makes available.
    pub factory_deps: Vec<Bytes>,
}

/// What depends on where a transaction came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxCommon {
    /// Signed by an account of the chain.
    L2(Box<L2Common>),
    /// Priority operation, requested on L1.
    Priority(Box<PriorityCommon>),
    /// First transaction of a batch with a new protocol version.
    Upgrade(Box<UpgradeCommon>),
}

/// Fee terms of an L2 transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    /// Gas the transaction may use.
    pub gas_limit: U256,
    /// Highest price of a unit of gas.
    pub max_fee_per_gas: U256,
    /// Highest tip for a unit of gas; nothing is paid for it.
    pub max_priority_fee_per_gas: U256,
    /// Highest gas for a byte of pubdata.
    pub gas_per_pubdata_limit: U256,
}

/// Envelope of an L2 transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxType {
    /// Type 0x00.
    Legacy,
    /// Type 0x01; historical only.
    Eip2930,
    /// Type 0x02.
    Eip1559,
    /// Type 0x71, with paymaster, custom signature and factory deps.
    Eip712,
}

/// Who pays instead of the sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymasterParams {
    /// Zero if nobody does.
    pub paymaster: Address,
    /// What the paymaster is told.
    pub input: Bytes,
}

/// Signed by an account of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L2Common {
    /// Hash of the transaction.
    pub hash: TxHash,
    /// The sender's nonce.
    pub nonce: u32,
    /// Fee terms.
    pub fee: Fee,
    /// The sender.
    pub initiator: Address,
    /// 65-byte `r ‖ s ‖ v`, or whatever a custom account accepts.
    pub signature: Bytes,
    /// Envelope.
    pub tx_type: TxType,
    /// The bytes that were hashed, when the main node kept them.
    pub input: Option<Bytes>,
    /// Who pays.
    pub paymaster: PaymasterParams,
}

/// Requested on L1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityCommon {
    /// Keccak-256 of the canonical encoding.
    pub hash: TxHash,
    /// The (aliased) sender.
    pub sender: Address,
    /// Position in the priority queue, from 0.
    pub serial_id: u64,
    /// Highest price of a unit of gas.
    pub max_fee_per_gas: U256,
    /// Gas the transaction may use.
    pub gas_limit: U256,
    /// Gas for a byte of pubdata.
    pub gas_per_pubdata_limit: U256,
    /// Base token minted for the transaction.
    pub to_mint: U256,
    /// Receives what is left.
    pub refund_recipient: Address,
    /// L1 block of the request. Informational.
    pub eth_block: u64,
    /// Fields that say nothing any more and are handed on as they came.
    pub obsolete: ObsoletePriority,
}

/// Fields of a priority operation that nothing reads any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObsoletePriority {
    /// `layer2TipFee`.
    pub layer_2_tip_fee: U256,
    /// `fullFee`.
    pub full_fee: U256,
    /// `deadlineBlock`.
    pub deadline_block: u64,
    /// `ethHash`.
    pub eth_hash: B256,
}

/// First transaction of a batch with a new protocol version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeCommon {
    /// Keccak-256 of the canonical encoding.
    pub hash: TxHash,
    /// The force deployer.
    pub sender: Address,
    /// The version that begins with this transaction; its position in the upgrade queue.
    pub upgrade: ProtocolVersion,
    /// Price of a unit of gas.
    pub max_fee_per_gas: U256,
    /// Gas the transaction may use.
    pub gas_limit: U256,
    /// Gas for a byte of pubdata.
    pub gas_per_pubdata_limit: U256,
    /// Base token minted for the transaction.
    pub to_mint: U256,
    /// Receives what is left.
    pub refund_recipient: Address,
    /// L1 block of the upgrade. Informational.
    pub eth_block: u64,
    /// Obsolete `ethHash`.
    pub eth_hash: B256,
}

impl TxType {
    /// The envelope's byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Legacy => 0x00,
            Self::Eip2930 => 0x01,
            Self::Eip1559 => 0x02,
            Self::Eip712 => 0x71,
        }
    }
}

impl Transaction {
    /// Type byte of a priority operation.
    pub const PRIORITY_TYPE: u8 = 0xff;
    /// Type byte of an upgrade transaction.
    pub const UPGRADE_TYPE: u8 = 0xfe;

    /// Hash of the transaction.
    pub fn hash(&self) -> TxHash {
        match &self.common {
            TxCommon::L2(common) => common.hash,
            TxCommon::Priority(common) => common.hash,
            TxCommon::Upgrade(common) => common.hash,
        }
    }

    /// Who started it.
    pub fn initiator(&self) -> Address {
        match &self.common {
            TxCommon::L2(common) => common.initiator,
            TxCommon::Priority(common) => common.sender,
            TxCommon::Upgrade(common) => common.sender,
        }
    }

    /// Type byte.
    pub fn type_byte(&self) -> u8 {
        match &self.common {
            TxCommon::L2(common) => common.tx_type.byte(),
            TxCommon::Priority(_) => Self::PRIORITY_TYPE,
            TxCommon::Upgrade(_) => Self::UPGRADE_TYPE,
        }
    }

    /// Gas the transaction may use.
    pub fn gas_limit(&self) -> U256 {
        match &self.common {
            TxCommon::L2(common) => common.fee.gas_limit,
            TxCommon::Priority(common) => common.gas_limit,
            TxCommon::Upgrade(common) => common.gas_limit,
        }
    }

    /// Highest price of a unit of gas.
    pub fn max_fee_per_gas(&self) -> U256 {
        match &self.common {
            TxCommon::L2(common) => common.fee.max_fee_per_gas,
            TxCommon::Priority(common) => common.max_fee_per_gas,
            TxCommon::Upgrade(common) => common.max_fee_per_gas,
        }
    }

    /// Highest gas for a byte of pubdata.
    pub fn gas_per_pubdata_limit(&self) -> U256 {
        match &self.common {
            TxCommon::L2(common) => common.fee.gas_per_pubdata_limit,
            TxCommon::Priority(common) => common.gas_per_pubdata_limit,
            TxCommon::Upgrade(common) => common.gas_per_pubdata_limit,
        }
    }

    /// Whether it is a priority operation. Upgrade transactions are not.
    pub fn is_priority(&self) -> bool {
        matches!(self.common, TxCommon::Priority(_))
    }

    /// What a unit of gas cost when the batch's base fee was `base_fee_per_gas`.
    ///
    /// Transactions from L1 pay what they promised; others the base fee, tips are not charged.
    pub fn effective_gas_price(&self, base_fee_per_gas: u64) -> U256 {
        match &self.common {
            TxCommon::L2(_) => U256::from(base_fee_per_gas),
            TxCommon::Priority(common) => common.max_fee_per_gas,
            TxCommon::Upgrade(common) => common.max_fee_per_gas,
        }
    }
}
