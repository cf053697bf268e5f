//! Transactions that were handed on and are in no block yet, as far as is remembered.
//!
//! The cache is bounded by count and by bytes; what was handed on first is forgotten first. A
//! transaction is forgotten as well when its sender's nonce has passed it. Nothing here is
//! authoritative: the main node may have dropped a transaction that is still remembered.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lockstep_types::{Address, StorageSlot, Transaction, TxCommon, TxHash, storage::Nonces};
use tokio::sync::watch;

use crate::{call::Call, error::ApiResult};

/// Bytes that a transaction takes beside its data.
const OVERHEAD_BYTES: usize = 1_024;

/// Transactions that were handed on and are in no block yet.
#[derive(Debug)]
pub(crate) struct PendingTxs {
    known: Mutex<Known>,
    count_max: usize,
    bytes_max: usize,
    /// Position of the newest, for whoever waits for more.
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    by_hash: HashMap<TxHash, (u64, Arc<Transaction>)>,
    by_position: BTreeMap<u64, TxHash>,
    by_sender: BTreeMap<(Address, u32), TxHash>,
    bytes: usize,
    newest: u64,
}

impl Known {
    fn remove(&mut self, hash: &TxHash) {
        let Some((position, tx)) = self.by_hash.remove(hash) else { return };
        self.by_position.remove(&position);
        self.bytes -= bytes_of(&tx);
        if let Some(key) = key_of(&tx)
            && self.by_sender.get(&key) == Some(hash)
        {
            self.by_sender.remove(&key);
        }
    }
}

/// Sender and nonce; transactions that came from L1 are never handed on.
fn key_of(tx: &Transaction) -> Option<(Address, u32)> {
    match &tx.common {
        TxCommon::L2(common) => Some((common.initiator, common.nonce)),
        TxCommon::Priority(_) | TxCommon::Upgrade(_) => None,
    }
}

fn bytes_of(tx: &Transaction) -> usize {
    // The signed bytes are held as such and as fields.
    OVERHEAD_BYTES + 2 * tx.raw.as_ref().map_or(0, |raw| raw.len())
}

impl PendingTxs {
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Self {
        let newest = watch::Sender::new(0);
        Self { known: Mutex::default(), count_max, bytes_max, newest }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers `tx`; it takes the place of another one with its nonce.
    pub(crate) fn insert(&self, tx: Transaction) {
        let Some(key) = key_of(&tx) else { return };
        let hash = tx.hash();
        let mut known = self.lock();
        known.remove(&hash);
        if let Some(replaced) = known.by_sender.get(&key).copied() {
            known.remove(&replaced);
        }
        known.newest += 1;
        let position = known.newest;
        known.bytes += bytes_of(&tx);
        known.by_position.insert(position, hash);
        known.by_sender.insert(key, hash);
        known.by_hash.insert(hash, (position, Arc::new(tx)));
        while known.by_hash.len() > self.count_max || known.bytes > self.bytes_max {
            let Some(oldest) = known.by_position.values().next().copied() else { break };
            known.remove(&oldest);
        }
        drop(known);
        self.newest.send_replace(position);
    }

    /// The transaction, if it may still come; what is in a block is for the caller to look up
    /// before.
    pub(crate) fn get(&self, call: &Call, hash: &TxHash) -> ApiResult<Option<Arc<Transaction>>> {
        let Some(tx) = self.lock().by_hash.get(hash).map(|(_, tx)| Arc::clone(tx)) else {
            return Ok(None);
        };
        let Some((sender, nonce)) = key_of(&tx) else { return Ok(None) };
        if nonce < next_nonce(call, sender)? {
            self.lock().remove(hash);
            return Ok(None);
        }
        Ok(Some(tx))
    }

    /// The nonce after those of `sender` that are used up or waiting without a gap; `next` is the
    /// next one by the state.
    pub(crate) fn nonce_after(&self, sender: Address, next: u32) -> u32 {
        let known = self.lock();
        let waiting = known.by_sender.range((sender, next)..=(sender, u32::MAX));
        let mut after = next;
        for ((_, nonce), _) in waiting {
            if *nonce != after {
                break;
            }
            after = after.saturating_add(1);
        }
        after
    }

    /// All that may still come, by sender and nonce. Others are forgotten.
    pub(crate) fn all(&self, call: &Call) -> ApiResult<Vec<WaitingTxs>> {
        let mut by_sender: BTreeMap<Address, Vec<(u32, Arc<Transaction>)>> = BTreeMap::new();
        {
            let known = self.lock();
            for ((sender, nonce), hash) in &known.by_sender {
                let Some((_, tx)) = known.by_hash.get(hash) else { continue };
                by_sender.entry(*sender).or_default().push((*nonce, Arc::clone(tx)));
            }
        }
        let mut waiting = Vec::new();
        for (sender, txs) in by_sender {
            let next = next_nonce(call, sender)?;
            let (txs, used): (Vec<_>, Vec<_>) =
                txs.into_iter().partition(|(nonce, _)| *nonce >= next);
            let mut known = self.lock();
            used.iter().for_each(|(_, tx)| known.remove(&tx.hash()));
            if !txs.is_empty() {
                waiting.push(WaitingTxs { sender, next, txs });
            }
        }
        Ok(waiting)
    }

    /// Tells when there is more.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Hashes of those that came after `position` and are still remembered, oldest first, and the
    /// position of the newest of all.
    pub(crate) fn since(&self, position: u64) -> (u64, Vec<TxHash>) {
        let known = self.lock();
        let newer = known.by_position.range(position.saturating_add(1)..);
        (known.newest, newer.map(|(_, hash)| *hash).collect())
    }
}

/// What a sender has waiting.
#[derive(Debug)]
pub(crate) struct WaitingTxs {
    pub(crate) sender: Address,
    /// The sender's next nonce by the state.
    pub(crate) next: u32,
    /// By nonce, ascending; none is below `next`.
    pub(crate) txs: Vec<(u32, Arc<Transaction>)>,
}

/// The nonce that `sender`'s next transaction has, by the state of the newest block.
pub(crate) fn next_nonce(call: &Call, sender: Address) -> ApiResult<u32> {
    let slot = call.view.slot_at(&StorageSlot::nonces(sender), call.head()?)?;
    Ok(u32::try_from(Nonces::from_value(slot).tx).unwrap_or(u32::MAX))
}
