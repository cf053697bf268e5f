//! Seeing the transactions of a stored batch from inside, by running the batch again.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::size_of,
    sync::Arc,
};

use lockstep_store::ChainView;
use lockstep_types::{
    Address, B256, L1BatchNumber, L2BlockHash, L2BlockNumber, StorageSlot, TxHash, address,
};
use lockstep_vm::{CallFrame, OpenBatch, Stop, TouchedSlot, Trace, VmError};

use crate::{
    batch::{Replayer, StoredBatch, block_env, header_of},
    compare::{Left, StoredBlock},
    error::ReplayError,
};

/// What is to be seen of a batch.
#[derive(Clone, Copy, Debug)]
pub struct TraceWish {
    /// The batch, sealed or open.
    pub batch: L1BatchNumber,
    /// A block of it whose transactions must be seen.
    pub block: L2BlockNumber,
    /// Most bytes that the traces of the wanted block may take, and again those of all others.
    /// Once the others have used theirs up, no more of them are made.
    pub bytes_max: usize,
}

/// The traces of a batch's transactions, by block.
#[derive(Debug, Default)]
pub struct BatchTraces {
    /// Blocks with transactions. Some may be missing: see [`TraceWish::bytes_max`].
    pub blocks: BTreeMap<L2BlockNumber, BlockTraces>,
    /// About how many bytes they take.
    pub bytes: usize,
}

/// The traces of a block's transactions.
#[derive(Debug)]
pub struct BlockTraces {
    /// Hash of the block.
    pub hash: L2BlockHash,
    /// In order of execution.
    pub txs: Vec<TxTrace>,
}

/// What was seen of a transaction.
#[derive(Debug)]
pub struct TxTrace {
    /// Hash of the transaction.
    pub hash: TxHash,
    /// Calls and slots.
    pub trace: Trace,
    /// Accounts that have to do with those, ascending by address.
    pub accounts: Vec<TouchedAccount>,
}

/// An account before and after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchedAccount {
    /// The account.
    pub address: Address,
    /// Before the run.
    pub before: AccountState,
    /// After it.
    pub after: AccountState,
}

/// What the system contracts hold of an account, as slots hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Balance of the base token.
    pub balance: B256,
    /// Both nonces; see [`Nonces`](lockstep_types::storage::Nonces).
    pub nonces: B256,
    /// Versioned hash of the code; zero if there is none.
    pub code_hash: B256,
}

impl TouchedAccount {
    /// The accounts that a trace has to do with: owners of slots, callers and callees, and those
    /// whose code was looked up. `other` tells what slots hold that the run did not touch.
    ///
    /// # Errors
    ///
    /// What `other` says.
    pub fn of_trace<E>(
        trace: &Trace,
        mut other: impl FnMut(&StorageSlot) -> Result<B256, E>,
    ) -> Result<Vec<Self>, E> {
        let mut addresses = BTreeSet::new();
        for touched in &trace.touched {
            addresses.insert(touched.slot.address);
            if touched.slot.address == address::ACCOUNT_CODE_STORAGE {
                addresses.insert(Address::from_word(touched.slot.key));
            }
        }
        let mut calls: Vec<&CallFrame> = trace.calls.iter().collect();
        while let Some(call) = calls.pop() {
            addresses.extend([call.from, call.to]);
            calls.extend(&call.calls);
        }
        let touched: BTreeMap<_, _> =
            trace.touched.iter().map(|touched| (touched.slot, touched)).collect();
        let mut both = |slot: StorageSlot| match touched.get(&slot) {
            Some(TouchedSlot { slot: _, before, after }) => Ok((*before, *after)),
            None => other(&slot).map(|value| (value, value)),
        };
        let mut accounts = Vec::with_capacity(addresses.len());
        for address in addresses {
            let balance = both(StorageSlot::balance(address))?;
            let nonces = both(StorageSlot::nonces(address))?;
            let code = both(StorageSlot::code_hash(address))?;
            accounts.push(Self {
                address,
                before: AccountState { balance: balance.0, nonces: nonces.0, code_hash: code.0 },
                after: AccountState { balance: balance.1, nonces: nonces.1, code_hash: code.1 },
            });
        }
        Ok(accounts)
    }
}

impl TxTrace {
    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.accounts.len() * size_of::<TouchedAccount>()
            + trace_bytes(&self.trace)
    }
}

/// About how many bytes the parts of `trace` take in memory.
pub fn trace_bytes(trace: &Trace) -> usize {
    let mut bytes = trace.touched.len() * size_of::<TouchedSlot>();
    let mut calls: Vec<&CallFrame> = trace.calls.iter().collect();
    while let Some(call) = calls.pop() {
        let texts = [&call.error, &call.revert_reason];
        let texts: usize = texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum();
        bytes += size_of::<CallFrame>() + call.input.len() + call.output.len() + texts;
        calls.extend(&call.calls);
    }
    bytes
}

impl Replayer {
    /// Runs a batch again, from its first block to the last that is stored, or as far as memory
    /// allows and `wish` needs. Every receipt on the way is compared with the stored one.
    ///
    /// Takes as long as running the batch took. A wish for a block without transactions gives
    /// traces of the others.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; [`ReplayError::Differs`] names the first difference.
    pub fn trace(
        &self,
        view: &Arc<ChainView>,
        wish: &TraceWish,
        stop: &Stop,
    ) -> Result<BatchTraces, ReplayError> {
        let batch = StoredBatch::find(view, wish.batch)?;
        let batch = batch.ok_or(ReplayError::NoBatch(wish.batch))?;
        let mut vm = self.open(view, &batch)?;
        let mut traces = BatchTraces::default();
        let mut spare = wish.bytes_max;
        for number in batch.blocks() {
            let is_wanted = number == wish.block;
            let seen = is_wanted || spare > 0;
            if !seen && number > wish.block {
                break;
            }
            let stored = StoredBlock::load(view, number)?;
            if stored.transactions.is_empty() {
                continue; // The fictive block.
            }
            let header = header_of(view, number)?;
            if number != batch.first_block {
                vm.start_block(block_env(&header))?;
            }
            let bytes_max = if is_wanted { wish.bytes_max } else { spare };
            match run_block(&mut *vm, number, &stored, seen.then_some(bytes_max), stop)? {
                Some((txs, bytes)) => {
                    traces.blocks.insert(number, BlockTraces { hash: header.hash, txs });
                    traces.bytes += bytes;
                    if !is_wanted {
                        spare -= bytes;
                    }
                }
                None if is_wanted => {
                    return Err(ReplayError::TooLarge { block: number, bytes_max });
                }
                None => spare = 0,
            }
        }
        Ok(traces)
    }
}

/// Runs the transactions of a block; sees them while the traces fit in `bytes_max`. Gives nothing
/// if they do not, or need not be seen.
fn run_block(
    vm: &mut dyn OpenBatch,
    number: L2BlockNumber,
    stored: &StoredBlock,
    mut bytes_max: Option<usize>,
    stop: &Stop,
) -> Result<Option<(Vec<TxTrace>, usize)>, ReplayError> {
    let (mut seen, mut bytes) = (Vec::new(), 0);
    for (tx, receipt) in stored.transactions.iter().zip(&stored.receipts) {
        if stop.is_due() {
            return Err(ReplayError::Stopped);
        }
        let hash = tx.hash();
        let Some(max) = bytes_max else {
            Left::from(&vm.run_tx(tx)?).check(number, Some(hash), receipt)?;
            continue;
        };
        let traced = vm.run_tx_traced(tx)?;
        Left::from(&traced.outcome).check(number, Some(hash), receipt)?;
        let other = |slot: &StorageSlot| vm.value(slot);
        let accounts = TouchedAccount::of_trace::<VmError>(&traced.trace, other)?;
        let tx_trace = TxTrace { hash, trace: traced.trace, accounts };
        bytes += tx_trace.bytes();
        seen.push(tx_trace);
        if bytes > max {
            (seen, bytes_max) = (Vec::new(), None);
        }
    }
    Ok(bytes_max.is_some().then_some((seen, bytes)))
}
