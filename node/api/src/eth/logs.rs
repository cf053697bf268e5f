//! `eth_getLogs`: the index of words says which receipts to look at.

use std::sync::Arc;

use jsonrpsee::types::params::ParamsSequence;
use lockstep_store::{LogCandidates, LogClause, LogRole, LogStep, TxPosition};
use lockstep_types::{Address, B256, BlockHeader, Bloom, BloomInput, L2BlockNumber};
use lockstep_wire::eth::{self, BlockId, BlockNumberOrTag, Filter, OneOrMany};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::json::{BlockInfo, TxPlace};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    kept::{Part, PartKey, PartKind, Shown, ShownLog},
};

/// An event has at most this many topics.
const TOPICS_MAX: usize = 4;

/// More alternatives than this are not looked up one by one: what else the filter says is, and where
/// it says nothing else, every block is looked into.
const WORDS_MAX: usize = 1_000;

pub(super) fn register(methods: &mut Methods) {
    methods.add("eth_getLogs", logs);
}

fn logs(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Vec<FoundLog>> {
    let filter: Filter = params.next()?;
    check(call, &filter)?;
    find(call, &filter)
}

/// Refuses a filter that makes no sense.
pub(super) fn check(call: &Call, filter: &Filter) -> ApiResult<()> {
    if filter.topics.as_ref().is_some_and(|topics| topics.len() > TOPICS_MAX) {
        return Err(ApiError::TooManyTopics);
    }
    if filter.block_hash.is_some() {
        Range::of(call, filter)?;
    }
    Ok(())
}

/// A log that was found, shown as the JSON that is kept of it.
#[derive(Clone, Debug)]
pub(super) struct FoundLog {
    part: Arc<Part>,
    index: usize,
    block: L2BlockNumber,
}

impl FoundLog {
    /// The block that it is in.
    pub(super) fn block(&self) -> L2BlockNumber {
        self.block
    }

    /// The JSON of it.
    pub(super) fn json(&self) -> &RawValue {
        &logs_of(&self.part)[self.index].json
    }
}

impl Serialize for FoundLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

/// The logs of a part, which has none if it is a block.
fn logs_of(part: &Part) -> &[ShownLog] {
    match &part.shown {
        Shown::Logs(logs) => logs,
        Shown::Block(_) => &[],
    }
}

/// The logs of blocks from the first to the last one that `filter` means, until they are enough for
/// one answer or have cost enough reading, but of one block at least. Gives back the block after
/// those that were looked into.
pub(super) fn collect_until(
    call: &Call,
    filter: &Filter,
    [from, to]: [L2BlockNumber; 2],
    found: &mut Vec<FoundLog>,
) -> ApiResult<L2BlockNumber> {
    let mut search = Search::new(call, filter, Range { from, to });
    loop {
        match search.step()? {
            Step::At(block, receipts) => {
                let is_enough = found.len() >= call.config.logs_max || search.is_spent();
                if block != from && is_enough {
                    return Ok(block);
                }
                search.collect(block, &receipts, found)?;
            }
            // It was not enough for one block; there is no bound for a single one.
            Step::Spent(block) if block == from => {
                return collect_until(call, filter, [from, from], found);
            }
            Step::Spent(block) => return Ok(block),
            Step::End => return Ok(to.next()),
        }
    }
}

/// All logs that `filter` means.
pub(super) fn find(call: &Call, filter: &Filter) -> ApiResult<Vec<FoundLog>> {
    let Some(range) = Range::of(call, filter)? else { return Ok(Vec::new()) };
    let mut search = Search::new(call, filter, range);
    let mut found = Vec::new();
    loop {
        let block = match search.step()? {
            Step::At(block, receipts) => {
                search.collect(block, &receipts, &mut found)?;
                block
            }
            Step::Spent(block) => return Err(range.too_much_to_read(block)),
            Step::End => return Ok(found),
        };
        if !range.is_long() {
            continue;
        }
        if search.is_spent() {
            return Err(range.too_much_to_read(block));
        }
        if found.len() > call.config.logs_max {
            let to = range.until_before(block);
            return Err(ApiError::TooManyLogs { max: call.config.logs_max, from: range.from, to });
        }
    }
}

/// The logs of a block that `filter` means by address and topics, in order.
pub(crate) fn of_block(
    call: &Call,
    header: BlockHeader,
    filter: &Filter,
) -> ApiResult<Vec<eth::Log>> {
    let mut found = Vec::new();
    if header.event_count == 0 || !may_match(&header.logs_bloom, filter) {
        return Ok(found);
    }
    let number = header.params.number;
    let block = BlockInfo::new(call, header)?;
    let receipts = call.view.receipts(number)?;
    let is_wanted = |event: &lockstep_types::Event| filter.matches(event.address, &event.topics);
    if !receipts.iter().flat_map(|receipt| &receipt.events).any(is_wanted) {
        return Ok(found); // Transactions are long, and not needed for a bloom's false alarm.
    }
    let transactions = call.view.transactions(number)?;
    for (index, receipt) in (0..).zip(&receipts) {
        let tx = usize::try_from(index).ok().and_then(|index| transactions.get(index));
        if tx.is_none() && call.config.hides_system_logs {
            continue;
        }
        let place = tx.map_or(TxPlace::FICTIVE, |tx| TxPlace { index, hash: tx.hash().0 });
        let logs = block.logs(receipt, place);
        found.extend(logs.filter(|log| filter.matches(log.address, &log.topics)));
    }
    Ok(found)
}

/// Whether a block with this bloom may have logs that `filter` means.
fn may_match(bloom: &Bloom, filter: &Filter) -> bool {
    let has = |bytes: &[u8]| bloom.contains_input(BloomInput::Raw(bytes));
    let addresses = filter.addresses();
    let by_address = addresses.is_empty() || addresses.iter().any(|address| has(&address[..]));
    let mut topics = filter.topics.iter().flatten().flatten().map(OneOrMany::as_slice);
    by_address
        && topics.all(|wanted| wanted.is_empty() || wanted.iter().any(|topic| has(&topic[..])))
}

/// Blocks that are there and meant, at least one.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: L2BlockNumber,
    to: L2BlockNumber,
}

impl Range {
    fn of(call: &Call, filter: &Filter) -> ApiResult<Option<Self>> {
        if let Some(hash) = filter.block_hash {
            if filter.from_block.is_some() || filter.to_block.is_some() {
                return Err(ApiError::HashAndRange);
            }
            let block = call.find_block(BlockId::Hash(hash))?.ok_or(ApiError::NoBlock)?;
            return Ok(Some(Self { from: block, to: block }));
        }
        let head = call.head()?;
        let from = call.resolve(filter.from_block.unwrap_or(BlockNumberOrTag::Latest), head)?;
        let to = call.resolve(filter.to_block.unwrap_or(BlockNumberOrTag::Latest), head)?.min(head);
        Ok((from <= to).then_some(Self { from, to }))
    }

    /// One block may have any number of logs: there is no smaller range to ask for.
    fn is_long(&self) -> bool {
        self.from != self.to
    }

    fn too_much_to_read(&self, at: L2BlockNumber) -> ApiError {
        ApiError::TooMuchToRead { from: self.from, to: self.until_before(at) }
    }

    /// The last block of the range that ends before `block`, and has at least one block.
    fn until_before(&self, block: L2BlockNumber) -> L2BlockNumber {
        block.prev().unwrap_or(block).max(self.from)
    }
}

/// A search for logs, block by block.
struct Search<'c> {
    call: &'c Call,
    wanted: Wanted,
    source: Source<'c>,
    /// The block that was looked at last.
    block: Option<BlockInfo>,
    events_read: u64,
}

/// Where logs may be.
enum Source<'c> {
    /// Where their words are.
    Index(LogCandidates<'c>),
    /// In every block from `next` to `last`; so many may still be looked at.
    Every { next: L2BlockNumber, last: L2BlockNumber, blocks_left: u32 },
}

/// What comes next in a search.
enum Step {
    /// These receipts of a block.
    At(L2BlockNumber, Receipts),
    /// As much as one request may was read; nothing is known of this block and those after it.
    Spent(L2BlockNumber),
    /// There is nothing more.
    End,
}

/// Receipts of a block.
enum Receipts {
    All,
    These(Vec<u32>),
}

impl<'c> Search<'c> {
    fn new(call: &'c Call, filter: &Filter, range: Range) -> Self {
        let wanted = Wanted::of(filter);
        let clauses = wanted.clauses();
        let Range { from, to } = range;
        let source = if clauses.is_empty() {
            let blocks_left = if range.is_long() { call.config.log_blocks_max } else { 1 };
            Source::Every { next: from, last: to, blocks_left }
        } else {
            let rows_max = if range.is_long() { call.config.log_rows_max } else { u64::MAX };
            Source::Index(call.view.log_candidates(&clauses, [from, to], rows_max))
        };
        Self { call, wanted, source, block: None, events_read: 0 }
    }

    /// Whether more events were read than one request may.
    fn is_spent(&self) -> bool {
        self.events_read > self.call.config.log_events_max
    }

    fn step(&mut self) -> ApiResult<Step> {
        let (next, last, blocks_left) = match &mut self.source {
            Source::Index(candidates) => {
                return Ok(match candidates.step()? {
                    LogStep::Found { block, receipts } => {
                        Step::At(block, Receipts::These(receipts))
                    }
                    LogStep::Spent(block) => Step::Spent(block),
                    LogStep::End => Step::End,
                });
            }
            Source::Every { next, last, blocks_left } => (next, last, blocks_left),
        };
        while *next <= *last {
            let number = *next;
            let Some(left) = blocks_left.checked_sub(1) else { return Ok(Step::Spent(number)) };
            (*next, *blocks_left) = (number.next(), left);
            let header = self.call.header(number)?;
            if header.event_count != 0 {
                self.block = Some(BlockInfo::new(self.call, header)?);
                return Ok(Step::At(number, Receipts::All));
            }
        }
        Ok(Step::End)
    }

    /// Appends the logs of a block's receipts that are wanted.
    fn collect(
        &mut self,
        block: L2BlockNumber,
        receipts: &Receipts,
        found: &mut Vec<FoundLog>,
    ) -> ApiResult<()> {
        match receipts {
            Receipts::These(indices) => {
                for index in indices {
                    self.collect_receipt(block, *index, found)?;
                }
            }
            Receipts::All => {
                let header = &self.block(block)?.header;
                // After the last transaction's, there may be the block's own share.
                let end = header.tx_count() + u32::from(header.params.is_fictive);
                for index in 0..end {
                    self.collect_receipt(block, index, found)?;
                }
            }
        }
        Ok(())
    }

    fn collect_receipt(
        &mut self,
        block: L2BlockNumber,
        index: u32,
        found: &mut Vec<FoundLog>,
    ) -> ApiResult<()> {
        let hides_own_share = self.call.config.hides_system_logs;
        if hides_own_share && index >= self.block(block)?.header.tx_count() {
            return Ok(());
        }
        let key =
            PartKey { generation: self.call.view.generation(), block, part: PartKind::Logs(index) };
        let part = match self.call.kept.get(&key, self.call.view.sealed_batch()?) {
            Some(part) => part,
            None => {
                let part = Arc::new(self.read(TxPosition { block, index })?);
                self.call.kept.put(key, part.clone());
                part
            }
        };
        let logs = logs_of(&part);
        self.events_read += u64::try_from(logs.len()).unwrap_or(u64::MAX);
        for (index, log) in logs.iter().enumerate() {
            if self.wanted.includes(log) {
                found.push(FoundLog { part: part.clone(), index, block });
            }
        }
        Ok(())
    }

    /// The logs of a receipt; none if there is no receipt after the last transaction's.
    fn read(&mut self, position: TxPosition) -> ApiResult<Part> {
        let view = &self.call.view;
        let receipt = view.receipt(position)?;
        let tx_hash = view.tx_hash(position)?;
        let block = self.block(position.block)?;
        let index = position.index;
        let (batch, is_sealed) = (block.header.params.batch, block.sealed_batch().is_some());
        let place = tx_hash.map_or(TxPlace::FICTIVE, |hash| TxPlace { index, hash: hash.0 });
        let Some(receipt) = receipt else {
            if tx_hash.is_some() {
                return Err(ApiError::Missing { what: "a receipt", block: position.block });
            }
            return Ok(Part { batch, is_sealed, shown: Shown::Logs(Vec::new()) });
        };
        let shown = block.logs(&receipt, place).map(|log| {
            let json = to_raw_value(&log)?;
            Ok(ShownLog { address: log.address, topics: log.topics, json })
        });
        let shown = shown.collect::<ApiResult<Vec<_>>>()?;
        Ok(Part { batch, is_sealed, shown: Shown::Logs(shown) })
    }

    fn block(&mut self, number: L2BlockNumber) -> ApiResult<&BlockInfo> {
        let known = self.block.take().filter(|block| block.header.params.number == number);
        let block = match known {
            Some(block) => block,
            None => BlockInfo::new(self.call, self.call.header(number)?)?,
        };
        Ok(self.block.insert(block))
    }
}

/// A filter's words, sorted, so that long lists of them cost little.
struct Wanted {
    /// Any if empty.
    addresses: Vec<Address>,
    /// By position; any if empty.
    topics: Vec<Vec<B256>>,
}

impl Wanted {
    fn of(filter: &Filter) -> Self {
        let mut addresses = filter.addresses().to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        let topics = filter.topics.iter().flatten().map(|wanted| {
            let mut wanted = wanted.as_ref().map_or(&[][..], OneOrMany::as_slice).to_vec();
            wanted.sort_unstable();
            wanted.dedup();
            wanted
        });
        let topics = topics.collect();
        Self { addresses, topics }
    }

    /// What the index can be asked for; nothing if that is not worth it.
    fn clauses(&self) -> Vec<LogClause> {
        let emitters = self.addresses.iter().map(|address| address.into_word()).collect();
        let emitter = LogClause { role: LogRole::Emitter, words: emitters };
        let topics = (0..).map(LogRole::Topic).zip(&self.topics);
        let topics = topics.map(|(role, topics)| LogClause { role, words: topics.clone() });
        let is_useful = |clause: &LogClause| (1..=WORDS_MAX).contains(&clause.words.len());
        [emitter].into_iter().chain(topics).filter(is_useful).collect()
    }

    fn includes(&self, log: &ShownLog) -> bool {
        let by_address =
            self.addresses.is_empty() || self.addresses.binary_search(&log.address).is_ok();
        by_address
            && self.topics.iter().enumerate().all(|(position, wanted)| {
                wanted.is_empty()
                    || log.topics.get(position).is_some_and(|it| wanted.binary_search(it).is_ok())
            })
    }
}
