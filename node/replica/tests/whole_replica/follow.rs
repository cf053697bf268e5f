//! Following an honest chain: to the tip, through restarts, and to a stop.

use std::time::Duration;

use lockstep_io_memory::Answer;
use serde_json::json;

use crate::support::world::{BATCHES, Running, Tables, World};

#[test]
fn the_chain_is_followed_to_its_tip_and_served() {
    let world = World::new();
    let chain = world.upstream.chain.clone();
    let running = world.start();
    running.follow_to(chain.tip());
    let block = running.ask("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(block["hash"], json!(chain.blocks.last().unwrap().hash));
    assert!(running.within(Duration::from_secs(60), is_final), "{}", running.batch(BATCHES));
    for (number, batch) in (1..).zip(&chain.batches) {
        let details = running.batch(number);
        assert_eq!(details["rootHash"], json!(batch.root.0), "batch {number}");
        assert_eq!(details["status"], json!("verified"), "batch {number}");
    }
    for (slot, (_, value)) in &chain.state.slots {
        let stored = running.ask("eth_getStorageAt", json!([slot.address, slot.key, "latest"]));
        assert_eq!(stored, json!(value), "{slot:?}");
    }
    assert_eq!(running.ask("eth_syncing", json!([])), json!(false));
}

/// Follows to the end, where every batch is final, and gives what is stored then.
fn finish(world: &mut World, running: Running) -> Tables {
    running.follow_to(world.upstream.chain.tip());
    assert!(running.within(Duration::from_secs(120), is_final), "{}", running.batch(BATCHES));
    world.dump(Some(running))
}

fn is_final(running: &Running) -> bool {
    running.batch(BATCHES)["status"] == json!("verified")
}

#[test]
fn restarts_at_any_moment_leave_the_same_tables() {
    let mut undisturbed = World::new();
    let running = undisturbed.start();
    let expected = finish(&mut undisturbed, running);
    assert!(expected["blocks"].len() > 20 && expected["steps"].len() == BATCHES as usize);
    let mut heads = std::collections::BTreeSet::new();
    for seed in 0..60_usize {
        let mut world = World::new();
        // Blocks come one by one, so that there is something between the first and the last.
        world.config.fetch.chunk_blocks = 1;
        world.config.fetch.chunks_ahead_max = 1;
        for life in 0..3 {
            let running = world.start();
            world.sleep(Duration::from_millis((seed * 7 + life * 11) as u64 % 300));
            world.yields(seed * 13 % 41 + life);
            heads.insert(running.head());
            world.restart(running);
        }
        let running = world.start();
        assert_eq!(finish(&mut world, running), expected, "seed {seed}");
    }
    assert!(heads.len() > 12, "restarts were at these heads only: {heads:?}");
}

#[test]
fn a_tip_that_grows_is_followed() {
    let world = World::new();
    world.upstream.set(|knobs| knobs.tip = 1);
    let running = world.start();
    for tip in 1..=world.upstream.chain.tip() {
        world.upstream.set(|knobs| knobs.tip = tip);
        let done = running.within(Duration::from_secs(3), |running| running.head() == tip);
        assert!(done, "block {tip} did not come in time");
    }
}

#[test]
fn a_stop_ends_the_run_at_once_at_any_moment() {
    for (index, state) in ["honest", "silent", "lying", "no roots"].into_iter().enumerate() {
        for millis in [0, 3, 40, 90, 250, 700, 5_000, 60_000] {
            let world = World::new();
            let replica = world.open().unwrap();
            match index {
                0 => {}
                1 => world.upstream.set(|knobs| {
                    knobs.failure = Some(std::sync::Arc::new(|_| Some(Ok(Answer::status(503)))));
                }),
                2 => world.upstream.twist_block(9, |block| block["timestamp"] = json!(1)),
                _ => world.upstream.set(|knobs| knobs.root_until = 0),
            }
            let running = world.run(replica);
            world.sleep(Duration::from_millis(millis));
            world.yields(usize::try_from(millis % 17).unwrap());
            world.memory.runtime.ask_to_stop();
            let ended =
                running.within(Duration::from_millis(100), |running| running.end().is_some());
            assert!(ended, "{state}, {millis} ms: {:?}", world.memory.runtime.task_names());
            let halted = matches!(running.end(), Some(Err(_)));
            assert!(!halted || state == "lying", "{state}, {millis} ms");
            assert!(halted || state != "lying" || millis < 20_000, "{state}, {millis} ms");
            assert!(
                running.within(Duration::from_millis(100), |_| {
                    world
                        .memory
                        .runtime
                        .task_names()
                        .iter()
                        .all(|name| *name == "supervisor" || *name == "upstream")
                }),
                "{:?}",
                world.memory.runtime.task_names()
            );
        }
    }
}
