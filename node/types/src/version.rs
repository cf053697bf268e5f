//! Protocol versions: every rule is chosen by one.

use std::fmt;

/// The rules of a batch: the minor part of the chain's semantic version (`29` of `0.29.4`).
///
/// Any number can be carried; whether this build has the rules is asked where they are needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(pub u16);

impl ProtocolVersion {
    /// First version with chained block hashes and virtual blocks.
    pub const CHAINED_BLOCK_HASHES: Self = Self(13);
    /// First version with system logs and state diffs ("boojum").
    pub const BOOJUM: Self = Self(18);
    /// First version whose fee input prices pubdata by itself.
    pub const PUBDATA_PRICE: Self = Self(20);
    /// First version whose meta parameters name the EVM emulator.
    pub const EVM_EMULATOR_IN_META: Self = Self(23);
    /// First version that can settle on a gateway; pubdata parameters become mandatory.
    pub const GATEWAY: Self = Self(26);
    /// First version with EVM emulation and deployments without a target.
    pub const EVM_EMULATOR: Self = Self(27);
    /// First version with interop roots, equal timestamps and precommits.
    pub const INTEROP: Self = Self(29);
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}
