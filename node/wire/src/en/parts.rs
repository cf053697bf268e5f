//! From a [`SyncBlock`] to the protocol's words and back.

use alloy_primitives::Address;
use lockstep_types::{
    BlockParams, ChainId, DaValidator, FeeInput, InteropRoot, L1BatchNumber, L2BlockHash,
    L2BlockNumber, ProtocolVersion, PubdataParams, PubdataType, SettlementLayer, Transaction,
    UnixSeconds,
};

use super::{
    InteropRootJson, PubdataParamsJson, PubdataValidatorJson, SettlementLayerJson, SyncBlock,
    TransactionJson, VersionName,
};
use crate::WireError;

/// First version whose blocks name the pubdata validator in the newer shape.
const NEWER_PUBDATA_PARAMS: ProtocolVersion = ProtocolVersion(31);

/// Names of the commitment schemes, each at the place of its number.
const SCHEMES: [&str; 5] =
    ["None", "EmptyNoDA", "PubdataKeccak256", "BlobsAndPubdataKeccak256", "BlobsZksyncOS"];

/// Names of the places where pubdata goes.
const PUBDATA_TYPES: [(&str, PubdataType); 6] = [
    ("Rollup", PubdataType::Rollup),
    ("NoDA", PubdataType::NoDa),
    ("Avail", PubdataType::Avail),
    ("Celestia", PubdataType::Celestia),
    ("Eigen", PubdataType::Eigen),
    ("ObjectStore", PubdataType::ObjectStore),
];

/// What a [`SyncBlock`] says, in the protocol's words. Nothing of it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncBlockParts {
    /// What the main node decided.
    pub params: BlockParams,
    /// The hash that it says the block has.
    pub claimed_hash: Option<L2BlockHash>,
    /// In execution order; `None` if they were not asked for.
    pub transactions: Option<Vec<Transaction>>,
}

impl SyncBlockParts {
    /// As a main node hands it on.
    pub fn to_json(&self) -> SyncBlock {
        SyncBlock::new(&self.params, self.claimed_hash, self.transactions.as_deref())
    }
}

impl TryFrom<SyncBlock> for SyncBlockParts {
    type Error = WireError;

    fn try_from(json: SyncBlock) -> Result<Self, WireError> {
        let number = L2BlockNumber(json.number);
        let version = json.protocol_version.0;
        let wrong = |field: &str, detail: String| WireError::block(number, field, detail);
        if version >= ProtocolVersion::PUBDATA_PRICE && json.fair_pubdata_price.is_none() {
            return Err(wrong("fairPubdataPrice", format!("missing in {version}")));
        }
        let pubdata_params = match &json.pubdata_params {
            Some(params) => params.to_types().map_err(|detail| wrong("pubdataParams", detail))?,
            None if version < ProtocolVersion::GATEWAY => PubdataParams::default(),
            None => return Err(wrong("pubdataParams", format!("missing in {version}"))),
        };
        let params = BlockParams {
            number,
            batch: L1BatchNumber(json.l1_batch_number),
            is_fictive: json.last_in_batch,
            timestamp: UnixSeconds(json.timestamp),
            fee_input: FeeInput {
                l1_gas_price: json.l1_gas_price,
                fair_l2_gas_price: json.l2_fair_gas_price,
                fair_pubdata_price: json.fair_pubdata_price,
            },
            base_system_contracts: json.base_system_contracts_hashes.into(),
            fee_account: json.operator_address,
            virtual_block_count: json.virtual_blocks.unwrap_or(0),
            version,
            pubdata_params,
            pubdata_bytes_max: json.pubdata_limit,
            interop_roots: json
                .interop_roots
                .unwrap_or_default()
                .into_iter()
                .map(Into::into)
                .collect(),
            settlement_layer: json.settlement_layer.map(Into::into),
            interop_fee: json.interop_fee,
        };
        let transactions =
            json.transactions.map(|list| to_transactions(number, list)).transpose()?;
        Ok(Self { params, claimed_hash: json.hash.map(L2BlockHash), transactions })
    }
}

fn to_transactions(
    block: L2BlockNumber,
    list: Vec<TransactionJson>,
) -> Result<Vec<Transaction>, WireError> {
    let one = |(index, json): (usize, TransactionJson)| {
        let wrong = |error| WireError::block(block, format!("transactions[{index}]"), error);
        Transaction::try_from(json).map_err(wrong)
    };
    list.into_iter().enumerate().map(one).collect()
}

impl SyncBlock {
    /// A block of ours as a main node hands it on; without `transactions` if they were not asked
    /// for.
    pub fn new(
        params: &BlockParams,
        hash: Option<L2BlockHash>,
        transactions: Option<&[Transaction]>,
    ) -> Self {
        Self {
            number: params.number.0,
            l1_batch_number: params.batch.0,
            last_in_batch: params.is_fictive,
            timestamp: params.timestamp.0,
            l1_gas_price: params.fee_input.l1_gas_price,
            l2_fair_gas_price: params.fee_input.fair_l2_gas_price,
            fair_pubdata_price: params.fee_input.fair_pubdata_price,
            base_system_contracts_hashes: params.base_system_contracts.into(),
            operator_address: params.fee_account,
            transactions: transactions.map(|list| list.iter().map(Into::into).collect()),
            virtual_blocks: Some(params.virtual_block_count),
            hash: hash.map(|hash| hash.0),
            protocol_version: VersionName(params.version),
            pubdata_params: Some(PubdataParamsJson::new(params.pubdata_params, params.version)),
            pubdata_limit: params.pubdata_bytes_max,
            interop_roots: Some(params.interop_roots.iter().map(Into::into).collect()),
            settlement_layer: params.settlement_layer.map(Into::into),
            interop_fee: params.interop_fee,
        }
    }
}

impl PubdataParamsJson {
    fn new(params: PubdataParams, version: ProtocolVersion) -> Self {
        let pubdata_type = PUBDATA_TYPES.iter().find(|(_, it)| *it == params.pubdata_type);
        let (validator, address) = match params.validator {
            DaValidator::Address(address) => {
                (PubdataValidatorJson::Address(address), Some(address))
            }
            DaValidator::Scheme(number) => {
                let name = SCHEMES.get(usize::from(number)).copied();
                let name = name.map_or_else(|| number.to_string(), str::to_owned);
                (PubdataValidatorJson::CommitmentScheme(name), None)
            }
        };
        let is_newer = version >= NEWER_PUBDATA_PARAMS || address.is_none();
        Self {
            pubdata_validator: is_newer.then_some(validator),
            l2_da_validator_address: address,
            pubdata_type: pubdata_type.expect("every type has a name").0.to_owned(),
        }
    }

    fn to_types(&self) -> Result<PubdataParams, String> {
        let validator = match (&self.pubdata_validator, self.l2_da_validator_address) {
            (Some(PubdataValidatorJson::CommitmentScheme(name)), _) => {
                DaValidator::Scheme(scheme_number(name)?)
            }
            (Some(PubdataValidatorJson::Address(new)), Some(old)) if *new != old => {
                return Err(format!("validators {new} and {old} contradict each other"));
            }
            (Some(PubdataValidatorJson::Address(address)), _) => DaValidator::Address(*address),
            (None, address) => DaValidator::Address(address.unwrap_or(Address::ZERO)),
        };
        let pubdata_type = PUBDATA_TYPES.iter().find(|(name, _)| *name == self.pubdata_type);
        let (_, pubdata_type) =
            pubdata_type.ok_or_else(|| format!("unknown pubdata type {:?}", self.pubdata_type))?;
        Ok(PubdataParams { validator, pubdata_type: *pubdata_type })
    }
}

/// Number of the scheme called `name`; a number stands for itself.
fn scheme_number(name: &str) -> Result<u8, String> {
    let by_name = SCHEMES.iter().position(|it| *it == name);
    let number = by_name.and_then(|index| u8::try_from(index).ok()).or_else(|| name.parse().ok());
    number.ok_or_else(|| format!("unknown commitment scheme {name:?}"))
}

impl From<InteropRootJson> for InteropRoot {
    fn from(json: InteropRootJson) -> Self {
        Self { chain_id: json.chain_id, block_number: json.block_number, sides: json.sides }
    }
}

impl From<&InteropRoot> for InteropRootJson {
    fn from(root: &InteropRoot) -> Self {
        Self { chain_id: root.chain_id, block_number: root.block_number, sides: root.sides.clone() }
    }
}

impl From<SettlementLayerJson> for SettlementLayer {
    fn from(json: SettlementLayerJson) -> Self {
        match json {
            SettlementLayerJson::L1 { chain_id } => Self::L1(ChainId(chain_id)),
            SettlementLayerJson::Gateway { chain_id } => Self::Gateway(ChainId(chain_id)),
        }
    }
}

impl From<SettlementLayer> for SettlementLayerJson {
    fn from(layer: SettlementLayer) -> Self {
        match layer {
            SettlementLayer::L1(ChainId(chain_id)) => Self::L1 { chain_id },
            SettlementLayer::Gateway(ChainId(chain_id)) => Self::Gateway { chain_id },
        }
    }
}
