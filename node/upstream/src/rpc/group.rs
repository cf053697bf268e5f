//! What becomes of calls that were asked together: answers, errors, or another try.

use std::time::Duration;

use tracing::debug;

use super::{
    BadAnswer, Blame, Reader, RpcClient,
    endpoints::Picked,
    exchange::{Cure, Failure, Outcome},
    message::{Answer, Meaning, RpcError},
    pace::doubled,
};
use crate::UpstreamError;

/// Calls that are asked together, by their positions.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) members: Vec<usize>,
    /// How often they have been tried.
    attempts: u32,
    /// What they failed of so far.
    blame: Option<Blame>,
    /// The endpoint that failed last.
    pub(super) avoid: Option<usize>,
    /// Pause before they are asked.
    pub(super) pause: Duration,
}

impl Group {
    pub(super) fn new(members: Vec<usize>) -> Self {
        Self { members, attempts: 0, blame: None, avoid: None, pause: Duration::ZERO }
    }

    /// The same calls in groups of `size` at most.
    pub(super) fn chunks(&self, size: usize) -> Vec<Self> {
        let chunk = |members: &[usize]| Self { members: members.to_vec(), ..self.clone() };
        self.members.chunks(size.max(1)).map(chunk).collect()
    }
}

/// What is known of a set of calls that is being asked.
pub(super) struct Asked<T> {
    readers: Vec<Reader<T>>,
    answers: Vec<Option<Result<T, UpstreamError>>>,
}

impl<T> Asked<T> {
    pub(super) fn new(readers: Vec<Reader<T>>) -> Self {
        let answers = readers.iter().map(|_| None).collect();
        Self { readers, answers }
    }

    /// # Panics
    ///
    /// If a call is still open.
    pub(super) fn answers(self) -> Vec<Result<T, UpstreamError>> {
        let answers = self.answers.into_iter();
        answers.map(|answer| answer.expect("every call ends in an answer or an error")).collect()
    }

    fn settle(&mut self, member: usize, answer: Result<T, UpstreamError>) {
        self.answers[member] = Some(answer);
    }

    fn settle_all(&mut self, members: &[usize], error: &UpstreamError) {
        for member in members {
            self.settle(*member, Err(error.clone()));
        }
    }
}

/// The answers of one exchange, by what they are good for.
struct Sorted<T> {
    /// Answers and final refusals.
    done: Vec<(usize, Result<T, UpstreamError>)>,
    /// Calls that were refused for now.
    refused: Vec<(usize, RpcError)>,
    /// Calls whose answer must not be used.
    bad: Vec<(usize, BadAnswer)>,
}

impl<T> Sorted<T> {
    fn new(members: &[usize], answers: Vec<Answer>, readers: &[Reader<T>]) -> Self {
        let mut sorted = Self { done: Vec::new(), refused: Vec::new(), bad: Vec::new() };
        let is_alone = members.len() == 1;
        for (member, answer) in members.iter().copied().zip(answers) {
            match answer {
                Ok(result) => match readers[member](&result) {
                    Ok(value) => sorted.done.push((member, Ok(value))),
                    Err(bad) => sorted.bad.push((member, bad)),
                },
                Err(error) => match error.meaning() {
                    Meaning::TooBig if !is_alone => sorted.refused.push((member, error)),
                    Meaning::Overload | Meaning::Passing => sorted.refused.push((member, error)),
                    Meaning::TooBig | Meaning::Final => {
                        let RpcError { code, message, data } = error;
                        let error = UpstreamError::Rejected { code, message, data };
                        sorted.done.push((member, Err(error)));
                    }
                },
            }
        }
        sorted
    }
}

impl RpcClient {
    /// Takes over what `outcome` says, and gives what is to be asked next.
    pub(super) fn settle<T>(
        &self,
        group: Group,
        outcome: Outcome,
        asked: &mut Asked<T>,
    ) -> Vec<Group> {
        let nobody = |detail: &str| UpstreamError::Unavailable { detail: detail.to_owned() };
        match outcome {
            Outcome::Answered { picked, since, answers } => {
                let sorted = Sorted::new(&group.members, answers, &asked.readers);
                let is_overload =
                    sorted.refused.iter().any(|(_, error)| error.meaning() == Meaning::Overload);
                if is_overload {
                    self.0.window.overloaded(since, self.0.clock.mono());
                }
                self.settle_sorted(group, picked, sorted, asked)
            }
            Outcome::Failed { picked, failure } => self.retry(group, picked, failure, asked),
            Outcome::NoEndpoint => {
                asked.settle_all(&group.members, &nobody("no endpoint is configured"));
                Vec::new()
            }
            Outcome::Stopped => {
                asked.settle_all(&group.members, &nobody("the process is going down"));
                Vec::new()
            }
        }
    }

    fn settle_sorted<T>(
        &self,
        group: Group,
        picked: Picked,
        sorted: Sorted<T>,
        asked: &mut Asked<T>,
    ) -> Vec<Group> {
        let Sorted { done, refused, bad } = sorted;
        if let Some((_, first)) = bad.first() {
            let (upstream, endpoint, detail) = (self.0.label, picked.index, &first.detail);
            debug!(upstream, endpoint, detail, "bad answer");
            self.0.endpoints.failed(picked, detail);
            // Nothing of such an answer is used. The calls that were not to blame are asked again
            // as if nothing had happened.
            let innocent = done.into_iter().map(|(member, _)| member);
            let innocent = innocent.chain(refused.into_iter().map(|(member, _)| member));
            let mut next: Vec<_> = innocent
                .map(|member| Group { members: vec![member], ..group.clone() })
                .map(|again| Group { avoid: Some(picked.index), ..again })
                .collect();
            for (member, BadAnswer { blame, detail }) in bad {
                let alone = Group { members: vec![member], ..group.clone() };
                let failure = Failure { blame, detail, cure: Cure::Together };
                next.extend(self.retry(alone, Some(picked), failure, asked));
            }
            return next;
        }
        let is_all_refused = done.is_empty();
        for (member, answer) in done {
            asked.settle(member, answer);
        }
        let Some((_, first)) = refused.first() else {
            self.0.endpoints.succeeded(picked, group.members.len());
            return Vec::new();
        };
        let failure = |error: &RpcError, cure| Failure {
            blame: Blame::Unavailable,
            detail: error.brief(),
            cure,
        };
        if is_all_refused {
            self.0.endpoints.failed(picked, &first.brief());
            return self.retry(group, Some(picked), failure(first, Cure::Halves), asked);
        }
        self.0.endpoints.succeeded(picked, group.members.len());
        let mut next = Vec::new();
        for (member, error) in refused {
            let alone = Group { members: vec![member], ..group.clone() };
            next.extend(match error.meaning() {
                Meaning::TooBig => vec![alone],
                Meaning::Overload | Meaning::Passing | Meaning::Final => {
                    self.retry(alone, Some(picked), failure(&error, Cure::Together), asked)
                }
            });
        }
        next
    }

    /// What to ask after `failure`; nothing if it was the last try.
    fn retry<T>(
        &self,
        mut group: Group,
        picked: Option<Picked>,
        failure: Failure,
        asked: &mut Asked<T>,
    ) -> Vec<Group> {
        let Failure { blame, detail, cure } = failure;
        let size = match cure {
            Cure::Fewer(size) => return group.chunks(size),
            Cure::Together => group.members.len(),
            Cure::Halves => group.members.len().div_ceil(2),
        };
        let config = &self.0.config;
        let longest = doubled(config.backoff_min, group.attempts, config.backoff_max);
        group.attempts += 1;
        group.avoid = picked.map(|picked| picked.index);
        let blame = group.blame.map_or(blame, |earlier| earlier.min(blame));
        group.blame = Some(blame);
        if group.attempts >= config.attempts_max.max(1) {
            asked.settle_all(&group.members, &blame.error(detail));
            return Vec::new();
        }
        group.pause =
            lockstep_io::planted!("X43", self.0.endpoints.chance().up_to(longest), Duration::ZERO);
        let parts = group.chunks(size);
        lockstep_io::planted!("X26", parts, parts.into_iter().take(1).collect())
    }
}

impl Blame {
    fn error(self, detail: String) -> UpstreamError {
        match self {
            Self::Unavailable => UpstreamError::Unavailable { detail },
            Self::Malformed => UpstreamError::Malformed { detail },
            Self::Lie => UpstreamError::Lie { detail },
        }
    }
}
