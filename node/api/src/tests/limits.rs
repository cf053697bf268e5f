//! How much runs at once, for how long, and what is kept.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::toy::{CountingVm, Probe, Setup, Toy, read_five, word};
use crate::ApiConfig;

const OVERLOADED: &str = "Request timed out due to server being overloaded";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A chain whose batches are counted when they are run again.
fn counting(config: ApiConfig, delay: Option<Duration>) -> (Toy, Arc<CountingVm>) {
    let vm = Arc::new(CountingVm::default());
    let setup = Setup { config, vm: vm.clone(), delay, ..Setup::default() };
    (Toy::new(setup), vm)
}

#[track_caller]
fn errors(answers: &[Value]) -> Vec<(i64, &str)> {
    let errors = answers.iter().filter_map(|answer| answer.get("error"));
    errors
        .map(|error| (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap()))
        .collect()
}

#[test]
fn fifty_requests_for_one_batch_run_it_once() {
    let (toy, vm) = counting(ApiConfig::default(), Some(seconds(1)));
    let mut requests = vec![("debug_traceTransaction", json!([toy.tx_hash(2, 1)])); 25];
    requests.extend(vec![("debug_traceBlockByNumber", json!(["0x1"])); 25]);
    let answers = toy.world.call_all(&requests);
    assert_eq!(errors(&answers), []);
    assert!(answers[..25].iter().all(|answer| *answer == answers[0]));
    assert!(answers[25..].iter().all(|answer| answer["result"].as_array().unwrap().len() == 1));
    assert_eq!(vm.count(), 1);
    toy.world.ask("debug_traceBlockByNumber", json!(["0x2"]));
    assert_eq!(vm.count(), 1, "and it is kept");
}

#[test]
fn a_batch_that_grows_is_run_again_for_its_new_blocks_only() {
    let (mut toy, vm) = counting(ApiConfig::default(), None);
    let block = |toy: &Toy, number: &str| {
        let shown = toy.world.ask("debug_traceBlockByNumber", json!([number]));
        shown.as_array().unwrap().len()
    };
    assert_eq!((block(&toy, "0x6"), vm.count()), (1, 1));
    toy.block(&[&[], &[]]);
    assert_eq!((block(&toy, "0x6"), vm.count()), (1, 1));
    assert_eq!((block(&toy, "0x7"), vm.count()), (2, 2));
    assert_eq!((block(&toy, "0x6"), vm.count()), (1, 2));
}

#[test]
fn traces_are_kept_as_long_as_there_is_room() {
    let block = |toy: &Toy, number: &str| {
        toy.world.ask("debug_traceBlockByNumber", json!([number]));
    };
    let none = ApiConfig { trace_cache_bytes_max: 0, ..ApiConfig::default() };
    let (toy, vm) = counting(none, None);
    block(&toy, "0x1");
    block(&toy, "0x1");
    assert_eq!(vm.count(), 2);
    // Room for batch 1 and one of batches 2 and 3.
    let room = toy.trace_bytes(1) + toy.trace_bytes(2);
    assert_eq!(toy.trace_bytes(2), toy.trace_bytes(3));
    assert!(toy.trace_bytes(1) > toy.trace_bytes(2));
    let some = ApiConfig { trace_cache_bytes_max: room, ..ApiConfig::default() };
    let (toy, vm) = counting(some, None);
    block(&toy, "0x4");
    block(&toy, "0x6");
    block(&toy, "0x4");
    assert_eq!(vm.count(), 2);
    block(&toy, "0x1");
    assert_eq!(vm.count(), 3);
    block(&toy, "0x4");
    assert_eq!(vm.count(), 3, "batch 3 was used least recently");
    block(&toy, "0x6");
    assert_eq!(vm.count(), 4);
}

#[test]
fn a_block_with_too_many_traces_cannot_be_traced() {
    let config = ApiConfig { replay_bytes_max: 100, ..ApiConfig::default() };
    let (toy, _) = counting(config, None);
    let (code, text) = toy.world.error("debug_traceBlockByNumber", json!(["0x2"]));
    let expected = "the traces of block 2 take more than 100 bytes";
    assert_eq!((code, &*text), (-32_000, expected));
}

#[test]
fn batches_wait_for_their_turn_but_not_for_ever() {
    let config = ApiConfig { replays_max: 1, replay_wait_max: seconds(15), ..ApiConfig::default() };
    let (toy, vm) = counting(config, Some(seconds(10)));
    let blocks = ["0x1", "0x4", "0x6"];
    let requests = blocks.map(|block| ("debug_traceBlockByNumber", json!([block])));
    let answers = toy.world.call_all(&requests);
    assert_eq!(toy.load.most("trace"), 1);
    assert_eq!((errors(&answers), vm.count()), (vec![(503, OVERLOADED)], 2));
    // Who was turned away may come again.
    assert_eq!(errors(&toy.world.call_all(&requests)), []);
}

#[test]
fn running_a_batch_again_takes_a_bounded_time() {
    let config = ApiConfig { replay_time_max: seconds(5), ..ApiConfig::default() };
    let (toy, vm) = counting(config, Some(seconds(10)));
    let error = toy.world.error("debug_traceBlockByNumber", json!(["0x1"]));
    assert_eq!(error, (-32_000, "execution aborted (timeout = 5s)".to_owned()));
    assert_eq!(vm.count(), 0, "the job has not begun");
}

#[test]
fn a_panic_while_a_batch_is_run_again_is_an_error_of_those_who_wait() {
    let vm = Arc::new(CountingVm::panicking());
    let toy = Toy::new(Setup { vm: vm.clone(), ..Setup::default() });
    for count in 1..3 {
        let error = toy.world.error("debug_traceBlockByNumber", json!(["0x1"]));
        assert_eq!(error, (-32_603, "Internal error".to_owned()));
        assert_eq!(vm.count(), count, "the next one tries again");
    }
    assert_eq!(toy.world.ask("eth_call", json!([read_five()])), json!(word(13)));
}

#[test]
fn calls_wait_for_their_turn_but_not_for_ever() {
    let config = ApiConfig { calls_max: 2, call_wait_max: seconds(3), ..ApiConfig::default() };
    let toy = Toy::new(Setup { config, delay: Some(seconds(2)), ..Setup::default() });
    let requests = vec![("eth_call", json!([read_five()])); 6];
    let answers = toy.world.call_all(&requests);
    assert_eq!(toy.load.most("eth_call"), 2);
    assert_eq!(errors(&answers), [(503, OVERLOADED); 2]);
    assert!(answers[..4].iter().all(|answer| answer["result"] == json!(word(13))));
}

#[test]
fn a_call_that_takes_too_long_is_stopped() {
    let config = ApiConfig { calls_max: 1, call_time_max: seconds(1), ..ApiConfig::default() };
    let toy = Toy::new(Setup { config, delay: Some(seconds(2)), ..Setup::default() });
    let requests = vec![("eth_call", json!([read_five()])); 2];
    let answers = toy.world.call_all(&requests);
    let text = "execution aborted (timeout = 1s)";
    assert_eq!(errors(&answers), [(-32_000, text); 2]);
    // The second had its turn only when the first had really ended.
    assert_eq!(toy.load.most("eth_call"), 1);
}

#[test]
fn other_requests_do_not_wait_for_calls() {
    let config = ApiConfig { calls_max: 1, call_wait_max: seconds(1), ..ApiConfig::default() };
    let simulator = Arc::new(Probe::new());
    let toy = Toy::new(Setup { config, simulator, delay: Some(seconds(2)), ..Setup::default() });
    let requests = [
        ("eth_call", json!([{}])),
        ("eth_call", json!([{}])),
        ("eth_blockNumber", json!([])),
        ("eth_gasPrice", json!([])),
        ("debug_traceBlockByNumber", json!(["0x1"])),
    ];
    let answers = toy.world.call_all(&requests);
    assert_eq!(errors(&answers), [(503, OVERLOADED)]);
    assert!(answers[1].get("error").is_some());
}

#[test]
fn nothing_is_run_any_more_once_a_stop_was_asked_for() {
    let toy = Toy::new(Setup { delay: Some(seconds(1)), ..Setup::default() });
    toy.world.io.runtime.ask_to_stop();
    let expected = (-32_009, "Server is shutting down".to_owned());
    assert_eq!(toy.world.error("eth_call", json!([read_five()])), expected);
    assert_eq!(toy.world.error("debug_traceBlockByNumber", json!(["0x1"])), expected);
    assert_eq!(toy.world.ask("eth_blockNumber", json!([])), json!("0x6"));
}
