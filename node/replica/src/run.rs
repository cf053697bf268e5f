//! Running: the wiring, and what happens when something ends it.

use lockstep_io::{Stop, TaskEnd, node_select};
use lockstep_pipeline::{Ending, Pipeline, StageError};
use tracing::{error, info};

use crate::{open::Replica, progress::ProgressLog};

/// Whether blocks are being followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Blocks are followed, or waited for.
    Running,
    /// Nothing new is stored; what is there is served.
    Halted {
        /// A word for the reason, stable.
        code: &'static str,
        /// The reason.
        reason: String,
    },
    /// A stop was asked for.
    Stopping,
}

impl Replica {
    /// Runs until `stop` is asked for. If writes are halted before that, keeps waiting, so that
    /// the API goes on serving what was verified.
    ///
    /// Gives back why writes were halted, if they were.
    ///
    /// # Errors
    ///
    /// The [`StageError`] that halted writes.
    pub async fn run(self, stop: Stop) -> Result<(), StageError> {
        let Self { config, io, views, fetcher, executor, tree, agreement, l1_steps, status } = self;
        let ending = Ending::new();
        let (log_tip, log_head) = (fetcher.tip(), executor.progress());
        let log = ProgressLog::new(&io, log_tip, log_head, agreement.agreed(), views, &config);

        let pipeline =
            Pipeline::source(&io, config.retry, ending.clone(), fetcher, config.blocks_ahead_max)
                .then(executor, config.sealed_batches_max)
                .then(tree, config.sealed_batches_max);

        let watch_over = |name, watcher: lockstep_io::BoxFuture<'static, StageError>| {
            let (over, panicked, ending) = (ending.clone(), ending.clone(), ending.clone());
            let task = async move {
                node_select! {
                    _reason = over.over() => {},
                    error = watcher => ending.end(error),
                }
            };
            let handle = io.tasks.spawn(name, Box::pin(task));
            let supervisor = async move {
                if let TaskEnd::Panicked(message) = handle.await {
                    panicked.end(StageError::Panicked { stage: name, message });
                }
            };
            io.tasks.spawn("supervisor", Box::pin(supervisor))
        };
        let mut watchers = vec![
            watch_over("agreement", Box::pin(agreement.run())),
            watch_over("progress", Box::pin(log.run())),
        ];
        if let Some(l1_steps) = l1_steps {
            watchers.push(watch_over("l1 steps", Box::pin(l1_steps.run())));
        }

        let on_stop = ending.clone();
        let stopped = status.clone();
        let stopper = io.tasks.spawn(
            "stop",
            Box::pin(async move {
                stop.await;
                info!("stopping");
                stopped.send_replace(Status::Stopping);
                on_stop.end(StageError::Stopped);
            }),
        );

        let reason = pipeline.run(|_rooted| {}).await;
        for watcher in watchers {
            watcher.await;
        }
        if reason == StageError::Stopped {
            return Ok(());
        }
        error!(
            code = reason.code(),
            reason = %reason,
            "writes are halted; what is stored goes on being served"
        );
        status.send_if_modified(|status| {
            let was_running = *status == Status::Running;
            if was_running {
                *status = Status::Halted { code: reason.code(), reason: reason.to_string() };
            }
            was_running
        });
        stopper.await;
        Err(reason)
    }
}
