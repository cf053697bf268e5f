//! `en_syncL2Block`: a block as a main node hands it on.

use alloy_primitives::{Address, B256, U256};
use lockstep_types::{BaseSystemContracts, BytecodeHash, L2BlockNumber, ProtocolVersion};
use serde::{Deserialize, Serialize};

use super::{TransactionJson, VersionName};
use crate::WireError;

/// The newest version whose blocks are known to have the shape of [`SyncBlock`].
pub const NEWEST_READABLE: ProtocolVersion = ProtocolVersion(31);

/// Answer of `en_syncL2Block`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncBlock {
    /// Number of the block.
    pub number: u32,
    /// Its batch; last sealed plus one for blocks of the open batch.
    pub l1_batch_number: u32,
    /// Whether the block is the fictive one.
    pub last_in_batch: bool,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Price of a unit of gas on L1.
    pub l1_gas_price: u64,
    /// Lowest price of a unit of gas on L2.
    pub l2_fair_gas_price: u64,
    /// Price of a byte of pubdata.
    #[serde(default)]
    pub fair_pubdata_price: Option<u64>,
    /// Bytecodes of the batch.
    pub base_system_contracts_hashes: BaseSystemContractsHashes,
    /// Receives the fees of the batch.
    pub operator_address: Address,
    /// In execution order; `None` if they were not asked for.
    #[serde(default)]
    pub transactions: Option<Vec<TransactionJson>>,
    /// Virtual blocks that begin with this block.
    #[serde(default)]
    pub virtual_blocks: Option<u32>,
    /// Hash of the block.
    #[serde(default)]
    pub hash: Option<B256>,
    /// Rules of the batch.
    pub protocol_version: VersionName,
    /// How pubdata is published.
    #[serde(default)]
    pub pubdata_params: Option<PubdataParamsJson>,
    /// Most pubdata the batch may have, bytes.
    #[serde(default)]
    pub pubdata_limit: Option<u64>,
    /// Message roots that become known in this block.
    #[serde(default)]
    pub interop_roots: Option<Vec<InteropRootJson>>,
    /// Where the batch settles; from v31 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement_layer: Option<SettlementLayerJson>,
    /// Fee for interop calls; from v31 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interop_fee: Option<U256>,
}

impl SyncBlock {
    /// Reads the answer to a request for `block`.
    ///
    /// # Errors
    ///
    /// [`WireError`] names the block and the field that cannot be read.
    pub fn from_json(block: L2BlockNumber, json: &str) -> Result<Self, WireError> {
        serde_json::from_str(json).map_err(|error| {
            let field = field_before(json, error.line(), error.column());
            WireError::block(block, field, error)
        })
    }
}

/// Name of the last key that begins before the position; empty if there is none. Names the field
/// whose value has a wrong form; a missing field is named by serde itself.
fn field_before(json: &str, line: usize, column: usize) -> String {
    let line_start = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = usize::saturating_add(line_start, column).min(json.len());
    let before = &json.as_bytes()[..end];
    let Some(colon) = before.windows(2).rposition(|pair| pair == b"\":") else {
        return String::new();
    };
    let start = before[..colon].iter().rposition(|byte| *byte == b'"').map_or(0, |at| at + 1);
    String::from_utf8_lossy(&before[start..colon]).into_owned()
}

/// Hashes of the bytecodes that run a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseSystemContractsHashes {
    /// The bootloader.
    pub bootloader: B256,
    /// Code of accounts without code.
    pub default_aa: B256,
    /// The EVM emulator, where the chain has one.
    #[serde(default)]
    pub evm_emulator: Option<B256>,
}

impl From<BaseSystemContractsHashes> for BaseSystemContracts {
    fn from(json: BaseSystemContractsHashes) -> Self {
        Self {
            bootloader: BytecodeHash(json.bootloader),
            default_account: BytecodeHash(json.default_aa),
            evm_emulator: json.evm_emulator.map(BytecodeHash),
        }
    }
}

impl From<BaseSystemContracts> for BaseSystemContractsHashes {
    fn from(contracts: BaseSystemContracts) -> Self {
        Self {
            bootloader: contracts.bootloader.0,
            default_aa: contracts.default_account.0,
            evm_emulator: contracts.evm_emulator.map(|hash| hash.0),
        }
    }
}

/// How pubdata is published, in both shapes: up to v30 with an address, from v31 on with a
/// validator, which repeats the address if it is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PubdataParamsJson {
    /// Who checks availability, newer shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pubdata_validator: Option<PubdataValidatorJson>,
    /// Who checks availability, older shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l2_da_validator_address: Option<Address>,
    /// Where pubdata goes.
    pub pubdata_type: String,
}

/// Who checks that pubdata is available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PubdataValidatorJson {
    /// A contract on L2.
    Address(Address),
    /// A commitment scheme by its name.
    CommitmentScheme(String),
}

/// A message root of another chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InteropRootJson {
    /// The other chain.
    pub chain_id: u32,
    /// Its block or batch.
    pub block_number: u32,
    /// The root.
    pub sides: Vec<B256>,
}

/// The chain a batch settles on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum SettlementLayerJson {
    /// L1 itself.
    L1 {
        /// Its chain id.
        chain_id: u64,
    },
    /// A gateway chain.
    Gateway {
        /// Its chain id.
        chain_id: u64,
    },
}
