//! Parts of answers, kept as JSON for whoever asks next.
//!
//! A part belongs to a block, or to a receipt of one, of one [`generation`] of the chain: blocks of a
//! generation never change, so nothing has to be taken out when the chain is rolled back; its
//! parts are found no more. What does change is whether the batch is sealed, and whoever takes a
//! part looks at that.
//!
//! [`generation`]: lockstep_store::ChainView::generation

use std::sync::Arc;

use lockstep_store::{Recent, RecentLoad};
use lockstep_types::{Address, B256, L1BatchNumber, L2BlockNumber};
use serde_json::value::RawValue;
use tracing::debug;

/// Where a part belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartKey {
    /// Of the chain.
    pub(crate) generation: u64,
    /// The block.
    pub(crate) block: L2BlockNumber,
    /// Which part of it.
    pub(crate) part: PartKind,
}

/// What is kept of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PartKind {
    /// The block, with its transactions or their hashes.
    Block {
        /// With its transactions.
        full: bool,
    },
    /// The logs of the receipt with this index.
    Logs(u32),
}

/// A part, as it is shown while its batch is sealed or while it is not.
#[derive(Debug)]
pub(crate) struct Part {
    /// The batch of the block.
    pub(crate) batch: L1BatchNumber,
    /// Whether it is shown as sealed.
    pub(crate) is_sealed: bool,
    /// What is shown.
    pub(crate) shown: Shown,
}

/// What is shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// A block.
    Block(Box<RawValue>),
    /// Logs, in order.
    Logs(Vec<ShownLog>),
}

/// A log as it is shown, with what it is found by.
#[derive(Debug)]
pub(crate) struct ShownLog {
    /// Contract that emitted it.
    pub(crate) address: Address,
    /// Its topics.
    pub(crate) topics: Vec<B256>,
    /// The JSON of it.
    pub(crate) json: Box<RawValue>,
}

impl Part {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let shown = match &self.shown {
            Shown::Block(json) => json.get().len(),
            Shown::Logs(logs) => {
                let log = |log: &ShownLog| {
                    size_of::<ShownLog>() + log.topics.len() * 32 + log.json.get().len()
                };
                logs.iter().map(log).sum()
            }
        };
        size_of::<Self>() + shown
    }
}

/// Parts, the recently used ones, within a bound of bytes.
#[derive(Debug)]
pub(crate) struct Kept(Recent<PartKey, Arc<Part>>);

impl Kept {
    /// Keeps at most about `bytes_max` bytes; nothing if that is 0.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Recent::new(bytes_max))
    }

    /// The part, as it is shown while batches up to `sealed` are sealed.
    pub(crate) fn get(&self, key: &PartKey, sealed: Option<L1BatchNumber>) -> Option<Arc<Part>> {
        self.0.get(key, |part| part.is_sealed == (Some(part.batch) <= sealed))
    }

    /// Keeps a part in the place of what was there.
    pub(crate) fn put(&self, key: PartKey, part: Arc<Part>) {
        let bytes = part.bytes();
        if self.0.put(key, part, bytes) {
            let RecentLoad { bytes, count, hit_count, miss_count } = self.load();
            debug!(bytes, count, hit_count, miss_count, "parts of answers grew old");
        }
    }

    /// How much is kept.
    pub(crate) fn load(&self) -> RecentLoad {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_not_found_while_its_batch_is_shown_otherwise() {
        let json = serde_json::value::to_raw_value(&"block").unwrap();
        let part = Part { batch: L1BatchNumber(1), is_sealed: true, shown: Shown::Block(json) };
        let key = PartKey {
            generation: 0,
            block: L2BlockNumber(3),
            part: PartKind::Block { full: true },
        };
        let kept = Kept::new(10_000);
        kept.put(key, Arc::new(part));
        assert!(kept.load().bytes > 100);
        assert!(kept.get(&key, Some(L1BatchNumber(0))).is_none());
        assert!(kept.get(&key, None).is_none());
        assert!(kept.get(&key, Some(L1BatchNumber(2))).is_some());
        let short = PartKey { part: PartKind::Block { full: false }, ..key };
        assert!(kept.get(&short, Some(L1BatchNumber(2))).is_none());
        assert!(kept.get(&PartKey { generation: 1, ..key }, Some(L1BatchNumber(2))).is_none());
    }
}
