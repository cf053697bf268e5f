//! L1: blocks that come with time, transactions in them, and what providers say of both.

use std::{collections::BTreeMap, time::Duration};

use lockstep_types::{B256, TxStatus, U256, keccak256};
use serde_json::{Value, json};

use super::{
    ModelPlan,
    chain::{BatchId, Block, Chain, L1},
    event::L1Fate,
};

/// L1's newest block when the world begins.
const FIRST_BLOCK: u64 = 1_000;

/// A step of batches on L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// Its content is told.
    Commit,
    /// It is proven.
    Prove,
    /// It is executed.
    Execute,
}

impl StepKind {
    /// In order.
    pub const ALL: [Self; 3] = [Self::Commit, Self::Prove, Self::Execute];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Prove => "prove",
            Self::Execute => "execute",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Commit => "BlockCommit(uint256,bytes32,bytes32)",
            Self::Prove => "BlocksVerification(uint256,uint256)",
            Self::Execute => "BlockExecution(uint256,bytes32,bytes32)",
        }
    }
}

/// A transaction of the chain's operator.
#[derive(Clone, Debug)]
pub(crate) struct L1Tx {
    pub(crate) kind: StepKind,
    /// In order, of one branch.
    pub(crate) batches: Vec<BatchId>,
    /// Where it was, oldest first.
    places: Vec<Place>,
}

/// A transaction is in `block` from a time on, until another.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: Duration,
    until: Option<Duration>,
    block: u64,
}

/// L1, over all time.
#[derive(Clone, Debug)]
pub(crate) struct L1Chain {
    block_ms: u64,
    safe_blocks: u64,
    final_blocks: u64,
    /// From when on, until when there were no blocks.
    stalls: Vec<(Duration, Duration)>,
    txs: BTreeMap<B256, L1Tx>,
    sent_count: u64,
}

impl L1Chain {
    pub(crate) fn new(plan: &ModelPlan) -> Self {
        Self {
            block_ms: plan.l1_block_ms.max(1),
            safe_blocks: plan.l1_safe_blocks,
            final_blocks: plan.l1_final_blocks.max(plan.l1_safe_blocks),
            stalls: Vec::new(),
            txs: BTreeMap::new(),
            sent_count: 0,
        }
    }

    /// No blocks from `now` on for `time`, unless that is so already.
    pub(crate) fn stall(&mut self, now: Duration, time: Duration) {
        if self.stalls.last().is_none_or(|(_, until)| *until <= now) {
            self.stalls.push((now, now + time));
        }
    }

    /// Stalls end.
    pub(crate) fn heal(&mut self, now: Duration) {
        if let Some((_, until)) = self.stalls.last_mut() {
            *until = (*until).min(now);
        }
    }

    /// The newest block at `now`.
    pub(crate) fn latest(&self, now: Duration) -> u64 {
        let stalled: Duration =
            self.stalls.iter().map(|(from, until)| now.min(*until).saturating_sub(*from)).sum();
        let ms = u64::try_from(now.saturating_sub(stalled).as_millis()).unwrap_or(u64::MAX);
        FIRST_BLOCK + ms / self.block_ms
    }

    /// The newest block that cannot vanish.
    pub(crate) fn finalized(&self, now: Duration) -> u64 {
        self.latest(now).saturating_sub(self.final_blocks)
    }

    /// Sends a transaction that will be in the next block; gives its hash.
    pub(crate) fn send(&mut self, now: Duration, kind: StepKind, batches: Vec<BatchId>) -> B256 {
        self.sent_count += 1;
        let hash = keccak256(format!("{} {} {batches:?}", kind.name(), self.sent_count));
        let block = self.latest(now) + 1;
        let places = vec![Place { from: now + self.block_time(), until: None, block }];
        self.txs.insert(hash, L1Tx { kind, batches, places });
        hash
    }

    /// Time between two blocks.
    pub(crate) fn block_time(&self) -> Duration {
        Duration::from_millis(self.block_ms)
    }

    /// The newest `depth` blocks are replaced at `now`; gives the transactions that are gone.
    pub(crate) fn reorg(&mut self, now: Duration, depth: u64, fate: L1Fate) -> Vec<B256> {
        let latest = self.latest(now);
        let depth = depth.min(self.final_blocks.saturating_sub(1));
        let kept = latest - depth;
        let mut gone = Vec::new();
        for (hash, tx) in &mut self.txs {
            let Some(place) = tx.places.last_mut() else { continue };
            let is_sent_only = place.from > now;
            let stays = match fate {
                L1Fate::Moved | L1Fate::Stays => is_sent_only,
                L1Fate::Dropped => false, // What was sent may build on what is gone.
            };
            if place.until.is_some() || stays || place.block <= kept {
                continue;
            }
            let block = place.block;
            place.until = Some(now);
            let wait = Duration::from_millis(self.block_ms);
            match fate {
                L1Fate::Stays => tx.places.push(Place { from: now, until: None, block }),
                L1Fate::Moved => {
                    tx.places.push(Place { from: now + wait, until: None, block: latest + 1 });
                }
                L1Fate::Dropped => gone.push(*hash),
            }
        }
        gone
    }

    /// A transaction, wherever it is.
    pub(crate) fn tx(&self, hash: &B256) -> Option<&L1Tx> {
        self.txs.get(hash)
    }

    /// The block that a transaction is in at `now`.
    pub(crate) fn block_of(&self, now: Duration, hash: &B256) -> Option<u64> {
        let latest = self.latest(now);
        let places = &self.txs.get(hash)?.places;
        let is_there = |place: &&Place| {
            place.from <= now
                && place.until.is_none_or(|until| now < until)
                && place.block <= latest
        };
        places.iter().rev().find(is_there).map(|place| place.block)
    }

    /// Whether a transaction is in a block that cannot vanish at `now`.
    pub(crate) fn is_final(&self, now: Duration, hash: &B256) -> bool {
        self.block_of(now, hash).is_some_and(|block| block <= self.finalized(now))
    }

    /// What a provider says; `None` if it does not know the method.
    pub(crate) fn answer(
        &self,
        chain: &Chain,
        asked: &L1Asked,
        method: &str,
        params: &Value,
    ) -> Option<Value> {
        let number = |number: u64| asked.number(number);
        let hash = || params[0].as_str().and_then(|text| text.parse::<B256>().ok());
        Some(match method {
            "eth_chainId" => number(L1.0),
            "eth_blockNumber" => number(self.latest(asked.now)),
            "eth_getBlockByNumber" => {
                let latest = self.latest(asked.now);
                let block = match params[0].as_str()? {
                    "latest" => latest,
                    "safe" => latest.saturating_sub(self.safe_blocks),
                    "finalized" if asked.knows_finalized => self.finalized(asked.now),
                    _ => return Some(Value::Null),
                };
                json!({"number": number(block)})
            }
            "eth_getTransactionReceipt" => match hash() {
                Some(hash) if asked.shows_receipts => self.receipt(chain, asked, &hash),
                Some(_) | None => Value::Null,
            },
            "eth_getTransactionByHash" => match hash() {
                Some(hash) if asked.shows_receipts => self.block_of(asked.now, &hash).map_or(
                    Value::Null,
                    |block| json!({"hash": hash, "blockNumber": number(block), "input": "0x"}),
                ),
                Some(_) | None => Value::Null,
            },
            "eth_getLogs" => json!([]),
            _ => return None,
        })
    }

    fn receipt(&self, chain: &Chain, asked: &L1Asked, hash: &B256) -> Value {
        let Some(tx) = self.txs.get(hash) else { return precommit(chain, asked, hash) };
        let Some(block) = self.block_of(asked.now, hash) else { return Value::Null };
        let topic = |number: u32| B256::from(U256::from(number));
        let event = keccak256(tx.kind.event());
        let numbers = || tx.batches.iter().map(|id| chain.batch(*id));
        let topics: Vec<Vec<B256>> = match tx.kind {
            StepKind::Prove => {
                let all: Vec<u32> = numbers().map(|batch| batch.number).collect();
                let (first, last) = (all.first().copied(), all.last().copied());
                let before = first.unwrap_or(1) - 1;
                vec![vec![event, topic(before), topic(last.unwrap_or(1))]]
            }
            StepKind::Commit | StepKind::Execute => numbers()
                .map(|batch| vec![event, topic(batch.number), batch.root.0, batch.commitment])
                .collect(),
        };
        let logs: Vec<_> = topics
            .into_iter()
            .map(|topics| json!({"address": diamond(), "topics": topics, "data": "0x"}))
            .collect();
        json!({
            "transactionHash": hash, "blockNumber": asked.number(block),
            "status": asked.number(1), "logs": logs,
        })
    }
}

/// How a provider of L1 is asked.
#[derive(Debug)]
pub(crate) struct L1Asked {
    pub(crate) now: Duration,
    pub(crate) knows_finalized: bool,
    pub(crate) plain_numbers: bool,
    pub(crate) shows_receipts: bool,
}

impl L1Asked {
    fn number(&self, number: u64) -> Value {
        if self.plain_numbers { json!(number) } else { json!(format!("{number:#x}")) }
    }
}

/// The chain's contract on L1.
pub(crate) fn diamond() -> Value {
    json!("0xd1a0000000000000000000000000000000000001")
}

/// The transaction that precommits a block, and those of its batch before it.
pub(crate) fn precommit_tx(block: &Block) -> B256 {
    keccak256(format!("precommit {}", block.hash))
}

/// The receipt of a precommit: it was made at the very beginning.
fn precommit(chain: &Chain, asked: &L1Asked, hash: &B256) -> Value {
    if !chain.plan.precommits {
        return Value::Null;
    }
    let mut blocks = chain
        .batches()
        .flat_map(|(_, batch)| (1..=batch.blocks.len()).map(move |count| &batch.blocks[..count]));
    let is_it = |blocks: &&[Block]| blocks.last().is_some_and(|it| precommit_tx(it) == *hash);
    let Some(blocks) = blocks.find(is_it) else { return Value::Null };
    let (mut ran, mut batch, mut last) = (B256::ZERO, 0, 0);
    for block in blocks {
        (batch, last) = (block.params.batch.0, block.params.number.0);
        for (tx, outcome) in block.txs.iter().zip(&block.outcomes) {
            let succeeded = u8::from(outcome.status == TxStatus::Success);
            let ended = keccak256([&tx.hash().0[..], &[succeeded]].concat());
            ran = keccak256([ran.0, ended.0].concat());
        }
    }
    let event = keccak256("BatchPrecommitmentSet(uint256,uint256,bytes32)");
    let topics = [event, B256::from(U256::from(batch)), B256::from(U256::from(last))];
    json!({
        "transactionHash": hash, "blockNumber": asked.number(FIRST_BLOCK),
        "status": asked.number(1),
        "logs": [{"address": diamond(), "topics": topics, "data": ran}],
    })
}
