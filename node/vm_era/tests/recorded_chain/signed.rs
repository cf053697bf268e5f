//! Signed transactions that are run by themselves: included ones would be, spoiled ones would not.

use std::sync::Arc;

use lockstep_testvectors::recordings_for;
use lockstep_types::{B256, Bytes, StorageSlot, Transaction, TxCommon, TxStatus, U256};
use lockstep_vm::{Simulated, SimulationEnd, SimulationEnv, Simulator as _, Stop};
use lockstep_vm_era::{EraVm, VmMode};

use crate::{
    batches::Batch,
    chain::{Chain, Reads, State},
    run_batch, vm,
};

fn env(chain: &Chain, index: usize) -> SimulationEnv {
    let batch = chain.env(index);
    let block = chain.batches[index][0].env();
    SimulationEnv {
        chain_id: batch.chain_id,
        version: batch.version,
        batch: batch.number,
        batch_timestamp: batch.timestamp,
        block: block.number,
        block_timestamp: block.timestamp,
        parent: block.parent,
        block_info_before: None,
        fee_input: batch.fee_input,
        base_fee_per_gas: None,
        base_contracts: batch.base_contracts,
        settlement_layer: batch.settlement_layer,
        interop_fee: batch.interop_fee,
    }
}

fn check(vm: &EraVm, env: &SimulationEnv, tx: &Transaction, state: &Arc<State>) -> Simulated {
    vm.check(env, tx, Reads::of(state), false, &Stop::default()).unwrap()
}

fn refusal(ran: &Simulated) -> &str {
    match &ran.end {
        SimulationEnd::Refused { message } => message,
        end @ (SimulationEnd::Success { .. }
        | SimulationEnd::Reverted { .. }
        | SimulationEnd::Stopped) => panic!("{end:?}"),
    }
}

/// With another signature, if it has one of an account without code.
fn forged(tx: &Transaction) -> Option<Transaction> {
    let mut tx = tx.clone();
    let TxCommon::L2(common) = &mut tx.common else { return None };
    if common.signature.len() != 65 {
        return None;
    }
    let mut signature = common.signature.to_vec();
    signature[40] ^= 1;
    common.signature = Bytes::from(signature);
    Some(tx)
}

#[test]
fn included_transactions_pass_and_spoiled_ones_are_refused() {
    for recording in recordings_for("signed transactions by themselves") {
        let chain = Chain::load(&recording);
        let own = vm(VmMode::Own);
        let mut state = Arc::new(chain.genesis());
        let (mut passed, mut spoiled) = (0, 0);
        for index in 0..chain.batches.len() {
            let batch = Batch::recorded(&chain, index);
            let ran = run_batch(&own, &batch, &state);
            let tx = batch.txs().next().expect("a batch has a transaction");
            if let TxCommon::L2(common) = &tx.common {
                let env = env(&chain, index);
                let checked = check(&own, &env, tx, &state);
                let outcome = &ran.outcomes[0][0];
                match (&outcome.status, &checked.end) {
                    (TxStatus::Success, SimulationEnd::Success { .. })
                    | (TxStatus::Reverted { .. }, SimulationEnd::Reverted { .. }) => passed += 1,
                    different => panic!("{}: {different:?}", tx.hash()),
                }
                if let Some(forged) = forged(tx) {
                    let refused = check(&own, &env, &forged, &state);
                    let message = refusal(&refused).to_owned();
                    let begins = "failed to validate the transaction. reason: ";
                    assert!(message.starts_with(begins), "{message}");
                    spoiled += 1;
                }
                let mut poor = (*state).clone();
                poor.slots.entry(StorageSlot::balance(common.initiator)).and_modify(|it| {
                    it.0 = B256::from(U256::from(1));
                });
                let has_paymaster = !common.paymaster.paymaster.is_zero();
                if !has_paymaster && !common.fee.max_fee_per_gas.is_zero() {
                    refusal(&check(&own, &env, tx, &Arc::new(poor)));
                    spoiled += 1;
                }
                // What was checked has left nothing behind.
                assert_eq!(check(&own, &env, tx, &state).end, checked.end);
            }
            Arc::make_mut(&mut state).advance(&batch, &ran);
        }
        assert!(passed > 5 && spoiled > 5, "{}: {passed}, {spoiled}", recording.name());
    }
}
