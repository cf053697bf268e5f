//! What the executor refuses, with nothing stored of it, and what it waits for.

use std::sync::Arc;

use lockstep_pipeline::{Peer, Reaction, StageError};
use lockstep_types::{
    Address, B256, BatchTip, BlockParams, BlockToRun, ChainId, FeeInput, L1BatchNumber,
    L2BlockNumber, ProtocolVersion, PubdataType, SettlementLayer, StorageSlot, Transaction,
    TxOutcome, TxStatus, U256,
};
use lockstep_vm::{BatchEnv, BatchLimits, BlockEnv, OpenBatch, TracedTx, Vm, VmError, VmStorage};
use lockstep_vm_toy::{Op, ToyVm, previous_root_slot};

use super::world::{Chain, World, call, code, root_of, slot, word};

fn with_code(mut item: BlockToRun) -> BlockToRun {
    item.bytecodes = vec![code(9)];
    item
}

#[test]
fn nothing_is_stored_of_a_block_whose_version_is_unknown() {
    let (mut world, mut chain) = (World::new(&[]), Chain::new());
    world.run(chain.programs(1, &[&[]]));
    world.seal(chain.end());
    let before = world.dump();
    chain.version = ProtocolVersion(30);
    let error = world.try_run(with_code(chain.programs(1, &[&[]]))).unwrap_err();
    let version = ProtocolVersion(30);
    assert_eq!(error, StageError::UnknownVersion { block: L2BlockNumber(3), version });
    // First it is made sure that the main node means it.
    assert_eq!(error.reaction(), Reaction::LookForReorg);
    assert!(world.dump() == before);
    assert_eq!(world.restart().head(), L2BlockNumber(2));
}

#[test]
fn nothing_is_stored_of_a_block_with_a_transaction_that_cannot_be_in_one() {
    let (mut world, mut chain) = (World::new(&[]), Chain::new());
    world.run(chain.programs(1, &[&[Op::Write { key: 1, value: 1 }]]));
    let before = world.dump();
    let block = chain.programs(1, &[&[Op::Write { key: 1, value: 2 }], &[Op::Halt]]);
    let tx_hash = block.block.transactions[1].hash();
    let error = world.try_run(block.clone()).unwrap_err();
    let StageError::Execution(VmError::Halted { index_in_batch, tx_hash: told, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((index_in_batch, told), (2, tx_hash));
    assert!(world.dump() == before);
    // The batch is broken in memory, and stays so until the next process runs it again.
    let again = world.try_run(block).unwrap_err();
    assert!(matches!(again, StageError::Inconsistent { .. }), "{again}");
    assert!(world.dump() == before);
    assert_eq!(world.restart().head(), L2BlockNumber(1));
}

#[test]
fn a_block_that_does_not_fit_the_open_batch_is_refused_before_anything_is_stored() {
    let (mut world, mut chain) = (World::new(&[]), Chain::new());
    world.run(chain.programs(1, &[&[]]));
    let before = world.dump();
    let right = chain.programs(1, &[&[]]);
    let changes: [fn(&mut BlockParams); 9] = [
        |params| params.batch = L1BatchNumber(2),
        |params| params.version = ProtocolVersion(28),
        |params| params.fee_input.l1_gas_price += 1,
        |params| params.fee_input.fair_pubdata_price = None,
        |params| params.fee_account = Address::repeat_byte(0x99),
        |params| {
            let contracts = &mut params.base_system_contracts;
            contracts.evm_emulator = Some(contracts.bootloader);
        },
        |params| params.pubdata_params.pubdata_type = PubdataType::NoDa,
        |params| params.settlement_layer = Some(SettlementLayer::L1(ChainId(9))),
        |params| params.interop_fee = Some(U256::from(1)),
    ];
    for change in changes {
        let mut wrong = with_code(right.clone());
        change(&mut wrong.block.params);
        assert_ne!(wrong.block.params, right.block.params);
        let error = world.try_run(wrong).unwrap_err();
        assert!(matches!(error, StageError::Lie { peer: Peer::MainNode, .. }), "{error}");
        assert!(world.dump() == before);
    }
    world.run(right);
    assert_eq!(world.head(), L2BlockNumber(2));
}

#[test]
fn a_block_that_opens_another_batch_than_the_next_is_refused_and_not_waited_with() {
    for batch in [0, 1, 3, 9] {
        let (mut world, mut chain) = (World::new(&[]), Chain::new());
        world.run(chain.programs(1, &[&[]]));
        world.seal(chain.end());
        let before = world.dump();
        let mut wrong = with_code(chain.programs(1, &[&[]]));
        wrong.block.params.batch = L1BatchNumber(batch);
        let error = world.try_run(wrong).unwrap_err();
        assert!(matches!(error, StageError::Lie { peer: Peer::MainNode, .. }), "{error}");
        assert!(world.dump() == before);
    }
}

#[test]
fn a_batch_waits_for_the_root_of_the_one_before_and_runs_on_it() {
    let (mut world, mut chain) = (World::new(&[]), Chain::new());
    world.run(chain.programs(1, &[&[]]));
    assert!(world.run_unrooted(chain.end()).is_some());
    let first = chain.programs(1, &[&[Op::Write { key: 1, value: 1 }]]);
    assert!(!world.is_ready(&first), "the root of batch 1 is not there");
    assert!(!world.is_ready(&first), "it may be asked twice");
    let root = root_of(L1BatchNumber(1));
    world.roots.send_replace((L1BatchNumber(1), root));
    assert!(world.is_ready(&first));
    let seen = first.clone();
    world.run(first);
    // Inside a batch nothing is waited for, and blocks that are known never wait.
    let second = chain.programs(1, &[&[]]);
    world.roots.send_replace((L1BatchNumber(0), root));
    assert!(world.is_ready(&second) && world.is_ready(&seen));
    world.run(second);
    assert!(world.run_unrooted(chain.end()).is_some());
    assert!(world.is_ready(&seen) && !world.is_ready(&chain.programs(1, &[&[]])));
    let stored = world.value(previous_root_slot(L1BatchNumber(1)), 5);
    assert_eq!(stored, root.0, "the root is an input of the batch");
}

#[test]
fn the_first_value_of_a_slot_is_what_the_batch_before_left() {
    let (mut world, mut chain) = (World::new(&[(slot(1, 1), word(40))]), Chain::new());
    let add = [Op::Add { key: 1, amount: 1 }];
    for batch in 1..=3 {
        world.run(chain.programs(1, &[&add]));
        let txs = vec![
            chain.l2(0xa0, call(1, &add)),
            chain.l2(0xa0, call(1, &[Op::Burn { gas: 1 << 40 }])),
        ];
        world.run(chain.block(txs));
        let receipts = world.view().receipts(L2BlockNumber(batch * 3 - 1)).unwrap();
        assert!(matches!(receipts[1].status, TxStatus::Reverted { .. }), "out of gas");
        assert_eq!(receipts[1].gas_refunded, 0);
        world.seal(chain.end());
        assert_eq!(world.value(slot(1, 1), batch * 3), word(40 + 2 * u64::from(batch)));
    }
    let nonces = world.value(StorageSlot::nonces(super::world::account(0xa0)), 9);
    assert_eq!(nonces, B256::from(U256::from(6)));
}

/// A VM whose account of a batch leaves its last write out.
#[derive(Debug)]
struct Forgetful(ToyVm);

#[derive(Debug)]
struct ForgetfulBatch(Box<dyn OpenBatch>);

impl Vm for Forgetful {
    fn supports(&self, version: ProtocolVersion) -> bool {
        self.0.supports(version)
    }

    fn limits(&self, version: ProtocolVersion, fees: &FeeInput) -> Result<BatchLimits, VmError> {
        self.0.limits(version, fees)
    }

    fn open_batch(
        &self,
        env: BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Box<dyn OpenBatch>, VmError> {
        Ok(Box::new(ForgetfulBatch(self.0.open_batch(env, first_block, storage)?)))
    }
}

impl OpenBatch for ForgetfulBatch {
    fn start_block(&mut self, env: BlockEnv) -> Result<(), VmError> {
        self.0.start_block(env)
    }

    fn run_tx(&mut self, tx: &Transaction) -> Result<TxOutcome, VmError> {
        self.0.run_tx(tx)
    }

    fn run_tx_traced(&mut self, tx: &Transaction) -> Result<TracedTx, VmError> {
        self.0.run_tx_traced(tx)
    }

    fn value(&mut self, slot: &StorageSlot) -> Result<B256, VmError> {
        self.0.value(slot)
    }

    fn seal(self: Box<Self>) -> Result<BatchTip, VmError> {
        let mut tip = self.0.seal()?;
        assert!(tip.final_writes.pop().is_some());
        Ok(tip)
    }
}

#[test]
fn a_batch_is_not_sealed_when_the_vm_has_another_account_of_its_writes() {
    let disk = World::new(&[]).kill();
    let mut world = World::open_with(disk, Arc::new(Forgetful(ToyVm::default()))).unwrap();
    let mut chain = Chain::new();
    world.run(chain.programs(1, &[&[Op::Write { key: 1, value: 1 }]]));
    let before = world.dump();
    let end = chain.end();
    let error = world.try_run(end.clone()).unwrap_err();
    assert!(matches!(error, StageError::Inconsistent { block: L2BlockNumber(2), .. }), "{error}");
    assert!(world.dump() == before);
    world.restart().seal(end);
}
