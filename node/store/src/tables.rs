//! Every table: its key, its value, and who writes it.
//!
//! Numbers in keys are big-endian, so that byte order is number order. Values are written by
//! [`codec`](crate::codec), one module a table.

use lockstep_io::{Schema, Table};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $index:literal, $disk:literal, $prefix:expr;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Table = Table { index: $index, name: $disk, prefix_bytes: $prefix };
        )*

        /// All tables, in order of their indices.
        pub const ALL: &[Table] = &[$($name),*];
    };
}

tables! {
    /// Name of a fact → its value: layout version, chain identity. Written once, at genesis.
    META = 0, "meta", None;
    /// Component → how far it has come. Each component writes its own row.
    CURSORS = 1, "cursors", None;
    /// Block number → header. Executor.
    BLOCKS = 2, "blocks", None;
    /// Block hash → block number. Executor.
    BLOCK_NUMBERS = 3, "block_numbers", None;
    /// Block number ‖ index in block → transaction. Executor.
    TRANSACTIONS = 4, "transactions", None;
    /// Transaction hash → block number ‖ index in block. Executor.
    TX_POSITIONS = 5, "tx_positions", None;
    /// Block number ‖ index in block → receipt with events and L2→L1 logs. The row after the last
    /// transaction's is the fictive block's own. Executor.
    RECEIPTS = 6, "receipts", None;
    /// Hashed key ‖ block number → value from that block on. Executor.
    STATE = 7, "state", Some(32);
    /// Hashed key → leaf index and the batch of the first write. Executor, at the end of a batch.
    SLOTS = 8, "slots", None;
    /// Block number → hashed keys that the block changed: the journal for rolling back. Executor.
    BLOCK_WRITES = 9, "block_writes", None;
    /// Batch number → header. Executor.
    BATCHES = 10, "batches", None;
    /// Batch number → what the tree must learn. Executor; needed until the tree has it, and for
    /// rolling back.
    BATCH_WRITES = 11, "batch_writes", None;
    /// Bytecode hash → first block and code. Executor.
    BYTECODES = 12, "bytecodes", None;
    /// Batch number → what its commitment is computed from. Executor.
    COMMITMENT_INPUTS = 13, "commitment_inputs", None;
    /// Batch number ‖ path → tree node made by that batch. Tree.
    TREE_NODES = 14, "tree_nodes", None;
    /// Batch number → root and leaf count. Tree.
    TREE_ROOTS = 15, "tree_roots", None;
    /// Batch number → root and commitment as the main node claims them. Sync.
    CLAIMS = 16, "claims", None;
    /// Batch number → its L1 steps. Sync.
    STEPS = 17, "steps", None;
    /// Batch number → commitment as this replica computed it, with its parts. Rows have no gaps.
    /// Commitments.
    COMMITMENTS = 18, "commitments", None;
    /// Batch number → what became of comparing it with its commit transaction. Rows have no gaps.
    /// L1 checker.
    L1_CHECKS = 19, "l1_checks", None;
    /// Prefix of a word's hash ‖ block number → which of the block's receipts hold logs with that
    /// word, and as what. Executor, with the receipts.
    LOG_INDEX = 20, "log_index", Some(6);
    /// Block number → the transaction that precommitted it. Sync.
    PRECOMMITS = 21, "precommits", None;
}

/// The tables of the node's store.
pub fn schema() -> Schema {
    Schema { tables: ALL.to_vec() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn indices_have_no_gaps_and_names_are_distinct() {
        let indices: Vec<_> = ALL.iter().map(|table| table.index).collect();
        assert_eq!(indices, (0..ALL.len()).collect::<Vec<_>>());
        let names: BTreeSet<_> = ALL.iter().map(|table| table.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
