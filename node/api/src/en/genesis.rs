//! `en_genesisConfig`.

use lockstep_types::{L1BatchNumber, L2BlockNumber};
use lockstep_wire::{Announced, en::GenesisConfig};
use tokio::sync::watch;

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

pub(super) fn register(methods: &mut Methods, announced: &watch::Receiver<Announced>) {
    let announced = announced.clone();
    methods.add("en_genesisConfig", move |call, _| {
        let said = announced.borrow().genesis.clone();
        config(call, said)
    });
}

/// What another node builds genesis from, as this one has it. The rest is as the main node said;
/// while it has not, the version has no patch, keys of the proof system are absent, proofs count,
/// and pubdata is published.
fn config(call: &Call, said: Option<GenesisConfig>) -> ApiResult<GenesisConfig> {
    let identity = call.identity()?;
    let block = call.header(L2BlockNumber(0))?;
    let batch = call.view.batch(L1BatchNumber(0))?.ok_or(ApiError::NoGenesis)?;
    let base = block.params.base_system_contracts;
    let version = block.params.version;
    let patched = said.as_ref().filter(|said| said.version() == Ok(version));
    let protocol_version = match patched {
        Some(said) => said.protocol_version.clone(),
        None => format!("0.{}.0", version.0),
    };
    let mode = said.as_ref().map(|said| said.l1_batch_commit_data_generator_mode.clone());
    Ok(GenesisConfig {
        protocol_version,
        genesis_root_hash: identity.genesis_root.0,
        rollup_last_leaf_index: batch.next_leaf_index.0,
        genesis_commitment: identity.genesis_commitment.0,
        bootloader_hash: base.bootloader.0,
        default_aa_hash: base.default_account.0,
        evm_emulator_hash: base.evm_emulator.map(|hash| hash.0),
        l1_chain_id: identity.l1_chain_id.0,
        l2_chain_id: identity.l2_chain_id.0,
        recursion_scheduler_level_vk_hash: said
            .as_ref()
            .and_then(|said| said.recursion_scheduler_level_vk_hash),
        fflonk_snark_wrapper_vk_hash: said
            .as_ref()
            .and_then(|said| said.fflonk_snark_wrapper_vk_hash),
        fee_account: block.params.fee_account,
        dummy_verifier: said.as_ref().is_some_and(|said| said.dummy_verifier),
        l1_batch_commit_data_generator_mode: mode.unwrap_or_else(|| "Rollup".to_owned()),
    })
}
