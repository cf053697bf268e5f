//! The main node changes its mind.

use std::{collections::BTreeSet, sync::Arc};

use lockstep_types::Transaction;

use super::{
    BatchId, Branch, Dice, ForkKind, Model, StepKind, View,
    chain::{BatchDraft, Chain},
};

impl Model {
    /// The newest `depth` batches are replaced by `batches` others, or one more: a chain that only
    /// lost its end looks like one that is behind, and nobody could tell before it goes on. What was
    /// sent to be executed on L1 stays.
    pub(super) fn reorg(&mut self, depth: u32, batches: u32, kind: ForkKind) {
        let view = self.view();
        let floor = self.operator.newest(StepKind::Execute);
        let common = self.batch_of_tip().saturating_sub(depth.max(1)).max(floor);
        let branch = self.fork(&view.branch, common, batches, kind);
        if branch == *view.branch {
            return; // Nothing is left that could be replaced.
        }
        self.operator.forget_after(common);
        let chain = &self.chain;
        let (kept, end) = (chain.tip(&branch[..at(common)]), chain.tip(&branch));
        let tip = match self.dice.below(4) {
            // Nothing is added to a chain in a healed world.
            _ if self.is_healed => end,
            0 => kept,
            1 => view.tip.clamp(kept, end),
            2 => end,
            _ => kept + self.dice.between_u32(0, end - kept),
        };
        self.change(|view| {
            view.branch = Arc::new(branch);
            view.tip = tip;
            view.root_until = view.root_until.min(common);
            view.commitment_until = view.commitment_until.min(common);
            Arc::make_mut(&mut view.steps).retain(|number, _| *number <= common);
        });
        self.plan_roots();
    }

    /// Another chain than the true one, complete, with steps on L1 only for what both have.
    pub(super) fn forge(&mut self) -> Arc<View> {
        let view = self.view();
        let depth = self.dice.between_u32(1, 3);
        let common = self.batch_of_tip().saturating_sub(depth);
        let branch = self.fork(&view.branch, common, 0, ForkKind::Others);
        let mut forged = View::clone(&view);
        forged.tip = self.chain.tip(&branch);
        forged.root_until = u32::try_from(branch.len()).unwrap_or(u32::MAX);
        forged.commitment_until = forged.root_until;
        forged.branch = Arc::new(branch);
        Arc::make_mut(&mut forged.steps).retain(|number, _| *number <= common);
        let forged = Arc::new(forged);
        self.forged.push(forged.clone());
        forged
    }

    /// The batch that the newest block is in.
    fn batch_of_tip(&self) -> u32 {
        let view = self.view();
        let block = self.chain.block(&view.branch, view.tip);
        block.map_or(0, |(id, _)| self.chain.batch(id).number)
    }

    /// A branch with the first `common` batches of `old`, and `batches` others; 0: as many as were
    /// there.
    fn fork(&mut self, old: &Branch, common: u32, batches: u32, kind: ForkKind) -> Branch {
        let mut branch: Branch = old[..at(common).min(old.len())].to_vec();
        let Some(first) = old.get(branch.len()).copied() else { return old.clone() };
        self.fork_count += 1;
        let label = format!("fork {}", self.fork_count);
        let mut dice = Dice::new(self.dice.any(), &label);
        let count = if batches == 0 { old.len() - branch.len() } else { at(batches) };
        let chain = Arc::make_mut(&mut self.chain);
        for draft in first_drafts(chain, first, kind, &mut dice) {
            branch.push(chain.add(branch.last().copied(), &draft));
        }
        while branch.len() < at(common) + count || old.starts_with(&branch) && branch != *old {
            let draft = chain.draft(branch.last().copied(), &mut dice);
            branch.push(chain.add(branch.last().copied(), &draft));
        }
        branch
    }
}

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What replaces `first`: one batch, or two.
fn first_drafts(chain: &Chain, first: BatchId, kind: ForkKind, dice: &mut Dice) -> Vec<BatchDraft> {
    let parent = chain.batch(first).parent;
    let others = chain.draft(parent, dice);
    let same = chain.redraft(first);
    if same.blocks.is_empty() {
        return vec![others];
    }
    let cut = 1 + dice.index(same.blocks.len());
    match kind {
        ForkKind::Others => vec![others],
        ForkKind::SameStart => {
            let mut draft = same;
            draft.blocks.truncate(cut);
            let mut time = draft.blocks.last().map_or(0, |block| block.0);
            // No transaction is in a chain twice.
            let known: BTreeSet<_> =
                draft.blocks.iter().flat_map(|(_, txs)| txs).map(Transaction::hash).collect();
            for (_, mut txs) in others.blocks {
                txs.retain(|tx| !known.contains(&tx.hash()));
                if !txs.is_empty() {
                    time += 2;
                    draft.blocks.push((time, txs));
                }
            }
            vec![BatchDraft { end: time + 2, ..draft }]
        }
        ForkKind::OtherSplit => {
            let (mut one, mut two) = (same.clone(), same);
            two.blocks = one.blocks.split_off(cut);
            one.end = one.blocks.last().map_or(one.end, |block| block.0) + 1;
            for (time, _) in &mut two.blocks {
                *time += 1;
            }
            two.end += 1;
            if two.blocks.is_empty() { vec![one] } else { vec![one, two] }
        }
        ForkKind::Reordered => {
            let mut draft = same;
            draft.blocks.iter_mut().for_each(|(_, txs)| txs.reverse());
            draft.end += 1; // So that it is another batch, whatever the order.
            vec![draft]
        }
        ForkKind::Later => {
            let mut draft = same;
            draft.blocks.iter_mut().for_each(|(time, _)| *time += 1);
            draft.end += 1;
            vec![draft]
        }
    }
}
