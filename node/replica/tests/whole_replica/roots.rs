//! Roots that differ, come late, or do not come.

use std::time::Duration;

use lockstep_io::Clock;
use serde_json::{Value, json};

use crate::support::world::{BATCHES, Running, World};

fn has_root(running: &Running, batch: u32) -> bool {
    running.batch(batch).get("rootHash").is_some_and(|root| !root.is_null())
}

#[test]
fn a_wrong_root_halts_and_the_api_keeps_serving() {
    for batch in 1..=BATCHES {
        let mut world = World::new();
        let wrong = "0x1111111111111111111111111111111111111111111111111111111111111111";
        world.upstream.twist(move |method, params, result| {
            if method == "zks_getL1BatchDetails" && params[0] == json!(batch) && !result.is_null() {
                result["rootHash"] = json!(wrong);
            }
        });
        let running = world.start();
        assert!(running.within(Duration::from_secs(60), |running| running.halted().is_some()));
        let (code, reason) = running.halted().unwrap();
        assert_eq!(code, "root_mismatch");
        let ours = world.upstream.chain.batches[batch as usize - 1].root.to_string();
        assert!(reason.contains(wrong) && reason.contains(&ours), "{reason}");
        world.sleep(Duration::from_secs(600));
        assert!(running.end().is_none(), "it waits for a stop");
        let head = running.head();
        assert!(!running.block(head).is_null());
        let agreed = world.dump(Some(running))["claims"].len();
        assert_eq!(agreed, batch as usize - 1, "batches before the wrong one are agreed on");
    }
}

#[test]
fn a_wrong_root_halts_also_while_blocks_go_on() {
    let world = World::new();
    let clock = world.memory.clock.clone();
    world.upstream.twist(move |method, params, result| {
        let seconds = clock.mono().0 / 1_000_000_000;
        match method {
            "zks_getL1BatchDetails" if params[0] == json!(1) && !result.is_null() => {
                result["rootHash"] = json!(format!("0x{}", "11".repeat(32)));
            }
            "eth_blockNumber" => *result = json!(format!("{:#x}", seconds.min(24))),
            _ => {}
        }
    });
    let running = world.start();
    assert!(running.within(Duration::from_secs(20), |running| running.halted().is_some()));
    assert!(running.head() < world.upstream.chain.tip(), "{}", running.head());
    assert_eq!(running.halted().unwrap().0, "root_mismatch");
}

#[test]
fn roots_that_are_late_are_waited_for() {
    let mut world = World::new();
    world.upstream.set(|knobs| knobs.root_until = 2);
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(3 * 3_600));
    assert_eq!(running.halted(), None);
    world.upstream.set(|knobs| knobs.root_until = BATCHES);
    let done = running.within(Duration::from_secs(30), |running| {
        running.batch(BATCHES)["status"] == json!("verified") && has_root(running, BATCHES)
    });
    assert!(done, "{}", running.batch(BATCHES));
    assert_eq!(world.dump(Some(running))["claims"].len(), BATCHES as usize);
}

#[test]
fn details_that_are_null_are_waited_for() {
    let mut world = World::new();
    world.upstream.twist(|method, _, result| {
        if method == "zks_getL1BatchDetails" {
            *result = Value::Null;
        }
    });
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(3_600));
    assert_eq!(running.halted(), None);
    world.upstream.be_honest();
    world.sleep(Duration::from_secs(60));
    assert_eq!(world.dump(Some(running))["claims"].len(), BATCHES as usize);
}

#[test]
fn commitments_that_are_late_are_learned() {
    let mut world = World::new();
    world.upstream.twist(|method, _, result| {
        if method == "zks_getL1BatchDetails" && !result.is_null() {
            result["commitment"] = Value::Null;
        }
    });
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(Duration::from_secs(60));
    world.upstream.be_honest();
    world.sleep(Duration::from_secs(60));
    let mut calm = World::new();
    let other = calm.start();
    calm.sleep(Duration::from_secs(60));
    assert_eq!(world.dump(Some(running))["claims"], calm.dump(Some(other))["claims"]);
}
