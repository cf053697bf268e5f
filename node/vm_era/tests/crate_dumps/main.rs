//! The dump of an estimate that the crates ship with their source, run on their legacy machine; what they were
//! recorded for is what must come out.
//!
//! They bring bootloaders for estimates and playgrounds. The dump of a validation is not here: it
//! holds only what is read up to the end of the validation, where a tracer has to stop the machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use lockstep_testvectors::skip_loudly;
use zksync_multivm::{
    interface::{
        ExecutionResult, InspectExecutionMode, VmFactory, VmInterface, VmInterfaceExt,
        VmRevertReason,
        storage::{StorageSnapshot, StorageView},
        utils::VmDump,
    },
    vm_latest::{HistoryEnabled, Vm},
};

const CRATE: &str = "zksync_multivm-29.13.0-non-semver-compat";

#[expect(clippy::disallowed_methods, reason = "tests have no config to be handed")]
fn cargo_home() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var("HOME").ok()?).join(".cargo"));
    std::env::var("CARGO_HOME").ok().map(PathBuf::from).or_else(home)
}

/// The dump `name` of the crate's source; `None` where cargo keeps no source.
fn dump(name: &str) -> Option<VmDump> {
    let registries = std::fs::read_dir(cargo_home()?.join("registry/src")).ok()?;
    let inside = PathBuf::from(CRATE).join("tests/vm_dumps").join(name);
    let mut paths = registries.filter_map(|entry| Some(entry.ok()?.path().join(&inside)));
    let json = paths.find_map(|path| std::fs::read_to_string(path).ok())?;
    Some(serde_json::from_str(&json).unwrap())
}

/// Runs the only transaction of a dump.
fn run(dump: VmDump) -> ExecutionResult {
    let [block] = dump.l2_blocks.try_into().unwrap();
    let [tx] = block.txs.try_into().unwrap();
    let storage = StorageView::new(dump.storage).to_rc_ptr();
    let mut vm: Vm<StorageView<StorageSnapshot>, HistoryEnabled> =
        Vm::new(dump.l1_batch_env, dump.system_env, storage);
    vm.push_transaction(tx);
    vm.execute(InspectExecutionMode::OneTx).result
}

#[test]
fn an_estimate_with_too_little_gas_reverts_without_words() {
    let Some(dump) = dump("estimate_fee_for_transfer_to_self.json") else {
        return skip_loudly(&format!("a dump of an estimate: no source of {CRATE}"));
    };
    let output = VmRevertReason::from([].as_slice());
    assert_eq!(run(dump), ExecutionResult::Revert { output });
}
