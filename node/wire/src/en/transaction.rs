//! Transactions as a main node hands them on: in blocks and in `zks_getRawBlockTransactions`.

use alloy_primitives::{Address, B256, Bytes, U256};
use lockstep_types::{
    Execute, Fee, L2Common, PaymasterParams, PriorityCommon, Transaction, TxCommon, TxHash, TxType,
    UpgradeCommon, transaction::ObsoletePriority,
};
use serde::{Deserialize, Serialize};

use super::{VersionName, bytes_array};

/// A transaction of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionJson {
    /// What depends on where the transaction came from.
    pub common_data: CommonDataJson,
    /// What it does.
    pub execute: ExecuteJson,
    /// When a node first saw it, milliseconds since the Unix epoch.
    #[serde(default)]
    pub received_timestamp_ms: u64,
    /// The signed bytes.
    #[serde(default)]
    pub raw_bytes: Option<Bytes>,
}

/// What depends on where a transaction came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommonDataJson {
    /// Signed by an account of the chain.
    L2(Box<L2CommonJson>),
    /// Priority operation.
    L1(Box<L1CommonJson>),
    /// Upgrade transaction.
    ProtocolUpgrade(Box<UpgradeCommonJson>),
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecuteJson {
    /// Target; `None` deploys EVM code.
    #[serde(default)]
    pub contract_address: Option<Address>,
    /// Input of the call.
    pub calldata: Bytes,
    /// Base token sent along.
    pub value: U256,
    /// Bytecodes that become available.
    #[serde(default, with = "bytes_array::list")]
    pub factory_deps: Vec<Bytes>,
}

/// Signed by an account of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L2CommonJson {
    /// The sender's nonce.
    pub nonce: u32,
    /// Fee terms.
    pub fee: FeeJson,
    /// The sender.
    pub initiator_address: Address,
    /// Signature bytes.
    #[serde(with = "bytes_array")]
    pub signature: Bytes,
    /// Envelope.
    pub transaction_type: TxTypeJson,
    /// The bytes that were hashed, with their hash.
    #[serde(default)]
    pub input: Option<InputJson>,
    /// Who pays.
    #[serde(default)]
    pub paymaster_params: PaymasterParamsJson,
}

/// Fee terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeJson {
    /// Gas the transaction may use.
    pub gas_limit: U256,
    /// Highest price of a unit of gas.
    pub max_fee_per_gas: U256,
    /// Highest tip.
    pub max_priority_fee_per_gas: U256,
    /// Highest gas for a byte of pubdata.
    pub gas_per_pubdata_limit: U256,
}

/// The bytes that were hashed, with their hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputJson {
    /// Hash of the transaction.
    pub hash: B256,
    /// May be empty in old blocks.
    #[serde(default, with = "bytes_array")]
    pub data: Bytes,
}

/// Who pays instead of the sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymasterParamsJson {
    /// Zero if nobody does.
    #[serde(default)]
    pub paymaster: Address,
    /// What the paymaster is told.
    #[serde(default, with = "bytes_array")]
    pub paymaster_input: Bytes,
}

/// Envelope by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxTypeJson {
    /// Type 0x00.
    #[serde(rename = "LegacyTransaction")]
    Legacy,
    /// Type 0x01.
    #[serde(rename = "EIP2930Transaction")]
    Eip2930,
    /// Type 0x02.
    #[serde(rename = "EIP1559Transaction")]
    Eip1559,
    /// Type 0x71.
    #[serde(rename = "EIP712Transaction")]
    Eip712,
}

/// Requested on L1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1CommonJson {
    /// The (aliased) sender.
    pub sender: Address,
    /// Position in the priority queue.
    pub serial_id: u64,
    /// Obsolete.
    #[serde(default)]
    pub layer_2_tip_fee: U256,
    /// Obsolete.
    #[serde(default)]
    pub full_fee: U256,
    /// Highest price of a unit of gas.
    pub max_fee_per_gas: U256,
    /// Gas the transaction may use.
    pub gas_limit: U256,
    /// Gas for a byte of pubdata.
    pub gas_per_pubdata_limit: U256,
    /// Obsolete; one value only.
    #[serde(default)]
    pub op_processing_type: OpProcessingTypeJson,
    /// Obsolete; one value only.
    #[serde(default)]
    pub priority_queue_type: PriorityQueueTypeJson,
    /// Hash of the transaction.
    pub canonical_tx_hash: B256,
    /// Base token minted for the transaction.
    pub to_mint: U256,
    /// Receives what is left.
    pub refund_recipient: Address,
    /// Obsolete.
    #[serde(default)]
    pub deadline_block: u64,
    /// Obsolete.
    #[serde(default)]
    pub eth_hash: B256,
    /// L1 block of the request.
    #[serde(default)]
    pub eth_block: u64,
}

/// The only way in which priority operations were ever processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpProcessingTypeJson {
    /// That way.
    #[default]
    #[serde(other)]
    Common,
}

/// The only kind of priority queue that was ever used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PriorityQueueTypeJson {
    /// That kind.
    #[default]
    #[serde(other)]
    Deque,
}

/// First transaction of a batch with a new protocol version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeCommonJson {
    /// The force deployer.
    pub sender: Address,
    /// The version that begins.
    pub upgrade_id: VersionName,
    /// Price of a unit of gas.
    pub max_fee_per_gas: U256,
    /// Gas the transaction may use.
    pub gas_limit: U256,
    /// Gas for a byte of pubdata.
    pub gas_per_pubdata_limit: U256,
    /// Hash of the transaction.
    pub canonical_tx_hash: B256,
    /// Base token minted for the transaction.
    pub to_mint: U256,
    /// Receives what is left.
    pub refund_recipient: Address,
    /// Obsolete.
    #[serde(default)]
    pub eth_hash: B256,
    /// L1 block of the upgrade.
    #[serde(default)]
    pub eth_block: u64,
}

/// An L2 transaction came without the hash that would name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("common_data.L2.input: missing, so the transaction has no hash")]
pub struct NoInput;

impl TryFrom<TransactionJson> for Transaction {
    type Error = NoInput;

    fn try_from(json: TransactionJson) -> Result<Self, NoInput> {
        let common = match json.common_data {
            CommonDataJson::L2(common) => TxCommon::L2(Box::new((*common).try_into()?)),
            CommonDataJson::L1(common) => TxCommon::Priority(Box::new((*common).into())),
            CommonDataJson::ProtocolUpgrade(common) => {
                TxCommon::Upgrade(Box::new((*common).into()))
            }
        };
        Ok(Self {
            common,
            execute: Execute {
                to: json.execute.contract_address,
                calldata: json.execute.calldata,
                value: json.execute.value,
                factory_deps: json.execute.factory_deps,
            },
            received_at_ms: json.received_timestamp_ms,
            raw: json.raw_bytes,
        })
    }
}

impl TryFrom<L2CommonJson> for L2Common {
    type Error = NoInput;

    fn try_from(json: L2CommonJson) -> Result<Self, NoInput> {
        let InputJson { hash, data } = json.input.ok_or(NoInput)?;
        Ok(Self {
            hash: TxHash(hash),
            nonce: json.nonce,
            fee: Fee {
                gas_limit: json.fee.gas_limit,
                max_fee_per_gas: json.fee.max_fee_per_gas,
                max_priority_fee_per_gas: json.fee.max_priority_fee_per_gas,
                gas_per_pubdata_limit: json.fee.gas_per_pubdata_limit,
            },
            initiator: json.initiator_address,
            signature: json.signature,
            tx_type: json.transaction_type.into(),
            input: (!data.is_empty()).then_some(data),
            paymaster: PaymasterParams {
                paymaster: json.paymaster_params.paymaster,
                input: json.paymaster_params.paymaster_input,
            },
        })
    }
}

impl From<L1CommonJson> for PriorityCommon {
    fn from(json: L1CommonJson) -> Self {
        Self {
            hash: TxHash(json.canonical_tx_hash),
            sender: json.sender,
            serial_id: json.serial_id,
            max_fee_per_gas: json.max_fee_per_gas,
            gas_limit: json.gas_limit,
            gas_per_pubdata_limit: json.gas_per_pubdata_limit,
            to_mint: json.to_mint,
            refund_recipient: json.refund_recipient,
            eth_block: json.eth_block,
            obsolete: ObsoletePriority {
                layer_2_tip_fee: json.layer_2_tip_fee,
                full_fee: json.full_fee,
                deadline_block: json.deadline_block,
                eth_hash: json.eth_hash,
            },
        }
    }
}

impl From<UpgradeCommonJson> for UpgradeCommon {
    fn from(json: UpgradeCommonJson) -> Self {
        Self {
            hash: TxHash(json.canonical_tx_hash),
            sender: json.sender,
            upgrade: json.upgrade_id.0,
            max_fee_per_gas: json.max_fee_per_gas,
            gas_limit: json.gas_limit,
            gas_per_pubdata_limit: json.gas_per_pubdata_limit,
            to_mint: json.to_mint,
            refund_recipient: json.refund_recipient,
            eth_block: json.eth_block,
            eth_hash: json.eth_hash,
        }
    }
}

impl From<&Transaction> for TransactionJson {
    fn from(tx: &Transaction) -> Self {
        let common_data = match &tx.common {
            TxCommon::L2(common) => CommonDataJson::L2(Box::new(common.as_ref().into())),
            TxCommon::Priority(common) => CommonDataJson::L1(Box::new(common.as_ref().into())),
            TxCommon::Upgrade(common) => {
                CommonDataJson::ProtocolUpgrade(Box::new(common.as_ref().into()))
            }
        };
        Self {
            common_data,
            execute: ExecuteJson {
                contract_address: tx.execute.to,
                calldata: tx.execute.calldata.clone(),
                value: tx.execute.value,
                factory_deps: tx.execute.factory_deps.clone(),
            },
            received_timestamp_ms: tx.received_at_ms,
            raw_bytes: tx.raw.clone(),
        }
    }
}

impl From<&L2Common> for L2CommonJson {
    fn from(common: &L2Common) -> Self {
        Self {
            nonce: common.nonce,
            fee: FeeJson {
                gas_limit: common.fee.gas_limit,
                max_fee_per_gas: common.fee.max_fee_per_gas,
                max_priority_fee_per_gas: common.fee.max_priority_fee_per_gas,
                gas_per_pubdata_limit: common.fee.gas_per_pubdata_limit,
            },
            initiator_address: common.initiator,
            signature: common.signature.clone(),
            transaction_type: common.tx_type.into(),
            input: Some(InputJson {
                hash: common.hash.0,
                data: common.input.clone().unwrap_or_default(),
            }),
            paymaster_params: PaymasterParamsJson {
                paymaster: common.paymaster.paymaster,
                paymaster_input: common.paymaster.input.clone(),
            },
        }
    }
}

impl From<&PriorityCommon> for L1CommonJson {
    fn from(common: &PriorityCommon) -> Self {
        Self {
            sender: common.sender,
            serial_id: common.serial_id,
            layer_2_tip_fee: common.obsolete.layer_2_tip_fee,
            full_fee: common.obsolete.full_fee,
            max_fee_per_gas: common.max_fee_per_gas,
            gas_limit: common.gas_limit,
            gas_per_pubdata_limit: common.gas_per_pubdata_limit,
            op_processing_type: OpProcessingTypeJson::Common,
            priority_queue_type: PriorityQueueTypeJson::Deque,
            canonical_tx_hash: common.hash.0,
            to_mint: common.to_mint,
            refund_recipient: common.refund_recipient,
            deadline_block: common.obsolete.deadline_block,
            eth_hash: common.obsolete.eth_hash,
            eth_block: common.eth_block,
        }
    }
}

impl From<&UpgradeCommon> for UpgradeCommonJson {
    fn from(common: &UpgradeCommon) -> Self {
        Self {
            sender: common.sender,
            upgrade_id: VersionName(common.upgrade),
            max_fee_per_gas: common.max_fee_per_gas,
            gas_limit: common.gas_limit,
            gas_per_pubdata_limit: common.gas_per_pubdata_limit,
            canonical_tx_hash: common.hash.0,
            to_mint: common.to_mint,
            refund_recipient: common.refund_recipient,
            eth_hash: common.eth_hash,
            eth_block: common.eth_block,
        }
    }
}

impl From<TxTypeJson> for TxType {
    fn from(json: TxTypeJson) -> Self {
        match json {
            TxTypeJson::Legacy => Self::Legacy,
            TxTypeJson::Eip2930 => Self::Eip2930,
            TxTypeJson::Eip1559 => Self::Eip1559,
            TxTypeJson::Eip712 => Self::Eip712,
        }
    }
}

impl From<TxType> for TxTypeJson {
    fn from(tx_type: TxType) -> Self {
        match tx_type {
            TxType::Legacy => Self::Legacy,
            TxType::Eip2930 => Self::Eip2930,
            TxType::Eip1559 => Self::Eip1559,
            TxType::Eip712 => Self::Eip712,
        }
    }
}
