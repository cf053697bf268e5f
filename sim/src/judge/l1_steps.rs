//! S8: a step of a batch on L1 is known only if L1 has it, final only if it is, and what is final
//! stays, also when a rollback begins.

use std::time::Duration;

use lockstep_io::store::Change;
use lockstep_store::{codec::decode, tables};
use lockstep_types::{BatchSteps, Finality, L1BatchNumber};

use super::promises::ROLLBACK_KEY;
use super::{
    Observation, Violation,
    found::{Found, Place, unreadable},
};
use crate::model::{Model, StepKind};

/// What is known of L1.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The newest batch that was final at any time.
    final_batch: L1BatchNumber,
    /// The same, as of the last write.
    written: L1BatchNumber,
}

impl Steps {
    /// A rollback does not begin below what is final.
    pub(super) fn see(&mut self, what: &Observation<'_>) -> Option<Violation> {
        let Observation::Written { set, result: Ok(_), .. } = what else { return None };
        for change in &set.changes {
            match change {
                Change::Put { table, key, value } if *table == tables::STEPS => {
                    let number = key.first_chunk::<4>().copied().map(u32::from_be_bytes);
                    let is_final = decode(value).is_ok_and(|steps: BatchSteps| steps.is_final());
                    if let (Some(number), true) = (number, is_final) {
                        self.written = self.written.max(L1BatchNumber(number));
                    }
                }
                Change::Put { table, key, value }
                    if *table == tables::CURSORS && key == ROLLBACK_KEY =>
                {
                    let to: Option<L1BatchNumber> = decode(value).ok();
                    if to.is_some_and(|to| to < self.written) {
                        let detail = format!("back to {to:?}, and {} is final", self.written);
                        return Some(Violation::new("S8", "final goes back", detail));
                    }
                }
                Change::Put { .. } | Change::Delete { .. } | Change::DeleteRange { .. } => {}
            }
        }
        None
    }

    /// Compares the stored steps with L1.
    pub(super) fn check(
        &mut self,
        now: Duration,
        found: &Found,
        place: &Place,
        model: &Model,
    ) -> Result<Vec<Violation>, Violation> {
        let view = &found.view;
        let wrong = |key: &str, detail| Ok(vec![Violation::new("S8", key, detail)]);
        let agreed = view.agreed_batch().map_err(unreadable)?.unwrap_or_default();
        for number in 1..=agreed.0 {
            let steps = view.steps(L1BatchNumber(number)).map_err(unreadable)?;
            let Some(id) = place.batch(number) else { continue };
            let all = [&steps.commit, &steps.prove, &steps.execute];
            for (kind, step) in StepKind::ALL.into_iter().zip(all) {
                let Some(step) = step else { continue };
                let name = kind.name();
                match model.step(now, &step.tx_hash, kind, id) {
                    None => {
                        let detail =
                            format!("batch {number}: L1 has no {name} by {}", step.tx_hash);
                        return wrong("no evidence", detail);
                    }
                    Some(false) if step.finality == Finality::Finalized => {
                        let detail =
                            format!("batch {number}: {name} by {} may vanish", step.tx_hash);
                        return wrong("not final", detail);
                    }
                    Some(_) => {}
                }
            }
        }
        let final_batch = view.final_batch().map_err(unreadable)?;
        if final_batch < self.final_batch {
            let detail = format!("batch {} was final, now {final_batch} is", self.final_batch);
            return wrong("final goes back", detail);
        }
        self.final_batch = final_batch;
        self.written = final_batch;
        Ok(Vec::new())
    }
}
