//! Protocol versions, by name and by what the main node says of them.

use std::fmt;

use alloy_primitives::B256;
use lockstep_types::{BaseSystemContracts, BytecodeHash, ProtocolVersion, TxHash, UnixSeconds};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::BaseSystemContractsHashes;

/// A protocol version as a name: `Version29`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionName(pub ProtocolVersion);

impl VersionName {
    /// Reads a name; `None` if it is not one. Any number can be named.
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("Version")?;
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten().map(|n| Self(ProtocolVersion(n)))
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version{}", self.0.0)
    }
}

impl Serialize for VersionName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let wrong = || de::Error::invalid_value(de::Unexpected::Str(&name), &"\"Version<number>\"");
        Self::parse(&name).ok_or_else(wrong)
    }
}

/// Answer of `en_getProtocolVersionInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtocolVersionInfo {
    /// The version.
    pub minor_version: u16,
    /// When it began, seconds since the Unix epoch.
    #[serde(default)]
    pub timestamp: u64,
    /// Hash of the bootloader.
    pub bootloader_code_hash: B256,
    /// Hash of the default account.
    pub default_account_code_hash: B256,
    /// Hash of the EVM emulator, where there is one.
    #[serde(default)]
    pub evm_emulator_code_hash: Option<B256>,
    /// Hash of the upgrade transaction that begins the version, if one does.
    #[serde(default)]
    pub l2_system_upgrade_tx_hash: Option<B256>,
}

impl ProtocolVersionInfo {
    /// The version.
    pub fn version(&self) -> ProtocolVersion {
        ProtocolVersion(self.minor_version)
    }

    /// When the version began.
    pub fn begins_at(&self) -> UnixSeconds {
        UnixSeconds(self.timestamp)
    }

    /// Bytecodes that run batches of the version.
    pub fn base_system_contracts(&self) -> BaseSystemContracts {
        BaseSystemContracts {
            bootloader: BytecodeHash(self.bootloader_code_hash),
            default_account: BytecodeHash(self.default_account_code_hash),
            evm_emulator: self.evm_emulator_code_hash.map(BytecodeHash),
        }
    }

    /// Hash of the upgrade transaction that begins the version, if one does.
    pub fn upgrade_tx(&self) -> Option<TxHash> {
        self.l2_system_upgrade_tx_hash.map(TxHash)
    }
}

/// Keys of the proof system, as `zks_getProtocolVersion` gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionHashes {
    /// Historic name of the hash of the SNARK wrapper's key.
    #[serde(default)]
    pub recursion_scheduler_level_vk_hash: Option<B256>,
    /// Hash of the FFLONK wrapper's key.
    #[serde(default)]
    pub fflonk_snark_wrapper_vk_hash: Option<B256>,
}

/// Answer of `zks_getProtocolVersion`: the older shape, which says most things twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZksProtocolVersion {
    /// The version.
    #[serde(default)]
    pub version_id: Option<u16>,
    /// The version, again.
    #[serde(default, rename = "minorVersion")]
    pub minor_version: Option<u16>,
    /// When it began, seconds since the Unix epoch.
    #[serde(default)]
    pub timestamp: u64,
    /// Keys of the proof system.
    #[serde(default)]
    pub verification_keys_hashes: Option<VersionHashes>,
    /// Bytecodes of the version.
    #[serde(default)]
    pub base_system_contracts: Option<BaseSystemContractsHashes>,
    /// Hash of the bootloader, again.
    #[serde(default, rename = "bootloaderCodeHash")]
    pub bootloader_code_hash: Option<B256>,
    /// Hash of the default account, again.
    #[serde(default, rename = "defaultAccountCodeHash")]
    pub default_account_code_hash: Option<B256>,
    /// Hash of the EVM emulator, again; the name is the reference's.
    #[serde(default, rename = "evmSimulatorCodeHash")]
    pub evm_simulator_code_hash: Option<B256>,
    /// Hash of the upgrade transaction that begins the version, if one does.
    #[serde(default)]
    pub l2_system_upgrade_tx_hash: Option<B256>,
    /// The same, again.
    #[serde(default, rename = "l2SystemUpgradeTxHash")]
    pub l2_system_upgrade_tx_hash_again: Option<B256>,
}

impl TryFrom<ZksProtocolVersion> for ProtocolVersionInfo {
    type Error = crate::WireError;

    /// The newer of two fields wins where both are there.
    fn try_from(old: ZksProtocolVersion) -> Result<Self, Self::Error> {
        let missing = |field: &str| crate::WireError::Other {
            what: "protocol version",
            detail: format!("missing field `{field}`"),
        };
        let base = old.base_system_contracts;
        Ok(Self {
            minor_version: old
                .minor_version
                .or(old.version_id)
                .ok_or_else(|| missing("minorVersion"))?,
            timestamp: old.timestamp,
            bootloader_code_hash: old
                .bootloader_code_hash
                .or(base.map(|base| base.bootloader))
                .ok_or_else(|| missing("bootloaderCodeHash"))?,
            default_account_code_hash: old
                .default_account_code_hash
                .or(base.map(|base| base.default_aa))
                .ok_or_else(|| missing("defaultAccountCodeHash"))?,
            evm_emulator_code_hash: old
                .evm_simulator_code_hash
                .or(base.and_then(|base| base.evm_emulator)),
            l2_system_upgrade_tx_hash: old
                .l2_system_upgrade_tx_hash_again
                .or(old.l2_system_upgrade_tx_hash),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_can_be_named() {
        assert_eq!(VersionName::parse("Version29"), Some(VersionName(ProtocolVersion(29))));
        assert_eq!(VersionName::parse("Version31"), Some(VersionName(ProtocolVersion(31))));
        assert_eq!(VersionName(ProtocolVersion(31)).to_string(), "Version31");
        for wrong in ["29", "Version", "Version+1", "version29", "Version99999", "Version29 "] {
            assert_eq!(VersionName::parse(wrong), None, "{wrong}");
        }
    }
}
