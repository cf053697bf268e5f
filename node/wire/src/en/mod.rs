//! The `en_*` methods, by which a main node hands its chain on.

mod block;
mod bytes_array;
mod chain;
mod parts;
mod transaction;
mod version;

#[cfg(test)]
mod tests;

pub use self::{
    block::{
        BaseSystemContractsHashes, InteropRootJson, NEWEST_READABLE, PubdataParamsJson,
        PubdataValidatorJson, SettlementLayerJson, SyncBlock,
    },
    chain::{BridgeContracts, EcosystemContracts, GenesisConfig, TokenInfo, TokenMetadata},
    parts::SyncBlockParts,
    transaction::{
        CommonDataJson, ExecuteJson, FeeJson, InputJson, L1CommonJson, L2CommonJson,
        PaymasterParamsJson, TransactionJson, UpgradeCommonJson,
    },
    version::{ProtocolVersionInfo, VersionHashes, VersionName, ZksProtocolVersion},
};
