//! The disk fails while the process lives on: a full one is waited for, a failed write is followed
//! by opening the store again, and what is stored in the end is what it would have been.

use std::{sync::LazyLock, time::Duration};

use lockstep_io::StoreError;
use serde_json::json;

use crate::support::{
    chain::{BATCH_BLOCKS, Chain, Fork},
    world::{BATCHES, Running, Tables, World},
};

const LONG: Duration = Duration::from_secs(300);

fn full() -> StoreError {
    StoreError::Full("no space left".to_owned())
}

fn broken() -> StoreError {
    StoreError::Io("input/output error".to_owned())
}

/// Whether everything is here and executed on L1.
fn is_done(world: &World, running: &Running) -> bool {
    running.halted().is_none()
        && running.head() == world.upstream.chain.tip()
        && running.batch(BATCHES)["status"] == json!("verified")
}

#[track_caller]
fn settle(world: &World, running: &Running) {
    let done = running.within(LONG, |running| is_done(world, running));
    assert!(done, "head {}, status {:?}", running.head(), running.status.borrow());
    assert_eq!(running.halted(), None);
}

/// What is stored when nothing fails, and how many writes that takes.
static CLEAN: LazyLock<(Tables, usize)> = LazyLock::new(|| {
    let mut world = World::new();
    let running = world.start();
    let before = world.disk.writes();
    settle(&world, &running);
    world.sleep(Duration::from_secs(30));
    let writes = world.disk.writes() - before;
    (world.dump(Some(running)), writes)
});

#[track_caller]
fn assert_clean(world: &mut World, running: Running, what: &str) {
    let found = world.dump(Some(running));
    for (table, rows) in &CLEAN.0 {
        assert!(found[table] == *rows, "{what}: {table} differs");
    }
}

#[test]
fn a_full_disk_halts_writes_until_there_is_space_and_needs_nobody_then() {
    let writes = CLEAN.1;
    assert!(writes > usize::try_from(BATCHES * BATCH_BLOCKS).unwrap());
    for nth in (0..writes).step_by(3) {
        for lands in [false, true] {
            let mut world = World::new();
            let replica = world.open().unwrap();
            world.disk.set_free_bytes(Some(1_000));
            world.disk.fail_at(nth, usize::MAX, full(), lands);
            let running = world.run(replica);
            let what = format!("write {nth}, {lands}");
            assert!(running.within(LONG, |running| running.halted().is_some()), "{what}");
            assert_eq!(running.halted().unwrap().0, "disk_full", "{what}");
            let (head, opened) = (running.head(), world.disk.opened());
            world.sleep(Duration::from_secs(3_600));
            assert_eq!(running.halted().unwrap().0, "disk_full", "{what}: nothing has changed");
            assert_eq!(running.head(), head, "{what}");
            assert!(!running.block(head).is_null(), "{what}: what is stored is served");
            assert_eq!(world.disk.opened(), opened, "{what}: there is no space to try with");
            world.disk.heal();
            world.disk.set_free_bytes(Some(1 << 40));
            settle(&world, &running);
            world.sleep(Duration::from_secs(30));
            assert_clean(&mut world, running, &what);
        }
    }
}

#[test]
fn a_disk_that_does_not_say_how_full_it_is_is_tried_seldom() {
    let world = World::new();
    let replica = world.open().unwrap();
    world.disk.fail_at(5, usize::MAX, full(), false);
    let running = world.run(replica);
    let before = world.disk.opened();
    world.sleep(Duration::from_secs(3_600));
    let tries = world.disk.opened() - before;
    assert!((10..=80).contains(&tries), "{tries} in an hour");
    assert_eq!(running.halted().unwrap().0, "disk_full");
    assert!(!running.block(running.head()).is_null());
    world.disk.heal();
    settle(&world, &running);
}

#[test]
fn after_a_failed_write_the_store_is_opened_again_and_nothing_is_lost() {
    for nth in 0..CLEAN.1 {
        for lands in [false, true] {
            let mut world = World::new();
            let replica = world.open().unwrap();
            let written = world.disk.writes();
            world.disk.fail_at(nth, 1, broken(), lands);
            let running = world.run(replica);
            let has_failed = |_: &Running| world.disk.writes() > nth + written;
            assert!(running.within(LONG, has_failed), "write {nth} never comes");
            settle(&world, &running);
            world.sleep(Duration::from_secs(30));
            assert_eq!(world.disk.opened(), 2, "write {nth}, {lands}");
            assert_clean(&mut world, running, &format!("write {nth}, {lands}"));
        }
    }
}

#[test]
fn a_disk_whose_writes_always_fail_is_given_up_and_what_is_stored_is_served() {
    let world = World::new();
    let replica = world.open().unwrap();
    world.disk.fail_at(9, usize::MAX, broken(), false);
    let running = world.run(replica);
    world.sleep(Duration::from_secs(2 * 3_600));
    assert_eq!(running.halted().unwrap().0, "store_failed");
    assert!(world.disk.opened() < 10, "{}", world.disk.opened());
    assert!(running.end().is_none(), "it waits for a stop");
    assert!(!running.block(running.head()).is_null());
    world.disk.heal();
    world.sleep(Duration::from_secs(600));
    assert_eq!(running.halted().unwrap().0, "store_failed", "the operator looks at the disk first");
}

#[test]
fn a_rollback_whose_writes_fail_is_finished_when_the_store_is_open_again() {
    let new = std::sync::Arc::new(Chain::forked(BATCHES + 1, Fork::after(1)));
    let not_final = |world: &World| {
        world.upstream.set(|knobs| knobs.l1_tags = (9_000, Some(8_000), None));
    };
    let is_there = |running: &Running| {
        running.halted().is_none()
            && running.head() == new.tip()
            && running.batch(BATCHES + 1)["executeTxFinality"] == json!("fastFinalized")
    };
    let mut clean = World::new();
    not_final(&clean);
    clean.upstream.switch_to(&new);
    let running = clean.start();
    assert!(running.within(LONG, is_there));
    clean.sleep(Duration::from_secs(30));
    let expected = clean.dump(Some(running));
    for nth in 0..12 {
        for (error, lands) in [(full(), false), (broken(), true), (broken(), false)] {
            let mut world = World::new();
            not_final(&world);
            world.config.rollback_changes_max = 0;
            let running = world.start();
            let tip = world.upstream.chain.tip();
            running.follow_to(tip);
            world.sleep(Duration::from_secs(30));
            let what = format!("write {nth} of the rollback: {error}, {lands}");
            world.disk.fail_at(nth, 1, error, lands);
            world.upstream.switch_to(&new);
            assert!(running.within(LONG, is_there), "{what}: {:?}", running.halted());
            world.sleep(Duration::from_secs(30));
            assert_eq!(running.halted(), None, "{what}");
            assert_eq!(world.disk.opened(), 2, "{what}");
            let found = world.dump(Some(running));
            for (table, rows) in &expected {
                assert!(found[table] == *rows, "{what}: {table} differs");
            }
        }
    }
}
