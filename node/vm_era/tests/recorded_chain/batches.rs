//! Batches as data, and what running one leaves.

use std::sync::Arc;

use lockstep_types::{BatchTip, BytecodeHash, Transaction, TxOutcome};
use lockstep_vm::{BatchEnv, BlockEnv, OpenBatch, Vm, VmError};

use crate::chain::{Chain, Reads, State};

/// A batch with all its blocks, the fictive one included.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) env: BatchEnv,
    pub(crate) blocks: Vec<(BlockEnv, Vec<Transaction>)>,
}

/// What a batch left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// By block; the fictive one is in the tip.
    pub(crate) outcomes: Vec<Vec<TxOutcome>>,
    pub(crate) tip: BatchTip,
}

impl Batch {
    /// The batch at `index` of a recorded chain.
    pub(crate) fn recorded(chain: &Chain, index: usize) -> Self {
        let blocks = chain.batches[index].iter();
        let blocks = blocks.map(|block| (block.env(), block.txs().to_vec())).collect();
        Self { env: chain.env(index), blocks }
    }

    pub(crate) fn txs(&self) -> impl Iterator<Item = &Transaction> {
        self.blocks.iter().flat_map(|(_, txs)| txs)
    }

    pub(crate) fn open(
        &self,
        vm: &dyn Vm,
        state: &Arc<State>,
    ) -> Result<Box<dyn OpenBatch>, VmError> {
        vm.open_batch(self.env.clone(), self.blocks[0].0.clone(), Reads::of(state))
    }

    /// Runs all blocks; `outcomes` are those by block, also when it cannot go on.
    pub(crate) fn run_blocks(
        &self,
        open: &mut dyn OpenBatch,
        outcomes: &mut Vec<Vec<TxOutcome>>,
    ) -> Result<(), VmError> {
        for (index, (env, txs)) in self.blocks.iter().enumerate() {
            if index > 0 {
                open.start_block(env.clone())?;
            }
            outcomes.push(Vec::new());
            for tx in txs {
                let outcome = open.run_tx(tx)?;
                outcomes[index].push(outcome);
            }
        }
        Ok(())
    }

    /// Opens the batch, runs everything and seals it.
    pub(crate) fn run(&self, vm: &dyn Vm, state: &Arc<State>) -> Result<Ran, VmError> {
        let mut open = self.open(vm, state)?;
        let mut outcomes = Vec::new();
        self.run_blocks(open.as_mut(), &mut outcomes)?;
        Ok(Ran::new(outcomes, open.seal()?))
    }
}

impl Ran {
    /// `outcomes` has one list more, of the fictive block.
    pub(crate) fn new(mut outcomes: Vec<Vec<TxOutcome>>, tip: BatchTip) -> Self {
        assert_eq!(outcomes.pop(), Some(Vec::new()), "the last block is the fictive one");
        Self { outcomes, tip }
    }
}

impl State {
    /// Brings the state to where `batch` left it.
    pub(crate) fn advance(&mut self, batch: &Batch, ran: &Ran) {
        for tx in batch.txs() {
            tx.execute.factory_deps.iter().for_each(|dep| self.add_code(dep));
        }
        for outcome in ran.outcomes.iter().flatten() {
            for (hash, code) in &outcome.made_bytecodes {
                let hash = BytecodeHash(*hash);
                assert!(hash.is_of(code), "{hash} has another code");
                self.codes.insert(hash, code.clone());
            }
        }
        self.write(&ran.tip.final_writes);
    }
}
