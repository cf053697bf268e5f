//! Which endpoint is asked next.
//!
//! The first in the list is preferred. One that failed several times in a row rests, longer each
//! time; after a rest a single exchange tries whether it is back, and everybody else still goes
//! elsewhere or waits.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::Either;
use lockstep_io::{Clock, EndpointId, Mono};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::pace::{Chance, doubled, first_of, lock};
use crate::UpstreamConfig;

/// A batch that was answered as a single call this often in a row was refused.
const NOT_A_BATCH_MAX: u32 = 2;

/// So many batches of the full size must fit before a larger one is tried.
const FITTING_BATCHES: u32 = 4;

/// The endpoints of one upstream.
#[derive(Debug)]
pub(super) struct Endpoints {
    label: &'static str,
    clock: Arc<dyn Clock>,
    chance: Chance,
    config: UpstreamConfig,
    ids: Vec<EndpointId>,
    states: Mutex<Vec<State>>,
    /// Told when an endpoint may be asked earlier than was known.
    back: Notify,
}

#[derive(Clone, Debug)]
struct State {
    failures_in_row: u32,
    rests_in_row: u32,
    rests_until: Mono,
    /// By `Retry-After`.
    told_to_wait_until: Mono,
    /// Largest batch that its answers fit in.
    batch_entries_max: usize,
    fitting_batches: u32,
    not_a_batch_in_row: u32,
    single_until: Mono,
    is_chain_known: bool,
}

/// An endpoint to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picked {
    /// Position in the list.
    pub(super) index: usize,
    pub(super) id: EndpointId,
    /// If smaller than the batch at hand, that must not be sent.
    pub(super) batch_entries_max: usize,
    /// Whether this exchange finds out if the endpoint is back.
    is_trial: bool,
    /// Whether it has said that it is of the right chain.
    pub(super) is_chain_known: bool,
}

impl State {
    fn free_at(&self) -> Mono {
        self.rests_until.max(self.told_to_wait_until)
    }

    fn batch_entries_max(&self, now: Mono) -> usize {
        if now < self.single_until { 1 } else { self.batch_entries_max }
    }
}

impl Endpoints {
    pub(super) fn new(
        label: &'static str,
        clock: Arc<dyn Clock>,
        chance: Chance,
        ids: Vec<EndpointId>,
        config: UpstreamConfig,
    ) -> Self {
        let state = State {
            failures_in_row: 0,
            rests_in_row: 0,
            rests_until: Mono(0),
            told_to_wait_until: Mono(0),
            batch_entries_max: config.batch_entries_max.max(1),
            fitting_batches: 0,
            not_a_batch_in_row: 0,
            single_until: Mono(0),
            is_chain_known: false,
        };
        let states = Mutex::new(vec![state; ids.len()]);
        Self { label, clock, chance, config, ids, states, back: Notify::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn chance(&self) -> &Chance {
        &self.chance
    }

    /// Now, as rests are measured.
    fn now(&self) -> Mono {
        let on_the_wall = || Mono(self.clock.wall().0.saturating_mul(1_000_000));
        lockstep_io::planted!("X45", self.clock.mono(), on_the_wall())
    }

    /// The endpoint to send `entries` calls to, `avoid` only if no other is free; waits until one
    /// is. There must be one.
    pub(super) async fn pick(&self, avoid: Option<usize>, entries: usize) -> Picked {
        loop {
            // Made before looking, so that it hears of everything that happens after.
            let back = self.back.notified();
            match self.try_pick(avoid, entries) {
                Ok(picked) => return picked,
                Err(free_at) => {
                    let rest = free_at.since(self.now());
                    let until = lockstep_io::planted!("X45", free_at, self.clock.mono().plus(rest));
                    let (Either::Left(()) | Either::Right(())) =
                        first_of(back, self.clock.sleep_until(until)).await;
                }
            }
        }
    }

    /// As [`pick`](Self::pick); if none is free, when the first will be.
    fn try_pick(&self, avoid: Option<usize>, entries: usize) -> Result<Picked, Mono> {
        let now = self.now();
        let mut states = lock(&self.states);
        let free = |index: usize| states[index].free_at() <= now;
        let others = (0..states.len()).filter(|index| Some(*index) != avoid);
        let index = others.chain(avoid).find(|index| free(*index));
        let Some(index) = index else {
            return Err(states.iter().map(State::free_at).min().unwrap_or(Mono(u64::MAX)));
        };
        let state = &mut states[index];
        let batch_entries_max = state.batch_entries_max(now);
        let is_tired = state.failures_in_row >= self.config.failures_in_row_max.max(1);
        let is_trial = is_tired && entries <= batch_entries_max;
        if is_trial {
            // Should the trial never end, somebody else tries then.
            state.rests_until = now.plus(self.config.request_timeout);
        }
        let is_chain_known = state.is_chain_known;
        Ok(Picked { index, id: self.ids[index], batch_entries_max, is_trial, is_chain_known })
    }

    /// The endpoint gave a good answer to `entries` calls.
    pub(super) fn succeeded(&self, picked: Picked, entries: usize) {
        let now = self.now();
        let mut states = lock(&self.states);
        let state = &mut states[picked.index];
        let was_resting = state.rests_in_row > 0;
        state.failures_in_row = 0;
        state.rests_in_row = 0;
        state.rests_until = state.rests_until.min(now);
        if entries > 1 {
            state.not_a_batch_in_row = 0;
        }
        if entries >= state.batch_entries_max && entries < self.config.batch_entries_max {
            state.fitting_batches += 1;
            if state.fitting_batches >= FITTING_BATCHES {
                state.fitting_batches = 0;
                state.batch_entries_max += 1;
            }
        }
        drop(states);
        if was_resting {
            info!(upstream = self.label, endpoint = picked.index, "endpoint is back");
            self.back.notify_waiters();
        }
    }

    /// The endpoint gave no good answer.
    pub(super) fn failed(&self, picked: Picked, detail: &str) {
        let now = self.now();
        let mut states = lock(&self.states);
        let blamed = lockstep_io::planted!("X58", picked.index, (picked.index + 1) % states.len());
        let state = &mut states[blamed];
        state.failures_in_row = state.failures_in_row.saturating_add(1);
        let is_tired = state.failures_in_row >= self.config.failures_in_row_max.max(1);
        // What was under way when the rest began does not make it longer.
        if !is_tired || (now < state.rests_until && !picked.is_trial) {
            return;
        }
        let (first, bound) = (self.config.rest_min, self.config.rest_max);
        let rest = self.chance.around(doubled(first, state.rests_in_row, bound));
        let rest = lockstep_io::planted!("X43", rest, Duration::ZERO);
        state.rests_in_row = state.rests_in_row.saturating_add(1);
        state.rests_until = now.plus(rest);
        let rests = state.rests_in_row;
        drop(states);
        self.back.notify_waiters();
        if rests == 1 {
            warn!(upstream = self.label, endpoint = picked.index, detail, "endpoint rests");
        }
    }

    /// What the endpoint that is asked first says was found to be wrong, though each answer was
    /// good as such: it rests, if there is another one.
    pub(super) fn distrust(&self) {
        let now = self.now();
        let mut states = lock(&self.states);
        let is_free = |state: &State| state.free_at() <= now;
        let Some(index) = states.iter().position(is_free) else { return };
        if states.len() < 2 {
            return;
        }
        let state = &mut states[index];
        state.failures_in_row = self.config.failures_in_row_max.max(1);
        state.rests_in_row = state.rests_in_row.saturating_add(1);
        state.rests_until = now.plus(self.chance.around(self.config.rest_max));
        drop(states);
        warn!(upstream = self.label, endpoint = index, "what the endpoint says is wrong: it rests");
    }

    /// The endpoint asked for a pause.
    pub(super) fn told_to_wait(&self, picked: Picked, pause: Duration) {
        let pause = lockstep_io::planted!("X43", pause, Duration::ZERO);
        let until = self.now().plus(pause.min(self.config.retry_after_max));
        let mut states = lock(&self.states);
        let state = &mut states[picked.index];
        state.told_to_wait_until = state.told_to_wait_until.max(until);
    }

    /// The answer to a batch of `entries` was too large.
    pub(super) fn batch_was_too_big(&self, picked: Picked, entries: usize) {
        let mut states = lock(&self.states);
        let state = &mut states[picked.index];
        state.batch_entries_max = state.batch_entries_max.min((entries / 2).max(1));
        state.fitting_batches = 0;
    }

    /// The endpoint refused a batch as such.
    pub(super) fn batch_was_refused(&self, picked: Picked) {
        let until = self.now().plus(self.config.batches_again_after);
        lock(&self.states)[picked.index].single_until = until;
        warn!(upstream = self.label, endpoint = picked.index, "endpoint takes no batches");
    }

    /// A batch was answered as if it were a single call. Once may be a mix-up.
    pub(super) fn answered_as_single(&self, picked: Picked) {
        let mut states = lock(&self.states);
        let state = &mut states[picked.index];
        state.not_a_batch_in_row += 1;
        let is_refused = state.not_a_batch_in_row >= NOT_A_BATCH_MAX;
        if is_refused {
            state.not_a_batch_in_row = 0;
        }
        drop(states);
        if is_refused {
            self.batch_was_refused(picked);
        }
    }

    /// The endpoint said that it is of the right chain.
    pub(super) fn chain_is_right(&self, picked: Picked) {
        lock(&self.states)[picked.index].is_chain_known = true;
    }
}
