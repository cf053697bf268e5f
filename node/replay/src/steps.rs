//! Seeing transactions of a stored block instruction by instruction, by running its batch again.

use std::sync::Arc;

use lockstep_store::ChainView;
use lockstep_types::{Bytes, L1BatchNumber, L2BlockHash, L2BlockNumber, TxHash};
use lockstep_vm::{OpenBatch, StepRules, Steps, Stop};

use crate::{
    batch::{Replayer, StoredBatch, block_env, header_of},
    compare::{Left, StoredBlock},
    error::ReplayError,
};

/// Whose instructions are to be seen.
#[derive(Clone, Copy, Debug)]
pub struct StepWish {
    /// The batch, sealed or open.
    pub batch: L1BatchNumber,
    /// The block of it.
    pub block: L2BlockNumber,
    /// Index of the transaction in the block; `None` for all of them.
    pub index: Option<u32>,
    /// What is to be seen. [`bytes_max`](StepRules::bytes_max) holds for all transactions together.
    pub rules: StepRules,
}

/// Transactions of a block, seen instruction by instruction.
#[derive(Debug)]
pub struct SteppedBlock {
    /// Hash of the block.
    pub hash: L2BlockHash,
    /// Those that were to be seen, in order of execution.
    pub txs: Vec<SteppedRun>,
}

/// A transaction, seen instruction by instruction.
#[derive(Debug)]
pub struct SteppedRun {
    /// Index in the block.
    pub index: u32,
    /// Hash of the transaction.
    pub hash: TxHash,
    /// What its call returned; empty unless it succeeded.
    pub output: Bytes,
    /// What was seen; `None` where the VM shows no instructions.
    pub steps: Option<Steps>,
}

impl Replayer {
    /// Runs a batch again, from its first block to the one that is wanted. Every receipt on the way
    /// is compared with the stored one. `None` if the batch does not have the block, or if that has
    /// no transactions.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; [`ReplayError::Differs`] names the first difference.
    pub fn steps(
        &self,
        view: &Arc<ChainView>,
        wish: &StepWish,
        stop: &Stop,
    ) -> Result<Option<SteppedBlock>, ReplayError> {
        let batch = StoredBatch::find(view, wish.batch)?;
        let batch = batch.ok_or(ReplayError::NoBatch(wish.batch))?;
        let mut vm = self.open(view, &batch)?;
        for number in batch.blocks().take_while(|number| *number <= wish.block) {
            let stored = StoredBlock::load(view, number)?;
            if stored.transactions.is_empty() {
                continue; // The fictive block.
            }
            let header = header_of(view, number)?;
            if number != batch.first_block {
                vm.start_block(block_env(&header))?;
            }
            let wish = (number == wish.block).then_some(wish);
            let txs = run_block(&mut *vm, number, &stored, wish, stop)?;
            if wish.is_some() {
                return Ok(Some(SteppedBlock { hash: header.hash, txs }));
            }
        }
        Ok(None)
    }
}

/// Runs the transactions of a block, up to the last one that is to be seen.
fn run_block(
    vm: &mut dyn OpenBatch,
    number: L2BlockNumber,
    stored: &StoredBlock,
    wish: Option<&StepWish>,
    stop: &Stop,
) -> Result<Vec<SteppedRun>, ReplayError> {
    let mut seen = Vec::new();
    let mut left = wish.map_or(0, |wish| wish.rules.bytes_max);
    let transactions = stored.transactions.iter().zip(&stored.receipts);
    for (index, (tx, receipt)) in (0..).zip(transactions) {
        if stop.is_due() {
            return Err(ReplayError::Stopped);
        }
        let hash = tx.hash();
        let last = wish.and_then(|wish| wish.index);
        let Some(wish) = wish.filter(|_| last.is_none_or(|last| last == index)) else {
            Left::from(&vm.run_tx(tx)?).check(number, Some(hash), receipt)?;
            continue;
        };
        let rules = StepRules { bytes_max: left, ..wish.rules };
        let stepped = vm.run_tx_stepped(tx, &rules)?;
        Left::from(&stepped.outcome).check(number, Some(hash), receipt)?;
        let (output, steps) = (stepped.output, stepped.steps);
        let is_enough = steps.as_ref().is_some_and(|steps| {
            left = left.saturating_sub(steps.json_bytes());
            steps.are_too_large
        });
        seen.push(SteppedRun { index, hash, output, steps });
        if is_enough || last.is_some() {
            break;
        }
    }
    Ok(seen)
}
