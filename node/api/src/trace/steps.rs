//! Runs instruction by instruction: tracer `structLog`.
//!
//! The shape is that of geth's default tracer, the instructions are those of the EraVM, which runs
//! everything here. So a step has registers beside a stack, a place counts instructions and not
//! bytes, gas is the EraVM's, and what Ethereum does by an instruction is a call to a system contract,
//! whose instructions are there too. Contracts of EVM code are run by the EVM emulator: their steps
//! are the emulator's instructions, not those of their code. The bootloader's own instructions are
//! left out; accounts that it asks, and payment, are there. There is no refund counter. What a
//! transaction that was undone returned is not known; a call's is.

use std::sync::Arc;

use lockstep_replay::{StepWish, SteppedRun};
use lockstep_types::{Bytes, Receipt, Transaction, TxStatus};
use lockstep_vm::{Simulated, SimulationEnd, Step, StepRules, Steps};
use lockstep_wire::eth::{Digits, OfBlock, StepOptions, StructLog, StructLogs, Words};
use serde_json::value::{RawValue, to_raw_value};

use super::cache::Wanted;
use crate::{
    call::Call,
    error::{ApiError, ApiResult},
    execution::Engine,
    one_view::OneView,
};

/// What is noted of instructions that are shown in an answer of at most `bytes_max`.
pub(crate) fn rules_of(options: StepOptions, bytes_max: usize) -> StepRules {
    let StepOptions { enable_memory, disable_stack, disable_storage, enable_return_data, limit } =
        options;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    StepRules {
        has_stack: !disable_stack,
        has_memory: enable_memory,
        has_storage: !disable_storage,
        has_return_data: enable_return_data,
        steps_max: if limit == 0 { usize::MAX } else { limit },
        bytes_max,
    }
}

/// Looks up the instructions of a block, or of the transaction at an index in it, and shows them.
pub(super) async fn answer(
    engine: &Arc<Engine>,
    name: &'static str,
    view: &OneView,
    (wanted, index): (Wanted, Option<u32>),
    options: StepOptions,
) -> ApiResult<Box<RawValue>> {
    let bytes_max = engine.context.serving.response_bytes_max(name);
    let rules = rules_of(options, bytes_max);
    let wish = StepWish { batch: wanted.batch, block: wanted.block, index, rules };
    let clock = &*engine.execution.clock;
    let permit = engine.replays.enter(clock).await?;
    let (replayer, views) = (engine.replayer.clone(), engine.context.views.clone());
    let (context, view) = (Arc::clone(&engine.context), view.clone());
    let time_max = engine.context.config.replay_time_max;
    let job = move |stop: &_| {
        let _permit = permit;
        let stepped = replayer.steps(&Arc::new(views.now()), &wish, stop);
        let stepped = stepped.map_err(|error| ApiError::of_replay(error, time_max))?;
        // It may have been taken back meanwhile, and another be there now.
        let block = stepped.filter(|block| block.hash == wanted.hash).ok_or(ApiError::NoBlock)?;
        show(&Call::new(&context, &view), &wanted, index, block.txs, bytes_max)
    };
    engine.limited(name, time_max, job).await
}

fn show(
    call: &Call,
    wanted: &Wanted,
    index: Option<u32>,
    txs: Vec<SteppedRun>,
    bytes_max: usize,
) -> ApiResult<Box<RawValue>> {
    let transactions = call.view.transactions(wanted.block)?;
    let receipts = call.view.receipts(wanted.block)?;
    let mut all = Vec::with_capacity(txs.len());
    for SteppedRun { index, hash, output, steps } in txs {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let (Some(tx), Some(receipt)) = (transactions.get(at), receipts.get(at)) else {
            return Err(ApiError::NoBlock);
        };
        let result = of_tx(tx, receipt, output, struct_logs(steps, bytes_max)?);
        all.push(OfBlock { tx_hash: Some(hash.0), result });
    }
    if index.is_none() {
        return Ok(to_raw_value(&all)?);
    }
    let only = all.pop().ok_or(ApiError::BadAnswer("the transaction was not run"))?;
    Ok(to_raw_value(&only.result)?)
}

fn of_tx(tx: &Transaction, receipt: &Receipt, output: Bytes, logs: Vec<StructLog>) -> StructLogs {
    let gas_limit = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
    StructLogs {
        gas: gas_limit.saturating_sub(receipt.gas_refunded),
        failed: matches!(receipt.status, TxStatus::Reverted { .. }),
        return_value: output,
        struct_logs: logs,
    }
}

/// Shows a call that is in no block.
pub(crate) fn steps_of_call(
    call: &Call,
    run: Simulated,
    steps: Option<Steps>,
    bytes_max: usize,
) -> ApiResult<StructLogs> {
    let (return_value, failed) = match run.end {
        SimulationEnd::Success { output } => (output, false),
        SimulationEnd::Reverted { reason: _, data } => (data, true),
        SimulationEnd::Refused { message } => return Err(ApiError::run(&message)),
        SimulationEnd::Stopped => return Err(ApiError::TimedOut(call.config.call_time_max)),
    };
    let struct_logs = struct_logs(steps, bytes_max)?;
    Ok(StructLogs { gas: run.gas_used, failed, return_value, struct_logs })
}

fn struct_logs(steps: Option<Steps>, bytes_max: usize) -> ApiResult<Vec<StructLog>> {
    let Steps { steps, are_too_large } = steps.ok_or(ApiError::NoSteps)?;
    if are_too_large {
        return Err(ApiError::TooManySteps(bytes_max));
    }
    Ok(steps.into_iter().map(struct_log).collect())
}

fn struct_log(step: Step) -> StructLog {
    let has_stack = step.registers.is_some();
    let registers = step.registers.map(|registers| {
        let used = registers.iter().rposition(|register| !register.is_zero());
        registers[..used.map_or(0, |last| last + 1)].to_vec()
    });
    let digits = |(key, value): (&_, &_)| (Digits(*key), Digits(*value));
    StructLog {
        pc: step.pc.into(),
        op: step.op,
        gas: step.gas.into(),
        gas_cost: step.gas_cost.into(),
        depth: step.depth,
        address: step.code_address,
        error: step.is_panic.then_some("panic"),
        stack: has_stack.then_some(step.stack),
        registers,
        memory: step.memory.map(Words),
        return_data: step.return_data,
        storage: step.storage.map(|storage| storage.iter().map(digits).collect()),
    }
}
