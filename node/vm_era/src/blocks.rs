//! The block that transactions go to, and which block may follow it.

use lockstep_types::{
    L2BlockHash, L2BlockNumber, ProtocolVersion, TxHash, UnixSeconds,
    block::{BlockHashInput, block_hash},
};
use lockstep_vm::BlockEnv;

use crate::convert::Unusable;

/// The block that transactions go to.
#[derive(Debug)]
pub(crate) struct CurrentBlock {
    pub(crate) number: L2BlockNumber,
    timestamp: UnixSeconds,
    parent: L2BlockHash,
    pub(crate) tx_hashes: Vec<TxHash>,
}

impl CurrentBlock {
    pub(crate) fn new(env: &BlockEnv) -> Self {
        let BlockEnv { number, timestamp, parent, .. } = *env;
        Self { number, timestamp, parent, tx_hashes: Vec::new() }
    }

    /// Whether `next` can follow. The machines insist on the same.
    pub(crate) fn check_next(
        &self,
        next: &BlockEnv,
        version: ProtocolVersion,
    ) -> Result<(), Unusable> {
        if self.tx_hashes.is_empty() {
            return Err(format!("block {} is empty and not the last", self.number));
        }
        if Some(self.number) != next.number.prev() {
            return Err(format!("block {} follows block {}", next.number, self.number));
        }
        let is_later = if version < ProtocolVersion::INTEROP {
            next.timestamp > self.timestamp
        } else {
            next.timestamp >= self.timestamp
        };
        if !is_later {
            let (next, this) = (next.timestamp, self.timestamp);
            return Err(format!("a block of time {next} follows one of time {this}"));
        }
        let hash = self.hash(version);
        if version >= ProtocolVersion::CHAINED_BLOCK_HASHES && hash != next.parent {
            return Err(format!(
                "block {} names {} as its parent, which is {hash}",
                next.number, next.parent
            ));
        }
        Ok(())
    }

    fn hash(&self, version: ProtocolVersion) -> L2BlockHash {
        let Self { number, timestamp, parent, tx_hashes } = self;
        let input =
            BlockHashInput { number: *number, timestamp: *timestamp, parent: *parent, tx_hashes };
        block_hash(&input, version)
    }
}
