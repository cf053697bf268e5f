//! The simulated store keeps and loses what it says.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::channel::mpsc;
use lockstep_io::{KeyRange, View, WriteStore};
use lockstep_io_conformance::{clock, store, tasks};

use super::*;
use crate::{
    exec::{Limits, SimClock, SimTasks, TaskCosts, Wall},
    scenario::{Event, Schedule, Step, When},
    trace::Trace,
};

const TABLE: Table = Table { index: 0, name: "t", prefix_bytes: None };

fn executor() -> Executor {
    let limits = Limits { polls_max: 10_000_000 };
    Executor::new(1, Schedule::Random, limits, Trace::default())
}

fn disk_with(script: &[Step], executor: &Executor) -> Disk {
    let (fired, _) = mpsc::unbounded();
    Disk::new(1, executor.clone(), Court::new(None), Triggers::new(script, fired))
}

fn disk() -> Disk {
    disk_with(&[], &executor())
}

impl store::Disk for Disk {
    fn stores(&mut self) -> Arc<dyn Stores> {
        Arc::new(self.of_life(1))
    }
}

fn open(disk: &Disk, life: Life) -> OpenStore {
    let schema = Schema { tables: vec![TABLE] };
    disk.of_life(life).open(&StoreName("main".to_owned()), &schema).unwrap()
}

fn put(writer: &mut dyn WriteStore, key: u8, durability: Durability) -> Result<Seq, StoreError> {
    let mut set = WriteSet::new();
    set.put(TABLE, [key], [key]);
    writer.write(set, durability)
}

fn keys(view: &dyn View) -> Vec<u8> {
    view.scan(TABLE, KeyRange::all(), lockstep_io::Dir::Up).map(|row| row.unwrap().0[0]).collect()
}

#[test]
fn the_simulated_disk_keeps_the_promises_of_the_store() {
    store::check(&mut disk());
}

#[test]
fn the_simulated_disk_does_what_a_plain_map_does() {
    store::check_against_model(&mut disk(), 64);
}

#[test]
fn simulated_tasks_and_clock_keep_their_promises() {
    let executor = executor();
    let clock = SimClock::new(executor.clone(), Wall::default());
    executor.block_on(clock::check(&clock)).unwrap();
    let sim_tasks = SimTasks::new(executor.clone(), 1, TaskCosts::new(3, 7));
    executor.block_on(tasks::check(Arc::new(sim_tasks), Arc::new(clock))).unwrap();
}

#[test]
fn power_loss_takes_a_suffix_of_what_was_not_synced() {
    for (keep, expected) in [
        (Keep::Oldest, vec![1, 2]),
        (Keep::Middle, vec![1, 2, 3]),
        (Keep::Newest, vec![1, 2, 3, 4]),
    ] {
        let disk = disk();
        let (reader, mut writer) = open(&disk, 1);
        put(&mut *writer, 1, Durability::Buffered).unwrap();
        put(&mut *writer, 2, Durability::Synced).unwrap();
        put(&mut *writer, 3, Durability::Buffered).unwrap();
        put(&mut *writer, 4, Durability::Buffered).unwrap();
        drop((reader, writer));
        disk.lose_power(keep).unwrap();
        let (reader, mut writer) = open(&disk, 2);
        assert_eq!(keys(&*reader.view()), expected, "{keep:?}");
        // What is written now comes after what is left, also in the next loss.
        put(&mut *writer, 9, Durability::Buffered).unwrap();
        writer.sync().unwrap();
        drop((reader, writer));
        disk.lose_power(Keep::Oldest).unwrap();
        let expected: Vec<u8> = expected.into_iter().chain([9]).collect();
        assert_eq!(keys(&*open(&disk, 3).0.view()), expected, "{keep:?}");
    }
}

#[test]
fn a_process_dies_before_or_after_its_call() {
    for (after, expected) in [(false, vec![1]), (true, vec![1, 2])] {
        // Opening is the first call.
        let when = When::StoreCall { nth: 3, after };
        let step = Step { when, event: Event::Kill { down_ms: 0 } };
        let executor = executor();
        let disk = disk_with(&[step], &executor);
        let (reader, mut writer) = open(&disk, 1);
        put(&mut *writer, 1, Durability::Buffered).unwrap();
        let death = std::panic::catch_unwind(AssertUnwindSafe(|| {
            put(&mut *writer, 2, Durability::Buffered)
        }));
        assert!(death.is_err() && executor.is_dead(1));
        assert_eq!(put(&mut *writer, 3, Durability::Synced), Err(StoreError::Fenced));
        assert_eq!(reader.view().get(TABLE, &[1]), Err(StoreError::Fenced));
        disk.release();
        assert_eq!(keys(&*open(&disk, 2).0.view()), expected);
        let deaths: u64 = disk.sites().values().map(|site| site.crashes).sum();
        assert_eq!(deaths, 1);
    }
}

#[test]
fn a_disk_that_fails_poisons_the_writer_until_it_is_opened_again() {
    for fault in [DiskFault::WriteError, DiskFault::Full { ms: None }] {
        let disk = disk();
        let (reader, mut writer) = open(&disk, 1);
        put(&mut *writer, 1, Durability::Synced).unwrap();
        disk.fail(fault);
        assert!(put(&mut *writer, 2, Durability::Synced).is_err());
        disk.heal();
        assert_eq!(put(&mut *writer, 3, Durability::Synced), Err(StoreError::Poisoned));
        drop((reader, writer));
        let (reader, mut writer) = open(&disk, 2);
        put(&mut *writer, 4, Durability::Synced).unwrap();
        let found = keys(&*reader.view());
        assert!(found == [1, 4] || found == [1, 2, 4], "{found:?}");
    }
}

#[test]
fn rot_is_told_and_never_read() {
    let disk = disk();
    let (reader, mut writer) = open(&disk, 1);
    for key in 0..=255 {
        put(&mut *writer, key, Durability::Buffered).unwrap();
    }
    disk.fail(DiskFault::Rot);
    let view = reader.view();
    let mut damaged = 0;
    for key in 0..=255 {
        match view.get(TABLE, &[key]) {
            Ok(value) => assert_eq!(value.as_deref(), Some([key].as_slice())),
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
                damaged += 1;
            }
        }
    }
    assert!((1..30).contains(&damaged), "{damaged}");
}
