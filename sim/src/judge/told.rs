//! A4 and A5: subscriptions and filters tell the chain from where they began, without a gap and
//! without doubles; what went is taken back.

use std::{collections::BTreeMap, time::Duration};

use lockstep_types::{Address, B256, L2BlockHash};
use serde_json::Value;

use super::{Heads, Place, Violation, api::logs, branch_of};
use crate::model::{BatchId, Chain};

/// A message may have been on its way this long.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// A filter of the node remembers so many of its answers.
const ENDS_MAX: usize = 32;

/// What a subscriber to heads was told.
#[derive(Debug)]
pub(crate) struct ToldHeads {
    /// What may have been the newest block when it began; empty once something was told.
    begins: Vec<(u32, B256)>,
    /// Blocks that it knows of, and when it was told.
    told: BTreeMap<u32, (B256, Duration)>,
    since: Duration,
}

/// What a subscriber to logs was told and not told to forget, oldest first.
#[derive(Debug)]
pub(crate) struct ToldLogs {
    of: Option<Address>,
    told: Vec<(B256, u64)>,
    /// Blocks up to here may have been there when it began.
    begins: u32,
    /// The lowest of those that were taken back.
    gone: Option<u32>,
}

/// What a filter tells of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FilterKind {
    /// Hashes of blocks.
    Blocks,
    /// Logs, of an address.
    Logs(Option<Address>),
}

/// Where a filter may be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FilterAt {
    /// The first block that it has not told of.
    next: u32,
    /// Blocks that its answers ended with, oldest first.
    ends: Vec<(u32, B256)>,
    /// Logs that it told of and has not taken back, with their blocks, oldest first. What tests
    /// tell of fits in what the node remembers.
    told: Vec<(u32, B256, Value)>,
}

/// What a filter told.
#[derive(Debug)]
pub(crate) struct ToldFilter {
    kind: FilterKind,
    /// Several while it is not known which chain the node looked at.
    at: Vec<FilterAt>,
}

fn number(message: &Value, field: &str) -> Option<u64> {
    u64::from_str_radix(message[field].as_str()?.strip_prefix("0x")?, 16).ok()
}

fn hash(message: &Value, field: &str) -> Option<B256> {
    message[field].as_str()?.parse().ok()
}

/// The chain up to a block of this hash.
fn place_of(chain: &Chain, hash: B256) -> Option<(Place, BatchId)> {
    let (id, block) = chain.block_by_hash(&L2BlockHash(hash))?;
    Some((Place { branch: branch_of(chain, id), head: block.params.number.0 }, id))
}

impl ToldHeads {
    /// Subscribed while the chain was one of `places`.
    pub(crate) fn new(chain: &Chain, places: &[Place], now: Duration) -> Self {
        let begin = |place: &Place| Some((place.head, place.hash(chain, place.head)?));
        let begins = places.iter().filter_map(begin).collect();
        Self { begins, told: BTreeMap::new(), since: now }
    }

    /// A message came at `now`.
    pub(crate) fn told(
        &mut self,
        chain: &Chain,
        heads: &Heads,
        now: Duration,
        message: &Value,
    ) -> Option<Violation> {
        let wrong = |key: &str, what: &str| {
            let detail = format!("{what}: {message}, after {:?}", self.told);
            Some(Violation::new("A5", key, detail))
        };
        let (Some(hash), Some(parent)) = (hash(message, "hash"), hash(message, "parentHash"))
        else {
            return wrong("no head", "it is no head");
        };
        let Some((_, block)) = chain.block_by_hash(&L2BlockHash(hash)) else {
            return wrong("unknown head", "no chain has it");
        };
        let at = block.params.number.0;
        if number(message, "number") != Some(at.into()) || block.parent.0 != parent || at == 0 {
            return wrong("wrong head", "that is not what it is like");
        }
        let follows = match self.told.last_key_value() {
            None => {
                let newest = self.begins.iter().map(|(begin, _)| *begin).max().unwrap_or(u32::MAX);
                self.begins.contains(&(at - 1, parent))
                    || at <= newest && heads.was_below(newest, self.since, now)
            }
            Some((last, _)) if at > *last => {
                at == *last + 1 && self.told.get(last).is_some_and(|(known, _)| *known == parent)
            }
            // Told of before: then it must have gone.
            Some(_) => {
                let known = self.told.get(&(at - 1));
                let told_at = self.told.get(&at).map_or(self.since, |(_, told_at)| *told_at);
                known.is_none_or(|(known, _)| *known == parent)
                    && heads.was_below(at, told_at.saturating_sub(ON_ITS_WAY), now)
            }
        };
        if !follows {
            return wrong("heads", "it does not follow what was told");
        }
        self.told.split_off(&at);
        self.told.entry(at - 1).or_insert((parent, now));
        self.told.insert(at, (hash, now));
        self.begins.clear();
        None
    }

    /// Everything is calm and the chain has been `place` for a while.
    pub(crate) fn settled(&self, chain: &Chain, heads: &Heads, place: &Place) -> Option<Violation> {
        let hash = place.hash(chain, place.head)?;
        let is_told = match self.told.get(&place.head) {
            Some((known, _)) => *known == hash,
            None => {
                let newest = self.begins.iter().map(|(begin, _)| *begin).max();
                self.begins.contains(&(place.head, hash))
                    || newest.is_some_and(|it| heads.was_below(it, self.since, Duration::MAX))
            }
        };
        (!is_told).then(|| {
            let detail = format!("block {} {hash} was never told: {self:?}", place.head);
            Violation::new("A5", "newest head", detail)
        })
    }
}

impl ToldLogs {
    /// Subscribed to logs of `of` while the chain was one of `places`.
    pub(crate) fn new(of: Option<Address>, places: &[Place]) -> Self {
        let begins = places.iter().map(|place| place.head).max().unwrap_or(u32::MAX);
        Self { of, told: Vec::new(), begins, gone: None }
    }

    /// The newest block of which nothing has to be told.
    fn known(&self) -> u32 {
        self.gone.map_or(self.begins, |gone| gone.saturating_sub(1))
    }

    /// All logs of a chain that it is about, with the numbers of their blocks.
    fn all(&self, chain: &Chain, place: &Place) -> Vec<(u32, (B256, u64))> {
        let of_block = |at: u32| {
            let logs = logs(chain, place, at, self.of);
            logs.into_iter().filter_map(move |log| Some((at, key_of(&log)?)))
        };
        (1..=place.head).flat_map(of_block).collect()
    }

    /// A message came.
    pub(crate) fn told(&mut self, chain: &Chain, message: &Value) -> Option<Violation> {
        let wrong = |key: &str, what: String| {
            Some(Violation::new("A4", key, format!("{what}: {message}, after {:?}", self.told)))
        };
        let Some(key) = key_of(message) else { return wrong("no log", "it is no log".to_owned()) };
        let Some((place, _)) = place_of(chain, key.0) else {
            return wrong("unknown log", "no chain has its block".to_owned());
        };
        if message["removed"] == Value::Bool(true) {
            match self.told.last() {
                Some(last) if *last == key => drop(self.told.pop()),
                // It was there before anybody subscribed.
                None if place.head <= self.gone.unwrap_or(self.begins) => {
                    self.gone = Some(place.head);
                }
                _ => return wrong("taken back", "it was not the last that was told".to_owned()),
            }
            return None;
        }
        let all = self.all(chain, &place);
        let Some(at) = all.iter().position(|(_, log)| *log == key) else {
            return wrong("unasked log", "it was not asked for".to_owned());
        };
        let before = &all[..at];
        let known = before.len().checked_sub(self.told.len());
        let follows = known.is_some_and(|known| {
            let is_new = |(block, _): &(u32, _)| *block <= self.known();
            before[known..].iter().map(|(_, log)| log).eq(&self.told)
                && before[..known].last().is_none_or(is_new)
        });
        if !follows {
            return wrong("logs", format!("of {before:?} not all were told before it"));
        }
        self.told.push(key);
        None
    }

    /// Everything is calm and the chain has been `place` for a while.
    pub(crate) fn settled(&self, chain: &Chain, place: &Place) -> Option<Violation> {
        let all = self.all(chain, place);
        let is_told = match (all.last(), self.told.last()) {
            (Some((_, newest)), Some(told)) => newest == told,
            (Some((block, _)), None) => *block <= self.known(),
            (None, told) => told.is_none(),
        };
        (!is_told).then(|| {
            let detail = format!("of {all:?} these were told: {:?}", self.told);
            Violation::new("A4", "newest log", detail)
        })
    }
}

fn key_of(log: &Value) -> Option<(B256, u64)> {
    Some((hash(log, "blockHash")?, number(log, "logIndex")?))
}

impl ToldFilter {
    /// Made while the chain was one of `places`.
    pub(crate) fn new(kind: FilterKind, chain: &Chain, places: &[Place]) -> Self {
        let at = places.iter().filter_map(|place| {
            let end = (place.head, place.hash(chain, place.head)?);
            Some(FilterAt { next: place.head + 1, ends: vec![end], told: Vec::new() })
        });
        Self { kind, at: at.collect() }
    }

    /// It was asked for changes and answered this, while the chain was one of `places`.
    pub(crate) fn told(
        &mut self,
        chain: &Chain,
        places: &[Place],
        answer: &Value,
    ) -> Option<Violation> {
        let mut possible: Vec<FilterAt> = Vec::new();
        let mut expected = Vec::new();
        for place in places {
            for before in &self.at {
                let mut at = before.clone();
                let mut items = at.take_back(chain, place);
                at.step_back(chain, place);
                items.extend(self.kind.items(chain, place, at.next));
                at.remember(chain, place, self.kind);
                at.go_on(chain, place);
                if super::api::has(answer, &Value::Array(items.clone())) {
                    if !possible.contains(&at) {
                        possible.push(at);
                    }
                } else {
                    expected.push(items);
                }
            }
        }
        if possible.is_empty() && !expected.is_empty() {
            let detail = format!("{:?}: {answer} instead of one of {expected:?}", self.kind);
            return Some(Violation::new("A4", "filter", detail));
        }
        self.at = possible;
        None
    }
}

impl FilterKind {
    /// What is told of blocks from `from` on.
    fn items(self, chain: &Chain, place: &Place, from: u32) -> Vec<Value> {
        let blocks = from..=place.head;
        match self {
            Self::Blocks => {
                let hash = |at| place.hash(chain, at).map(|hash| serde_json::json!(hash));
                blocks.filter_map(hash).collect()
            }
            Self::Logs(of) => blocks.flat_map(|at| logs(chain, place, at, of)).collect(),
        }
    }
}

impl FilterAt {
    /// Logs of blocks that are gone, newest first, as they are told of again.
    fn take_back(&mut self, chain: &Chain, place: &Place) -> Vec<Value> {
        let is_there = |(block, hash, _): &(u32, B256, Value)| {
            *block <= place.head && place.hash(chain, *block) == Some(*hash)
        };
        let mut gone = Vec::new();
        while let Some((_, _, mut log)) = self.told.pop_if(|told| !is_there(told)) {
            log["removed"] = Value::Bool(true);
            gone.push(log);
        }
        gone
    }

    /// Logs that are told of next.
    fn remember(&mut self, chain: &Chain, place: &Place, kind: FilterKind) {
        let FilterKind::Logs(of) = kind else { return };
        for block in self.next..=place.head {
            let Some(hash) = place.hash(chain, block) else { continue };
            self.told
                .extend(logs(chain, place, block, of).into_iter().map(|log| (block, hash, log)));
        }
    }

    /// Back to the newest end of an answer that is still there, or to the newest block with logs
    /// that were told of and are still there.
    fn step_back(&mut self, chain: &Chain, place: &Place) {
        let before = self.next;
        self.step_back_over_ends(chain, place);
        if let Some((block, hash, _)) = self.told.last()
            && self.next < before
            && self.next <= *block
        {
            self.next = *block + 1;
            self.ends.push((*block, *hash));
        }
    }

    fn step_back_over_ends(&mut self, chain: &Chain, place: &Place) {
        while let Some((end, hash)) = self.ends.last().copied() {
            if end <= place.head && place.hash(chain, end) == Some(hash) {
                return;
            }
            self.ends.pop();
            let before = self.ends.last().map_or(end, |(end, _)| end + 1);
            self.next = self.next.min(before);
        }
    }

    fn go_on(&mut self, chain: &Chain, place: &Place) {
        let Some(hash) = place.hash(chain, place.head) else { return };
        if place.head < self.next {
            return;
        }
        self.next = place.head + 1;
        self.ends.push((place.head, hash));
        if self.ends.len() > ENDS_MAX {
            self.ends.remove(0);
        }
    }
}
