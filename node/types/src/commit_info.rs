//! What a commit transaction says of a batch: as read from L1, and as this replica expects it.

use alloy_primitives::{B256, Bytes, U256};

/// What a commit transaction says of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Number of the batch.
    pub number: u64,
    /// When it was opened, seconds since the Unix epoch.
    pub timestamp: u64,
    /// Index that the next initial write will get.
    pub next_leaf_index: u64,
    /// State root after the batch.
    pub root: B256,
    /// Number of priority operations.
    pub l1_tx_count: U256,
    /// Chain over the priority operations.
    pub priority_ops_hash: B256,
    /// What depends on the form of the version.
    pub body: CommitBody,
}

/// The part of a [`CommitInfo`] that depends on the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitBody {
    /// Before v18.
    Lists(CommitLists),
    /// From v18 on.
    Diffs(CommitDiffs),
}

/// What a commit transaction says of a batch before v18 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitLists {
    /// Root of the tree over logs for L1.
    pub l2_to_l1_root: B256,
    /// Initial writes as they are published.
    pub initial_writes: Bytes,
    /// Repeated writes as they are published.
    pub repeated_writes: Bytes,
    /// Logs for L1 after their number.
    pub logs: Bytes,
    /// Messages for L1, in order.
    pub messages: Vec<Bytes>,
    /// Bytecodes that were published, in order.
    pub factory_deps: Vec<Bytes>,
}

/// What a commit transaction says of a batch from v18 on only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitDiffs {
    /// Commitment to the bootloader's heap.
    pub heap_hash: B256,
    /// Commitment to the events.
    pub events_queue_hash: B256,
    /// System logs, one after the other.
    pub system_logs: Bytes,
    /// Pubdata, or what takes its place: its form depends on version and mode.
    pub da_input: Bytes,
}

/// Fields of commit transactions and of the contract's events that follow from the chain itself.
const CHAIN_FIELDS: [&str; 7] = [
    "timestamp",
    "newStateRoot",
    "numberOfLayer1Txs",
    "priorityOperationsHash",
    "event batchHash",
    "event BlockCommit batchHash",
    "event BlockExecution batchHash",
];

/// The first field in which two accounts of a batch differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field: a stable word.
    pub field: &'static str,
    /// As this replica has it, shortened if long.
    pub ours: String,
    /// As the other has it, shortened if long.
    pub theirs: String,
}

impl Difference {
    /// A difference of two values that print well.
    pub fn new(field: &'static str, ours: impl ToString, theirs: impl ToString) -> Self {
        Self { field, ours: ours.to_string(), theirs: theirs.to_string() }
    }

    /// Whether the other has another chain, and not only another word for how the same chain is
    /// published: its state, time or priority operations differ.
    pub fn is_of_chain(&self) -> bool {
        CHAIN_FIELDS.contains(&self.field)
    }

    /// A difference of two byte strings, around the first byte that differs; `None` if they are
    /// equal.
    pub fn of_bytes(field: &'static str, ours: &[u8], theirs: &[u8]) -> Option<Self> {
        if ours == theirs {
            return None;
        }
        let at = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
        let show = |bytes: &[u8]| {
            let rest = bytes.get(at..).unwrap_or_default();
            let shown = Bytes::copy_from_slice(&rest[..rest.len().min(32)]);
            format!("{} bytes, {shown} from byte {at} on", bytes.len())
        };
        Some(Self { field, ours: show(ours), theirs: show(theirs) })
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {} here and {} there", self.field, self.ours, self.theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_where_it_begins() {
        assert_eq!(Difference::of_bytes("x", &[1, 2], &[1, 2]), None);
        let difference = Difference::of_bytes("x", &[1, 2, 3], &[1, 2, 4, 5]).unwrap();
        let text =
            "x is 3 bytes, 0x03 from byte 2 on here and 4 bytes, 0x0405 from byte 2 on there";
        assert_eq!(difference.to_string(), text);
        let longer = Difference::of_bytes("x", &[1], &[1, 0]).unwrap();
        assert_eq!(longer.ours, "1 bytes, 0x from byte 1 on");
    }
}
