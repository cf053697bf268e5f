//! Subscriptions and filters that clients hold, as the judge keeps them.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use lockstep_types::Address;
use serde_json::Value;

use super::{
    Judge, Place,
    told::{FilterKind, ToldFilter, ToldHeads, ToldLogs},
};
use crate::model::Model;

/// A subscription or a filter.
#[derive(Debug)]
enum Watch {
    Heads(ToldHeads),
    Logs(ToldLogs),
    Filter(ToldFilter),
}

/// What a client watches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watched {
    /// Heads, by subscription.
    Heads,
    /// Logs of an address, by subscription.
    Logs(Option<Address>),
    /// By a filter.
    Filter(FilterKind),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// With the life that each ends with.
    open: BTreeMap<u64, (u32, Watch)>,
    count: u64,
}

impl Judge {
    /// A client of `life` began to watch between `asked` and `answered`; gives the number of the
    /// watch. `None` if it is not known which chain there was.
    pub(crate) fn watch(
        &mut self,
        model: &Model,
        life: u32,
        watched: Watched,
        (asked, answered): (Duration, Duration),
    ) -> Option<u64> {
        let chain = model.chain();
        let places = self.heads().between(chain, asked, answered);
        if places.is_empty() {
            return None;
        }
        let watch = match watched {
            Watched::Heads => Watch::Heads(ToldHeads::new(chain, &places, asked)),
            Watched::Logs(of) => Watch::Logs(ToldLogs::new(of, &places)),
            Watched::Filter(kind) => Watch::Filter(ToldFilter::new(kind, chain, &places)),
        };
        self.watches.count += 1;
        self.watches.open.insert(self.watches.count, (life, watch));
        Some(self.watches.count)
    }

    /// Who watches was told `message`, which was asked for at `asked` and came at `now`. Says
    /// whether it is known what it should be.
    pub(crate) fn told(
        &mut self,
        model: &Model,
        watch: u64,
        (asked, now): (Duration, Duration),
        message: &Value,
    ) -> bool {
        let Some((life, mut watched)) = self.watches.open.remove(&watch) else { return false };
        let chain = model.chain();
        let places = self.heads().between(chain, asked, now);
        if places.is_empty() {
            return false;
        }
        let violation = match &mut watched {
            Watch::Heads(told) => told.told(chain, self.heads(), now, message),
            Watch::Logs(told) => told.told(chain, message),
            Watch::Filter(told) => told.told(chain, &places, message),
        };
        self.add_all(violation);
        self.watches.open.insert(watch, (life, watched));
        true
    }

    /// A subscription ended, a filter is gone.
    pub(crate) fn unwatch(&mut self, watch: u64) {
        self.watches.open.remove(&watch);
    }

    /// Everything has been calm for a while; `life` runs.
    pub(crate) fn settle(&mut self, now: Duration, life: u32) {
        let shared = self.shared_model();
        let model = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = model.chain();
        let places = self.heads().between(chain, now, now);
        let [place]: &[Place; 1] = match places.as_slice().try_into() {
            Ok(one) => one,
            Err(_several) => return,
        };
        let of_life = self.watches.open.values().filter(|(of, _)| *of == life);
        let settled = of_life.filter_map(|(_, watch)| match watch {
            Watch::Heads(told) => told.settled(chain, self.heads(), place),
            Watch::Logs(told) => told.settled(chain, place),
            Watch::Filter(_) => None,
        });
        let violations: Vec<_> = settled.collect();
        self.add_all(violations);
    }

    /// Whether somebody watches.
    pub(crate) fn is_watched(&self) -> bool {
        !self.watches.open.is_empty()
    }
}
