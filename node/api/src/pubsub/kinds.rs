//! What each kind of subscription tells of a block that came, and of one that went.

use std::collections::{BTreeSet, VecDeque};

use lockstep_types::{BlockHeader, Transaction, TxHash};
use lockstep_wire::eth::Filter;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    call::Call,
    error::ApiResult,
    eth::{self, Syncing},
    forward::PendingTxs,
};

/// Messages that are read at once, about.
const MESSAGES_MAX: usize = 1_024;
/// Bytes of messages that are read at once, about: a block is never divided.
const BYTES_MAX: usize = 1 << 20;
/// Transactions that a subscriber remembers having been told of before they were in a block.
const EARLY_MAX: usize = 10_000;

/// What a subscription is about, and what else it remembers.
#[derive(Debug)]
pub(super) enum Kind {
    Heads,
    Logs(Filter),
    Transactions(Early),
    /// What was told last.
    Syncing(Option<Syncing>),
}

/// Transactions that were told of and are not in a block of the chain that is followed.
#[derive(Debug)]
pub(super) struct Early {
    /// Up to where transactions that were handed on from here have been told of.
    handed_on: u64,
    told: BTreeSet<TxHash>,
    by_age: VecDeque<TxHash>,
}

/// Messages that are to be sent.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) ready: Vec<Box<RawValue>>,
    bytes: usize,
}

impl Messages {
    fn push(&mut self, message: &impl Serialize) -> ApiResult<()> {
        let message = to_raw_value(message)?;
        self.bytes += message.get().len();
        self.ready.push(message);
        Ok(())
    }

    /// Whether they should be sent before more is read.
    pub(super) fn are_enough(&self) -> bool {
        self.ready.len() >= MESSAGES_MAX || self.bytes >= BYTES_MAX
    }
}

impl Early {
    fn remember(&mut self, hash: TxHash) {
        if self.told.insert(hash) {
            self.by_age.push_back(hash);
        }
        if self.by_age.len() > EARLY_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.told.remove(&oldest);
        }
    }
}

impl Kind {
    /// Transactions from now on.
    pub(super) fn transactions(pending: &PendingTxs) -> Self {
        let (handed_on, _) = pending.since(u64::MAX);
        Self::Transactions(Early { handed_on, told: BTreeSet::new(), by_age: VecDeque::new() })
    }

    /// The block of `header` came.
    pub(super) fn added(
        &mut self,
        call: &Call,
        header: BlockHeader,
        messages: &mut Messages,
    ) -> ApiResult<()> {
        match self {
            Self::Heads if lockstep_io::planted!("X62", false, header.tx_count() == 0) => Ok(()),
            Self::Heads => messages.push(&eth::header_of(call, header)?),
            Self::Logs(filter) => {
                let logs = eth::logs_of_block(call, header, filter)?;
                logs.iter().try_for_each(|log| messages.push(log))
            }
            Self::Transactions(early) => {
                for hash in hashes(call, &header)? {
                    if early.told.remove(&hash) {
                        early.by_age.retain(|told| *told != hash);
                    } else {
                        messages.push(&hash.0)?;
                    }
                }
                Ok(())
            }
            Self::Syncing(_) => Ok(()),
        }
    }

    /// The block of `header` went; `call` reads a view in which it is still there.
    pub(super) fn removed(
        &mut self,
        call: &Call,
        header: BlockHeader,
        messages: &mut Messages,
    ) -> ApiResult<()> {
        match self {
            Self::Logs(filter) => {
                let logs = eth::logs_of_block(call, header, filter)?;
                for mut log in logs.into_iter().rev() {
                    log.removed = Some(true);
                    messages.push(&log)?;
                }
                Ok(())
            }
            Self::Transactions(early) => {
                // They will be in another block, or not; they have been told of.
                hashes(call, &header)?.into_iter().for_each(|hash| early.remember(hash));
                Ok(())
            }
            Self::Heads | Self::Syncing(_) => Ok(()),
        }
    }

    /// Everything else that may be new.
    pub(super) fn beside(
        &mut self,
        call: &Call,
        pending: &PendingTxs,
        messages: &mut Messages,
    ) -> ApiResult<()> {
        match self {
            Self::Transactions(early) => {
                let (newest, hashes) = pending.since(early.handed_on);
                early.handed_on = newest;
                for hash in hashes {
                    // It may be in a block already, and have been told of with it.
                    if call.view.tx_position(&hash)?.is_none() && !early.told.contains(&hash) {
                        messages.push(&hash.0)?;
                        early.remember(hash);
                    }
                }
                Ok(())
            }
            Self::Syncing(told) => {
                let now = eth::syncing(call)?;
                let is_news = match (&*told, &now) {
                    (None, _) => true,
                    (Some(told), now) => is_in_step(told) != is_in_step(now),
                };
                if is_news {
                    messages.push(&now)?;
                    *told = Some(now);
                }
                Ok(())
            }
            Self::Heads | Self::Logs(_) => Ok(()),
        }
    }
}

fn is_in_step(syncing: &Syncing) -> bool {
    match syncing {
        Syncing::No(_) => true,
        Syncing::Yes { .. } => false,
    }
}

fn hashes(call: &Call, header: &BlockHeader) -> ApiResult<Vec<TxHash>> {
    if header.tx_count() == 0 {
        return Ok(Vec::new());
    }
    let transactions = call.view.transactions(header.params.number)?;
    Ok(transactions.iter().map(Transaction::hash).collect())
}
