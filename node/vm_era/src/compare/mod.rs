//! Where two machines that ran the same thing differ: the first difference, in words.
//!
//! Everything that a batch leaves behind is compared, and the gas statistics, because a difference
//! there tells early what will differ later. Storage logs are compared by their effect: the fast
//! machine knows net changes only, the legacy one every single write.

use std::{collections::BTreeMap, fmt::Debug};

use lockstep_types::{B256, StorageSlot};
use zksync_multivm::interface::{
    CurrentExecutionState, FinishedL1Batch, VmExecutionLogs, VmExecutionResultAndLogs,
    VmExecutionStatistics,
};
use zksync_types::{StorageLog, StorageLogWithPreviousValue};

use crate::{
    convert::{b256, heap, slot},
    machine::TxRun,
};

/// A difference, or none.
type Same = Result<(), String>;

/// Longest rendering of a value in a difference, characters.
const VALUE_CHARS_MAX: usize = 400;

/// Compares what was said of a transaction; `None` is a transaction with unpublished bytecodes.
pub(crate) fn txs(fast: Option<&TxRun>, legacy: Option<&TxRun>) -> Same {
    let published = |run: Option<&TxRun>| run.map(|run| run.is_compressed);
    values("bytecode compression", &published(fast), &published(legacy))?;
    match (fast, legacy) {
        (Some(fast), Some(legacy)) => results(&fast.result, &legacy.result),
        (None, _) | (_, None) => Ok(()),
    }
}

/// Compares what was said of a sealed batch.
pub(crate) fn batches(fast: &FinishedL1Batch, legacy: &FinishedL1Batch) -> Same {
    results(&fast.block_tip_execution_result, &legacy.block_tip_execution_result)
        .map_err(|difference| format!("batch tip: {difference}"))?;
    states(&fast.final_execution_state, &legacy.final_execution_state)?;
    let bytes = |batch: &FinishedL1Batch| batch.pubdata_input.clone().unwrap_or_default();
    list("pubdata", &bytes(fast), &bytes(legacy))?;
    let diffs = |batch: &FinishedL1Batch| batch.state_diffs.clone().unwrap_or_default();
    list("state diffs", &diffs(fast), &diffs(legacy))?;
    let words = |batch: &FinishedL1Batch| {
        batch.final_bootloader_memory.as_deref().and_then(heap).unwrap_or_default()
    };
    list("bootloader memory", &words(fast), &words(legacy))
}

fn results(fast: &VmExecutionResultAndLogs, legacy: &VmExecutionResultAndLogs) -> Same {
    values("result", &fast.result, &legacy.result)?;
    values("refunds", &fast.refunds, &legacy.refunds)?;
    logs(&fast.logs, &legacy.logs)?;
    let deps = |result: &VmExecutionResultAndLogs| {
        result.dynamic_factory_deps.iter().map(|(hash, code)| (*hash, code.clone())).collect()
    };
    let (fast_deps, legacy_deps): (BTreeMap<_, _>, BTreeMap<_, _>) = (deps(fast), deps(legacy));
    map("made bytecodes", &fast_deps, &legacy_deps)?;
    statistics(&fast.statistics, &legacy.statistics)
}

fn logs(fast: &VmExecutionLogs, legacy: &VmExecutionLogs) -> Same {
    list("events", &fast.events, &legacy.events)?;
    list("user L2→L1 logs", &fast.user_l2_to_l1_logs, &legacy.user_l2_to_l1_logs)?;
    list("system L2→L1 logs", &fast.system_l2_to_l1_logs, &legacy.system_l2_to_l1_logs)?;
    map("storage writes", &net_writes(&fast.storage_logs), &net_writes(&legacy.storage_logs))
}

fn statistics(fast: &VmExecutionStatistics, legacy: &VmExecutionStatistics) -> Same {
    values("gas used", &fast.gas_used, &legacy.gas_used)?;
    values("gas remaining", &fast.gas_remaining, &legacy.gas_remaining)?;
    values("pubdata published", &fast.pubdata_published, &legacy.pubdata_published)
}

fn states(fast: &CurrentExecutionState, legacy: &CurrentExecutionState) -> Same {
    list("events of the batch", &fast.events, &legacy.events)?;
    list("user L2→L1 logs of the batch", &fast.user_l2_to_l1_logs, &legacy.user_l2_to_l1_logs)?;
    list("system logs of the batch", &fast.system_logs, &legacy.system_logs)?;
    list("storage refunds", &fast.storage_refunds, &legacy.storage_refunds)?;
    list("pubdata costs", &fast.pubdata_costs, &legacy.pubdata_costs)?;
    map(
        "storage writes of the batch",
        &final_writes(&fast.deduplicated_storage_logs),
        &final_writes(&legacy.deduplicated_storage_logs),
    )
}

/// Values of the slots that `logs` leave different from how they found them.
fn net_writes(logs: &[StorageLogWithPreviousValue]) -> BTreeMap<StorageSlot, B256> {
    let mut slots: BTreeMap<StorageSlot, (B256, B256)> = BTreeMap::new();
    for log in logs.iter().filter(|log| log.log.is_write()) {
        let value = b256(log.log.value);
        let entry = slots.entry(slot(&log.log.key));
        entry.or_insert_with(|| (b256(log.previous_value), value)).1 = value;
    }
    let changed = slots.into_iter().filter(|(_slot, (before, after))| before != after);
    changed.map(|(slot, (_before, after))| (slot, after)).collect()
}

fn final_writes(logs: &[StorageLog]) -> BTreeMap<StorageSlot, B256> {
    let writes = logs.iter().filter(|log| log.is_write());
    writes.map(|log| (slot(&log.key), b256(log.value))).collect()
}

fn values<T: PartialEq + Debug>(what: &str, fast: &T, legacy: &T) -> Same {
    if fast == legacy {
        return Ok(());
    }
    Err(format!("{what}: fast {}, legacy {}", shown(fast), shown(legacy)))
}

fn list<T: PartialEq + Debug>(what: &str, fast: &[T], legacy: &[T]) -> Same {
    let differing = fast.iter().zip(legacy).position(|(fast, legacy)| fast != legacy);
    if let Some(index) = differing {
        return values(&format!("{what}[{index}]"), &fast.get(index), &legacy.get(index));
    }
    values(&format!("number of {what}"), &fast.len(), &legacy.len())
}

fn map<K, V>(what: &str, fast: &BTreeMap<K, V>, legacy: &BTreeMap<K, V>) -> Same
where
    K: Ord + Debug,
    V: PartialEq + Debug,
{
    for key in fast.keys().chain(legacy.keys()) {
        values(&format!("{what}, {key:?}"), &fast.get(key), &legacy.get(key))?;
    }
    Ok(())
}

fn shown(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(VALUE_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
