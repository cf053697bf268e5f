//! The main node takes another chain: followed in the same process, from wherever this replica
//! stands, whatever happens on the way; and what is no reorg rolls nothing back.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use lockstep_checkers::CommitmentsConfig;
use lockstep_io::{Clock, store::Change};
use lockstep_replica::{RollBackError, RolledBack, roll_back_stored};
use lockstep_store::tables;
use lockstep_types::{L1BatchNumber, L2BlockNumber};
use serde_json::{Value, json};

use crate::support::{
    chain::{BATCH_BLOCKS, Chain, Fork},
    upstream::{FIRST_L1_BLOCK, MAIN_NODE, OTHER_MAIN_NODE},
    world::{BATCHES, Running, Tables, World},
};

const LONG: Duration = Duration::from_secs(300);

/// By the last batch in common, and the number of batches.
type ByFork<T> = LazyLock<Mutex<BTreeMap<(u32, u32), Arc<T>>>>;

static FORKS: ByFork<Chain> = LazyLock::new(Mutex::default);

/// A chain of `batches` batches that has the first `common` of the first chain.
fn fork(common: u32, batches: u32) -> Arc<Chain> {
    let mut forks = FORKS.lock().unwrap();
    let make = || Arc::new(Chain::forked(batches, Fork::after(common)));
    forks.entry((common, batches)).or_insert_with(make).clone()
}

/// A world in which batches are executed on L1, but none for good.
fn world() -> World {
    let world = World::new();
    world.upstream.set(|knobs| knobs.l1_tags = (9_000, Some(8_000), None));
    world
}

fn hash(chain: &Chain, number: u32) -> Value {
    json!(chain.blocks[number as usize - 1].hash)
}

/// Whether everything of `chain` is here, and nothing happens any more.
fn has_all_of(running: &Running, chain: &Chain) -> bool {
    let batches = u32::try_from(chain.batches.len()).unwrap();
    running.head() == chain.tip()
        && running.block(chain.tip())["hash"] == hash(chain, chain.tip())
        && running.batch(batches)["executeTxFinality"] == json!("fastFinalized")
}

#[track_caller]
fn settle(world: &World, running: &Running, chain: &Chain) {
    let done = running.within(LONG, |running| has_all_of(running, chain));
    assert!(done, "head {}, status {:?}", running.head(), running.status.borrow());
    world.sleep(Duration::from_secs(30));
    assert_eq!(running.halted(), None);
    assert!(has_all_of(running, chain));
}

/// What is stored after following `chain` and nothing else.
fn clean(chain: &Arc<Chain>) -> Tables {
    let mut world = world();
    world.upstream.switch_to(chain);
    let running = world.start();
    settle(&world, &running, chain);
    world.dump(Some(running))
}

/// As [`clean`], for a fork; computed once.
fn clean_fork(common: u32, batches: u32) -> Arc<Tables> {
    static KNOWN: ByFork<Tables> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    let make = || Arc::new(clean(&fork(common, batches)));
    known.entry((common, batches)).or_insert_with(make).clone()
}

#[track_caller]
fn assert_same(found: &Tables, expected: &Tables, what: &str) {
    for (table, rows) in expected {
        let (found, expected) = (found[table].len(), rows.len());
        assert_eq!(found, expected, "{what}: rows of {table}");
    }
    for (table, rows) in expected {
        for (found, expected) in found[table].iter().zip(rows) {
            assert_eq!(found, expected, "{what}: {table}");
        }
    }
}

/// Follows the first chain to its end.
fn followed(world: &World) -> Running {
    let running = world.start();
    settle(world, &running, &world.upstream.chain);
    running
}

#[test]
fn a_reorg_of_any_depth_leaves_what_following_the_new_chain_leaves() {
    for common in 0..BATCHES {
        for batches in [common + 1, BATCHES + 1] {
            let mut world = world();
            let running = followed(&world);
            let new = fork(common, batches);
            world.upstream.switch_to(&new);
            let old = world.upstream.chain.clone();
            // Never is a mixture served.
            let is_whole = |running: &Running| {
                let head = running.head();
                let newest = running.block(head)["hash"].clone();
                let has =
                    |chain: &Chain| head == 0 || head <= chain.tip() && newest == hash(chain, head);
                assert!(has(&old) || has(&new), "block {head} is of neither chain");
                has_all_of(running, &new)
            };
            let soon = Duration::from_secs(30);
            assert!(running.within(soon, is_whole), "{common} {batches}: {:?}", running.halted());
            settle(&world, &running, &new);
            let to = (*running.rolled_back.borrow()).map(|rolled_back| rolled_back.batch.0);
            assert_eq!(to, Some(common), "not one batch more than needed is rolled back");
            let found = world.dump(Some(running));
            assert_same(&found, &clean_fork(common, batches), &format!("{common} {batches}"));
        }
    }
}

#[test]
fn a_reorg_at_any_block_is_followed() {
    let mut batches = std::collections::BTreeSet::new();
    for tip in 1..=BATCH_BLOCKS * BATCHES {
        for common in [0, 2, 4] {
            let mut world = world();
            world.upstream.set(|knobs| knobs.tip = tip);
            let running = world.start();
            running.follow_to(tip);
            // Sometimes roots are compared, sometimes not yet.
            world.sleep(Duration::from_millis(u64::from(tip % 3) * 1_500));
            let new = fork(common, BATCHES + 1);
            world.upstream.switch_to(&new);
            settle(&world, &running, &new);
            if let Some(rolled_back) = *running.rolled_back.borrow() {
                batches.insert(rolled_back.batch.0);
                assert!(tip > common * BATCH_BLOCKS, "tip {tip}: nothing had to go");
                assert!(rolled_back.batch.0 <= common);
            } else {
                assert!(tip <= common * BATCH_BLOCKS, "tip {tip}: blocks of batch {common} stayed");
            }
            let found = world.dump(Some(running));
            assert_same(&found, &clean_fork(common, BATCHES + 1), &format!("{tip} {common}"));
        }
    }
    assert_eq!(batches.into_iter().collect::<Vec<_>>(), [0, 2, 4]);
}

#[test]
fn a_reorg_at_any_moment_of_following_is_followed() {
    let mut heads = std::collections::BTreeSet::new();
    for seed in 0..80_usize {
        let mut world = world();
        world.config.fetch.chunk_blocks = 1 + u32::try_from(seed % 3).unwrap();
        world.config.fetch.chunks_ahead_max = 1 + seed % 2;
        world.upstream.set(|knobs| {
            if seed % 4 == 0 {
                knobs.root_until = 2; // Comparing is behind.
            }
        });
        let running = world.start();
        world.sleep(Duration::from_millis((seed * 7) as u64 % 300));
        world.yields(seed * 13 % 41);
        heads.insert(running.head());
        let common = u32::try_from(seed).unwrap() % BATCHES;
        let new = fork(common, BATCHES + 1);
        world.upstream.switch_to(&new);
        settle(&world, &running, &new);
        let found = world.dump(Some(running));
        assert_same(&found, &clean_fork(common, BATCHES + 1), &format!("seed {seed}"));
    }
    assert!(heads.len() > 12, "reorgs came at these heads only: {heads:?}");
}

#[test]
fn a_reorg_while_the_replica_is_down_is_followed() {
    for common in [0, 3, 5] {
        let mut world = world();
        let running = followed(&world);
        world.restart(running);
        let new = fork(common, BATCHES + 1);
        world.upstream.switch_to(&new);
        let running = world.start();
        settle(&world, &running, &new);
        let found = world.dump(Some(running));
        assert_same(&found, &clean_fork(common, BATCHES + 1), &format!("{common}"));
    }
}

/// A world whose replica has followed the first chain, and rolls back block by block.
fn about_to_roll_back() -> (World, Running) {
    let mut world = world();
    world.config.rollback_changes_max = 0;
    let running = followed(&world);
    (world, running)
}

/// Writes of a rollback from the end of the first chain to batch `common`.
fn writes_of_a_rollback(common: u32) -> usize {
    let (world, running) = about_to_roll_back();
    let before = world.disk.writes();
    let count = Arc::new(Mutex::new(0));
    let (told, rolled_back) = (count.clone(), running.rolled_back.clone());
    world.disk.on_write(move |number| {
        if rolled_back.borrow().is_none() {
            *told.lock().unwrap() = number + 1 - before;
        }
    });
    world.upstream.switch_to(&fork(common, BATCHES + 1));
    let done = running.within(LONG, |running| running.rolled_back.borrow().is_some());
    assert!(done, "{:?}", running.halted());
    let count = *count.lock().unwrap();
    let blocks = (BATCHES - common) * BATCH_BLOCKS;
    // Where to, a write for each block and for each bytecode, and the end.
    assert!(count >= usize::try_from(blocks).unwrap() + 3, "{count}");
    count
}

/// Opens until it does not die on the way.
fn start_again(world: &mut World, deaths: &[usize]) -> Running {
    for nth in deaths {
        world.disk.die_at(*nth);
        match world.open() {
            Err(_) => world.kill(None),
            Ok(replica) => {
                let running = world.run(replica);
                world.sleep(Duration::from_secs(60));
                world.restart(running);
            }
        }
    }
    world.start()
}

#[test]
fn a_rollback_that_is_killed_at_any_write_is_finished() {
    let common = 1;
    let new = fork(common, BATCHES + 1);
    for nth in 0..writes_of_a_rollback(common) {
        let again: &[&[usize]] = if nth % 5 == 2 { &[&[], &[0], &[3, 1], &[8]] } else { &[&[]] };
        for deaths in again {
            let (mut world, running) = about_to_roll_back();
            world.disk.die_at(nth);
            world.upstream.switch_to(&new);
            assert!(running.within(LONG, |_| world.disk.is_dead()), "write {nth} never comes");
            world.restart(running);
            let running = start_again(&mut world, deaths);
            settle(&world, &running, &new);
            let found = world.dump(Some(running));
            let what = format!("killed at write {nth}, then at {deaths:?}");
            assert_same(&found, &clean_fork(common, BATCHES + 1), &what);
        }
    }
}

#[test]
fn a_rollback_that_loses_power_at_any_write_is_finished() {
    let common = 3;
    let new = fork(common, BATCHES + 1);
    // And some of following the new chain.
    for nth in 0..writes_of_a_rollback(common) + 5 {
        for kept in 0..=2 {
            let (mut world, running) = about_to_roll_back();
            world.disk.die_at(nth);
            world.upstream.switch_to(&new);
            assert!(running.within(LONG, |_| world.disk.is_dead()), "write {nth} never comes");
            world.restart(running);
            world.disk.lose_power(kept, 2);
            let running = start_again(&mut world, &[]);
            settle(&world, &running, &new);
            let found = world.dump(Some(running));
            let what = format!("power lost at write {nth}, {kept}/2 kept");
            assert_same(&found, &clean_fork(common, BATCHES + 1), &what);
        }
    }
}

#[test]
fn another_reorg_while_rolling_back_is_followed_too() {
    for (first, second) in [(4, 2), (2, 4), (3, 3), (1, 0)] {
        for nth in [0, 1, 5, 9] {
            let (mut world, running) = about_to_roll_back();
            let at = world.disk.writes() + nth;
            // The second is another chain than the first one even where both leave ours.
            let last = fork(second, BATCHES + 2);
            let (upstream, switched) = (world.upstream.clone(), last.clone());
            world.disk.on_write(move |number| {
                if number == at {
                    upstream.switch_to(&switched);
                }
            });
            world.upstream.switch_to(&fork(first, BATCHES));
            settle(&world, &running, &last);
            let found = world.dump(Some(running));
            let what = format!("{first}, then {second} at write {nth}");
            assert_same(&found, &clean_fork(second, BATCHES + 2), &what);
        }
    }
}

#[test]
fn reorgs_one_after_the_other_are_followed() {
    let mut world = world();
    let running = followed(&world);
    for (common, batches) in [(5, 7), (4, 5), (1, 3), (0, 6), (2, 4)] {
        let new = fork(common, batches);
        world.upstream.switch_to(&new);
        settle(&world, &running, &new);
    }
    assert_same(&world.dump(Some(running)), &clean_fork(2, 4), "the last");
}

#[test]
fn what_l1_holds_for_good_is_not_rolled_back() {
    let mut world = world();
    // Batches up to 3 are executed for good.
    let last_final = FIRST_L1_BLOCK + 3 + 20;
    world.upstream.set(|knobs| knobs.l1_tags = (9_000, Some(8_000), Some(last_final)));
    let running = followed(&world);
    let tip = running.head();
    let new = fork(1, BATCHES + 1);
    world.upstream.switch_to(&new);
    assert!(running.within(LONG, |running| running.halted().is_some()));
    let (code, reason) = running.halted().unwrap();
    assert_eq!(code, "reorg_below_final", "{reason}");
    let first_differing = BATCH_BLOCKS * 2;
    for part in [
        "batch 1,".to_owned(),
        "batch 3 ".to_owned(),
        format!("block {first_differing} "),
        hash(&world.upstream.chain, first_differing).as_str().unwrap().to_owned(),
        hash(&new, first_differing).as_str().unwrap().to_owned(),
    ] {
        assert!(reason.contains(&part), "{part}: {reason}");
    }
    world.sleep(Duration::from_secs(600));
    assert_eq!(running.head(), tip);
    for number in 1..=tip {
        assert_eq!(running.block(number)["hash"], hash(&world.upstream.chain, number));
    }
    assert_eq!(*running.rolled_back.borrow(), None);

    // The last batch that is final is as far as it goes; the way there is open again.
    world.restart(running);
    let new = fork(3, BATCHES + 1);
    world.upstream.switch_to(&new);
    let running = world.start();
    settle(&world, &running, &new);
    let refused = world.memory.block_on(running.operator.roll_back_to(L1BatchNumber(2)));
    let Err(RollBackError::BelowFinal { to, final_batch }) = refused else { panic!("{refused:?}") };
    assert_eq!((to.0, final_batch.0), (2, 3));
}

/// What becomes of `world` when the main node is as `change` makes it for two hours.
fn nothing_is_rolled_back(what: &str, change: fn(&World)) {
    let world = world();
    let running = followed(&world);
    let tip = running.head();
    change(&world);
    world.sleep(Duration::from_secs(2 * 3_600));
    assert_eq!((running.head(), running.halted()), (tip, None), "{what}");
    assert_eq!(*running.rolled_back.borrow(), None, "{what}");
    world.upstream.be_honest();
    world.upstream.switch_to(&world.upstream.chain.clone());
    settle(&world, &running, &world.upstream.chain);
    assert_eq!(*running.rolled_back.borrow(), None, "{what}");
}

#[test]
fn what_is_missing_rolls_nothing_back() {
    nothing_is_rolled_back("behind", |world| world.upstream.set(|knobs| knobs.tip = 5));
    nothing_is_rolled_back("empty", |world| world.upstream.set(|knobs| knobs.tip = 0));
    nothing_is_rolled_back("no roots", |world| world.upstream.set(|knobs| knobs.root_until = 0));
    nothing_is_rolled_back("no details", |world| {
        world.upstream.twist(|method, _, result| {
            if method.ends_with("Details") {
                *result = Value::Null;
            }
        });
    });
    nothing_is_rolled_back("null for everything", |world| {
        world.upstream.twist(|method, _, result| {
            if !method.starts_with("l1:") && method != "eth_chainId" {
                *result = Value::Null;
            }
        });
    });
    nothing_is_rolled_back("silent", |world| {
        world.upstream.set(|knobs| {
            knobs.failure = Some(Arc::new(|_| Some(Err(lockstep_io::NetError::TimedOut))));
        });
    });
    nothing_is_rolled_back("another genesis", |world| {
        world.upstream.set(|knobs| knobs.tip = 0);
        world.upstream.twist(|method, params, result| {
            if method == "zks_getBlockDetails" && params[0] == json!(0) {
                result["rootHash"] = json!(format!("0x{}", "11".repeat(32)));
            }
        });
    });
    // Old blocks are forgotten and the newest is another one: where the chains part is not known.
    nothing_is_rolled_back("another tip and no history", |world| {
        let tip = world.upstream.chain.tip();
        world.upstream.twist(move |method, params, result| {
            if method == "zks_getBlockDetails" {
                if params[0] == json!(tip) {
                    result["rootHash"] = json!(format!("0x{}", "11".repeat(32)));
                } else {
                    *result = Value::Null;
                }
            }
        });
    });
}

#[test]
fn another_chain_for_a_moment_is_no_reorg() {
    let world = world();
    let running = followed(&world);
    let tip = running.head();
    let (from, new) = (world.memory.clock.mono(), fork(2, BATCHES));
    let clock = world.memory.clock.clone();
    world.upstream.twist(move |method, params, result| {
        // Every third question meets an endpoint that has another chain.
        let is_stale = clock.mono().since(from).as_secs().is_multiple_of(3);
        if method == "zks_getBlockDetails" && is_stale && !result.is_null() {
            let number = usize::try_from(params[0].as_u64().unwrap()).unwrap();
            if let Some(block) = number.checked_sub(1).and_then(|i| new.blocks.get(i)) {
                result["rootHash"] = json!(block.hash);
            }
        }
    });
    world.sleep(Duration::from_secs(3_600));
    assert_eq!((running.head(), running.halted()), (tip, None));
    assert_eq!(*running.rolled_back.borrow(), None);
}

#[test]
fn endpoints_that_contradict_each_other_roll_nothing_back() {
    let mut world = world();
    world.config.main_node = vec![MAIN_NODE, OTHER_MAIN_NODE];
    let running = followed(&world);
    let tip = running.head();
    let new = fork(2, BATCHES);
    world.upstream.set(|knobs| knobs.chain = new.clone());
    world.sleep(Duration::from_secs(3_600));
    assert_eq!((running.head(), running.halted()), (tip, None));
    assert_eq!(*running.rolled_back.borrow(), None);
    world.upstream.switch_to(&new);
    settle(&world, &running, &new);
    assert_same(&world.dump(Some(running)), &clean_fork(2, BATCHES), "when both have it");
}

#[test]
fn a_wrong_root_that_is_not_said_again_changes_nothing() {
    let world = world();
    let told = std::sync::atomic::AtomicBool::new(false);
    world.upstream.twist(move |method, params, result| {
        if method == "zks_getL1BatchDetails"
            && params[0] == json!(3)
            && !result.is_null()
            && !told.swap(true, std::sync::atomic::Ordering::SeqCst)
        {
            result["rootHash"] = json!(format!("0x{}", "11".repeat(32)));
        }
    });
    let running = followed(&world);
    assert_eq!(*running.rolled_back.borrow(), None);
}

#[test]
fn a_batch_with_another_root_is_run_again_once() {
    let mut world = world();
    let clock = world.memory.clock.clone();
    world.upstream.twist(move |method, params, result| {
        if method == "zks_getL1BatchDetails"
            && params[0] == json!(3)
            && !result.is_null()
            && clock.mono().0 < 3_000_000_000
        {
            result["rootHash"] = json!(format!("0x{}", "11".repeat(32)));
        }
    });
    let running = world.start();
    // All that time the main node stands by it.
    let done = running.within(LONG, |running| running.rolled_back.borrow().is_some());
    assert!(done, "{:?}", running.halted());
    settle(&world, &running, &world.upstream.chain);
    let to = (*running.rolled_back.borrow()).map(|rolled_back| rolled_back.batch.0);
    assert_eq!(to, Some(2));
    let found = world.dump(Some(running));
    assert_same(&found, &clean(&world.upstream.chain.clone()), "in the end");
}

#[test]
fn a_contradiction_that_passes_does_not_halt() {
    let world = world();
    let clock = world.memory.clock.clone();
    // Not part of the block's hash, and not possible.
    world.upstream.twist_block(BATCH_BLOCKS + 2, move |block| {
        if clock.mono().0 < 2_000_000_000 {
            block["l1BatchNumber"] = json!(3);
        }
    });
    let running = followed(&world);
    let to = (*running.rolled_back.borrow()).map(|rolled_back| rolled_back.batch.0);
    assert_eq!(to, Some(1), "the blocks of the open batch are fetched again, and no others");
}

#[test]
fn an_operator_can_have_batches_followed_again() {
    for to in 0..=BATCHES {
        let mut world = world();
        let running = followed(&world);
        let rolled_back = world.memory.block_on(running.operator.roll_back_to(L1BatchNumber(to)));
        let block = L2BlockNumber(to * BATCH_BLOCKS);
        assert_eq!(rolled_back.unwrap(), RolledBack { batch: L1BatchNumber(to), block });
        settle(&world, &running, &world.upstream.chain);
        let refused = world.memory.block_on(running.operator.roll_back_to(L1BatchNumber(7)));
        let Err(RollBackError::NotSealed { sealed, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(sealed, L1BatchNumber(BATCHES));
        let found = world.dump(Some(running));
        assert_same(&found, &clean(&world.upstream.chain.clone()), &format!("{to}"));
    }
}

#[test]
fn an_operator_can_end_a_halt_by_a_rollback() {
    let mut world = world();
    // A price is part of no hash: only the root tells.
    world.upstream.twist_block(BATCH_BLOCKS + 1, |block| block["l1GasPrice"] = json!(8));
    world.upstream.twist(|method, params, result| {
        if method == "zks_getL1BatchDetails" && params[0] == json!(3) && !result.is_null() {
            result["rootHash"] = json!(format!("0x{}", "11".repeat(32)));
        }
    });
    let running = world.start();
    assert!(running.within(LONG, |running| running.halted().is_some()));
    assert_eq!(running.halted().unwrap().0, "root_mismatch");
    world.upstream.be_honest();
    world.sleep(Duration::from_secs(60));
    assert!(running.halted().is_some(), "nothing goes on by itself");
    world.memory.block_on(running.operator.roll_back_to(L1BatchNumber(2))).unwrap();
    settle(&world, &running, &world.upstream.chain);
    let found = world.dump(Some(running));
    assert_same(&found, &clean(&world.upstream.chain.clone()), "afterwards");
}

#[test]
fn a_rollback_of_a_stopped_replica_leaves_what_following_so_far_leaves() {
    for to in 0..=BATCHES {
        let mut world = world();
        let running = followed(&world);
        world.restart(running);
        let rolled_back = roll_back_stored(&world.disk, L1BatchNumber(to)).unwrap();
        assert_eq!(rolled_back.block, L2BlockNumber(to * BATCH_BLOCKS));
        let found = world.dump(None);

        let mut other = self::world();
        other.upstream.set(|knobs| knobs.tip = to * BATCH_BLOCKS);
        let running = other.start();
        running.follow_to(to * BATCH_BLOCKS);
        other.sleep(Duration::from_secs(60));
        assert_same(&found, &other.dump(Some(running)), &format!("{to}"));
    }
    let world = world();
    let error = roll_back_stored(&world.disk, L1BatchNumber(0)).unwrap_err();
    assert!(matches!(error, RollBackError::Empty), "{error}");
}

#[test]
fn a_rollback_that_forgets_any_table_is_noticed() {
    let key_of = |change: &Change| match change {
        Change::Delete { table, key } => Some((table.name, key.clone())),
        Change::DeleteRange { table, range } => Some((table.name, range.start.clone())),
        Change::Put { .. } => None,
    };
    // The new chain is shorter, so that nothing of the old one is simply overwritten.
    let (common, batches) = (2, 3);
    let expected = clean_fork(common, batches);
    let before = clean(&world().upstream.chain.clone());
    let mut unnoticed = Vec::new();
    for table in tables::ALL.iter().filter(|table| !before[table.name].is_empty()) {
        let mut world = world();
        let running = followed(&world);
        let left_out = Arc::new(Mutex::new(0));
        let count = left_out.clone();
        world.disk.leave_out(move |change| {
            let is_left_out = key_of(change).is_some_and(|(name, _)| name == table.name);
            *count.lock().unwrap() += usize::from(is_left_out);
            is_left_out
        });
        world.upstream.switch_to(&fork(common, batches));
        running.within(Duration::from_secs(120), |running| {
            has_all_of(running, &fork(common, batches))
        });
        world.sleep(Duration::from_secs(30));
        let found = world.dump(Some(running));
        let is_same = tables::ALL.iter().all(|table| found[table.name] == expected[table.name]);
        if is_same {
            unnoticed.push((table.name, *left_out.lock().unwrap()));
        }
    }
    // Genesis alone writes `meta`.
    assert_eq!(unnoticed, [("meta", 0)]);
}

#[test]
fn commitments_of_batches_that_go_are_computed_again() {
    // The toy chain announces commitments that nobody can compute.
    let unannounced = |method: &str, _: &Value, result: &mut Value| {
        if method == "zks_getL1BatchDetails" && !result.is_null() {
            result["commitment"] = Value::Null;
        }
    };
    let computing = || {
        let mut world = world();
        world.config.commitments = Some(CommitmentsConfig::default());
        world.upstream.twist(unannounced);
        world.upstream.set(|knobs| knobs.steps_until = 0);
        world.upstream.set(|knobs| knobs.tip = BATCH_BLOCKS * 2);
        world
    };
    // L1 has no commitments of the toy chain's own.
    let settle = |world: &World, running: &Running, chain: &Chain| {
        world.upstream.set(|knobs| knobs.steps_until = 0);
        let has_all = |running: &Running| {
            let head = running.head();
            head == chain.tip() && running.block(head)["hash"] == hash(chain, head)
        };
        assert!(running.within(LONG, has_all), "{:?}", running.halted());
        world.sleep(Duration::from_secs(60));
        assert_eq!(running.halted(), None);
    };
    let new = fork(1, 2);
    let mut undisturbed = computing();
    undisturbed.upstream.switch_to(&new);
    let running = undisturbed.start();
    settle(&undisturbed, &running, &new);
    let expected = undisturbed.dump(Some(running));
    assert_eq!(expected["commitments"].len(), 2);

    let mut world = computing();
    let running = world.start();
    running.follow_to(BATCH_BLOCKS * 2);
    world.sleep(Duration::from_secs(30));
    world.upstream.switch_to(&new);
    settle(&world, &running, &new);
    assert_same(&world.dump(Some(running)), &expected, "with commitments");
}
