//! Filters: a client asks again and again what is new.
//!
//! A filter remembers the last block it told of. It gives up to [`ApiConfig::logs_max`] items at
//! once, in whole blocks, and the rest when it is asked again. It is forgotten when it has not been
//! asked for [`ApiConfig::filter_idle_max`], and the one that was not asked for longest when there
//! would be more than [`ApiConfig::filters_max`]. Filters do not outlive the process.
//!
//! After a rollback a filter goes on at the newest block that it told of and that is still there. A
//! filter of logs first tells again of those that went, newest first, with `removed: true`; see
//! [`told`](super::told) for how many.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jsonrpsee::types::params::ParamsSequence;
use lockstep_io::{Clock, Entropy, Mono};
use lockstep_types::{L2BlockHash, L2BlockNumber, U256};
use lockstep_wire::{
    eth::{BlockNumberOrTag, Filter},
    quantity,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    logs::{self, FoundLog},
    told::{Told, ToldBytes},
};
use crate::{
    ApiConfig,
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

/// Ends of earlier answers that a filter remembers, to find its place after a rollback.
const ENDS_MAX: usize = 32;

/// What filters need beside the chain.
#[derive(Clone, Debug)]
pub struct FilterSeams {
    /// When a filter was asked last.
    pub clock: Arc<dyn Clock>,
    /// Ids that nobody can guess.
    pub entropy: Arc<dyn Entropy>,
}

pub(crate) fn register(methods: &mut Methods, seams: FilterSeams) {
    let told_bytes = ToldBytes::new(methods.context.config.told_bytes_max);
    let filters = Arc::new(Filters { seams, by_id: Mutex::default(), told_bytes });
    let add = |methods: &mut Methods, name, kind: KindOf| {
        let filters = Arc::clone(&filters);
        methods.add(name, move |call, params| filters.new_filter(call, kind(call, params)?));
    };
    add(methods, "eth_newFilter", |call, params| {
        let filter: Filter = params.next()?;
        logs::check(call, &filter)?;
        Ok(Kind::Logs(filter))
    });
    add(methods, "eth_newBlockFilter", |_, _| Ok(Kind::Blocks));
    // A transaction becomes known here when its block does.
    add(methods, "eth_newPendingTransactionFilter", |_, _| Ok(Kind::Transactions));
    let of = Arc::clone(&filters);
    // Others wait for the place of a filter while its changes are read.
    methods.add_job("eth_getFilterChanges", move |call, params| of.changes(call, params));
    let of = Arc::clone(&filters);
    methods.add("eth_getFilterLogs", move |call, params| of.logs(call, params));
    methods.add("eth_uninstallFilter", move |_, params| {
        let Id(id) = params.next()?;
        Ok(filters.lock().remove(&id).is_some())
    });
}

type KindOf = fn(&Call, &mut ParamsSequence<'_>) -> ApiResult<Kind>;

/// An id as a client writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Id(#[serde(with = "quantity::lenient")] U256);

/// What a filter tells of.
#[derive(Clone, Debug)]
enum Kind {
    Logs(Filter),
    Blocks,
    Transactions,
}

#[derive(Debug)]
struct Entry {
    asked_at: Mono,
    kind: Kind,
    /// Held while an answer is made, so that two requests at once do not get the same twice.
    progress: Arc<Mutex<Progress>>,
}

/// What a filter has told.
#[derive(Debug)]
struct Progress {
    place: Place,
    told: Told,
}

/// How far a filter has told.
#[derive(Clone, Debug)]
struct Place {
    /// First block that it has not told of.
    next: L2BlockNumber,
    /// Nothing is told of blocks before this one.
    from: L2BlockNumber,
    /// Blocks that answers ended with, oldest first.
    ends: VecDeque<(L2BlockNumber, L2BlockHash)>,
}

/// What is new.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Changes {
    Logs(Vec<ChangedLog>),
    Hashes(Vec<lockstep_types::B256>),
}

/// A log that came, or one that went.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ChangedLog {
    Removed(Box<RawValue>),
    Found(FoundLog),
}

/// What is new since.
#[derive(Debug)]
enum News {
    Logs(Vec<FoundLog>),
    Hashes(Vec<lockstep_types::B256>),
}

#[derive(Debug)]
struct Filters {
    seams: FilterSeams,
    by_id: Mutex<HashMap<U256, Entry>>,
    told_bytes: Arc<ToldBytes>,
}

impl Filters {
    fn lock(&self) -> MutexGuard<'_, HashMap<U256, Entry>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_filter(&self, call: &Call, kind: Kind) -> ApiResult<U256> {
        let head = call.head()?;
        let from = match &kind {
            Kind::Logs(Filter { from_block: Some(from), .. }) => call.resolve(*from, head)?,
            Kind::Logs(_) | Kind::Blocks | Kind::Transactions => L2BlockNumber(0),
        };
        let next = from.max(head.next());
        let end = (head, call.header(head)?.hash);
        let mut id = [0; 32];
        self.seams.entropy.secret(&mut id);
        let id = U256::from_be_bytes(id);
        let place = Place { next, from, ends: VecDeque::from([end]) };
        let told = Told::new(&self.told_bytes);
        let progress = Arc::new(Mutex::new(Progress { place, told }));
        let now = self.seams.clock.mono();
        let mut by_id = self.lock();
        forget_idle(&mut by_id, now, &call.config);
        by_id.insert(id, Entry { asked_at: now, kind, progress });
        Ok(id)
    }

    /// What a filter tells of, and how far it has.
    fn find(&self, id: U256, config: &ApiConfig) -> ApiResult<(Kind, Arc<Mutex<Progress>>)> {
        let now = self.seams.clock.mono();
        let mut by_id = self.lock();
        let entry = by_id.get_mut(&id).ok_or(ApiError::NoFilter)?;
        if now.since(entry.asked_at) > config.filter_idle_max {
            by_id.remove(&id);
            return Err(ApiError::NoFilter);
        }
        entry.asked_at = now;
        Ok((entry.kind.clone(), Arc::clone(&entry.progress)))
    }

    fn changes(&self, call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Changes> {
        let Id(id) = params.next()?;
        let (kind, progress) = self.find(id, &call.config)?;
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let Progress { place, told } = &mut *progress;
        // Until everything is read, nothing is changed.
        let mut changed = place.clone();
        let gone = told.gone(call)?;
        changed.step_back(call, told.newest_before(gone))?;
        let changes = match changed.take(call, &kind)? {
            News::Hashes(hashes) => Changes::Hashes(hashes),
            News::Logs(found) => {
                let new = Told::of(call, &found)?;
                let removed = told.remove(gone)?;
                told.remember(new);
                let removed = removed.into_iter().map(ChangedLog::Removed);
                Changes::Logs(removed.chain(found.into_iter().map(ChangedLog::Found)).collect())
            }
        };
        *place = changed;
        Ok(changes)
    }

    /// All logs that a filter means, told of or not.
    fn logs(&self, call: &Call, params: &mut ParamsSequence<'_>) -> ApiResult<Vec<FoundLog>> {
        let Id(id) = params.next()?;
        match self.find(id, &call.config)?.0 {
            Kind::Logs(filter) => logs::find(call, &filter),
            Kind::Blocks | Kind::Transactions => Err(ApiError::NoFilter),
        }
    }
}

/// Makes room for one more.
fn forget_idle(by_id: &mut HashMap<U256, Entry>, now: Mono, config: &ApiConfig) {
    if by_id.len() < config.filters_max {
        return;
    }
    by_id.retain(|_, entry| now.since(entry.asked_at) <= config.filter_idle_max);
    while by_id.len() >= config.filters_max.max(1) {
        let oldest = by_id.iter().min_by_key(|(id, entry)| (entry.asked_at, **id));
        let Some(id) = oldest.map(|(id, _)| *id) else { return };
        by_id.remove(&id);
    }
}

impl Place {
    /// Goes back to the newest block that was told of and is still there; `told` is the newest such
    /// block with logs, as far as those are remembered.
    fn step_back(
        &mut self,
        call: &Call,
        told: Option<(L2BlockNumber, L2BlockHash)>,
    ) -> ApiResult<()> {
        let before = self.next;
        self.step_back_over_ends(call)?;
        if let Some((number, hash)) = told.filter(|(number, _)| self.next <= *number)
            && self.next < before
        {
            self.next = number.next();
            self.ends.push_back((number, hash));
        }
        Ok(())
    }

    fn step_back_over_ends(&mut self, call: &Call) -> ApiResult<()> {
        while let Some((number, hash)) = self.ends.back().copied() {
            if lockstep_io::planted!("X09", false, true) {
                return Ok(());
            }
            if call.view.block(number)?.is_some_and(|header| header.hash == hash) {
                return Ok(());
            }
            self.ends.pop_back();
            // What is there instead is new, and so is all that follows.
            let before = self.ends.back().map_or(number, |(number, _)| number.next());
            self.next = self.next.min(before).max(self.from);
        }
        Ok(())
    }

    /// What `kind` tells of the blocks from here on, until that is enough for one answer.
    fn take(&mut self, call: &Call, kind: &Kind) -> ApiResult<News> {
        let head = call.head()?;
        let items_max = call.config.logs_max;
        match kind {
            Kind::Logs(filter) => {
                let to = filter.to_block.unwrap_or(BlockNumberOrTag::Latest);
                let to = call.resolve(to, head)?.min(head);
                // A single block was there before the filter was.
                let to = if filter.block_hash.is_some() { None } else { Some(to) };
                let mut found = Vec::new();
                if let Some(to) = to.filter(|to| self.next <= *to) {
                    let next = logs::collect_until(call, filter, [self.next, to], &mut found)?;
                    self.end_before(call, next)?;
                }
                Ok(News::Logs(found))
            }
            Kind::Blocks | Kind::Transactions => {
                let mut hashes = Vec::new();
                let mut next = self.next;
                while next <= head && hashes.len() < items_max {
                    if matches!(kind, Kind::Blocks) {
                        hashes.push(call.header(next)?.hash.0);
                    } else {
                        let transactions = call.view.transactions(next)?;
                        hashes.extend(transactions.iter().map(|tx| tx.hash().0));
                    }
                    next = next.next();
                }
                self.end_before(call, next)?;
                Ok(News::Hashes(hashes))
            }
        }
    }

    /// All before `next` has been told.
    fn end_before(&mut self, call: &Call, next: L2BlockNumber) -> ApiResult<()> {
        if next <= self.next {
            return Ok(());
        }
        self.next = next;
        let Some(last) = next.prev() else { return Ok(()) };
        self.ends.push_back((last, call.header(last)?.hash));
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
        Ok(())
    }
}
