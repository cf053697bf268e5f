//! What waits for the node to do something: steps of the script that happen at a call of the disk
//! or at a request.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::channel::mpsc::UnboundedSender;

use crate::scenario::{Event, Step, When};

/// A moment at a call of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallPoint {
    /// The n-th call of the write half, from 1.
    pub nth: u64,
    /// When it has been made, instead of before.
    pub after: bool,
}

/// Steps of a script that wait for the node. Clones are the same.
#[derive(Clone)]
pub struct Triggers(Arc<Mutex<State>>);

struct State {
    calls: BTreeMap<CallPoint, Vec<usize>>,
    /// By method: requests so far, and steps by the number of the request.
    requests: BTreeMap<String, (u64, BTreeMap<u64, Vec<usize>>)>,
    /// Steps that end the process.
    deadly: Vec<usize>,
    fired: UnboundedSender<usize>,
}

impl Triggers {
    /// Those of `script`; the numbers of the steps that are due go to `fired`.
    pub fn new(script: &[Step], fired: UnboundedSender<usize>) -> Self {
        let mut state =
            State { calls: BTreeMap::new(), requests: BTreeMap::new(), deadly: Vec::new(), fired };
        for (index, step) in script.iter().enumerate() {
            if matches!(step.event, Event::Kill { .. } | Event::PowerLoss { .. }) {
                state.deadly.push(index);
            }
            match &step.when {
                When::StoreCall { nth, after } => {
                    let point = CallPoint { nth: *nth, after: *after };
                    state.calls.entry(point).or_default().push(index);
                }
                When::Request { method, nth } => {
                    let (_, steps) = state.requests.entry(method.clone()).or_default();
                    steps.entry(*nth).or_default().push(index);
                }
                When::AtMs(_) | When::AfterMs(_) => {}
            }
        }
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk is called; says whether the process dies of it.
    pub fn store_call(&self, point: CallPoint) -> bool {
        let mut state = self.state();
        let Some(steps) = state.calls.remove(&point) else { return false };
        state.fire(&steps)
    }

    /// A request of `method` is sent.
    pub fn request(&self, method: &str) {
        let mut state = self.state();
        let Some((count, steps)) = state.requests.get_mut(method) else { return };
        *count += 1;
        let count = *count;
        if let Some(steps) = steps.remove(&count) {
            state.fire(&steps);
        }
    }
}

impl State {
    fn fire(&mut self, steps: &[usize]) -> bool {
        for step in steps {
            // Nobody listens when the run is over.
            self.fired.unbounded_send(*step).unwrap_or(());
        }
        steps.iter().any(|step| self.deadly.contains(step))
    }
}

impl fmt::Debug for Triggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Triggers")
    }
}
