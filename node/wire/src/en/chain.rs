//! What a main node says of its chain as a whole.

use alloy_primitives::{Address, B256};
use lockstep_types::{
    BaseSystemContracts, BytecodeHash, ChainId, Commitment, ProtocolVersion, StateRoot,
};
use serde::{Deserialize, Serialize};

use crate::WireError;

/// Answer of `en_genesisConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenesisConfig {
    /// Semantic version: `0.29.4`. See [`version`](Self::version).
    pub protocol_version: String,
    /// Root of the state tree.
    pub genesis_root_hash: B256,
    /// Leaves of the state tree plus one.
    pub rollup_last_leaf_index: u64,
    /// Commitment of batch 0.
    pub genesis_commitment: B256,
    /// The bootloader.
    pub bootloader_hash: B256,
    /// Code of accounts without code.
    pub default_aa_hash: B256,
    /// The EVM emulator, where the chain has one.
    #[serde(default)]
    pub evm_emulator_hash: Option<B256>,
    /// Chain id of L1.
    pub l1_chain_id: u64,
    /// Chain id of the chain itself.
    pub l2_chain_id: u64,
    /// Historic name of the hash of the SNARK wrapper's key.
    #[serde(default, alias = "snark_wrapper_vk_hash")]
    pub recursion_scheduler_level_vk_hash: Option<B256>,
    /// Hash of the FFLONK wrapper's key.
    #[serde(default)]
    pub fflonk_snark_wrapper_vk_hash: Option<B256>,
    /// Receives the fees of genesis.
    pub fee_account: Address,
    /// Whether L1 accepts any proof.
    #[serde(default)]
    pub dummy_verifier: bool,
    /// `Rollup` or `Validium`.
    #[serde(default = "rollup")]
    pub l1_batch_commit_data_generator_mode: String,
}

fn rollup() -> String {
    "Rollup".to_owned()
}

impl GenesisConfig {
    /// The rules of batch 0: the minor part of the semantic version.
    ///
    /// # Errors
    ///
    /// [`WireError`] if the version is written otherwise.
    pub fn version(&self) -> Result<ProtocolVersion, WireError> {
        let parts: Vec<_> = self.protocol_version.split('.').map(str::parse::<u16>).collect();
        match parts.as_slice() {
            [Ok(0), Ok(minor), Ok(_)] => Ok(ProtocolVersion(*minor)),
            _ => Err(WireError::Other {
                what: "genesis config",
                detail: format!("protocol_version: {:?} is not 0.x.y", self.protocol_version),
            }),
        }
    }

    /// Bytecodes that run the first batches.
    pub fn base_system_contracts(&self) -> BaseSystemContracts {
        BaseSystemContracts {
            bootloader: BytecodeHash(self.bootloader_hash),
            default_account: BytecodeHash(self.default_aa_hash),
            evm_emulator: self.evm_emulator_hash.map(BytecodeHash),
        }
    }

    /// Root of the state tree.
    pub fn root(&self) -> StateRoot {
        StateRoot(self.genesis_root_hash)
    }

    /// Commitment of batch 0.
    pub fn commitment(&self) -> Commitment {
        Commitment(self.genesis_commitment)
    }

    /// The chain's id.
    pub fn chain_id(&self) -> ChainId {
        ChainId(self.l2_chain_id)
    }
}

/// Answer of `en_getEcosystemContracts`: addresses on L1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EcosystemContracts {
    /// Knows every chain of the ecosystem.
    pub bridgehub_proxy_addr: Option<Address>,
    /// Manages the chains of one kind.
    pub state_transition_proxy_addr: Option<Address>,
    /// Collects message roots.
    pub message_root_proxy_addr: Option<Address>,
    /// Owns the proxies.
    pub transparent_proxy_admin_addr: Option<Address>,
    /// Where upgrades publish bytecodes.
    pub l1_bytecodes_supplier_addr: Option<Address>,
    /// Knows wrapped base tokens.
    pub l1_wrapped_base_token_store: Option<Address>,
    /// Announces changes of the settlement layer.
    pub server_notifier_addr: Option<Address>,
}

/// Answer of `zks_getBridgeContracts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BridgeContracts {
    /// Shared bridge on L1.
    pub l1_shared_default_bridge: Option<Address>,
    /// Shared bridge on L2.
    pub l2_shared_default_bridge: Option<Address>,
    /// Older bridge on L1.
    pub l1_erc20_default_bridge: Option<Address>,
    /// Older bridge on L2.
    pub l2_erc20_default_bridge: Option<Address>,
    /// Zero.
    pub l1_weth_bridge: Option<Address>,
    /// Zero.
    pub l2_weth_bridge: Option<Address>,
    /// Shared bridge on L2 of chains that are older than the shared bridge's place in the system.
    pub l2_legacy_shared_bridge: Option<Address>,
}

/// A bridged token; `en_syncTokens` answers with a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Address on L1.
    pub l1_address: Address,
    /// Address on L2.
    pub l2_address: Address,
    /// How it is shown.
    pub metadata: TokenMetadata,
}

/// How a token is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMetadata {
    /// Long name.
    pub name: String,
    /// Short name.
    pub symbol: String,
    /// Digits after the decimal point.
    pub decimals: u8,
}
