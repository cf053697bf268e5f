//! Upstreams that fail for a while, are behind, or forget.

use std::{sync::Arc, time::Duration};

use lockstep_io::{Clock, NetError};
use lockstep_io_memory::Answer;
use serde_json::{Value, json};

use crate::support::{upstream::Failure, world::World};

fn heals(name: &str, failure: Failure) {
    let world = World::new();
    let replica = world.open().unwrap();
    world.upstream.set(|knobs| knobs.failure = Some(failure));
    let running = world.run(replica);
    world.sleep(Duration::from_secs(300));
    assert_eq!((running.halted(), running.head()), (None, 0), "{name}");
    world.upstream.be_honest();
    running.follow_to(world.upstream.chain.tip());
}

#[test]
fn failures_of_every_kind_heal() {
    heals("503", Arc::new(|_| Some(Ok(Answer::status(503)))));
    heals("404", Arc::new(|_| Some(Ok(Answer::status(404)))));
    heals("no JSON", Arc::new(|_| Some(Ok(Answer::ok("<html>")))));
    heals("connect", Arc::new(|_| Some(Err(NetError::Connect("refused".to_owned())))));
    heals("time", Arc::new(|_| Some(Err(NetError::TimedOut))));
    let busy = Answer {
        headers: vec![("retry-after".to_owned(), "20".to_owned())],
        ..Answer::status(429)
    };
    heals("429", Arc::new(move |_| Some(Ok(busy.clone()))));
}

#[test]
fn failures_now_and_then_do_not_stop_the_replica() {
    let world = World::new();
    let clock = world.memory.clock.clone();
    let failure: Failure = Arc::new(move |_| {
        (clock.mono().0 / 20_000_000 % 3 == 1).then_some(Err(NetError::Reset("cut".to_owned())))
    });
    world.upstream.set(|knobs| knobs.failure = Some(failure));
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    assert_eq!(running.halted(), None);
}

#[test]
fn a_tip_that_is_a_lie_costs_little_and_heals() {
    let world = World::new();
    let tip = world.upstream.chain.tip();
    world.upstream.twist(|method, _, result| {
        if method == "eth_blockNumber" {
            *result = json!("0xfffffffe");
        }
    });
    let running = world.start();
    running.follow_to(tip);
    world.sleep(Duration::from_secs(5));
    world.memory.http.take_requests();
    world.upstream.be_honest();
    world.sleep(Duration::from_secs(10));
    world.memory.http.take_requests();
    world.sleep(Duration::from_secs(60));
    let blocks_asked = world
        .memory
        .http
        .take_requests()
        .iter()
        .filter(|(_, request)| {
            let body = request.body.as_ref().unwrap();
            String::from_utf8_lossy(body).contains("en_syncL2Block")
        })
        .count();
    assert_eq!(blocks_asked, 0, "nobody asks for blocks beyond the tip any more");
    assert_eq!(running.ask("eth_syncing", json!([])), json!(false));
    assert_eq!((running.halted(), running.head()), (None, tip));
}

#[test]
fn a_head_that_goes_back_makes_no_block_vanish() {
    let world = World::new();
    world.upstream.set(|knobs| knobs.tip = 12);
    let running = world.start();
    running.follow_to(12);
    for tip in [5, 0, 11, 13, 3, 20, 7] {
        world.upstream.set(|knobs| knobs.tip = tip);
        world.sleep(Duration::from_secs(20));
        assert_eq!(running.halted(), None);
        assert!(running.head() >= 12.max(if tip == 20 { 20 } else { 0 }), "tip {tip}");
    }
    world.upstream.set(|knobs| knobs.tip = world.upstream.chain.tip());
    running.follow_to(world.upstream.chain.tip());
}

#[test]
fn blocks_that_are_missing_below_the_tip_are_waited_for() {
    let world = World::new();
    let clock = world.memory.clock.clone();
    world.upstream.twist(move |method, params, result| {
        let number = params[0].as_u64().unwrap_or_default();
        if method == "en_syncL2Block" && number >= 7 && clock.mono().0 < 60_000_000_000 {
            *result = Value::Null;
        }
    });
    let running = world.start();
    world.sleep(Duration::from_secs(50));
    assert_eq!((running.halted(), running.head()), (None, 6));
    running.follow_to(world.upstream.chain.tip());
}
