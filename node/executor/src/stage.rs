//! The executor as a step of the pipeline.

use std::{fmt::Debug, sync::Arc};

use lockstep_io::Par;
use lockstep_pipeline::{Peer, Stage, StageError};
use lockstep_store::{ChainView, ChainWriter, StoreFault, Views, tables};
use lockstep_types::{
    BaseSystemContracts, BlockParams, BlockToRun, BytecodeHash, Bytes, ChainId, L1BatchNumber,
    L2BlockHash, L2BlockNumber, SealedBatch, StateRoot,
};
use lockstep_vm::{BaseContracts, Contract, Vm};
use tokio::sync::watch;
use tracing::{debug, info};

use crate::open_batch::{OpenRun, Opening, Ran, RunBlock};

/// How far execution has come, for whoever watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The newest block.
    pub head: L2BlockNumber,
    /// The newest sealed batch.
    pub sealed_batch: L1BatchNumber,
    /// Transactions run by this process.
    pub txs_run: u64,
}

/// Runs blocks and seals batches.
#[derive(Debug)]
pub struct Executor {
    vm: Arc<dyn Vm>,
    chain_id: ChainId,
    views: Views,
    writer: ChainWriter,
    /// The newest batch in the tree with its root: an input of the batch after.
    roots: watch::Receiver<(L1BatchNumber, StateRoot)>,
    progress: watch::Sender<Progress>,
    head: L2BlockNumber,
    head_hash: L2BlockHash,
    sealed: L1BatchNumber,
    open: Option<OpenRun>,
    base: Option<(BaseSystemContracts, Arc<BaseContracts>)>,
}

impl Executor {
    /// An executor that goes on where the store ends. The tree must have every sealed batch.
    ///
    /// Runs the stored blocks of the open batch again, which takes as long as it took the first
    /// time.
    ///
    /// # Errors
    ///
    /// [`StageError`] if the store cannot be read or the blocks give something else than stored.
    pub fn open(
        vm: Arc<dyn Vm>,
        chain_id: ChainId,
        views: Views,
        writer: ChainWriter,
        roots: watch::Receiver<(L1BatchNumber, StateRoot)>,
    ) -> Result<Self, StageError> {
        let view = Arc::new(views.now());
        let missing = |what: &str| StoreFault::corrupt(tables::CURSORS, b"", what);
        let head = view.head()?.ok_or_else(|| missing("no block is stored"))?;
        let sealed = view.sealed_batch()?.ok_or_else(|| missing("no batch is stored"))?;
        let progress = Progress { head, sealed_batch: sealed, txs_run: 0 };
        let mut executor = Self {
            vm,
            chain_id,
            writer,
            roots,
            progress: watch::Sender::new(progress),
            head,
            head_hash: header(&view, head)?.hash,
            sealed,
            open: None,
            base: None,
            views,
        };
        let sealed_until = batch_end(&view, sealed)?;
        if head > sealed_until {
            info!(
                batch = sealed.next().0,
                first = sealed_until.0 + 1,
                last = head.0,
                "running the open batch again"
            );
        }
        let after_first = sealed_until.next().min(head);
        let mut number = lockstep_io::planted!("X52", sealed_until, after_first);
        while number < head {
            number = number.next();
            executor.run_again(&view, number)?;
        }
        Ok(executor)
    }

    /// How far execution has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The newest block with its hash: the next one follows it.
    pub fn head(&self) -> (L2BlockNumber, L2BlockHash) {
        (self.head, self.head_hash)
    }

    /// Runs a stored block of the open batch again and compares.
    fn run_again(
        &mut self,
        view: &Arc<ChainView>,
        number: L2BlockNumber,
    ) -> Result<(), StageError> {
        let stored = header(view, number)?;
        let transactions = view.transactions(number)?;
        let block = RunBlock {
            params: &stored.params,
            hash: stored.hash,
            parent: stored.parent,
            transactions: &transactions,
        };
        let ran = self.run(block, &[])?;
        if ran.block.header != stored || ran.block.receipts != view.receipts(number)? {
            let detail = "running the stored block again gives other receipts".to_owned();
            return Err(StageError::Inconsistent { block: number, detail });
        }
        Ok(())
    }

    /// Runs `block`, in the open batch or in one that it opens. `bytecodes` came with it and are
    /// not in the store.
    fn run(
        &mut self,
        block: RunBlock<'_>,
        bytecodes: &[(BytecodeHash, Bytes)],
    ) -> Result<Ran, StageError> {
        self.check_place(block.params)?;
        if self.open.is_none() {
            let opening = self.opening(block, bytecodes)?;
            debug!(batch = block.params.batch.0, "batch opened");
            self.open = Some(OpenRun::open(&*self.vm, block, opening)?);
        }
        let run = self.open.as_mut().expect("a batch is open");
        let ran = run.run(block, bytecodes)?;
        if ran.sealed.is_some() {
            self.open = None;
        }
        Ok(ran)
    }

    /// Checks that a block fits the open batch, or can open the next one.
    fn check_place(&self, params: &BlockParams) -> Result<(), StageError> {
        let (block, batch, version) = (params.number, params.batch, params.version);
        let detail = match &self.open {
            Some(run) => match other_than_the_first(&run.params, params) {
                None => return Ok(()),
                Some(difference) => difference,
            },
            None if batch != self.sealed.next() => {
                format!("it opens batch {batch}, but {} is the newest", self.sealed)
            }
            None if lockstep_io::planted!("X30", !self.vm.supports(version), false) => {
                return Err(StageError::UnknownVersion { block, version });
            }
            None => return Ok(()),
        };
        let detail = format!("block {block}: {detail}");
        Err(StageError::Lie { peer: Peer::MainNode, detail })
    }

    /// Those of `bytecodes` that the store does not have: who sent them may not have known what
    /// earlier blocks brought.
    fn not_stored(
        &self,
        mut bytecodes: Vec<(BytecodeHash, Bytes)>,
    ) -> Result<Vec<(BytecodeHash, Bytes)>, StoreFault> {
        if bytecodes.is_empty() {
            return Ok(bytecodes);
        }
        let view = self.views.now();
        let mut stored = Vec::new();
        for (hash, _) in &bytecodes {
            stored.push(view.bytecode(hash)?.is_some());
        }
        let mut stored = stored.into_iter();
        bytecodes.retain(|_| stored.next() == Some(false));
        Ok(bytecodes)
    }

    fn opening(
        &mut self,
        first: RunBlock<'_>,
        bytecodes: &[(BytecodeHash, Bytes)],
    ) -> Result<Opening, StageError> {
        let params = first.params;
        let (rooted, previous_root) = *self.roots.borrow();
        assert_eq!(rooted, self.sealed, "a batch is opened when the one before has its root");
        let view = Arc::new(self.views.now());
        let before = view.batch(self.sealed)?;
        let before = before.ok_or_else(|| {
            StoreFault::corrupt(tables::BATCHES, &self.sealed.0.to_be_bytes(), "it is missing")
        })?;
        Ok(Opening {
            chain_id: self.chain_id,
            previous_root,
            base_contracts: self.base_contracts(&view, bytecodes, &params.base_system_contracts)?,
            bytecodes: bytecodes.iter().cloned().collect(),
            view,
            state_block: before.last_block,
            next_leaf_index: before.next_leaf_index,
        })
    }

    /// The bytecodes of `hashes`, which the store must have, or `bytecodes`.
    fn base_contracts(
        &mut self,
        view: &ChainView,
        bytecodes: &[(BytecodeHash, Bytes)],
        hashes: &BaseSystemContracts,
    ) -> Result<Arc<BaseContracts>, StoreFault> {
        if let Some((known, contracts)) = &self.base
            && known == hashes
        {
            return Ok(contracts.clone());
        }
        let load = |hash: BytecodeHash| -> Result<Contract, StoreFault> {
            if let Some((_, code)) = bytecodes.iter().find(|(given, _)| *given == hash) {
                return Ok(Contract { hash, code: code.clone() });
            }
            let detail = "the code of a base system contract is missing";
            let stored = view.bytecode(&hash)?;
            let stored = stored
                .ok_or_else(|| StoreFault::corrupt(tables::BYTECODES, hash.bytes(), detail))?;
            Ok(Contract { hash, code: stored.code })
        };
        let contracts = Arc::new(BaseContracts {
            bootloader: load(hashes.bootloader)?,
            default_account: load(hashes.default_account)?,
            evm_emulator: hashes.evm_emulator.map(load).transpose()?,
        });
        self.base = Some((*hashes, contracts.clone()));
        Ok(contracts)
    }
}

impl Stage for Executor {
    type Input = BlockToRun;
    type Output = SealedBatch;
    const NAME: &'static str = "executor";

    /// Waits for the root of the newest sealed batch, if `item` opens the batch after.
    async fn ready(&mut self, item: &BlockToRun) -> Result<(), StageError> {
        if self.open.is_none() && item.block.params.number > self.head {
            let sealed = self.sealed;
            let rooted = self.roots.wait_for(|(rooted, _)| *rooted >= sealed).await;
            rooted.map_err(|_closed| StageError::Stopped)?;
        }
        Ok(())
    }

    fn process(
        &mut self,
        item: BlockToRun,
        _par: &dyn Par,
    ) -> Result<Option<SealedBatch>, StageError> {
        let BlockToRun { block, bytecodes } = item;
        let number = block.params.number;
        if number <= self.head {
            return Ok(None); // Seen before.
        }
        assert_eq!(number, self.head.next(), "blocks come in order");
        assert_eq!(block.parent, self.head_hash, "a block follows its parent");
        self.check_place(&block.params)?;
        let bytecodes = self.not_stored(bytecodes)?;

        let run = RunBlock {
            params: &block.params,
            hash: block.hash,
            parent: block.parent,
            transactions: &block.transactions,
        };
        let ran = self.run(run, &bytecodes)?;
        let (batch, sealed) = ran.sealed.unzip();
        self.writer.persist_block(&ran.block, batch.as_ref())?;

        self.head = number;
        self.head_hash = block.hash;
        if let Some(batch) = &batch {
            self.sealed = batch.header.number;
        }
        self.progress.send_modify(|progress| {
            progress.head = number;
            progress.sealed_batch = self.sealed;
            progress.txs_run += u64::from(ran.block.header.tx_count());
        });
        debug!(block = number.0, txs = ran.block.header.tx_count(), "block sealed");
        Ok(sealed)
    }
}

/// What a later block says otherwise than the `first` of its batch, although it holds for all of
/// the batch: the VM is told what the first one says, so nothing else would notice. The limit of
/// pubdata is left out, which only informs, and which releases of the main node began to tell.
fn other_than_the_first(first: &BlockParams, later: &BlockParams) -> Option<String> {
    other("batch", &first.batch, &later.batch)
        .or_else(|| other("protocol version", &first.version, &later.version))
        .or_else(|| other("fee input", &first.fee_input, &later.fee_input))
        .or_else(|| other("fee account", &first.fee_account, &later.fee_account))
        .or_else(|| {
            let (first, later) = (&first.base_system_contracts, &later.base_system_contracts);
            other("set of base system contracts", first, later)
        })
        .or_else(|| {
            other("way of publishing pubdata", &first.pubdata_params, &later.pubdata_params)
        })
        .or_else(|| other("settlement layer", &first.settlement_layer, &later.settlement_layer))
        .or_else(|| other("interop fee", &first.interop_fee, &later.interop_fee))
}

fn other<T: PartialEq + Debug>(what: &str, first: &T, later: &T) -> Option<String> {
    (first != later).then(|| format!("its {what} is {later:?}, and {first:?} in its batch"))
}

fn header(
    view: &ChainView,
    number: L2BlockNumber,
) -> Result<lockstep_types::BlockHeader, StoreFault> {
    view.block(number)?.ok_or_else(|| {
        StoreFault::corrupt(tables::BLOCKS, &number.0.to_be_bytes(), "it is missing")
    })
}

fn batch_end(view: &ChainView, number: L1BatchNumber) -> Result<L2BlockNumber, StoreFault> {
    let batch = view.batch(number)?.ok_or_else(|| {
        StoreFault::corrupt(tables::BATCHES, &number.0.to_be_bytes(), "it is missing")
    })?;
    Ok(batch.last_block)
}
