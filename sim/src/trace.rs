//! What happened, as a hash and, if asked for, as text.
//!
//! Two runs of one scenario must have the same trace. Every choice, every call of a seam and every
//! answer goes into the hash; the text is for people and for finding where two runs part.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A checkpoint is kept every so many events.
const CHECKPOINT_EVENTS: u64 = 256;

/// Something that goes into the trace.
#[derive(Clone, Copy, Debug)]
pub enum TraceEvent<'a> {
    /// A task had its turn.
    Poll {
        /// Its name.
        name: &'static str,
        /// Its life.
        life: u32,
        /// From 1.
        nth: u64,
    },
    /// A seam was called or answered.
    Call {
        /// What.
        kind: &'static str,
        /// Numbers.
        words: &'a [u64],
        /// Content.
        bytes: &'a [u8],
    },
    /// Something that people want to read.
    Note(&'a str),
}

/// A trace that is being written. Clones write to the same.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hash: u64,
    count: u64,
    checkpoints: Vec<(u64, u64)>,
    lines: Option<Recording>,
}

/// Which events are kept as text.
struct Recording {
    polls: bool,
    lines: Vec<String>,
}

/// What is left of a trace when it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceSum {
    /// Of all events.
    pub hash: u64,
    /// How many events.
    pub count: u64,
    /// `(number of events, hash)` now and then.
    pub checkpoints: Vec<(u64, u64)>,
}

impl Trace {
    /// A trace that keeps notes and calls as text, and polls too if `polls`.
    pub fn recording(polls: bool) -> Self {
        let lines = Some(Recording { polls, lines: Vec::new() });
        Self(Arc::new(Mutex::new(State { lines, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event that happened at `now`.
    pub fn push(&self, now: Duration, event: &TraceEvent<'_>) {
        let mut state = self.state();
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let before = state.hash;
        state.hash = match event {
            TraceEvent::Poll { name, life, nth } => {
                hash_words(&[before, nanos, u64::from(*life), *nth], name.as_bytes())
            }
            TraceEvent::Call { kind, words, bytes } => {
                let kind = hash_words(&[before, nanos], kind.as_bytes());
                hash_words(words, bytes).rotate_left(1) ^ mix(kind, 0x9e37_79b9_7f4a_7c15)
            }
            TraceEvent::Note(text) => hash_words(&[before, nanos], text.as_bytes()),
        };
        state.count += 1;
        if state.count.is_multiple_of(CHECKPOINT_EVENTS) {
            let checkpoint = (state.count, state.hash);
            state.checkpoints.push(checkpoint);
        }
        state.record(now, event);
    }

    /// A note.
    pub fn note(&self, now: Duration, text: &str) {
        self.push(now, &TraceEvent::Note(text));
    }

    /// Adds a line to the text and nothing to the hash: what is said only when somebody listens.
    pub fn say(&self, now: Duration, text: &str) {
        if let Some(recording) = &mut self.state().lines {
            recording.lines.push(format!("{:>12.6} {text}", now.as_secs_f64()));
        }
    }

    /// Whether text is kept.
    pub fn is_recording(&self) -> bool {
        self.state().lines.is_some()
    }

    /// The sum so far.
    pub fn sum(&self) -> TraceSum {
        let state = self.state();
        let checkpoints = state.checkpoints.clone();
        TraceSum { hash: state.hash, count: state.count, checkpoints }
    }

    /// The text so far, taken out.
    pub fn take_lines(&self) -> Vec<String> {
        let mut state = self.state();
        state
            .lines
            .as_mut()
            .map(|recording| std::mem::take(&mut recording.lines))
            .unwrap_or_default()
    }
}

impl State {
    fn record(&mut self, now: Duration, event: &TraceEvent<'_>) {
        let Some(recording) = &mut self.lines else { return };
        let mut line = format!("{:>12.6} ", now.as_secs_f64());
        let written = match event {
            TraceEvent::Poll { .. } if !recording.polls => return,
            TraceEvent::Poll { name, life, nth } => write!(line, "poll {name} {life} {nth}"),
            TraceEvent::Call { kind, words, bytes } => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]);
                write!(line, "{kind} {words:?} {}", text.escape_debug())
            }
            TraceEvent::Note(text) => write!(line, "{text}"),
        };
        if written.is_ok() {
            recording.lines.push(line);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Trace").field("hash", &state.hash).field("count", &state.count).finish()
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
    let bytes = wide.to_le_bytes();
    let (low, high) = bytes.split_at(8);
    word(low) ^ word(high)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// A hash of numbers and bytes: the same on every machine and in every build.
pub fn hash_words(words: &[u64], bytes: &[u8]) -> u64 {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let start = words.iter().fold(length, |hash, word| mix(hash, *word));
    bytes.chunks(8).fold(start, |hash, chunk| mix(hash, word(chunk)))
}

/// Says where two recordings part, with some lines before.
pub fn first_difference(one: &[String], other: &[String]) -> Option<String> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    if same == one.len() && same == other.len() {
        return None;
    }
    let mut told = String::new();
    for line in &one[same.saturating_sub(50)..same] {
        told.push_str(&format!("  {line}\n"));
    }
    let end = "(nothing more)".to_owned();
    told.push_str(&format!("- {}\n", one.get(same).unwrap_or(&end)));
    told.push_str(&format!("+ {}\n", other.get(same).unwrap_or(&end)));
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(events: &[(u64, &'static str, &[u8])]) -> TraceSum {
        let trace = Trace::default();
        for (at, kind, bytes) in events {
            let event = TraceEvent::Call { kind, words: &[], bytes };
            trace.push(Duration::from_nanos(*at), &event);
        }
        trace.sum()
    }

    #[test]
    fn content_time_kind_and_order_change_the_hash() {
        let base = sum(&[(1, "read", b"a"), (2, "write", b"b")]);
        assert_eq!(base, sum(&[(1, "read", b"a"), (2, "write", b"b")]));
        for other in [
            sum(&[(1, "read", b"a"), (2, "write", b"c")]),
            sum(&[(1, "read", b"a"), (3, "write", b"b")]),
            sum(&[(1, "read", b"a"), (2, "sync", b"b")]),
            sum(&[(2, "write", b"b"), (1, "read", b"a")]),
            sum(&[(1, "read", b"a")]),
        ] {
            assert_ne!(base.hash, other.hash);
        }
    }

    #[test]
    fn checkpoints_come_regularly() {
        let trace = Trace::default();
        for n in 0..1_000 {
            trace.note(Duration::from_nanos(n), "x");
        }
        let counts: Vec<_> = trace.sum().checkpoints.iter().map(|(count, _)| *count).collect();
        assert_eq!(counts, [256, 512, 768]);
    }

    #[test]
    fn the_first_difference_of_two_recordings_is_shown() {
        let lines = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let told = first_difference(&lines(&["a", "b", "c"]), &lines(&["a", "x"])).unwrap();
        assert_eq!(told, "  a\n- b\n+ x\n");
        assert_eq!(first_difference(&lines(&["a"]), &lines(&["a"])), None);
    }
}
