//! Our words and those of the VM crates.
//!
//! Inputs that the crates would panic on are refused here, with a reason. The rest is a change of
//! types: bytes and numbers stay as they are.

use std::collections::BTreeMap;

use lockstep_types::{
    Address, B256, Bytes, DaValidator, Event, FeeInput, InteropRoot, L2Common, L2ToL1Log,
    PriorityCommon, ProtocolVersion, PubdataParams, PubdataType, StorageSlot, StorageWrite,
    Transaction, TxCommon, TxType, U256, UpgradeCommon, bytecode::InvalidBytecode,
};
use lockstep_vm::{BaseContracts, BatchEnv, BlockEnv, CallFrame, CallKind, Contract, TouchedSlot};
use zksync_contracts::{BaseSystemContracts, SystemContractCode};
use zksync_multivm::interface::{
    Call, CallType, L1BatchEnv, L2BlockEnv, SystemEnv, TxExecutionMode, VmEvent,
};
use zksync_types::{
    self as era, Execute, ExecuteTransactionCommon, H256, InputData, L2ChainId, Nonce,
    PriorityOpId, ProtocolVersionId, StorageKey, StorageLog, StorageLogWithPreviousValue,
    commitment::{PubdataParams as EraPubdataParams, PubdataType as EraPubdataType},
    fee::Fee,
    fee_model::BatchFeeInput,
    l1::{L1TxCommonData, OpProcessingType, PriorityQueueType},
    l2::{L2TxCommonData, TransactionType},
    protocol_upgrade::ProtocolUpgradeTxCommonData,
    transaction_request::PaymasterParams,
    zk_evm_types::FarCallOpcode,
};

/// Why an input cannot be given to a VM.
pub(crate) type Unusable = String;

/// Price of a byte of pubdata by the L1 gas price, before v20.
const L1_GAS_PER_PUBDATA_BYTE: u64 = 17;

pub(crate) fn h256(word: B256) -> H256 {
    H256(word.0)
}

pub(crate) fn b256(word: H256) -> B256 {
    B256::new(word.0)
}

pub(crate) fn era_address(address: Address) -> era::Address {
    era::H160(address.into_array())
}

fn address(address: era::Address) -> Address {
    Address::new(address.0)
}

pub(crate) fn era_u256(number: U256) -> era::U256 {
    era::U256(*number.as_limbs())
}

pub(crate) fn u256(number: era::U256) -> U256 {
    U256::from_limbs(number.0)
}

pub(crate) fn slot(key: &StorageKey) -> StorageSlot {
    StorageSlot::new(address(*key.address()), b256(*key.key()))
}

#[cfg(test)]
pub(crate) fn storage_key(slot: &StorageSlot) -> StorageKey {
    StorageKey::new(era::AccountTreeId::new(era_address(slot.address)), h256(slot.key))
}

/// The environment of a batch and of the system, by the reference's rules for replay: no enforced
/// base fee, the whole gas of the bootloader, validation without a limit of its own.
pub(crate) fn environment(
    version: ProtocolVersionId,
    env: &BatchEnv,
    first_block: &BlockEnv,
) -> Result<(L1BatchEnv, SystemEnv), Unusable> {
    let batch = L1BatchEnv {
        previous_batch_hash: Some(h256(env.previous_root.0)),
        number: era::L1BatchNumber(env.number.0),
        timestamp: env.timestamp.0,
        fee_input: fee_input(version, &env.fee_input)?,
        fee_account: era_address(env.fee_account),
        enforced_base_fee: None,
        first_l2_block: block(first_block)?,
    };
    let system = SystemEnv {
        zk_porter_available: false,
        version,
        base_system_smart_contracts: base_contracts(&env.base_contracts)?,
        bootloader_gas_limit: u32::MAX,
        execution_mode: TxExecutionMode::VerifyExecute,
        default_validation_computational_gas_limit: u32::MAX,
        chain_id: chain_id(env.chain_id.0)?,
    };
    Ok((batch, system))
}

pub(crate) fn block(env: &BlockEnv) -> Result<L2BlockEnv, Unusable> {
    let roots: Result<_, _> = env.interop_roots.iter().map(interop_root).collect();
    Ok(L2BlockEnv {
        number: env.number.0,
        timestamp: env.timestamp.0,
        prev_block_hash: h256(env.parent.0),
        max_virtual_blocks_to_create: env.virtual_block_count,
        interop_roots: roots?,
    })
}

fn interop_root(root: &InteropRoot) -> Result<era::InteropRoot, Unusable> {
    // The bootloader's memory has one word for sides; a second one would overwrite the next root.
    if root.sides.len() != 1 {
        return Err(format!("an interop root has {} sides instead of one", root.sides.len()));
    }
    Ok(era::InteropRoot {
        chain_id: chain_id(u64::from(root.chain_id))?,
        block_number: root.block_number,
        sides: root.sides.iter().copied().map(h256).collect(),
    })
}

fn chain_id(number: u64) -> Result<L2ChainId, Unusable> {
    L2ChainId::new(number)
}

/// Prices of a batch. Pubdata has one of its own from v20 on and must not have one before.
pub(crate) fn fee_input(
    version: ProtocolVersionId,
    fees: &FeeInput,
) -> Result<BatchFeeInput, Unusable> {
    if version.is_pre_1_4_1() {
        if fees.l1_gas_price.checked_mul(L1_GAS_PER_PUBDATA_BYTE).is_none() {
            return Err(format!("L1 gas price {} is too high", fees.l1_gas_price));
        }
        return Ok(BatchFeeInput::l1_pegged(fees.l1_gas_price, fees.fair_l2_gas_price));
    }
    let pubdata_price = fees
        .fair_pubdata_price
        .ok_or_else(|| format!("the pubdata price is missing, which v{version} needs"))?;
    Ok(BatchFeeInput::pubdata_independent(fees.l1_gas_price, fees.fair_l2_gas_price, pubdata_price))
}

/// As [`fee_input`], with the nearest usable prices in place of unusable ones.
pub(crate) fn fee_input_or_nearest(version: ProtocolVersionId, fees: &FeeInput) -> BatchFeeInput {
    let highest = u64::MAX / L1_GAS_PER_PUBDATA_BYTE;
    let pegged =
        || BatchFeeInput::l1_pegged(fees.l1_gas_price.min(highest), fees.fair_l2_gas_price);
    fee_input(version, fees).unwrap_or_else(|_unusable| pegged())
}

fn base_contracts(contracts: &BaseContracts) -> Result<BaseSystemContracts, Unusable> {
    Ok(BaseSystemContracts {
        bootloader: system_code(&contracts.bootloader)?,
        default_aa: system_code(&contracts.default_account)?,
        evm_emulator: contracts.evm_emulator.as_ref().map(system_code).transpose()?,
    })
}

fn system_code(contract: &Contract) -> Result<SystemContractCode, Unusable> {
    check_bytecode(&contract.code)
        .map_err(|why| format!("base contract {}: {why}", contract.hash))?;
    Ok(SystemContractCode { code: contract.code.to_vec(), hash: h256(contract.hash.0) })
}

/// Whether `code` can be EraVM code, by its length. Its hash is not computed, which takes long.
pub(crate) fn check_bytecode(code: &[u8]) -> Result<(), Unusable> {
    let words = code.len() / 32;
    let invalid = if !code.len().is_multiple_of(32) {
        InvalidBytecode::NotInWords(code.len())
    } else if words.is_multiple_of(2) {
        InvalidBytecode::EvenWords(words)
    } else if words > usize::from(u16::MAX) {
        InvalidBytecode::TooLong(words)
    } else {
        return Ok(());
    };
    Err(invalid.to_string())
}

/// How the batch's pubdata is published, for the versions up to v30 that name a contract.
pub(crate) fn pubdata_params(params: &PubdataParams) -> Result<EraPubdataParams, Unusable> {
    let validator = match params.validator {
        DaValidator::Address(address) => address,
        DaValidator::Scheme(scheme) => {
            return Err(format!("commitment scheme {scheme} came with v31, not before"));
        }
    };
    Ok(EraPubdataParams {
        l2_da_validator_address: era_address(validator),
        pubdata_type: match params.pubdata_type {
            PubdataType::Rollup => EraPubdataType::Rollup,
            PubdataType::NoDa => EraPubdataType::NoDA,
            PubdataType::Avail => EraPubdataType::Avail,
            PubdataType::Celestia => EraPubdataType::Celestia,
            PubdataType::Eigen => EraPubdataType::Eigen,
            PubdataType::ObjectStore => EraPubdataType::ObjectStore,
        },
    })
}

/// A transaction. `has_evm` says whether the batch has an EVM emulator.
pub(crate) fn transaction(tx: &Transaction, has_evm: bool) -> Result<era::Transaction, Unusable> {
    if tx.execute.to.is_none() && !has_evm {
        return Err("it deploys EVM code on a chain without EVM emulator".to_owned());
    }
    if u64::try_from(tx.gas_limit()).is_err() {
        return Err(format!("its gas limit {} does not fit in 64 bits", tx.gas_limit()));
    }
    for (index, dep) in tx.execute.factory_deps.iter().enumerate() {
        check_bytecode(dep).map_err(|why| format!("factory dep {index}: {why}"))?;
    }
    let common_data = match &tx.common {
        TxCommon::L2(common) => ExecuteTransactionCommon::L2(l2_common(common, tx.raw.as_ref())),
        TxCommon::Priority(common) => ExecuteTransactionCommon::L1(priority_common(common)),
        TxCommon::Upgrade(common) => {
            ExecuteTransactionCommon::ProtocolUpgrade(upgrade_common(common)?)
        }
    };
    Ok(era::Transaction {
        common_data,
        execute: Execute {
            contract_address: tx.execute.to.map(era_address),
            calldata: tx.execute.calldata.to_vec(),
            value: era_u256(tx.execute.value),
            factory_deps: tx.execute.factory_deps.iter().map(|dep| dep.to_vec()).collect(),
        },
        received_timestamp_ms: tx.received_at_ms,
        raw_bytes: tx.raw.as_ref().map(|raw| raw.to_vec().into()),
    })
}

fn l2_common(common: &L2Common, raw: Option<&Bytes>) -> L2TxCommonData {
    // What was hashed tells whether a legacy transaction signed the chain id.
    let input = common.input.as_ref().or(raw).map(|input| input.to_vec()).unwrap_or_default();
    L2TxCommonData {
        nonce: Nonce(common.nonce),
        fee: Fee {
            gas_limit: era_u256(common.fee.gas_limit),
            max_fee_per_gas: era_u256(common.fee.max_fee_per_gas),
            max_priority_fee_per_gas: era_u256(common.fee.max_priority_fee_per_gas),
            gas_per_pubdata_limit: era_u256(common.fee.gas_per_pubdata_limit),
        },
        initiator_address: era_address(common.initiator),
        signature: common.signature.to_vec(),
        transaction_type: match common.tx_type {
            TxType::Legacy => TransactionType::LegacyTransaction,
            TxType::Eip2930 => TransactionType::EIP2930Transaction,
            TxType::Eip1559 => TransactionType::EIP1559Transaction,
            TxType::Eip712 => TransactionType::EIP712Transaction,
        },
        input: Some(InputData { hash: h256(common.hash.0), data: input }),
        paymaster_params: PaymasterParams {
            paymaster: era_address(common.paymaster.paymaster),
            paymaster_input: common.paymaster.input.to_vec(),
        },
    }
}

fn priority_common(common: &PriorityCommon) -> L1TxCommonData {
    L1TxCommonData {
        sender: era_address(common.sender),
        serial_id: PriorityOpId(common.serial_id),
        layer_2_tip_fee: era_u256(common.obsolete.layer_2_tip_fee),
        full_fee: era_u256(common.obsolete.full_fee),
        max_fee_per_gas: era_u256(common.max_fee_per_gas),
        gas_limit: era_u256(common.gas_limit),
        gas_per_pubdata_limit: era_u256(common.gas_per_pubdata_limit),
        op_processing_type: OpProcessingType::Common,
        priority_queue_type: PriorityQueueType::Deque,
        canonical_tx_hash: h256(common.hash.0),
        to_mint: era_u256(common.to_mint),
        refund_recipient: era_address(common.refund_recipient),
        eth_block: common.eth_block,
    }
}

fn upgrade_common(common: &UpgradeCommon) -> Result<ProtocolUpgradeTxCommonData, Unusable> {
    let ProtocolVersion(number) = common.upgrade;
    let upgrade_id = ProtocolVersionId::try_from(number)
        .map_err(|unknown| format!("it upgrades to v{}, which is not known", unknown.number))?;
    Ok(ProtocolUpgradeTxCommonData {
        sender: era_address(common.sender),
        upgrade_id,
        max_fee_per_gas: era_u256(common.max_fee_per_gas),
        gas_limit: era_u256(common.gas_limit),
        gas_per_pubdata_limit: era_u256(common.gas_per_pubdata_limit),
        eth_block: common.eth_block,
        canonical_tx_hash: h256(common.hash.0),
        to_mint: era_u256(common.to_mint),
        refund_recipient: era_address(common.refund_recipient),
    })
}

pub(crate) fn events(events: Vec<VmEvent>) -> Vec<Event> {
    let convert = |event: VmEvent| Event {
        address: address(event.address),
        topics: event.indexed_topics.into_iter().map(b256).collect(),
        data: event.value.into(),
    };
    events.into_iter().map(convert).collect()
}

pub(crate) fn l2_to_l1_log(log: &era::l2_to_l1_log::L2ToL1Log) -> L2ToL1Log {
    L2ToL1Log {
        shard_id: log.shard_id,
        is_service: log.is_service,
        tx_index_in_batch: log.tx_number_in_block,
        sender: address(log.sender),
        key: b256(log.key),
        value: b256(log.value),
    }
}

/// The writes among `logs`, in their order. A log of an undone write says what it put back.
pub(crate) fn writes<'a>(logs: impl IntoIterator<Item = &'a StorageLog>) -> Vec<StorageWrite> {
    let convert = |log: &StorageLog| StorageWrite { slot: slot(&log.key), value: b256(log.value) };
    logs.into_iter().filter(|log| log.is_write()).map(convert).collect()
}

/// A call that the crates' tracer saw.
pub(crate) fn call(call: Call) -> CallFrame {
    let kind = match call.r#type {
        CallType::Call(FarCallOpcode::Normal) => CallKind::Call,
        CallType::Call(FarCallOpcode::Delegate) => CallKind::Delegate,
        CallType::Call(FarCallOpcode::Mimic) => CallKind::Mimic,
        CallType::Create => CallKind::Create,
        CallType::NearCall => CallKind::Call,
    };
    CallFrame {
        kind,
        from: address(call.from),
        to: address(call.to),
        gas: call.gas,
        gas_used: call.gas_used,
        value: u256(call.value),
        input: call.input.into(),
        output: call.output.into(),
        error: call.error,
        revert_reason: call.revert_reason,
        calls: call.calls.into_iter().map(self::call).collect(),
    }
}

/// The slots of a transaction's log, with what they held before and after it.
pub(crate) fn touched(logs: &[StorageLogWithPreviousValue]) -> Vec<TouchedSlot> {
    let mut slots: BTreeMap<StorageSlot, TouchedSlot> = BTreeMap::new();
    for log in logs {
        let slot = slot(&log.log.key);
        let (before, after) = if log.log.is_write() {
            (b256(log.previous_value), b256(log.log.value))
        } else {
            (b256(log.log.value), b256(log.log.value))
        };
        slots.entry(slot).or_insert(TouchedSlot { slot, before, after }).after = after;
    }
    slots.into_values().collect()
}

/// Words of a sparse memory that are not zero, in ascending order. Of two values of one word the
/// later counts. `None` if the memory is longer than a heap can be.
pub(crate) fn heap(memory: &[(usize, era::U256)]) -> Option<Vec<(u32, U256)>> {
    let mut words = BTreeMap::new();
    for (index, word) in memory {
        words.insert(u32::try_from(*index).ok()?, u256(*word));
    }
    words.retain(|_index, word| !word.is_zero());
    Some(words.into_iter().collect())
}

#[cfg(test)]
mod tests;
