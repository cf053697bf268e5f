//! Transactions and calls seen from inside.

mod cache;
mod calls;
mod ethereum;
mod methods;
pub(crate) mod parity;
mod prestate;
mod seen;
mod steps;

use std::{sync::Arc, time::Duration};

use lockstep_replay::TouchedAccount;
use lockstep_types::{Address, B256, Bytes, U256, address::BOOTLOADER};
use lockstep_vm::{CallFrame, CallKind, Simulated, SimulatedTx, SimulationEnd, SimulationEnv};
use lockstep_wire::eth::{
    CallTrace, FlatCall, PrestateAccounts, PrestateDiff, StepOptions, StructLogs, TraceOptions,
    TracerConfig,
};
use serde::Serialize;

pub(crate) use self::{
    cache::{TraceCache, TraceFailure, Wanted},
    calls::{FlatPlace, Root, flat, tree},
    ethereum::{failure, is_reserved},
    seen::{Seen, of_block},
    steps::{rules_of, steps_of_call},
};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    execution::{Engine, Overridden, data_reason},
};

pub(crate) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    methods::register(methods, engine);
    parity::register(methods, engine);
}

/// What is to be shown, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracer {
    kind: TracerKind,
    config: TracerConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TracerKind {
    Call,
    FlatCall,
    Prestate,
    Steps(StepOptions),
}

impl Tracer {
    /// The tracer that is named.
    pub(crate) fn of(options: Option<TraceOptions>) -> ApiResult<Self> {
        let TraceOptions { tracer, tracer_config, steps } = options.unwrap_or_default();
        let kind = match tracer.as_deref() {
            None | Some("callTracer") => TracerKind::Call,
            Some("flatCallTracer") => TracerKind::FlatCall,
            Some("prestateTracer") => TracerKind::Prestate,
            Some("structLog" | "structLogger") => TracerKind::Steps(steps),
            Some(other) => return Err(ApiError::UnknownTracer(other.to_owned())),
        };
        Ok(Self { kind, config: tracer_config.unwrap_or_default() })
    }

    /// What it shows of instructions, if it shows them.
    pub(crate) fn steps(&self) -> Option<StepOptions> {
        match self.kind {
            TracerKind::Steps(options) => Some(options),
            TracerKind::Call | TracerKind::FlatCall | TracerKind::Prestate => None,
        }
    }
}

/// What a tracer shows of one transaction or call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Shown {
    Calls(Box<CallTrace>),
    Flat(Vec<FlatCall>),
    Prestate(PrestateAccounts),
    Diff(PrestateDiff),
    Steps(StructLogs),
}

/// The bootloader's call, in which all others are made.
fn bootloader_call(gas: u64, gas_used: u64, value: U256, input: Bytes) -> CallFrame {
    CallFrame {
        kind: CallKind::Call,
        from: Address::ZERO,
        to: BOOTLOADER,
        gas,
        gas_used,
        value,
        input,
        output: Bytes::new(),
        error: None,
        revert_reason: None,
        calls: Vec::new(),
    }
}

/// Shows a call that is in no block.
pub(crate) fn of_call(
    call: &Call,
    tracer: &Tracer,
    (env, tx, gas_limit): (&SimulationEnv, &SimulatedTx, u64),
    run: Simulated,
    state: &mut Overridden,
    time_max: Duration,
) -> ApiResult<Shown> {
    let trace = run.trace.ok_or(ApiError::BadAnswer("a traced call has no trace"))?;
    let (output, revert_reason) = match run.end {
        SimulationEnd::Success { output } => (output, None),
        SimulationEnd::Reverted { reason, data } => {
            (Bytes::new(), Some(reason.unwrap_or_else(|| data_reason(&data))))
        }
        SimulationEnd::Refused { message } => return Err(ApiError::run(&message)),
        SimulationEnd::Stopped => return Err(ApiError::TimedOut(time_max)),
    };
    if tracer.kind == TracerKind::Prestate {
        let accounts = TouchedAccount::of_trace(&trace, |slot| state.read(slot))?;
        return prestate::show(call, &trace, &accounts, tracer.config);
    }
    let mut frame = bootloader_call(gas_limit, run.gas_used, tx.value, tx.input.clone());
    frame.output = output;
    frame.revert_reason = revert_reason;
    let place = FlatPlace {
        index: 0,
        tx_hash: B256::ZERO,
        block: env.block,
        block_hash: lockstep_types::L2BlockHash::default(),
    };
    Ok(show_calls(tracer, &Root { frame, calls: &trace.calls }, &place))
}

fn show_calls(tracer: &Tracer, root: &Root<'_>, place: &FlatPlace) -> Shown {
    let only_top_call = tracer.config.only_top_call;
    if tracer.kind == TracerKind::FlatCall {
        return Shown::Flat(flat(root, place, only_top_call));
    }
    Shown::Calls(Box::new(tree(root, only_top_call)))
}
