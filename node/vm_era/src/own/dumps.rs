//! Real transactions with the state they read, as the `zksync_multivm` crate ships them, on the
//! legacy machine and on ours. They come with the reference node's bootloaders for calls and
//! estimates, so they also show that ours can use those.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use lockstep_types::{
    B256, BytecodeHash, Bytes, ChainId, DaValidator, FeeInput, HashedKey, L1BatchNumber,
    L2BlockHash, L2BlockNumber, LeafIndex, ProtocolVersion, PubdataParams, PubdataType, StateRoot,
    StorageSlot, Transaction, U256, UnixSeconds,
};
use lockstep_vm::{BaseContracts, BatchEnv, BlockEnv, Contract, StorageError, VmStorage};
use lockstep_wire::en::TransactionJson;
use zksync_multivm::{
    LegacyVmInstance,
    interface::{
        ExecutionResult, VmExecutionResultAndLogs, VmFactory, VmInterface, VmInterfaceExt,
        storage::StorageView, utils::VmDump,
    },
    vm_latest::HistoryEnabled,
};
use zksync_types::{ExecuteTransactionCommon, H256, InputData};

use super::{
    batch::ready_tx,
    bootloaders::Bootloaders,
    layout::Layout,
    machine::{Ended, Machine, Run},
    memory::Terms,
    programs::Programs,
    world::World,
};
use crate::{convert, source::Source};

/// The dumps in the sources of the crate, wherever cargo keeps them.
fn dumps() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let user = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let homes = home.into_iter().chain(user);
    let entries = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for source in homes.flat_map(|home| entries(home.join("registry/src"))) {
        for package in entries(source.path()) {
            if package.file_name().to_string_lossy().starts_with("zksync_multivm-29.13.0") {
                let files = entries(package.path().join("tests/vm_dumps"));
                let files = files.map(|file| file.path());
                found
                    .extend(files.filter(|file| file.extension().is_some_and(|ext| ext == "json")));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// State of a dump. What is not in it was never written.
#[derive(Clone, Debug)]
struct State {
    slots: BTreeMap<HashedKey, (B256, u64)>,
    codes: BTreeMap<BytecodeHash, Bytes>,
}

impl State {
    fn new(json: &serde_json::Value) -> Self {
        let slots = json["storage"].as_object().unwrap();
        let codes = json["factory_deps"].as_object().unwrap();
        Self {
            slots: slots
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| {
                    let key = HashedKey(key.parse().unwrap());
                    (key, serde_json::from_value(value.clone()).unwrap())
                })
                .collect(),
            codes: codes
                .iter()
                .map(|(hash, code)| {
                    let hash = BytecodeHash(hash.parse().unwrap());
                    (hash, serde_json::from_value(code.clone()).unwrap())
                })
                .collect(),
        }
    }
}

impl VmStorage for State {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        Ok(self.slots.get(&slot.hashed_key()).map(|(value, _)| *value).unwrap_or_default())
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        let index = self.slots.get(&slot.hashed_key()).map(|(_, index)| *index);
        Ok(index.filter(|index| *index > 0).map(LeafIndex))
    }

    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        Ok(self.codes.get(hash).cloned())
    }
}

fn ours(tx: &zksync_types::Transaction) -> Transaction {
    let mut tx = tx.clone();
    if let ExecuteTransactionCommon::L2(common) = &mut tx.common_data {
        // Nobody signed it, so there are no signed bytes.
        common.input = Some(InputData { hash: H256::zero(), data: Vec::new() });
    }
    let json = serde_json::to_string(&tx).unwrap();
    let json: TransactionJson = serde_json::from_str(&json).unwrap();
    json.try_into().unwrap()
}

fn legacy(dump: VmDump, state: State) -> VmExecutionResultAndLogs {
    let tx = dump.l2_blocks[0].txs[0].clone();
    let storage = StorageView::new(Source::new(Box::new(state))).to_rc_ptr();
    let mut vm = LegacyVmInstance::<Source, HistoryEnabled>::new(
        dump.l1_batch_env,
        dump.system_env,
        storage,
    );
    vm.push_transaction(tx);
    vm.execute(zksync_multivm::interface::InspectExecutionMode::OneTx)
}

fn own(dump: &VmDump, state: State) -> Run {
    let (batch, system) = (&dump.l1_batch_env, &dump.system_env);
    let contract = |code: &zksync_contracts::SystemContractCode| Contract {
        hash: BytecodeHash(convert::b256(code.hash)),
        code: code.code.clone().into(),
    };
    let contracts = &system.base_system_smart_contracts;
    let prices = batch.fee_input.into_pubdata_independent();
    let env = BatchEnv {
        chain_id: ChainId(system.chain_id.as_u64()),
        version: ProtocolVersion(system.version as u16),
        number: L1BatchNumber(batch.number.0),
        timestamp: UnixSeconds(batch.timestamp),
        previous_root: StateRoot::default(),
        fee_input: FeeInput {
            l1_gas_price: prices.l1_gas_price,
            fair_l2_gas_price: prices.fair_l2_gas_price,
            fair_pubdata_price: Some(prices.fair_pubdata_price),
        },
        fee_account: lockstep_types::Address::new(batch.fee_account.0),
        base_contracts: Arc::new(BaseContracts {
            bootloader: contract(&contracts.bootloader),
            default_account: contract(&contracts.default_aa),
            evm_emulator: contracts.evm_emulator.as_ref().map(contract),
        }),
        pubdata_params: PubdataParams {
            validator: DaValidator::Address(lockstep_types::Address::ZERO),
            pubdata_type: PubdataType::Rollup,
        },
        settlement_layer: None,
        interop_fee: U256::ZERO,
    };
    let mut bootloaders = Bootloaders::default();
    assert!(bootloaders.offer(env.base_contracts.bootloader.code.clone()), "an unknown bootloader");

    let first = &batch.first_l2_block;
    let block = BlockEnv {
        number: L2BlockNumber(first.number),
        timestamp: UnixSeconds(first.timestamp),
        parent: L2BlockHash(convert::b256(first.prev_block_hash)),
        virtual_block_count: first.max_virtual_blocks_to_create,
        interop_roots: Vec::new(),
    };
    let layout = Layout::of(env.version).unwrap();
    let programs = Arc::new(Programs::new(1 << 26));
    let world = World::new(Box::new(state), Arc::clone(&programs));
    let terms = Terms { base_fee: batch.enforced_base_fee.unwrap(), is_new: false };
    let mut machine = Machine::open(layout, &env, terms, block, world, None);
    let tx = ready_tx(&ours(&dump.l2_blocks[0].txs[0]), &layout, false).unwrap();
    let run = machine.run_tx(&tx);
    assert_eq!(machine.world.fault(), None);
    run
}

#[test]
#[expect(clippy::print_stderr, reason = "says loudly that it skips")]
fn dumped_transactions_run_as_on_the_legacy_machine() {
    let dumps = dumps();
    if dumps.is_empty() {
        eprintln!("SKIPPED: no sources of zksync_multivm with tests/vm_dumps under CARGO_HOME");
        return;
    }
    for path in dumps {
        let text = std::fs::read_to_string(&path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let dump: VmDump = serde_json::from_str(&text).unwrap();
        let state = State::new(&json["storage"]);
        let run = own(&dump, state.clone());
        let said = legacy(dump, state);

        match (&run.end, &said.result) {
            (Ended::Success(ours), ExecutionResult::Success { output }) => assert_eq!(ours, output),
            (Ended::Reverted(ours), ExecutionResult::Revert { output }) => assert_eq!(ours, output),
            (Ended::Halted(ours), ExecutionResult::Halt { reason }) => assert_eq!(ours, reason),
            (ours, theirs) => panic!("{}: {ours:?} against {theirs:?}", path.display()),
        }
        assert_eq!(run.gas_refunded, said.refunds.gas_refunded);
        assert_eq!(run.machine_gas, said.statistics.gas_used);
        assert_eq!(run.pubdata, said.statistics.pubdata_published);
        assert_eq!(run.events, convert::events(said.logs.events));
        let writes = convert::writes(said.logs.storage_logs.iter().map(|log| &log.log));
        let theirs: BTreeMap<_, _> = writes.iter().map(|write| (write.slot, write.value)).collect();
        for change in &run.changes {
            assert_eq!(theirs.get(&change.write.slot), Some(&change.write.value));
        }
    }
}
