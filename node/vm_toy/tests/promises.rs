//! The toy keeps the promises of the seam, and its programs do what they say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, sync::Arc};

use lockstep_types::{
    Address, B256, BatchTip, BytecodeHash, Bytes, ChainId, Execute, Fee, FeeInput, L1BatchNumber,
    L2BlockHash, L2BlockNumber, L2Common, LeafIndex, PaymasterParams, ProtocolVersion,
    PubdataParams, StateRoot, StorageSlot, Transaction, TxCommon, TxHash, TxOutcome, TxStatus,
    TxType, U256, UnixSeconds,
};
use lockstep_vm::{
    BaseContracts, BatchEnv, BlockEnv, Contract, EstimateRules, Estimated, OpenBatch, Simulated,
    SimulatedTx, SimulationEnd, SimulationEnv, Simulator, Stop, StorageError, Vm, VmError,
    VmStorage,
};
use lockstep_vm_toy::{Op, Program, ToyVm, evm_account, gas, previous_root_slot};

const TARGET: Address = Address::repeat_byte(0xaa);
const SENDER: Address = Address::repeat_byte(0xbb);
const GAS_LIMIT: u64 = 10_000;

/// Slots with their indices; reading `broken` fails.
#[derive(Clone, Debug, Default)]
struct Slots {
    values: BTreeMap<StorageSlot, (B256, LeafIndex)>,
    broken: Option<StorageSlot>,
}

impl VmStorage for Slots {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        if self.broken == Some(*slot) {
            return Err(StorageError("planted".to_owned()));
        }
        Ok(self.values.get(slot).map_or(B256::ZERO, |(value, _)| *value))
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        Ok(self.values.get(slot).map(|(_, index)| *index))
    }

    fn bytecode(&mut self, _hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        Ok(None)
    }
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn slot(key: u64) -> StorageSlot {
    StorageSlot::new(TARGET, word(key))
}

/// A state in which slots 1 and 2 hold 10 and 20.
fn slots() -> Slots {
    let values = [(slot(1), (word(10), LeafIndex(1))), (slot(2), (word(20), LeafIndex(2)))];
    Slots { values: values.into(), broken: None }
}

fn env() -> BatchEnv {
    let contract = || Contract { hash: BytecodeHash::default(), code: Bytes::from(vec![0; 32]) };
    BatchEnv {
        chain_id: ChainId(260),
        version: ProtocolVersion(29),
        number: L1BatchNumber(5),
        timestamp: UnixSeconds(100),
        previous_root: StateRoot(B256::repeat_byte(4)),
        fee_input: FeeInput::default(),
        fee_account: Address::ZERO,
        base_contracts: Arc::new(BaseContracts {
            bootloader: contract(),
            default_account: contract(),
            evm_emulator: None,
        }),
        pubdata_params: PubdataParams::default(),
        settlement_layer: None,
        interop_fee: U256::ZERO,
    }
}

fn block(number: u32) -> BlockEnv {
    BlockEnv {
        number: L2BlockNumber(number),
        timestamp: UnixSeconds(100 + u64::from(number)),
        parent: L2BlockHash::default(),
        virtual_block_count: 1,
        interop_roots: Vec::new(),
    }
}

fn tx_with(to: Option<Address>, calldata: Bytes, factory_deps: Vec<Bytes>) -> Transaction {
    let common = L2Common {
        hash: TxHash(B256::repeat_byte(9)),
        nonce: 0,
        fee: Fee {
            gas_limit: U256::from(GAS_LIMIT),
            max_fee_per_gas: U256::from(1),
            max_priority_fee_per_gas: U256::ZERO,
            gas_per_pubdata_limit: U256::from(50_000),
        },
        initiator: SENDER,
        signature: Bytes::new(),
        tx_type: TxType::Eip712,
        input: None,
        paymaster: PaymasterParams::default(),
    };
    Transaction {
        common: TxCommon::L2(Box::new(common)),
        execute: Execute { to, calldata, value: U256::ZERO, factory_deps },
        received_at_ms: 0,
        raw: None,
    }
}

fn tx(ops: &[Op]) -> Transaction {
    tx_with(Some(TARGET), Program(ops.to_vec()).encode(), Vec::new())
}

fn open(slots: Slots) -> Box<dyn OpenBatch> {
    ToyVm::default().open_batch(env(), block(1), Box::new(slots)).unwrap()
}

fn run_one(tx: &Transaction) -> TxOutcome {
    open(slots()).run_tx(tx).unwrap()
}

/// Runs a batch with a block per list of transactions.
fn run(env: BatchEnv, blocks: &[Vec<Transaction>]) -> (Vec<Vec<TxOutcome>>, BatchTip) {
    let mut batch = ToyVm::default().open_batch(env, block(1), Box::new(slots())).unwrap();
    let mut outcomes = Vec::new();
    for (number, txs) in (1..).zip(blocks) {
        if number > 1 {
            batch.start_block(block(number)).unwrap();
        }
        outcomes.push(txs.iter().map(|tx| batch.run_tx(tx).unwrap()).collect());
    }
    batch.start_block(block(u32::try_from(blocks.len()).unwrap() + 1)).unwrap();
    (outcomes, batch.seal().unwrap())
}

fn last_writes(outcomes: &[Vec<TxOutcome>], tip: &BatchTip) -> BTreeMap<StorageSlot, B256> {
    let writes = outcomes.iter().flatten().flat_map(|outcome| &outcome.writes);
    writes.chain(&tip.writes).map(|write| (write.slot, write.value)).collect()
}

#[test]
fn final_writes_are_the_last_writes_that_changed_something_in_canonical_order() {
    let blocks = [
        vec![
            tx(&[Op::Write { key: 2, value: 21 }, Op::Write { key: 3, value: 30 }]),
            tx(&[Op::Add { key: 1, amount: 5 }, Op::Write { key: 3, value: 31 }, Op::Revert]),
        ],
        vec![tx(&[Op::Write { key: 2, value: 20 }, Op::Add { key: 1, amount: 1 }])],
    ];
    let (outcomes, tip) = run(env(), &blocks);
    let mut expected = last_writes(&outcomes, &tip);
    let mut before = slots();
    expected.retain(|slot, value| before.value(slot).unwrap() != *value);
    assert_eq!(expected.into_iter().collect::<Vec<_>>(), tip.final_writes);
    let changed = |key| tip.final_writes.iter().find(|(s, _)| *s == slot(key)).map(|(_, v)| *v);
    assert_eq!(changed(1), Some(word(11)));
    assert_eq!(changed(2), None, "it holds what it held before the batch");
    assert_eq!(changed(3), Some(word(30)));
}

#[test]
fn a_revert_is_undone_by_writes_and_still_counts_the_nonce() {
    let ops = [
        Op::Write { key: 1, value: 11 },
        Op::Write { key: 1, value: 12 },
        Op::Emit { topic: 1, data: 2 },
        Op::Send { key: 1, value: 2 },
        Op::Revert,
    ];
    let outcome = run_one(&tx(&ops));
    assert!(matches!(outcome.status, TxStatus::Reverted { .. }));
    assert_eq!((outcome.events.len(), outcome.l2_to_l1_logs.len()), (0, 0));
    let last = last_writes(&[vec![outcome.clone()]], &BatchTip::default());
    assert_eq!(last.get(&slot(1)), Some(&word(10)));
    assert_eq!(last.get(&StorageSlot::nonces(SENDER)), Some(&word(1)));
    assert_eq!(outcome.writes.len(), 5, "nonce, two writes, both put back");
}

#[test]
fn events_and_logs_come_in_order_with_the_position_of_their_transaction() {
    let mut batch = open(slots());
    batch.run_tx(&tx(&[])).unwrap();
    let outcome = batch
        .run_tx(&tx(&[
            Op::Emit { topic: 1, data: 2 },
            Op::Send { key: 3, value: 4 },
            Op::Emit { topic: 5, data: 6 },
        ]))
        .unwrap();
    let topics: Vec<_> = outcome.events.iter().map(|event| event.topics[0]).collect();
    assert_eq!(topics, [word(1), word(5)]);
    assert_eq!(outcome.events[1].data, Bytes::from(6_u64.to_be_bytes().to_vec()));
    let log = outcome.l2_to_l1_logs[0];
    assert_eq!((log.tx_index_in_batch, log.sender, log.key), (1, TARGET, word(3)));
}

#[test]
fn gas_is_counted_and_its_end_reverts() {
    let outcome = run_one(&tx(&[Op::Burn { gas: 500 }, Op::Write { key: 1, value: 1 }]));
    assert_eq!(outcome.status, TxStatus::Success);
    assert_eq!(outcome.gas_refunded, GAS_LIMIT - gas::TX - 2 * gas::OP - 500);
    let outcome = run_one(&tx(&[Op::Burn { gas: u64::MAX }]));
    assert_eq!(outcome.status, TxStatus::Reverted { reason: "out of gas".to_owned() });
    assert_eq!(outcome.gas_refunded, 0);
}

#[test]
fn a_factory_dep_becomes_known_once() {
    let code = Bytes::from(vec![7; 96]);
    let hash = BytecodeHash::of_era(&code).unwrap();
    let program =
        Program(vec![Op::Deploy { dep: 0, account: 1 }, Op::Deploy { dep: 0, account: 2 }]);
    let outcome = run_one(&tx_with(Some(TARGET), program.encode(), vec![code]));
    assert_eq!(outcome.events.len(), 1);
    assert_eq!(outcome.events[0].topics[1], hash.0);
    let last = last_writes(&[vec![outcome]], &BatchTip::default());
    assert_eq!(last.get(&StorageSlot::known_code(hash.0)), Some(&word(1)));
    let account = Address::from_word(word(2));
    assert_eq!(last.get(&StorageSlot::code_hash(account)), Some(&hash.0));
}

#[test]
fn evm_code_is_made_by_the_vm() {
    let outcome = run_one(&tx_with(None, Bytes::from(vec![0x60; 40]), Vec::new()));
    let [(hash, code)] = outcome.made_bytecodes.as_slice() else {
        panic!("{outcome:?}");
    };
    assert_eq!(code.len(), 96);
    assert!(BytecodeHash(*hash).is_of(code));
    assert_eq!(BytecodeHash(*hash).displayed(code), [0x60; 40]);
    let last = last_writes(&[vec![outcome.clone()]], &BatchTip::default());
    let account = evm_account(SENDER, U256::ZERO);
    assert_eq!(last.get(&StorageSlot::code_hash(account)), Some(hash));
}

#[test]
fn calldata_that_is_no_program_reverts() {
    let outcome = run_one(&tx_with(Some(TARGET), Bytes::from(vec![99]), Vec::new()));
    assert!(matches!(outcome.status, TxStatus::Reverted { .. }));
}

#[test]
fn the_tip_depends_on_the_root_before_and_on_leaf_indices() {
    let blocks = [vec![tx(&[Op::Write { key: 2, value: 21 }])]];
    let (_, tip) = run(env(), &blocks);
    let root = (previous_root_slot(L1BatchNumber(4)), env().previous_root.0);
    assert!(tip.final_writes.contains(&root));
    let (_, same) = run(env(), &blocks);
    assert_eq!(same, tip);
    let other_root = BatchEnv { previous_root: StateRoot::default(), ..env() };
    let (_, other) = run(other_root, &blocks);
    assert_ne!(other.system_logs, tip.system_logs);
    let pubdata = tip.pubdata.unwrap();
    assert!(pubdata.windows(8).any(|bytes| bytes == 2_u64.to_be_bytes()), "index of slot 2");
    assert!(tip.bootloader_heap.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn a_halt_names_the_transaction() {
    let mut batch = open(slots());
    batch.run_tx(&tx(&[])).unwrap();
    let error = batch.run_tx(&tx(&[Op::Halt])).unwrap_err();
    let VmError::Halted { index_in_batch: 1, tx_hash, .. } = error else { panic!("{error}") };
    assert_eq!(tx_hash, tx(&[]).hash());
}

#[test]
fn blocks_follow_one_another_and_only_the_last_is_empty() {
    let is_bad = |result| matches!(result, Err(VmError::BadInput { .. }));
    assert!(is_bad(open(slots()).start_block(block(2))));
    let mut batch = open(slots());
    batch.run_tx(&tx(&[])).unwrap();
    assert!(is_bad(batch.start_block(block(3))));
    assert!(matches!(batch.seal(), Err(VmError::BadInput { .. })));
}

#[test]
fn versions_from_the_bound_on_are_unknown() {
    let vm = ToyVm::new(ProtocolVersion(31));
    let unknown = VmError::UnknownVersion(ProtocolVersion(31));
    assert!(vm.supports(ProtocolVersion(30)) && !vm.supports(ProtocolVersion(31)));
    let limits = vm.limits(ProtocolVersion(31), &FeeInput::default());
    assert_eq!(limits.unwrap_err(), unknown);
    let env = BatchEnv { version: ProtocolVersion(31), ..env() };
    assert_eq!(vm.open_batch(env, block(1), Box::new(slots())).unwrap_err(), unknown);
}

#[test]
fn what_cannot_be_read_stops_the_batch() {
    let broken = Slots { broken: Some(slot(1)), ..slots() };
    let error = open(broken).run_tx(&tx(&[Op::Add { key: 1, amount: 1 }])).unwrap_err();
    assert_eq!(error, VmError::Storage(StorageError("planted".to_owned())));
}

fn simulation_env() -> SimulationEnv {
    let env = env();
    SimulationEnv {
        chain_id: env.chain_id,
        version: env.version,
        batch: env.number,
        batch_timestamp: env.timestamp,
        block: L2BlockNumber(5),
        block_timestamp: env.timestamp,
        parent: L2BlockHash::default(),
        block_info_before: None,
        fee_input: env.fee_input,
        base_fee_per_gas: None,
        base_contracts: env.base_contracts,
        settlement_layer: env.settlement_layer,
        interop_fee: env.interop_fee,
    }
}

fn simulated(ops: &[Op]) -> SimulatedTx {
    let input = Program(ops.to_vec()).encode();
    SimulatedTx { from: SENDER, to: Some(TARGET), input, ..SimulatedTx::default() }
}

fn call(ops: &[Op], stop: &Stop) -> Simulated {
    let (env, tx) = (simulation_env(), simulated(ops));
    ToyVm::default().call(&env, &tx, Box::new(slots()), true, stop).unwrap()
}

#[test]
fn a_call_returns_what_a_slot_holds_and_says_what_it_wrote() {
    let called = call(&[Op::Add { key: 1, amount: 5 }, Op::Return { key: 1 }], &Stop::default());
    assert_eq!(called.end, SimulationEnd::Success { output: word(15).0.into() });
    assert_eq!(called.gas_used, gas::TX + 2 * gas::OP);
    let written: Vec<_> = called.writes.iter().map(|write| (write.slot, write.value)).collect();
    assert_eq!(written, [(slot(1), word(15))], "a call has no nonce");
    let touched = called.trace.unwrap().touched;
    assert_eq!((touched.len(), touched[0].before, touched[0].after), (1, word(10), word(15)));
}

#[test]
fn a_call_that_reverts_or_is_stopped_writes_nothing() {
    let ops = [Op::Write { key: 1, value: 5 }, Op::Revert];
    let reverted = call(&ops, &Stop::default());
    assert!(matches!(reverted.end, SimulationEnd::Reverted { reason: Some(_), .. }));
    assert_eq!(reverted.writes, []);
    let halted = call(&[Op::Halt], &Stop::default());
    assert!(matches!(halted.end, SimulationEnd::Refused { .. }));
    let stop = Stop::default();
    stop.now();
    assert_eq!(call(&ops, &stop).end, SimulationEnd::Stopped);
}

#[test]
fn an_unsigned_transaction_counts_and_an_estimate_is_scaled() {
    let (toy, env) = (ToyVm::default(), simulation_env());
    let tx = simulated(&[Op::Burn { gas: 900 }]);
    let ran = toy.run_unsigned(&env, &tx, Box::new(slots()), false, &Stop::default()).unwrap();
    let nonces: Vec<_> = ran.writes.iter().map(|write| (write.slot, write.value)).collect();
    assert_eq!((nonces, ran.trace), (vec![(StorageSlot::nonces(SENDER), word(1))], None));
    let rules = EstimateRules { acceptable_overestimation: 0, scale_per_mille: 1_500 };
    let estimate = |tx: &SimulatedTx| {
        toy.estimate(&env, tx, Box::new(slots()), &rules, &Stop::default()).unwrap()
    };
    let Estimated::Gas(gas) = estimate(&tx) else { panic!("it works") };
    assert_eq!(gas.gas_limit, (gas::TX + gas::OP + 900) * 3 / 2);
    assert!(matches!(estimate(&simulated(&[Op::Halt])), Estimated::Fails(_)));
    let old = ToyVm::new(env.version);
    let unknown = old.call(&env, &tx, Box::new(slots()), false, &Stop::default());
    assert_eq!(unknown, Err(VmError::UnknownVersion(env.version)));
    assert!(!old.can_simulate(env.version));
}

#[test]
fn a_traced_transaction_is_the_same_transaction() {
    let tx = tx(&[Op::Add { key: 1, amount: 5 }, Op::Return { key: 1 }]);
    let mut batch = open(slots());
    let traced = batch.run_tx_traced(&tx).unwrap();
    assert_eq!(traced.outcome, run_one(&tx));
    assert_eq!(traced.output, Bytes::from(word(15).0));
    assert_eq!(batch.value(&slot(1)).unwrap(), word(15));
    assert_eq!(batch.value(&slot(2)).unwrap(), word(20));
    let touched = traced.trace.touched.iter().find(|touched| touched.slot == slot(1)).unwrap();
    assert_eq!((touched.before, touched.after), (word(10), word(15)));
    assert_eq!(traced.trace.calls[0].input, tx.execute.calldata);
}
