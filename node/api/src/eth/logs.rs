//! `eth_getLogs`: the blooms of headers say which blocks to look into.

use jsonrpsee::types::params::ParamsSequence;
use lockstep_types::{BlockHeader, Bloom, BloomInput, L2BlockNumber};
use lockstep_wire::eth::{self, BlockId, BlockNumberOrTag, Filter, OneOrMany};

use super::json::{BlockInfo, TxPlace};
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

/// An event has at most this many topics.
const TOPICS_MAX: usize = 4;

pub(super) fn register(methods: &mut Methods) {
    methods.add("eth_getLogs", logs);
}

fn logs(call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Vec<eth::Log>> {
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

/// The logs of blocks from the first to the last one that `filter` means, until they are enough for
/// one answer or have cost enough reading, but of one block at least. Gives back the block after
/// those that were looked into.
pub(super) fn collect_until(
    call: &Call,
    filter: &Filter,
    [from, to]: [L2BlockNumber; 2],
    found: &mut Vec<eth::Log>,
) -> ApiResult<L2BlockNumber> {
    let wanted = BloomFilter::new(filter);
    let mut budget = Budget::new(call, Range { from, to });
    for number in from.0..=to.0 {
        let number = L2BlockNumber(number);
        let header = call.header(number)?;
        let is_affordable = budget.spend_block(&header).and_then(|()| budget.spend_events(&header));
        if number != from && (is_affordable.is_err() || found.len() >= call.config.logs_max) {
            return Ok(number);
        }
        if header.event_count != 0 && wanted.may_match(&header.logs_bloom) {
            collect(call, header, filter, found)?;
        }
    }
    Ok(to.next())
}

/// All logs that `filter` means.
pub(super) fn find(call: &Call, filter: &Filter) -> ApiResult<Vec<eth::Log>> {
    let Some(range) = Range::of(call, filter)? else { return Ok(Vec::new()) };
    let wanted = BloomFilter::new(filter);
    let mut found = Vec::new();
    let mut budget = Budget::new(call, range);
    for number in range.from.0..=range.to.0 {
        let header = call.header(L2BlockNumber(number))?;
        budget.spend_block(&header)?;
        if header.event_count == 0 || !wanted.may_match(&header.logs_bloom) {
            continue;
        }
        budget.spend_events(&header)?;
        collect(call, header, filter, &mut found)?;
        if range.is_long() && found.len() > call.config.logs_max {
            let to = range.until_before(L2BlockNumber(number));
            return Err(ApiError::TooManyLogs { max: call.config.logs_max, from: range.from, to });
        }
    }
    Ok(found)
}

/// Appends the logs of a block that `filter` means.
fn collect(
    call: &Call,
    header: BlockHeader,
    filter: &Filter,
    found: &mut Vec<eth::Log>,
) -> ApiResult<()> {
    let number = header.params.number;
    let block = BlockInfo::new(call, header)?;
    let receipts = call.view.receipts(number)?;
    let is_wanted = |event: &lockstep_types::Event| filter.matches(event.address, &event.topics);
    if !receipts.iter().flat_map(|receipt| &receipt.events).any(is_wanted) {
        return Ok(()); // Transactions are long, and not needed for a bloom's false alarm.
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
    Ok(())
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

    /// The last block of the range that ends before `block`, and has at least one block.
    fn until_before(&self, block: L2BlockNumber) -> L2BlockNumber {
        block.prev().unwrap_or(block).max(self.from)
    }
}

/// What a request may still read.
#[derive(Debug)]
struct Budget {
    range: Range,
    blocks: u32,
    events: u64,
}

impl Budget {
    fn new(call: &Call, range: Range) -> Self {
        Self { range, blocks: call.config.log_blocks_max, events: call.config.log_events_max }
    }

    fn spend_block(&mut self, header: &BlockHeader) -> ApiResult<()> {
        self.blocks = self.blocks.checked_sub(1).ok_or_else(|| self.is_spent(header))?;
        Ok(())
    }

    fn spend_events(&mut self, header: &BlockHeader) -> ApiResult<()> {
        if !self.range.is_long() {
            return Ok(());
        }
        let left = self.events.checked_sub(u64::from(header.event_count));
        self.events = left.ok_or_else(|| self.is_spent(header))?;
        Ok(())
    }

    fn is_spent(&self, at: &BlockHeader) -> ApiError {
        let to = self.range.until_before(at.params.number);
        ApiError::TooMuchToRead { from: self.range.from, to }
    }
}

/// What a block's bloom must have for the block to be looked into.
#[derive(Debug)]
struct BloomFilter {
    /// One bloom of each must be contained. Nothing is asked of an empty one, and none is.
    alternatives: Vec<Vec<Bloom>>,
}

impl BloomFilter {
    fn new(filter: &Filter) -> Self {
        let bloom = |bytes: &[u8]| Bloom::from(BloomInput::Raw(bytes));
        let addresses = filter.addresses().iter().map(|address| bloom(address.as_slice()));
        let topics = filter.topics.iter().flatten().flatten().map(OneOrMany::as_slice);
        let topics = topics.map(|wanted| wanted.iter().map(|topic| bloom(topic.as_slice())));
        let mut alternatives = vec![addresses.collect::<Vec<_>>()];
        alternatives.extend(topics.map(Iterator::collect));
        alternatives.retain(|blooms| !blooms.is_empty());
        Self { alternatives }
    }

    fn may_match(&self, block: &Bloom) -> bool {
        self.alternatives.iter().all(|blooms| blooms.iter().any(|bloom| block.contains(bloom)))
    }
}
