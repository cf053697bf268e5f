//! `eth_*`.

mod blocks;
mod chain;
mod fees;
mod filters;
mod json;
mod logs;
mod state;
mod told;
mod transactions;

pub use self::filters::FilterSeams;
pub(crate) use self::{
    blocks::{batch_timestamp, header, header_of, without_transactions},
    chain::{Syncing, syncing},
    filters::register as register_filters,
    json::{BlockInfo, waiting_transaction},
    logs::of_block as logs_of_block,
    transactions::{raw_by_hash, receipt_of},
};

use std::sync::Arc;

use lockstep_types::B256;
use lockstep_wire::eth::{BlockId, BlockNumberOrTag};
use serde::Deserialize;

use crate::{call::Methods, forward::PendingTxs};

pub(crate) fn register(methods: &mut Methods, pending: &Arc<PendingTxs>) {
    chain::register(methods);
    blocks::register(methods);
    transactions::register(methods, pending);
    state::register(methods, pending);
    logs::register(methods);
    fees::register(methods);
}

/// A block by hash or number, both as plain strings; some methods take it instead of a
/// [`BlockId`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum BlockHashOrNumber {
    Hash(B256),
    Number(BlockNumberOrTag),
}

impl From<BlockHashOrNumber> for BlockId {
    fn from(id: BlockHashOrNumber) -> Self {
        match id {
            BlockHashOrNumber::Hash(hash) => Self::Hash(hash),
            BlockHashOrNumber::Number(number) => Self::Number(number),
        }
    }
}
