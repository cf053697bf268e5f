//! One exchange: a place in the window, an endpoint, the rate, the request, its answer.
//!
//! An exchange runs as a task of its own. Whoever waits for it may not be polled for long, and
//! must not keep a place from others meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use futures::{channel::oneshot, future::Either};
use lockstep_io::{HttpRequest, HttpResponse, Mono, NetError};
use lockstep_types::ChainId;
use lockstep_wire::quantity;
use serde_json::Value;
use tracing::{debug, trace};

use super::{
    RpcClient,
    endpoints::Picked,
    message::{Answer, Call, Decoded, Flaw, Meaning, decode, encode},
    pace::first_of,
    retry_after::retry_after,
};

/// Why a try failed. The order says which of several counts in the end: an upstream lies only if
/// it lied every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blame {
    /// No answer.
    Unavailable,
    /// An answer that cannot be read.
    Malformed,
    /// An answer that cannot be true.
    Lie,
}

/// What to do with calls whose exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// Ask them again together.
    Together,
    /// Ask them again in two halves.
    Halves,
    /// Ask for less at once; that it was too much does not count as a try.
    Fewer(usize),
}

/// A failed try.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) blame: Blame,
    pub(super) detail: String,
    pub(super) cure: Cure,
}

impl Failure {
    fn unavailable(detail: impl ToString) -> Self {
        Self { blame: Blame::Unavailable, detail: detail.to_string(), cure: Cure::Together }
    }

    fn with(self, cure: Cure) -> Self {
        Self { cure, ..self }
    }
}

/// How an exchange went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Each call has an answer; whether they are good is for the reader to say.
    Answered {
        picked: Picked,
        /// When it was sent.
        since: Mono,
        answers: Vec<Answer>,
    },
    /// No call has.
    Failed {
        /// `None` if nothing was sent.
        picked: Option<Picked>,
        failure: Failure,
    },
    /// There is nobody to ask.
    NoEndpoint,
    /// The process is going down.
    Stopped,
}

impl RpcClient {
    /// Sends the calls at `members` and waits for the answer.
    pub(super) async fn exchange(
        &self,
        calls: Arc<[Call]>,
        members: Vec<usize>,
        avoid: Option<usize>,
    ) -> Outcome {
        let (mut tell, told) = oneshot::channel();
        let client = self.clone();
        let task = async move {
            let exchanged = client.exchange_here(&calls, &members, avoid);
            let outcome = match first_of(tell.cancellation(), exchanged).await {
                // Nobody waits any more.
                Either::Left(()) => return,
                Either::Right(outcome) => outcome,
            };
            // Here, too, nobody may be left to know.
            drop(tell.send(outcome));
        };
        drop(self.0.tasks.spawn("upstream", Box::pin(task)));
        told.await.unwrap_or(Outcome::Stopped)
    }

    async fn exchange_here(
        &self,
        calls: &[Call],
        members: &[usize],
        avoid: Option<usize>,
    ) -> Outcome {
        let place = self.0.window.place().await;
        let place = lockstep_io::planted!("X61", Some(place), {
            drop(place);
            None
        });
        let picked = self.0.endpoints.pick(avoid, members.len()).await;
        if members.len() > picked.batch_entries_max {
            let cure = Cure::Fewer(picked.batch_entries_max);
            let failure = Failure::unavailable("too many calls at once").with(cure);
            return Outcome::Failed { picked: None, failure };
        }
        if let Err(failure) = self.check_chain(picked).await {
            self.0.endpoints.failed(picked, &failure.detail);
            return Outcome::Failed { picked: Some(picked), failure };
        }
        let calls: Vec<_> = members.iter().map(|index| &calls[*index]).collect();
        let since = self.wait_for_rate(calls.len()).await;
        let sent = self.send(picked, &calls, since).await;
        drop(place);
        match sent {
            Ok(answers) => Outcome::Answered { picked, since, answers },
            Err(failure) => {
                let method = calls.first().map_or("", |call| call.method);
                self.note(picked, method, &failure);
                Outcome::Failed { picked: Some(picked), failure }
            }
        }
    }

    /// Counts `failure` against the endpoint, unless it only took too much at once.
    fn note(&self, picked: Picked, method: &str, failure: &Failure) {
        let Failure { detail, .. } = failure;
        let (upstream, endpoint) = (self.0.label, picked.index);
        lockstep_io::planted!(
            "X47",
            (),
            drop(self.0.tasks.spawn("leak", Box::pin(std::future::pending())))
        );
        debug!(upstream, endpoint, method, detail, "exchange failed");
        match failure.cure {
            Cure::Together | Cure::Halves => self.0.endpoints.failed(picked, detail),
            Cure::Fewer(entries) => self.0.endpoints.succeeded(picked, entries),
        }
    }

    async fn wait_for_rate(&self, count: usize) -> Mono {
        let go_at = self.0.rate.reserve(count, self.0.clock.mono());
        self.0.clock.sleep_until(go_at).await;
        self.0.clock.mono()
    }

    /// Has the endpoint say that it is of the configured chain, unless it has said so before.
    async fn check_chain(&self, picked: Picked) -> Result<(), Failure> {
        let Some(ours) = self.0.config.chain_id.filter(|_| !picked.is_chain_known) else {
            return Ok(());
        };
        let call = Call { method: "eth_chainId", params: Value::Array(Vec::new()) };
        let since = self.wait_for_rate(1).await;
        let mut answers = self.send(picked, &[&call], since).await?;
        let answer = match answers.pop() {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => return Err(Failure::unavailable(error.brief())),
            None => return Err(Failure::unavailable("no answer")),
        };
        let theirs = serde_json::from_str(answer.get()).map(|quantity::lenient::Lenient(id)| id);
        match theirs.map(ChainId) {
            Ok(theirs) if theirs == ours => {
                self.0.endpoints.chain_is_right(picked);
                Ok(())
            }
            Ok(theirs) => Err(Failure {
                blame: Blame::Lie,
                detail: format!(
                    "endpoint {} is of chain {theirs}, not of chain {ours}: correct its URL or \
                     --l2-chain-id",
                    picked.index
                ),
                cure: Cure::Together,
            }),
            Err(error) => Err(Failure {
                blame: Blame::Malformed,
                detail: format!("eth_chainId: {error}"),
                cure: Cure::Together,
            }),
        }
    }

    /// Sends `calls` and reads the answer, in the time and the size that are allowed.
    async fn send(
        &self,
        picked: Picked,
        calls: &[&Call],
        since: Mono,
    ) -> Result<Vec<Answer>, Failure> {
        let first_id = self.next_ids(calls.len());
        let (upstream, endpoint) = (self.0.label, picked.index);
        let (entries, method) = (calls.len(), calls.first().map_or("", |call| call.method));
        trace!(upstream, endpoint, method, entries, "asking");
        let bytes_max = self.0.config.response_bytes_max;
        let request = HttpRequest {
            body: Some(encode(calls.iter().copied(), first_id)),
            path: String::new(),
            timeout: self.0.config.request_timeout,
            response_bytes_max: lockstep_io::planted!("X46", bytes_max, usize::MAX / 2),
        };
        let deadline = since.plus(self.0.config.request_timeout);
        let too_late = self.0.clock.sleep_until(deadline);
        let got = match first_of(self.post(picked, request), too_late).await {
            Either::Left(got) => got,
            Either::Right(()) => Err(NetError::TimedOut),
        };
        let took = self.0.clock.mono().since(since);
        trace!(upstream, endpoint, method, entries, ?took, is_ok = got.is_ok(), "answered");
        let (status, body) =
            got.map_err(|error| self.net_failure(picked, entries, since, error))?;
        if !(200..300).contains(&status) && status != 400 {
            return Err(self.status_failure(picked, entries, since, status));
        }
        match decode(&body, first_id, entries) {
            Ok(Decoded::Answers(answers)) => {
                self.0.window.succeeded();
                Ok(answers)
            }
            Ok(Decoded::Refused(error)) => {
                let failure = Failure::unavailable(error.brief());
                Err(failure.with(self.cure_refusal(picked, entries, since, error.meaning())))
            }
            Err(_) if status == 400 => Err(Failure::unavailable("status 400").with(Cure::Halves)),
            Err(flaw) => {
                if flaw == Flaw::NotABatch {
                    self.0.endpoints.answered_as_single(picked);
                }
                let detail = format!("{method}: {flaw}");
                Err(Failure { blame: Blame::Malformed, detail, cure: Cure::Halves })
            }
        }
    }

    /// Status and body; no body where the status says enough.
    async fn post(&self, picked: Picked, request: HttpRequest) -> Result<(u16, Bytes), NetError> {
        let bytes_max = request.response_bytes_max;
        let response = self.0.http.send(picked.id, request).await?;
        let status = response.status;
        if !(200..300).contains(&status) && status != 400 {
            if let Some(pause) = retry_after(&response, self.0.clock.wall()) {
                self.0.endpoints.told_to_wait(picked, pause);
            }
            return Ok((status, Bytes::new()));
        }
        Ok((status, collect(response, bytes_max).await?))
    }

    fn net_failure(&self, picked: Picked, entries: usize, since: Mono, error: NetError) -> Failure {
        match &error {
            NetError::TimedOut => {
                self.0.window.overloaded(since, self.0.clock.mono());
                Failure::unavailable(error).with(Cure::Halves)
            }
            NetError::TooLarge(_) => {
                Failure::unavailable(error).with(self.cure_size(picked, entries))
            }
            NetError::Connect(_)
            | NetError::Dns(_)
            | NetError::Tls(_)
            | NetError::Reset(_)
            | NetError::NoEndpoint(_) => Failure::unavailable(error),
        }
    }

    fn status_failure(&self, picked: Picked, entries: usize, since: Mono, status: u16) -> Failure {
        if matches!(status, 408 | 429 | 503 | 504) {
            self.0.window.overloaded(since, self.0.clock.mono());
        }
        let failure = Failure::unavailable(format!("status {status}"));
        match status {
            413 => failure.with(self.cure_size(picked, entries)),
            408 | 504 => failure.with(Cure::Halves),
            _ => failure,
        }
    }

    /// What to do when everything was refused with one error.
    fn cure_refusal(&self, picked: Picked, entries: usize, since: Mono, meaning: Meaning) -> Cure {
        match meaning {
            Meaning::TooBig => self.cure_size(picked, entries),
            Meaning::Overload => {
                self.0.window.overloaded(since, self.0.clock.mono());
                Cure::Together
            }
            Meaning::Passing => Cure::Halves,
            // A good call was refused without being named.
            Meaning::Final if entries == 1 => Cure::Together,
            Meaning::Final => {
                self.0.endpoints.batch_was_refused(picked);
                Cure::Fewer(1)
            }
        }
    }

    /// What to do when it was too much at once.
    fn cure_size(&self, picked: Picked, entries: usize) -> Cure {
        if entries == 1 {
            return Cure::Together;
        }
        self.0.endpoints.batch_was_too_big(picked, entries);
        Cure::Fewer(entries.div_ceil(2))
    }
}

/// The whole body, if it is not longer than `bytes_max`.
async fn collect(mut response: HttpResponse, bytes_max: usize) -> Result<Bytes, NetError> {
    let mut whole = Vec::new();
    while let Some(chunk) = response.body.next().await {
        let chunk = chunk?;
        if chunk.len() > bytes_max - whole.len() {
            return Err(NetError::TooLarge(bytes_max));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}
