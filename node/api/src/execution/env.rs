//! Where a simulation takes place: on top of an existing block, or in its stead.

use std::sync::Arc;

use lockstep_replay::{StateAt, StoredBatch, base_contracts};
use lockstep_store::ChainView;
use lockstep_types::{
    B256, BlockHeader, FeeInput, L2BlockNumber, ProtocolVersion, StorageSlot, U256, UnixSeconds,
    address::{CONTRACT_DEPLOYER, SYSTEM_CONTEXT},
    block::legacy_block_hash,
};
use lockstep_vm::{BaseContracts, SimulationEnv};
use lockstep_wire::eth::{BlockId, BlockNumberOrTag, BlockOverrides};

use super::{Simulation, request::narrow};
use crate::error::{ApiError, ApiResult};

/// Keys of the system context: the current block, and the rolling hash of its transactions.
pub(super) const BLOCK_INFO: [u64; 2] = [9, 10];
/// Key of the deployer that holds 1 where EVM code may be deployed.
const EVM_ALLOWED: u64 = 1;

/// Which block a request means, and what is known of it.
#[derive(Debug)]
pub(super) struct Place {
    /// The block that is meant; the newest one if that is the block after it.
    pub(super) header: BlockHeader,
    /// The newest block whose state counts.
    state_block: L2BlockNumber,
    /// Whether the block itself is the one after it.
    is_pending: bool,
    /// Whether current prices hold, rather than those of the block.
    is_current: bool,
}

impl Place {
    /// In the block, but before its first transaction; genesis has nothing before it.
    pub(super) fn before_its_transactions(mut self) -> Self {
        if let (false, Some(before)) = (self.is_pending, self.header.params.number.prev()) {
            self.state_block = before;
        }
        self
    }
}

/// Number and timestamp as the system context holds them in one slot.
struct Packed {
    number: u64,
    timestamp: u64,
}

impl Packed {
    fn of(value: B256) -> Self {
        let part = |bytes: &[u8]| U256::from_be_slice(bytes).saturating_to();
        Self { number: part(&value[..16]), timestamp: part(&value[16..]) }
    }
}

impl Simulation<'_> {
    /// The block that is meant: the pending one if none is named.
    pub(super) fn place(&self, id: Option<BlockId>) -> ApiResult<Place> {
        let id = id.unwrap_or(BlockId::Number(BlockNumberOrTag::Pending));
        let is_pending = id == BlockId::Number(BlockNumberOrTag::Pending);
        let is_current = match id {
            BlockId::Number(
                BlockNumberOrTag::Pending | BlockNumberOrTag::Latest | BlockNumberOrTag::Committed,
            ) => true,
            BlockId::Number(
                BlockNumberOrTag::Number(_)
                | BlockNumberOrTag::Earliest
                | BlockNumberOrTag::Precommitted
                | BlockNumberOrTag::L1Committed
                | BlockNumberOrTag::FastFinalized
                | BlockNumberOrTag::Finalized,
            )
            | BlockId::Hash(_) => false,
        };
        let number = self.call.state_block(Some(id))?;
        let header = self.call.header(number)?;
        Ok(Place { header, state_block: number, is_pending, is_current })
    }

    /// The state that counts at `place`.
    pub(super) fn state(&self, place: &Place) -> StateAt {
        let params = &place.header.params;
        StateAt::new(self.call.view.clone(), place.state_block, params.batch)
    }

    /// The surroundings at `place`, with what a request puts in their stead.
    pub(super) fn env(
        &self,
        place: &Place,
        overrides: Option<BlockOverrides>,
    ) -> ApiResult<SimulationEnv> {
        let version = place.header.params.version;
        if !self.execution.simulator.can_simulate(version) {
            return Err(ApiError::Vm(lockstep_vm::VmError::UnknownVersion(version)));
        }
        let mut env = if place.is_pending { self.pending(place)? } else { self.existing(place)? };
        override_block(&mut env, overrides.unwrap_or_default())?;
        Ok(env)
    }

    fn pending(&self, place: &Place) -> ApiResult<SimulationEnv> {
        let BlockHeader { params, hash, .. } = &place.header;
        let view = &self.call.view;
        let [info, _] = block_info(view, params.number)?;
        let number = Packed::of(info).number.saturating_add(1);
        let now = UnixSeconds(self.execution.clock.wall().0 / 1_000);
        let timestamp = now.max(UnixSeconds(params.timestamp.0.saturating_add(1)));
        Ok(SimulationEnv {
            chain_id: self.call.identity()?.l2_chain_id,
            version: params.version,
            batch: view.sealed_batch()?.ok_or(ApiError::NoGenesis)?,
            batch_timestamp: timestamp,
            block: L2BlockNumber(u32::try_from(number).unwrap_or(u32::MAX)),
            block_timestamp: timestamp,
            parent: *hash,
            block_info_before: None,
            fee_input: self.fee_input(place)?,
            base_fee_per_gas: None,
            base_contracts: Arc::new(contracts(view, &place.header)?),
            settlement_layer: params.settlement_layer,
            interop_fee: params.interop_fee.unwrap_or_default(),
        })
    }

    /// The surroundings of a block that follows the one at `place`, whose number and time are yet
    /// to be chosen.
    pub(super) fn following(&self, place: &Place) -> ApiResult<SimulationEnv> {
        let version = place.header.params.version;
        if !self.execution.simulator.can_simulate(version) {
            return Err(ApiError::Vm(lockstep_vm::VmError::UnknownVersion(version)));
        }
        Ok(SimulationEnv { batch: place.header.params.batch, ..self.pending(place)? })
    }

    fn existing(&self, place: &Place) -> ApiResult<SimulationEnv> {
        let BlockHeader { params, parent, .. } = &place.header;
        let view = &self.call.view;
        let batch = StoredBatch::find(view, params.batch)?;
        let missing = ApiError::Missing { what: "the batch", block: params.number };
        let first = self.call.header(batch.ok_or(missing)?.first_block)?;
        let [info, _] = block_info(view, params.number)?;
        let info = Packed::of(info);
        let before = params.number.prev().map(|before| block_info(view, before)).transpose()?;
        // Genesis, and blocks from before there were any in the system context.
        let has_no_info = info.number == 0;
        let first_ever = (L2BlockNumber(1), UnixSeconds(0), legacy_block_hash(L2BlockNumber(0)));
        let number = L2BlockNumber(u32::try_from(info.number).unwrap_or(u32::MAX));
        let own = (number, UnixSeconds(info.timestamp), *parent);
        let (block, block_timestamp, parent) = if has_no_info { first_ever } else { own };
        Ok(SimulationEnv {
            chain_id: self.call.identity()?.l2_chain_id,
            version: params.version,
            batch: params.batch,
            batch_timestamp: first.params.timestamp.min(block_timestamp),
            block,
            block_timestamp,
            parent,
            block_info_before: if has_no_info { None } else { before },
            fee_input: self.fee_input(place)?,
            base_fee_per_gas: None,
            base_contracts: Arc::new(contracts(view, &place.header)?),
            settlement_layer: params.settlement_layer,
            interop_fee: params.interop_fee.unwrap_or_default(),
        })
    }

    fn fee_input(&self, place: &Place) -> ApiResult<FeeInput> {
        if place.is_current { self.current_fees() } else { Ok(place.header.params.fee_input) }
    }

    /// Prices for what comes next: those of the open batch if there is one, otherwise those that
    /// the main node says, otherwise those of the newest block.
    pub(crate) fn current_fees(&self) -> ApiResult<FeeInput> {
        let newest = self.call.header(self.call.head()?)?.params;
        let is_open = self.call.view.sealed_batch()? < Some(newest.batch);
        if is_open {
            return Ok(newest.fee_input);
        }
        let current = self.execution.fees.borrow().as_ref().map(|fees| fees.input);
        Ok(current.unwrap_or(newest.fee_input))
    }
}

/// What the system context said of the current block after `block`.
fn block_info(view: &ChainView, block: L2BlockNumber) -> ApiResult<[B256; 2]> {
    let read = |key| view.slot_at(&StorageSlot::new(SYSTEM_CONTEXT, word(key)), block);
    let [info, rolling_hash] = BLOCK_INFO;
    Ok([read(info)?, read(rolling_hash)?])
}

/// The bytecodes of the block; the EVM emulator only where the chain lets EVM code be deployed.
fn contracts(view: &ChainView, header: &BlockHeader) -> ApiResult<BaseContracts> {
    let mut contracts = base_contracts(view, &header.params.base_system_contracts)?;
    let allowed = StorageSlot::new(CONTRACT_DEPLOYER, word(EVM_ALLOWED));
    let is_allowed = view.slot_at(&allowed, header.params.number)? == word(1);
    if header.params.version < ProtocolVersion::EVM_EMULATOR || !is_allowed {
        contracts.evm_emulator = None;
    }
    Ok(contracts)
}

pub(super) fn override_block(env: &mut SimulationEnv, overrides: BlockOverrides) -> ApiResult<()> {
    let BlockOverrides {
        number,
        time,
        base_fee_per_gas,
        difficulty,
        gas_limit,
        fee_recipient,
        prev_randao,
        blob_base_fee,
    } = overrides;
    let others = [
        ("difficulty", difficulty.is_some()),
        ("gasLimit", gas_limit.is_some()),
        ("feeRecipient", fee_recipient.is_some()),
        ("prevRandao", prev_randao.is_some()),
        ("blobBaseFee", blob_base_fee.is_some()),
    ];
    if let Some((name, _)) = others.iter().find(|(_, is_given)| *is_given) {
        let text = format!("`{name}` of a block is the same on this chain always: leave it out");
        return Err(ApiError::BadRequest(text));
    }
    let number = number.map(|number| narrow(number, "number").map(L2BlockNumber)).transpose()?;
    let time = time.map(|time| narrow(time, "time").map(UnixSeconds)).transpose()?;
    if number.is_some() || time.is_some() {
        env.block = number.unwrap_or(env.block);
        env.block_timestamp = time.unwrap_or(env.block_timestamp);
        env.batch_timestamp = env.batch_timestamp.min(env.block_timestamp);
        // The system context lets a block follow the one before only. Any block may be the first
        // that it hears of: the block before is then one of those that had simpler hashes.
        let before = env.block.prev();
        let before = before
            .ok_or_else(|| ApiError::BadRequest("`number` of a block is 1 or more".into()))?;
        env.parent = legacy_block_hash(before);
        env.block_info_before = Some([B256::ZERO; 2]);
    }
    if let Some(base_fee) = base_fee_per_gas {
        env.base_fee_per_gas = Some(narrow(base_fee, "baseFeePerGas")?);
    }
    Ok(())
}

fn word(number: u64) -> B256 {
    U256::from(number).into()
}
