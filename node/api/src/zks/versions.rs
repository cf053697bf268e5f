//! Protocol versions of the chain, as far as its blocks tell.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{
    B256, BaseSystemContracts, BlockHeader, L2BlockNumber, ProtocolVersion, TxCommon, TxHash,
    UnixSeconds,
};
use lockstep_wire::en::{ProtocolVersionInfo, VersionHashes, ZksProtocolVersion};

use crate::{
    call::{Call, Methods},
    error::ApiResult,
};

pub(super) fn register(methods: &mut Methods) {
    methods.add("zks_getProtocolVersion", version);
    methods.add("en_getProtocolVersionInfo", version_info);
}

/// A version that the chain has or had.
#[derive(Debug)]
struct Version {
    number: ProtocolVersion,
    begins_at: UnixSeconds,
    base: BaseSystemContracts,
    upgrade_tx: Option<TxHash>,
}

fn version_info(
    call: &Call,
    params: &mut ParamsSequence<'_>,
) -> ApiResult<Option<ProtocolVersionInfo>> {
    let version = find(call, params.optional_next()?.map(ProtocolVersion))?;
    Ok(version.map(|version| ProtocolVersionInfo {
        minor_version: version.number.0,
        timestamp: version.begins_at.0,
        bootloader_code_hash: version.base.bootloader.0,
        default_account_code_hash: version.base.default_account.0,
        evm_emulator_code_hash: version.base.evm_emulator.map(|hash| hash.0),
        l2_system_upgrade_tx_hash: version.upgrade_tx.map(|hash| hash.0),
    }))
}

/// The older shape. Keys of the proof system are not known here: they are zero, as the reference
/// node shows them.
fn version(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Option<ZksProtocolVersion>> {
    let version = find(call, params.optional_next()?.map(ProtocolVersion))?;
    Ok(version.map(|version| {
        let upgrade_tx = version.upgrade_tx.map(|hash| hash.0);
        ZksProtocolVersion {
            version_id: Some(version.number.0),
            minor_version: Some(version.number.0),
            timestamp: version.begins_at.0,
            verification_keys_hashes: Some(VersionHashes {
                recursion_scheduler_level_vk_hash: Some(B256::ZERO),
                fflonk_snark_wrapper_vk_hash: None,
            }),
            base_system_contracts: Some(version.base.into()),
            bootloader_code_hash: Some(version.base.bootloader.0),
            default_account_code_hash: Some(version.base.default_account.0),
            evm_simulator_code_hash: version.base.evm_emulator.map(|hash| hash.0),
            l2_system_upgrade_tx_hash: upgrade_tx,
            l2_system_upgrade_tx_hash_again: upgrade_tx,
        }
    }))
}

/// `wanted`, or the newest; `None` if the chain never had it. Its contracts are those of its newest
/// block.
fn find(call: &Call, wanted: Option<ProtocolVersion>) -> ApiResult<Option<Version>> {
    let head = call.head()?;
    let number = match wanted {
        Some(number) => number,
        None => call.header(head)?.params.version,
    };
    let Some(first) = first_block_since(call, number)? else { return Ok(None) };
    if first.params.version != number {
        return Ok(None);
    }
    let after = first_block_since(call, ProtocolVersion(number.0.saturating_add(1)))?;
    let last = after.and_then(|after| after.params.number.prev()).unwrap_or(head);
    Ok(Some(Version {
        number,
        begins_at: first.params.timestamp,
        base: call.header(last)?.params.base_system_contracts,
        upgrade_tx: upgrade_tx(call, number, first.params.number)?,
    }))
}

/// The first block of `version` or a later one. Versions only grow, so it is found by halving.
fn first_block_since(call: &Call, version: ProtocolVersion) -> ApiResult<Option<BlockHeader>> {
    let head = call.head()?;
    let (mut low, mut high) = (0, head.0);
    while low < high {
        let middle = low + (high - low) / 2;
        if call.header(L2BlockNumber(middle))?.params.version < version {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let found = call.header(L2BlockNumber(low))?;
    Ok((found.params.version >= version).then_some(found))
}

/// The transaction that made the chain ready for `version`, whose first block is `first`. A chain's
/// genesis has no transactions; what belongs to it is in block 1.
fn upgrade_tx(
    call: &Call,
    version: ProtocolVersion,
    first: L2BlockNumber,
) -> ApiResult<Option<TxHash>> {
    let block = if first == L2BlockNumber(0) { first.next() } else { first };
    let first = call.view.transaction(lockstep_store::TxPosition { block, index: 0 })?;
    Ok(first.and_then(|tx| match &tx.common {
        TxCommon::Upgrade(common) if common.upgrade == version => Some(common.hash),
        TxCommon::L2(_) | TxCommon::Priority(_) | TxCommon::Upgrade(_) => None,
    }))
}
