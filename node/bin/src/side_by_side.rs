//! Batches of a stopped data directory, worked on side by side: results in order, progress on
//! stderr.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    num::NonZero,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// Bytes of stack of each thread: executing contracts recurses deeply in places.
const STACK_BYTES: usize = 32 << 20;

/// As many as there are cores.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Calls `work` for each of `batches` on `jobs` threads, and `done` with each result, in order.
///
/// # Errors
///
/// The first error of `work` or `done`; no batch is begun after it.
pub(crate) fn side_by_side<T: Send>(
    what: &str,
    batches: &[u32],
    jobs: usize,
    work: impl Fn(u32) -> anyhow::Result<T> + Sync,
    mut done: impl FnMut(u32, T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let jobs = jobs.clamp(1, batches.len().max(1));
    thread::scope(|scope| {
        let (give, taken) = mpsc::sync_channel(jobs);
        let (work, next, over) = (&work, &next, &is_over);
        for _ in 0..jobs {
            let give = give.clone();
            let run = move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(batch) = batches.get(index).copied() else { return };
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    // An error says that nobody wants results any more.
                    if give.send((index, work(batch))).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run)?;
        }
        drop(give);
        let mut progress = Progress::new(what, batches.len());
        let mut early = BTreeMap::new();
        let mut wanted = 0;
        let result = taken.iter().try_for_each(|(index, result)| {
            early.insert(index, result);
            while let Some(result) = early.remove(&wanted) {
                done(batches[wanted], result?)?;
                wanted += 1;
            }
            progress.tell(wanted)?;
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        // Whoever waits to give a result is told that nobody takes it.
        drop(taken);
        result
    })
}

/// Tells how far it is, now and then.
struct Progress<'a> {
    what: &'a str,
    all: usize,
    started: Instant,
    told: Instant,
}

impl<'a> Progress<'a> {
    fn new(what: &'a str, all: usize) -> Self {
        let now = Instant::now();
        Self { what, all, started: now, told: now }
    }

    fn tell(&mut self, done: usize) -> io::Result<()> {
        if self.told.elapsed() < PROGRESS_INTERVAL && done < self.all {
            return Ok(());
        }
        self.told = Instant::now();
        let (what, all, seconds) = (self.what, self.all, self.started.elapsed().as_secs());
        writeln!(io::stderr().lock(), "{what}: {done} of {all} batches, {seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_ends_it() {
        let batches: Vec<u32> = (5..105).collect();
        let mut seen = Vec::new();
        let double = |batch: u32| Ok(batch * 2);
        side_by_side("test", &batches, 4, double, |batch, twice| {
            assert_eq!(twice, batch * 2);
            seen.push(batch);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, batches);

        let bad = |batch: u32| if batch == 50 { anyhow::bail!("batch 50") } else { Ok(()) };
        let mut last = 0;
        let note = |batch: u32, ()| {
            last = batch;
            Ok(())
        };
        let error = side_by_side("test", &batches, 4, bad, note).unwrap_err();
        assert_eq!((error.to_string().as_str(), last), ("batch 50", 49));
    }
}
