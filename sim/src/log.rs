//! The node's log: errors are for the judge, and everything is for the trace if it is recorded.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::exec::Executor;

thread_local! {
    /// The run on this thread.
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

struct Run {
    executor: Executor,
    level: Level,
    errors: Vec<String>,
}

/// Log lines of this thread belong to a run on `executor` from now on.
pub(crate) fn start(executor: &Executor) {
    let level = if executor.trace().is_recording() { Level::DEBUG } else { Level::ERROR };
    RUN.set(Some(Run { executor: executor.clone(), level, errors: Vec::new() }));
    // An error says that there is a subscriber already: that one is ours.
    tracing::subscriber::set_global_default(Lines::default()).unwrap_or(());
}

/// The run is over.
pub(crate) fn end() {
    RUN.set(None);
}

/// Lines of level `ERROR` since the last call.
pub(crate) fn take_errors() -> Vec<String> {
    let take = |run: &mut Option<Run>| run.as_mut().map(|run| std::mem::take(&mut run.errors));
    RUN.with_borrow_mut(take).unwrap_or_default()
}

/// Makes lines of events. Spans are not used by the node.
#[derive(Default)]
struct Lines {
    spans: AtomicU64,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_wanted =
            |run: &Option<Run>| run.as_ref().is_some_and(|run| metadata.level() <= &run.level);
        metadata.target().starts_with("lockstep") && RUN.with_borrow(is_wanted)
    }

    fn register_callsite(
        &self,
        _metadata: &'static Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        // Which level is wanted differs between runs.
        tracing::subscriber::Interest::sometimes()
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(self.spans.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let metadata = event.metadata();
        let line = format!("{} {}:{}", metadata.level(), metadata.target(), line.0);
        let executor = RUN.with_borrow_mut(|run| {
            let run = run.as_mut()?;
            if metadata.level() == &Level::ERROR {
                run.errors.push(line.clone());
            }
            run.executor.trace().is_recording().then(|| run.executor.clone())
        });
        if let Some(executor) = executor {
            executor.trace().say(executor.now(), &line);
        }
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// A line in the making.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        // Writing to a string does not fail.
        written.unwrap_or(());
    }
}
