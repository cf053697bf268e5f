//! `lockstep re-execute`: runs stored batches again, side by side, and names the first difference.

use std::{process::ExitCode, sync::Arc};

use anyhow::bail;
use clap::Args;
use lockstep_replay::{ReplayError, Replayer, RootOf};
use lockstep_types::{L1BatchNumber, Quirks};
use lockstep_vm::Stop;
use lockstep_vm_era::{EraVm, EraVmConfig};

use crate::{
    config::VmChoice,
    side_by_side::{cores, side_by_side},
    verify::{Outcome, Range, Verdict, known},
};

/// Which batches, how many at the same time, and in which VM.
#[derive(Args, Debug)]
pub(crate) struct ReExecute {
    #[command(flatten)]
    range: Range,
    /// Batches run at the same time [default: as many as there are cores].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Which VM runs them; it need not be the one that ran them first.
    #[arg(long, value_enum, default_value_t = VmChoice::Own)]
    vm: VmChoice,
    /// MiB of decoded programs kept in memory.
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    program_cache_mib: usize,
}

/// Runs and prints a verdict. The exit code says whether anything differs.
///
/// # Errors
///
/// If the data directory cannot be read.
pub(crate) fn run(command: &ReExecute) -> anyhow::Result<ExitCode> {
    let jobs = command.jobs.unwrap_or_else(cores);
    if jobs == 0 {
        bail!("--jobs must be at least 1");
    }
    let views = command.range.datadir.open()?;
    let known = known(&views)?;
    let batches = command.range.batches(&views.now(), 1)?;
    let vm = EraVm::new(EraVmConfig {
        mode: command.vm.mode(),
        program_cache_bytes: command.program_cache_mib.saturating_mul(1 << 20),
    });
    let replayer = Replayer::new(Arc::new(vm), roots());
    let stop = Stop::default();
    let mut verdict = Verdict::default();
    let again = |batch: u32| {
        let (view, batch) = (Arc::new(views.now()), L1BatchNumber(batch));
        Ok(outcome(replayer.re_execute(&view, batch, &stop), batch, &known))
    };
    side_by_side("re-execute", &batches, jobs, again, |batch, outcome| {
        Ok(verdict.note(batch, &outcome)?)
    })?;
    Ok(verdict.say("re-execute")?)
}

fn outcome(result: Result<(), ReplayError>, batch: L1BatchNumber, known: &Quirks) -> Outcome {
    match result {
        Ok(()) => Outcome::Right,
        Err(ReplayError::Differs(difference)) => {
            match known.of_execution(batch, difference.block, difference.tx) {
                Some(quirk) => Outcome::PassedOver(format!("{difference}: {}", quirk.why)),
                None => Outcome::Wrong(difference.to_string()),
            }
        }
        Err(error) => Outcome::Wrong(error.to_string()),
    }
}

fn roots() -> Arc<RootOf> {
    Arc::new(|view, batch| {
        let row = lockstep_tree::root_of(view.raw(), batch);
        row.map(|row| row.map(|row| row.root)).map_err(|error| error.to_string())
    })
}
