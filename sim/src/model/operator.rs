//! The operator of the chain: makes the steps of batches on L1, one after the other.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_types::{B256, keccak256};

use super::{
    Action, Model,
    event::L1Fate,
    l1::StepKind,
    view::{Steps, settles_elsewhere},
};

/// What was sent for the batches of the main node's chain, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operator {
    pub(crate) sent: BTreeMap<u32, Steps>,
}

impl Operator {
    /// The newest batch for which this step was sent.
    pub(crate) fn newest(&self, kind: StepKind) -> u32 {
        let made = self.sent.iter().rev().find(|(_, steps)| steps[kind as usize].is_some());
        made.map_or(0, |(number, _)| *number)
    }

    /// All batches up to this one have this step. A batch after them may have it too: what is sent to
    /// another layer stays when L1 drops what was before.
    fn sent_until(&self, kind: StepKind) -> u32 {
        made_until(&self.sent, kind)
    }

    /// Batches after `number` are no more.
    pub(crate) fn forget_after(&mut self, number: u32) {
        self.sent.retain(|sent, _| *sent <= number);
    }
}

impl Model {
    /// Sends what can be sent.
    pub(super) fn operate(&mut self) {
        for kind in [StepKind::Execute, StepKind::Prove, StepKind::Commit] {
            self.send_next(kind);
        }
        let view = self.view();
        let all = u32::try_from(view.branch.len()).unwrap_or(u32::MAX);
        if !(self.is_healed && self.operator.sent_until(StepKind::Execute) >= all) {
            self.plan_in(self.plan.step_ms.max(1), Action::Operate);
        }
    }

    fn send_next(&mut self, kind: StepKind) {
        let view = self.view();
        let ready_until = match kind {
            StepKind::Commit => view.commitment_until,
            // A step builds on one that is in a block.
            StepKind::Prove => made_until(&view.steps, StepKind::Commit),
            StepKind::Execute => made_until(&view.steps, StepKind::Prove),
        };
        let first = self.operator.sent_until(kind) + 1;
        let is_elsewhere = settles_elsewhere(&self.chain, first);
        let numbers: Vec<u32> = (first..=ready_until)
            .take_while(|number| settles_elsewhere(&self.chain, *number) == is_elsewhere)
            .take(usize::try_from(self.plan.batches_per_step.max(1)).unwrap_or(1))
            .collect();
        let ids: Vec<_> = numbers.iter().filter_map(|number| view.batch_id(*number)).collect();
        if ids.is_empty() {
            return;
        }
        let hash = if is_elsewhere {
            let hash = keccak256(format!("elsewhere {} {ids:?}", kind.name()));
            self.plan_in(self.plan.l1_block_ms, Action::Mined { hash });
            hash
        } else {
            let hash = self.l1.send(self.now, kind, ids);
            self.plan_at(self.now + self.l1.block_time(), Action::Mined { hash });
            hash
        };
        for number in numbers {
            self.operator.sent.entry(number).or_default()[kind as usize] = Some(hash);
        }
    }

    /// The main node tells of a transaction that it has sent.
    pub(super) fn mined(&mut self, hash: B256) {
        let sent = self.operator.sent.iter();
        let of_tx = sent.filter_map(|(number, steps)| {
            let kind = StepKind::ALL.into_iter().find(|kind| steps[*kind as usize] == Some(hash));
            Some((*number, kind?))
        });
        let of_tx: Vec<_> = of_tx.collect();
        if of_tx.is_empty() {
            return; // It is gone.
        }
        // Blocks may be late.
        let is_there = self.l1.tx(&hash).is_none() || self.l1.block_of(self.now, &hash).is_some();
        if !is_there {
            return self.plan_in(self.plan.l1_block_ms.max(1), Action::Mined { hash });
        }
        self.change(|view| {
            let steps = Arc::make_mut(&mut view.steps);
            for (number, kind) in of_tx {
                steps.entry(number).or_default()[kind as usize] = Some(hash);
            }
        });
    }

    /// L1 replaces its newest blocks.
    pub(super) fn reorg_l1(&mut self, depth: u64, fate: L1Fate) {
        let gone = self.l1.reorg(self.now, depth, fate);
        if gone.is_empty() {
            return;
        }
        let forget = |steps: &mut BTreeMap<u32, Steps>| {
            for step in steps.values_mut().flatten() {
                if step.is_some_and(|hash| gone.contains(&hash)) {
                    *step = None;
                }
            }
        };
        forget(&mut self.operator.sent);
        // Perhaps everything had been sent.
        if !self.agenda.values().any(|action| matches!(action, Action::Operate)) {
            self.plan_in(self.plan.step_ms.max(1), Action::Operate);
        }
        self.change(|view| forget(Arc::make_mut(&mut view.steps)));
    }
}

/// The newest batch with this step of those up to which all have it.
fn made_until(steps: &BTreeMap<u32, Steps>, kind: StepKind) -> u32 {
    let is_made =
        |number: &u32| steps.get(number).is_some_and(|steps| steps[kind as usize].is_some());
    (1..).take_while(is_made).last().unwrap_or(0)
}
