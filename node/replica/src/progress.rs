//! The progress line: head and target, speed, and when the head will be there.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use lockstep_executor::Progress;
use lockstep_io::{Clock, Io, Mono};
use lockstep_pipeline::StageError;
use lockstep_store::Views;
use lockstep_types::{L1BatchNumber, L2BlockNumber};
use tokio::sync::watch;
use tracing::info;

use crate::ReplicaConfig;

/// Speeds are taken over this many intervals.
const INTERVALS: usize = 12;

/// Logs progress at a regular interval.
#[derive(Debug)]
pub(crate) struct ProgressLog {
    clock: Arc<dyn Clock>,
    tip: watch::Receiver<Option<L2BlockNumber>>,
    head: watch::Receiver<Progress>,
    agreed: watch::Receiver<L1BatchNumber>,
    views: Views,
    interval: Duration,
    samples: VecDeque<(Mono, Progress)>,
}

impl ProgressLog {
    pub(crate) fn new(
        io: &Io,
        tip: watch::Receiver<Option<L2BlockNumber>>,
        head: watch::Receiver<Progress>,
        agreed: watch::Receiver<L1BatchNumber>,
        views: Views,
        config: &ReplicaConfig,
    ) -> Self {
        let clock = io.clock.clone();
        let samples = VecDeque::from([(clock.mono(), *head.borrow())]);
        let interval = config.progress_interval;
        Self { clock, tip, head, agreed, views, interval, samples }
    }

    /// Logs until dropped.
    pub(crate) async fn run(mut self) -> StageError {
        loop {
            self.clock.sleep(self.interval).await;
            self.line();
        }
    }

    fn line(&mut self) {
        let (now, progress) = (self.clock.mono(), *self.head.borrow());
        self.samples.push_back((now, progress));
        if self.samples.len() > INTERVALS {
            self.samples.pop_front();
        }
        let (then, before) = self.samples[0];
        let millis = now.since(then).as_millis().max(1);
        let blocks = u128::from(progress.head.0 - before.head.0);
        let txs = u128::from(progress.txs_run - before.txs_run);
        let tip = *self.tip.borrow();
        let lag = tip.map(|tip| tip.0.saturating_sub(progress.head.0));
        let eta = match lag {
            None => "unknown: the main node has not answered yet".to_owned(),
            Some(0) => "in step".to_owned(),
            Some(_) if blocks == 0 => "unknown".to_owned(),
            Some(lag) => duration(u128::from(lag) * millis / blocks / 1_000),
        };
        let disk_bytes: u64 = self.views.table_bytes().iter().map(|(_, bytes)| bytes).sum();
        info!(
            head = progress.head.0,
            target = tip.map_or(progress.head.0, |tip| tip.0),
            l1_batch = progress.sealed_batch.0,
            agreed_batch = self.agreed.borrow().0,
            blocks_per_s = per_second(blocks, millis),
            txs_per_s = per_second(txs, millis),
            eta,
            disk_mib = disk_bytes >> 20,
            "progress"
        );
    }
}

/// A rate with one decimal place.
fn per_second(count: u128, millis: u128) -> String {
    let tenths = count * 10_000 / millis;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn duration(seconds: u128) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        (_, _, _) => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_durations_read_well() {
        assert_eq!(per_second(15, 10_000), "1.5");
        assert_eq!(per_second(0, 1), "0.0");
        assert_eq!(duration(59), "59s");
        assert_eq!(duration(61), "1m01s");
        assert_eq!(duration(3_600 * 5 + 60), "5h01m");
        assert_eq!(duration(86_400 * 3 + 3_600 * 2), "3d02h");
    }
}
