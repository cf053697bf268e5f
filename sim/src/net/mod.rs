//! The network: exchanges that are late, lost, cut, garbled, misdirected.
//!
//! What a server says is the model's; what becomes of it on the way is decided here, by chance and
//! by rates of the scenario, or because an endpoint is out.

mod body;
mod fault;
mod garble;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use lockstep_io::{BoxFuture, EndpointId, Http, HttpRequest, HttpResponse, NetError, race};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use self::{
    body::SimBody,
    fault::{Fate, Way},
};
use crate::{
    court::Court,
    exec::Executor,
    judge::{Exchange, ExchangeEnd, Observation},
    model::Answer,
    scenario::NetRates,
    trace::{TraceEvent, hash_words},
    triggers::Triggers,
};

/// A day: nothing waits longer.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Who answers.
pub trait Server: Send + Sync {
    /// What `endpoint` says to `request` at `now`, a time since the world began; a little earlier
    /// than in the call before if the answer is to be a stale one.
    fn answer(&self, now: Duration, endpoint: EndpointId, request: &HttpRequest) -> Answer;
}

/// The network. Clones are the same.
#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    executor: Executor,
    court: Court,
    triggers: Triggers,
    server: Box<dyn Server>,
    state: Mutex<State>,
}

struct State {
    rng: ChaCha8Rng,
    rates: NetRates,
    is_healed: bool,
    /// Until when an endpoint is out.
    outages: BTreeMap<usize, Duration>,
    all_out_until: Duration,
    /// Until when nobody listens at an endpoint.
    closed: BTreeMap<usize, Duration>,
    /// The last answer of each endpoint, for those that get lost.
    last: BTreeMap<usize, Bytes>,
    /// How often each fault happened.
    counts: BTreeMap<&'static str, u64>,
    requests: u64,
}

impl Net {
    /// A network in front of `server`.
    pub fn new(
        seed: u64,
        rates: NetRates,
        server: Box<dyn Server>,
        executor: Executor,
        court: Court,
        triggers: Triggers,
    ) -> Self {
        let state = State {
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x0e70_0e70),
            rates,
            is_healed: false,
            outages: BTreeMap::new(),
            all_out_until: Duration::ZERO,
            closed: BTreeMap::new(),
            last: BTreeMap::new(),
            counts: BTreeMap::new(),
            requests: 0,
        };
        Self(Arc::new(Inner { executor, court, triggers, server, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody answers, or `endpoint` does not, until `until`.
    pub fn outage(&self, endpoint: Option<usize>, until: Duration) {
        let mut state = self.state();
        match endpoint {
            None => state.all_out_until = state.all_out_until.max(until),
            Some(endpoint) => {
                let out = state.outages.entry(endpoint).or_default();
                *out = (*out).max(until);
            }
        }
    }

    /// Nobody listens at `endpoint` until `until`.
    pub fn close(&self, endpoint: usize, until: Duration) {
        self.state().closed.insert(endpoint, until);
    }

    /// From now on exchanges take their time and nothing else happens to them.
    pub fn heal(&self) {
        let mut state = self.state();
        state.is_healed = true;
        state.outages.clear();
        state.closed.clear();
        state.all_out_until = Duration::ZERO;
    }

    /// How often each fault happened, by its name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts.clone()
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// One exchange; resolves with the head.
    async fn exchange(
        self,
        endpoint: EndpointId,
        request: HttpRequest,
    ) -> Result<HttpResponse, NetError> {
        let executor = self.0.executor.clone();
        let deadline = executor.now().saturating_add(request.timeout.min(FOREVER));
        let method = method_of(&request);
        let mut record = Record::new(&self, endpoint, &request, &method);
        self.0.triggers.request(&method);
        let fate = self.state().draw(executor.now(), endpoint, &request);
        record.faults = fate.names();
        record.trace("ask", &[], request.body.as_deref().unwrap_or_default());

        executor.sleep(fate.there).await;
        let answered = match fate.way {
            Way::Refused => Err(NetError::Connect("refused".to_owned())),
            Way::ResetBefore => Err(NetError::Reset("before it was sent".to_owned())),
            Way::Dropped => {
                executor.sleep_until(deadline).await;
                Err(NetError::TimedOut)
            }
            Way::ResetAfter => {
                self.answer(&fate, endpoint, &request);
                Err(NetError::Reset("after it was sent".to_owned()))
            }
            Way::Whole => Ok(self.answer(&fate, endpoint, &request)),
        };
        let answer = match answered {
            Err(error) => return Err(record.fail(error)),
            Ok(answer) => answer,
        };
        let back = executor.sleep(fate.back);
        if let lockstep_io::First::Left(()) = race(executor.sleep_until(deadline), back).await {
            return Err(record.fail(NetError::TimedOut));
        }
        record.trace("answer", &[u64::from(answer.status)], &answer.body);
        let (status, headers) = (answer.status, answer.headers.clone());
        record.told_to_wait(status, &headers);
        let body = SimBody::new(executor, record, answer, &fate.body, deadline, request);
        Ok(HttpResponse { status, headers, body: Box::new(body) })
    }

    /// What the server says, changed as `fate` says.
    fn answer(&self, fate: &Fate, endpoint: EndpointId, request: &HttpRequest) -> Answer {
        let asked_for = self.0.executor.now().saturating_sub(fate.stale_by);
        let mut answer = self.0.server.answer(asked_for, endpoint, request);
        let mut state = self.state();
        let last = state.last.insert(endpoint.0, answer.body.clone());
        if let (true, Some(last)) = (fate.is_misdirected, last) {
            answer.body = last;
        }
        garble::apply(fate, &mut answer, &mut state.rng);
        answer
    }

    fn see(&self, what: &Observation<'_>) {
        self.0.court.see(self.0.executor.now(), what);
    }
}

impl Http for Net {
    fn send(
        &self,
        endpoint: EndpointId,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, NetError>> {
        Box::pin(self.clone().exchange(endpoint, request))
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("requests", &self.requests()).finish_non_exhaustive()
    }
}

/// Method of the first call of a request; its path if it is not a call.
fn method_of(request: &HttpRequest) -> String {
    let Some(body) = &request.body else { return request.path.clone() };
    let text = String::from_utf8_lossy(body);
    let method = text.split("\"method\":\"").nth(1).and_then(|rest| rest.split('"').next());
    method.unwrap_or_default().to_owned()
}

/// An exchange that is going on; tells the judge when it is over, or given up.
struct Record {
    net: Net,
    endpoint: EndpointId,
    /// `None` when the judge has been told.
    exchange: Option<Exchange>,
    faults: Vec<&'static str>,
}

impl Record {
    fn new(net: &Net, endpoint: EndpointId, request: &HttpRequest, method: &str) -> Self {
        net.see(&Observation::Asks { method, request });
        let asked_at = net.0.executor.now();
        let exchange = Exchange {
            endpoint,
            request: request.clone(),
            method: method.to_owned(),
            asked_at,
            told_to_wait: None,
            end: ExchangeEnd::GivenUp,
        };
        net.state().requests += 1;
        Self { net: net.clone(), endpoint, exchange: Some(exchange), faults: Vec::new() }
    }

    /// Notes what a header asks for: seconds, or a date, which here is far in the future.
    fn told_to_wait(&mut self, status: u16, headers: &[(String, String)]) {
        let header = headers.iter().find(|(name, _)| name == "retry-after");
        let Some(((_, value), exchange)) = header.zip(self.exchange.as_mut()) else { return };
        let seconds = match value.parse::<u64>() {
            Ok(seconds) => Some(seconds),
            Err(_) => value.ends_with(" GMT").then_some(u64::MAX),
        };
        let pause = seconds.map(Duration::from_secs).filter(|_| status == 429);
        exchange.told_to_wait = pause.map(|pause| (self.net.0.executor.now(), pause));
    }

    fn trace(&self, kind: &'static str, words: &[u64], bytes: &[u8]) {
        let executor = &self.net.0.executor;
        let endpoint = u64::try_from(self.endpoint.0).unwrap_or(u64::MAX);
        let mut all = vec![endpoint, hash_words(&[], bytes)];
        all.extend_from_slice(words);
        let event = TraceEvent::Call { kind, words: &all, bytes };
        executor.trace().push(executor.now(), &event);
    }

    fn tell(&mut self, end: ExchangeEnd) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.end = end;
            self.net.see(&Observation::Exchanged(&exchange));
        }
    }

    fn fail(&mut self, error: NetError) -> NetError {
        self.trace("failed", &[], error.to_string().as_bytes());
        self.tell(ExchangeEnd::Failed(error.clone()));
        error
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.tell(ExchangeEnd::GivenUp);
    }
}

impl State {
    fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.next_u32() % 1_000 < per_mille
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.rng.next_u64() % (to - from + 1))
    }
}
