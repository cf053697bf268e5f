//! The state before the first block, as the main node describes it.
//!
//! The main node names base system contracts, root, leaf index and commitment; the contracts are
//! asked for one by one. What is built here is compared with the announced values before any of it
//! is stored.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_types::{
    Address, B256, BatchWrite, BytecodeHash, Bytes, LeafIndex, StorageSlot, U256,
    address::{self, genesis_contracts},
};
use lockstep_upstream::{MainNode, UpstreamError};
use lockstep_wire::en::GenesisConfig;

/// What the main node says of genesis; every bytecode was checked against its hash.
#[derive(Clone, Debug)]
pub struct GenesisParts {
    /// Announced values.
    pub config: GenesisConfig,
    /// Contracts that are there before the first block, with their code hashes.
    pub contracts: Vec<(Address, BytecodeHash)>,
    /// All bytecodes: of the contracts and of the base system contracts.
    pub bytecodes: BTreeMap<BytecodeHash, Bytes>,
}

/// The state of genesis.
#[derive(Clone, Debug)]
pub struct GenesisState {
    /// Slots with their values, in canonical order.
    pub slots: Vec<(StorageSlot, B256)>,
    /// The same as the tree learns them, with indices from 1.
    pub writes: Vec<BatchWrite>,
    /// Index after the last one.
    pub next_leaf_index: LeafIndex,
}

/// Asks for everything that genesis is made of.
///
/// # Errors
///
/// [`UpstreamError`]; `Lie` if a bytecode is missing or is not the one of its hash.
pub async fn fetch_genesis(main_node: &MainNode) -> Result<GenesisParts, UpstreamError> {
    let config = main_node.genesis_config().await?;
    let addresses = genesis_contracts();
    let keys: Vec<B256> = addresses.iter().map(|address| address.into_word()).collect();
    let hashes = main_node.genesis_storage(address::ACCOUNT_CODE_STORAGE, &keys).await?;
    let deployed = addresses.into_iter().zip(hashes).filter(|(_, hash)| !hash.is_zero());
    let contracts: Vec<_> = deployed.map(|(at, hash)| (at, BytecodeHash(hash))).collect();

    let base = config.base_system_contracts();
    let base_hashes = [base.bootloader, base.default_account].into_iter().chain(base.evm_emulator);
    let wanted: BTreeSet<_> = contracts.iter().map(|(_, hash)| *hash).chain(base_hashes).collect();
    let wanted: Vec<_> = wanted.into_iter().collect();
    let codes = main_node.bytecodes(&wanted).await?;
    let mut bytecodes = BTreeMap::new();
    for (hash, code) in wanted.into_iter().zip(codes) {
        let code = code.ok_or_else(|| UpstreamError::Lie {
            detail: format!("genesis needs bytecode {hash}, which the main node does not have"),
        })?;
        bytecodes.insert(hash, code);
    }
    Ok(GenesisParts { config, contracts, bytecodes })
}

impl GenesisParts {
    /// Builds the state.
    pub fn state(&self) -> GenesisState {
        let mut slots = BTreeMap::new();
        for (contract, hash) in &self.contracts {
            slots.insert(StorageSlot::code_hash(*contract), hash.0);
            slots.insert(StorageSlot::known_code(hash.0), word(1));
        }
        // The context of genesis is the same for every chain; the chain's own id comes with its
        // first transaction.
        let context = [(0, 270), (3, 1 << 50), (4, 0x8001), (5, 2_500_000_000_000_000)];
        for (key, value) in context {
            slots.insert(StorageSlot::new(address::SYSTEM_CONTEXT, word(key)), word(value));
        }
        let slots: Vec<_> = slots.into_iter().collect();
        let indices = (1..).map(LeafIndex);
        let writes: Vec<_> = slots
            .iter()
            .zip(indices)
            .map(|((slot, value), leaf_index)| BatchWrite {
                hashed_key: slot.hashed_key(),
                leaf_index,
                value: *value,
            })
            .collect();
        let last = writes.last().map_or(0, |write| write.leaf_index.0);
        GenesisState { slots, writes, next_leaf_index: LeafIndex(last + 1) }
    }
}

fn word(value: u64) -> B256 {
    B256::from(U256::from(value))
}
