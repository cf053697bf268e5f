//! A difference anywhere is found and named; differences in form only are none.

use lockstep_types::Address;
use zksync_multivm::interface::{ExecutionResult, Halt, VmEvent};
use zksync_types::{
    H256, StorageLogKind, U256,
    l2_to_l1_log::{L2ToL1Log, SystemL2ToL1Log, UserL2ToL1Log},
    writes::StateDiffRecord,
};

use super::*;
use crate::convert::storage_key;

fn run() -> TxRun {
    TxRun { result: VmExecutionResultAndLogs::mock_success(), is_compressed: true }
}

fn key(byte: u8) -> zksync_types::StorageKey {
    storage_key(&StorageSlot::new(Address::repeat_byte(byte), B256::ZERO))
}

fn log(byte: u8, before: u8, after: u8) -> StorageLogWithPreviousValue {
    StorageLogWithPreviousValue {
        log: StorageLog {
            kind: StorageLogKind::RepeatedWrite,
            key: key(byte),
            value: H256::repeat_byte(after),
        },
        previous_value: H256::repeat_byte(before),
    }
}

fn l1_log() -> L2ToL1Log {
    L2ToL1Log { sender: zksync_types::Address::repeat_byte(1), ..L2ToL1Log::default() }
}

type ChangeRun = (&'static str, fn(&mut VmExecutionResultAndLogs));
type ChangeBatch = (&'static str, fn(&mut FinishedL1Batch));

const TX_DIFFERENCES: [ChangeRun; 11] = [
    ("result", |r| r.result = ExecutionResult::Halt { reason: Halt::VMPanic }),
    ("refunds", |r| r.refunds.gas_refunded += 1),
    ("events", |r| r.logs.events.push(VmEvent::default())),
    ("user L2→L1 logs", |r| r.logs.user_l2_to_l1_logs.push(UserL2ToL1Log(l1_log()))),
    ("system L2→L1 logs", |r| r.logs.system_l2_to_l1_logs.push(SystemL2ToL1Log(l1_log()))),
    ("storage writes", |r| r.logs.storage_logs.push(log(1, 0, 1))),
    ("storage writes", |r| r.logs.storage_logs.extend([log(1, 0, 1), log(1, 1, 2)])),
    ("made bytecodes", |r| {
        r.dynamic_factory_deps.insert(H256::zero(), vec![1]);
    }),
    ("gas used", |r| r.statistics.gas_used += 1),
    ("gas remaining", |r| r.statistics.gas_remaining += 1),
    ("pubdata published", |r| r.statistics.pubdata_published += 1),
];

const BATCH_DIFFERENCES: [ChangeBatch; 10] = [
    ("batch tip: refunds", |b| b.block_tip_execution_result.refunds.gas_refunded += 1),
    ("events of the batch", |b| b.final_execution_state.events.push(VmEvent::default())),
    ("user L2→L1 logs of the batch", |b| {
        b.final_execution_state.user_l2_to_l1_logs.push(UserL2ToL1Log(l1_log()));
    }),
    ("system logs of the batch", |b| {
        b.final_execution_state.system_logs.push(SystemL2ToL1Log(l1_log()));
    }),
    ("storage refunds", |b| b.final_execution_state.storage_refunds.push(1)),
    ("pubdata costs", |b| b.final_execution_state.pubdata_costs.push(1)),
    ("storage writes of the batch", |b| {
        b.final_execution_state.deduplicated_storage_logs.push(log(1, 0, 1).log);
    }),
    ("pubdata", |b| b.pubdata_input = Some(vec![1])),
    ("state diffs", |b| b.state_diffs = Some(vec![StateDiffRecord::default()])),
    ("bootloader memory", |b| b.final_bootloader_memory = Some(vec![(1, U256::one())])),
];

#[test]
fn a_difference_in_any_output_of_a_transaction_is_named() {
    assert_eq!(txs(Some(&run()), Some(&run())), Ok(()));
    for (name, change) in TX_DIFFERENCES {
        let mut changed = run();
        change(&mut changed.result);
        for difference in [
            txs(Some(&changed), Some(&run())).unwrap_err(),
            txs(Some(&run()), Some(&changed)).unwrap_err(),
        ] {
            assert!(difference.contains(name), "{name} is not in: {difference}");
            assert!(difference.contains("fast"), "{difference}");
            assert!(difference.contains("legacy"), "{difference}");
        }
    }
}

#[test]
fn a_difference_in_bytecode_compression_is_named() {
    let uncompressed = TxRun { is_compressed: false, ..run() };
    assert!(txs(Some(&run()), Some(&uncompressed)).unwrap_err().contains("compression"));
    assert!(txs(Some(&run()), None).unwrap_err().contains("compression"));
    assert_eq!(txs(None, None), Ok(()));
}

#[test]
fn a_difference_in_any_output_of_a_batch_is_named() {
    let same = FinishedL1Batch::mock();
    assert_eq!(batches(&same, &same), Ok(()));
    for (name, change) in BATCH_DIFFERENCES {
        let mut changed = same.clone();
        change(&mut changed);
        for difference in
            [batches(&changed, &same).unwrap_err(), batches(&same, &changed).unwrap_err()]
        {
            assert!(difference.contains(name), "{name} is not in: {difference}");
        }
    }
}

#[test]
fn writes_are_compared_by_what_they_leave() {
    let net = [log(1, 0, 2), log(3, 1, 0)];
    let single = [
        log(3, 1, 4),
        log(1, 0, 1),
        log(2, 5, 6),
        log(1, 1, 2),
        log(2, 6, 5), // Undone.
        log(3, 4, 0),
        log(4, 7, 7), // Nothing new.
    ];
    assert_eq!(net_writes(&net), net_writes(&single));
    assert_eq!(net_writes(&net).len(), 2);
}

#[test]
fn zeros_and_repetitions_in_memory_make_no_difference() {
    let with = |memory: &[(usize, u64)]| FinishedL1Batch {
        final_bootloader_memory: Some(memory.iter().map(|(i, w)| (*i, (*w).into())).collect()),
        ..FinishedL1Batch::mock()
    };
    let difference = batches(&with(&[(1, 1), (5, 3)]), &with(&[(5, 2), (4, 0), (5, 3), (1, 1)]));
    assert_eq!(difference, Ok(()));
}

#[test]
fn long_values_are_cut() {
    let mut changed = run();
    changed.result.result = ExecutionResult::Success { output: vec![7; 100_000] };
    let difference = txs(Some(&changed), Some(&run())).unwrap_err();
    assert!(difference.contains('…') && difference.len() < 1000, "{difference}");
}
