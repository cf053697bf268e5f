//! Blocks from the main node, in order, several chunks ahead.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::FuturesOrdered};
use lockstep_io::{BoxFuture, Clock, Io, TaskEnd, Tasks};
use lockstep_pipeline::{Peer, Source, StageError};
use lockstep_store::Views;
use lockstep_types::{
    BaseSystemContracts, BlockToRun, BytecodeHash, ChainId, FetchedBlock, L2BlockHash,
    L2BlockNumber,
};
use lockstep_upstream::{MainNode, UpstreamError, check_block};
use lockstep_wire::{SyncBlock, en::NEWEST_READABLE};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::stage_error;

/// How blocks are fetched.
#[derive(Clone, Copy, Debug)]
pub struct FetchConfig {
    /// Blocks asked for together.
    pub chunk_blocks: u32,
    /// Chunks asked for at the same time.
    pub chunks_ahead_max: usize,
    /// How often the main node is asked for its tip when every block it has is here.
    pub poll_interval: Duration,
    /// Pause before a block that was wrong is asked for again.
    pub wrong_interval: Duration,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            chunk_blocks: 10,
            chunks_ahead_max: 8,
            poll_interval: Duration::from_millis(500),
            wrong_interval: Duration::from_secs(2),
        }
    }
}

/// What a chunk's future gives: the first number that was asked for, and the answers.
type Chunk = (L2BlockNumber, Result<Vec<Option<SyncBlock>>, UpstreamError>);

/// What checking a chunk gives: checked blocks in order, and what was wrong with the one after.
type Checked = (Vec<FetchedBlock>, Option<String>);

/// Fetches blocks and checks each against its own hash and its parent.
pub struct Fetcher {
    main_node: MainNode,
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    views: Views,
    config: FetchConfig,
    chain_id: ChainId,
    /// The main node's newest block; `None` until it has said.
    tip: watch::Sender<Option<L2BlockNumber>>,
    /// The block to be handed out next, and the hash of the one before it.
    next: L2BlockNumber,
    parent: L2BlockHash,
    /// The first block that nobody has been asked for.
    unasked: L2BlockNumber,
    asked: FuturesOrdered<BoxFuture<'static, Chunk>>,
    checking: Option<BoxFuture<'static, Result<Checked, TaskEnd>>>,
    checked: VecDeque<FetchedBlock>,
    /// Base system contracts that the store is known to have.
    known_code: BTreeSet<BytecodeHash>,
    /// How often in a row the block at `next` was wrong.
    wrong_count: u32,
    /// Whether the main node lacked a block that its tip promises: it is asked for its tip again.
    is_tip_doubted: bool,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A wrong block is asked for again this many times before writes are halted.
    const WRONG_MAX: u32 = 4;

    /// Fetches from the block after `head` on, whose hash is `head_hash`. `main_node` is one whose
    /// client refuses endpoints of another chain than `chain_id`. `tip` is told the newest block of
    /// the main node, and believed: `None` if it may have been another chain's.
    pub fn new(
        io: &Io,
        main_node: MainNode,
        views: Views,
        chain_id: ChainId,
        (head, head_hash): (L2BlockNumber, L2BlockHash),
        tip: watch::Sender<Option<L2BlockNumber>>,
        config: FetchConfig,
    ) -> Self {
        Self {
            main_node,
            clock: io.clock.clone(),
            tasks: io.tasks.clone(),
            views,
            config,
            chain_id,
            tip,
            next: head.next(),
            parent: head_hash,
            unasked: head.next(),
            asked: FuturesOrdered::new(),
            checking: None,
            checked: VecDeque::new(),
            known_code: BTreeSet::new(),
            wrong_count: 0,
            is_tip_doubted: false,
        }
    }

    /// The newest block of the main node; `None` until it has said.
    pub fn tip(&self) -> watch::Receiver<Option<L2BlockNumber>> {
        self.tip.subscribe()
    }

    /// Forgets everything that was asked for and begins again at `next`.
    fn begin_again(&mut self) {
        self.asked.clear();
        self.checking = None;
        self.checked.clear();
        self.unasked = self.next;
    }

    /// Asks for chunks as long as there are blocks to ask for.
    async fn ask(&mut self) -> Result<(), StageError> {
        let is_at_tip = Some(self.unasked) > *self.tip.borrow();
        if (is_at_tip || self.is_tip_doubted) && self.asked.is_empty() {
            let tip = self.main_node.block_number().await.map_err(from_main_node)?;
            // An endpoint that is behind another does not make blocks vanish; a tip whose blocks
            // nobody has is given up.
            let floor = if self.is_tip_doubted { self.next.prev() } else { *self.tip.borrow() };
            let tip = Some(tip).max(floor);
            self.is_tip_doubted = false;
            self.tip.send_if_modified(|known| std::mem::replace(known, tip) != tip);
        }
        let Some(tip) = *self.tip.borrow() else { return Ok(()) };
        while self.unasked <= tip && self.asked.len() < self.config.chunks_ahead_max {
            let first = self.unasked;
            let count = (tip.0 - first.0 + 1).min(self.config.chunk_blocks.max(1));
            let main_node = self.main_node.clone();
            let chunk = async move { (first, main_node.sync_blocks(first, count).await) };
            self.asked.push_back(chunk.boxed());
            self.unasked = L2BlockNumber(first.0 + count);
        }
        Ok(())
    }

    /// Has the answers checked as a CPU job.
    fn check(&self, blocks: Vec<SyncBlock>) -> BoxFuture<'static, Result<Checked, TaskEnd>> {
        let (mut number, mut parent, chain_id) = (self.next, self.parent, self.chain_id);
        let job = move |_par: &dyn lockstep_io::Par| {
            let mut checked = Vec::with_capacity(blocks.len());
            for block in blocks {
                if block.hash.is_none() {
                    // Nothing would bind its timestamp and its order of transactions.
                    return (checked, Some(format!("block {number} came without its hash")));
                }
                match check_block(block, number, parent, chain_id) {
                    Ok(block) => {
                        number = number.next();
                        parent = block.hash;
                        checked.push(block);
                    }
                    Err(lie) => return (checked, Some(lie.to_string())),
                }
            }
            (checked, None)
        };
        self.tasks.compute("fetcher", job).boxed()
    }

    /// Takes the next answers and has them checked.
    async fn receive(&mut self) -> Result<(), StageError> {
        let Some((first, answers)) = self.asked.next().await else { return Ok(()) };
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                self.begin_again();
                let (main_node, next) = (self.main_node.clone(), self.next);
                return Err(unreadable(&main_node, next, error).await);
            }
        };
        assert_eq!(first, self.next, "chunks are received in the order in which they were asked");
        let asked = answers.len();
        let blocks: Vec<_> = answers.into_iter().map_while(|answer| answer).collect();
        if blocks.len() < asked {
            // This endpoint does not have them yet; what was asked for beyond is of no use.
            debug!(
                first = first.0,
                got = blocks.len(),
                asked,
                "the main node has fewer blocks than it said"
            );
            let got = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
            self.asked.clear();
            self.unasked = L2BlockNumber(first.0.saturating_add(got));
            self.is_tip_doubted = true;
        }
        if blocks.is_empty() {
            self.clock.sleep(self.config.poll_interval).await;
        } else {
            self.checking = Some(self.check(blocks));
        }
        Ok(())
    }

    /// Takes checked blocks over; pauses after a wrong one that is to be asked for again.
    async fn accept(&mut self, (blocks, wrong): Checked) -> Result<(), StageError> {
        if !blocks.is_empty() {
            self.wrong_count = 0;
        }
        self.checked.extend(blocks);
        let Some(detail) = wrong else { return Ok(()) };
        let after = self.checked.back().map_or(self.next, |block| block.params.number.next());
        self.asked.clear();
        self.unasked = after;
        self.wrong_count += 1;
        warn!(block = after.0, %detail, count = self.wrong_count, "a block was refused");
        self.main_node.distrust();
        if self.checked.is_empty() {
            if self.wrong_count >= Self::WRONG_MAX {
                return Err(StageError::Lie { peer: Peer::MainNode, detail });
            }
            // What was wrong for a moment, an endpoint that was just replaced for example, is
            // given time to become right.
            self.clock.sleep(self.config.wrong_interval).await;
        }
        Ok(())
    }

    /// The bytecodes of `contracts` that the store does not have.
    async fn missing_code(
        &mut self,
        contracts: &BaseSystemContracts,
    ) -> Result<Vec<(BytecodeHash, lockstep_types::Bytes)>, StageError> {
        let BaseSystemContracts { bootloader, default_account, evm_emulator } = *contracts;
        let all: BTreeSet<_> =
            [bootloader, default_account].into_iter().chain(evm_emulator).collect();
        let mut missing = Vec::new();
        for hash in all {
            if self.known_code.contains(&hash) {
                continue;
            }
            if self.views.now().bytecode(&hash)?.is_some() {
                self.known_code.insert(hash);
            } else {
                missing.push(hash);
            }
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.main_node.bytecodes(&missing).await.map_err(from_main_node)?;
        let pairs = missing.iter().copied().zip(answers);
        let found: Vec<_> = pairs.filter_map(|(hash, code)| Some((hash, code?))).collect();
        if found.len() < missing.len() {
            let detail = "it does not have the code of its own base system contracts".to_owned();
            return Err(StageError::Unavailable { peer: Peer::MainNode, detail });
        }
        // They go with the block that is handed out now, and are stored before any later one runs.
        self.known_code.extend(missing);
        Ok(found)
    }
}

impl Source for Fetcher {
    type Output = BlockToRun;
    const NAME: &'static str = "sync";

    async fn next(&mut self) -> Result<BlockToRun, StageError> {
        loop {
            if let Some(block) = self.checked.front() {
                let contracts = block.params.base_system_contracts;
                let bytecodes = match self.missing_code(&contracts).await {
                    Ok(bytecodes) => bytecodes,
                    Err(error) => {
                        // Perhaps it is the block that is wrong: its hash does not tell.
                        self.begin_again();
                        return Err(error);
                    }
                };
                let block = self.checked.pop_front().expect("the block is still in front");
                self.next = block.params.number.next();
                self.parent = block.hash;
                return Ok(BlockToRun { block, bytecodes });
            }
            if let Some(checking) = &mut self.checking {
                let checked = checking.await;
                self.checking = None;
                let checked = checked.map_err(|end| match end {
                    TaskEnd::Panicked(message) => {
                        StageError::Panicked { stage: Self::NAME, message }
                    }
                    TaskEnd::Done | TaskEnd::Dropped => StageError::Stopped,
                })?;
                self.accept(checked).await?;
                continue;
            }
            self.ask().await?;
            if self.asked.is_empty() {
                self.clock.sleep(self.config.poll_interval).await;
            } else {
                self.receive().await?;
            }
        }
    }
}

/// What it means that block `next` did not come. One that cannot be read may be of a release that is
/// newer than this one.
async fn unreadable(main_node: &MainNode, next: L2BlockNumber, error: UpstreamError) -> StageError {
    if matches!(error, UpstreamError::Malformed { .. })
        && let Ok(Some(version)) = main_node.version_of_block(next).await
        && version > NEWEST_READABLE
    {
        return StageError::UnknownVersion { block: next, version };
    }
    from_main_node(error)
}

fn from_main_node(error: UpstreamError) -> StageError {
    stage_error(Peer::MainNode, error)
}
