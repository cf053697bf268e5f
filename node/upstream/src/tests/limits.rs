//! Time, size, concurrency and rate.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{FutureExt, future::join_all};
use lockstep_io::Io;

use super::{
    slow_http::{Slow, SlowHttp},
    *,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn body(request: &HttpRequest) -> Bytes {
    well(request).unwrap().body
}

/// A client of `http`, and its world.
fn slow_client(
    endpoint_count: usize,
    config: UpstreamConfig,
    script: impl Fn(usize, &HttpRequest) -> Slow + Send + Sync + 'static,
) -> (World, RpcClient, SlowHttp) {
    let world = World::new();
    let http = SlowHttp::new(Arc::new(world.memory.clock.clone()), script);
    let io = Io { http: Arc::new(http.clone()), ..world.memory.io() };
    let endpoints = (0..endpoint_count).map(EndpointId).collect();
    let client = RpcClient::new(&io, "test", endpoints, config);
    (world, client, http)
}

fn once() -> UpstreamConfig {
    UpstreamConfig { attempts_max: 1, ..Default::default() }
}

fn call(world: &World, client: &RpcClient) -> Result<String, UpstreamError> {
    world.memory.block_on(client.call("eth_x", json!([]))).map(raw)
}

fn timed_out() -> Result<String, UpstreamError> {
    Err(UpstreamError::Unavailable { detail: NetError::TimedOut.to_string() })
}

#[test]
fn a_slow_answer_in_time_is_an_answer() {
    let (world, client, _) =
        slow_client(1, once(), |_, request| Slow::after(seconds(29), body(request)));
    assert_eq!(call(&world, &client), Ok("\"well\"".into()));
    assert_eq!(world.now(), seconds(29));
}

#[test]
fn the_deadline_is_kept_whatever_the_upstream_does() {
    type Script = fn(usize, &HttpRequest) -> Slow;
    let scripts: [Script; 4] = [
        // No answer; a late one; one that stalls in the middle; a byte each second.
        |_, _| Slow { head: None, chunks: VecDeque::new(), rest: None },
        |_, request| Slow::after(seconds(31), body(request)),
        |_, request| Slow {
            head: Some(seconds(1)),
            chunks: [
                (seconds(1), body(request).slice(..10)),
                (seconds(100), body(request).slice(10..)),
            ]
            .into(),
            rest: None,
        },
        |_, request| Slow {
            head: Some(seconds(1)),
            chunks: body(request)
                .iter()
                .map(|byte| (seconds(1), Bytes::from(vec![*byte])))
                .collect(),
            rest: None,
        },
    ];
    for script in scripts {
        let (world, client, http) = slow_client(1, once(), script);
        assert_eq!(call(&world, &client), timed_out());
        assert_eq!(world.now(), seconds(30));
        world.memory.runtime.run_until_idle();
        assert_eq!(http.load.lock().unwrap().now, 0, "the exchange is given up");
    }
}

#[test]
fn an_endless_body_is_given_up_at_its_limit() {
    let config = UpstreamConfig { response_bytes_max: 1000, ..once() };
    let (world, client, _) = slow_client(1, config, |_, _| Slow {
        head: Some(Duration::ZERO),
        chunks: VecDeque::new(),
        rest: Some((Duration::from_millis(1), Bytes::from_static(&[b' '; 100]))),
    });
    let detail = NetError::TooLarge(1000).to_string();
    assert_eq!(call(&world, &client), Err(UpstreamError::Unavailable { detail }));
    assert_eq!(world.now(), Duration::from_millis(11));
}

#[test]
fn a_body_of_just_the_limit_is_read() {
    let length = r#"{"id":1,"jsonrpc":"2.0","result":"well"}"#.len();
    for (limit, is_ok) in [(length, true), (length - 1, false)] {
        let config = UpstreamConfig { response_bytes_max: limit, ..once() };
        let (world, client, _) =
            slow_client(1, config, |_, request| Slow::after(seconds(0), body(request)));
        assert_eq!(call(&world, &client).is_ok(), is_ok);
    }
}

#[test]
fn an_endpoint_that_never_answers_is_left_for_one_that_does() {
    let (world, client, _) =
        slow_client(2, UpstreamConfig::default(), |endpoint, request| match endpoint {
            0 => Slow { head: None, chunks: VecDeque::new(), rest: None },
            _ => Slow::after(Duration::from_millis(50), body(request)),
        });
    for _ in 0..3 {
        call(&world, &client).unwrap();
    }
    let before = world.now();
    call(&world, &client).unwrap();
    assert_eq!(world.now() - before, Duration::from_millis(50));
}

fn many(world: &World, client: &RpcClient, count: usize) -> usize {
    let calls = (0..count).map(|_| client.call("eth_x", json!([])));
    let answers = world.memory.block_on(join_all(calls));
    answers.into_iter().filter(Result::is_ok).count()
}

fn fast() -> UpstreamConfig {
    UpstreamConfig { requests_per_second_max: 1_000_000, ..Default::default() }
}

#[test]
fn more_exchanges_run_at_the_same_time_while_all_goes_well() {
    let config = UpstreamConfig { in_flight_max: 9, ..fast() };
    let (world, client, http) =
        slow_client(1, config, |_, request| Slow::after(Duration::from_millis(10), body(request)));
    assert_eq!(many(&world, &client, 4), 4);
    assert_eq!(http.load.lock().unwrap().most, 4);
    assert_eq!(many(&world, &client, 200), 200);
    assert_eq!(http.load.lock().unwrap().most, 9);
    assert_eq!(http.load.lock().unwrap().total, 204);
}

#[test]
fn fewer_exchanges_run_at_the_same_time_when_it_was_too_much() {
    let (world, client, http) =
        slow_client(1, fast(), |_, request| match calls(request)[0]["params"][0].as_bool() {
            Some(true) => Slow::after(Duration::from_millis(10), body(request)),
            _ => {
                let answer = faithful(request, |_, _| error(-32_005, "limit exceeded"));
                Slow::after(Duration::from_millis(10), answer.body)
            }
        });
    let ask = |is_good: bool, count: usize| {
        let calls = (0..count).map(|_| client.call("eth_x", json!([is_good])));
        let answers = world.memory.block_on(join_all(calls));
        let load = std::mem::take(&mut *http.load.lock().unwrap());
        (answers.iter().filter(|answer| answer.is_ok()).count(), load.most)
    };
    assert_eq!(ask(true, 300), (300, 16));
    assert_eq!(ask(false, 1).0, 0);
    world.sleep(seconds(60));
    // Four tries, four halvings.
    assert_eq!(ask(true, 1), (1, 1));
    let (answered, most) = ask(true, 3);
    assert_eq!(answered, 3);
    assert!(most <= 3, "{most}");
}

#[test]
fn calls_in_a_second_are_bounded_and_entries_of_batches_count() {
    let config = UpstreamConfig { requests_per_second_max: 10, ..Default::default() };
    let (world, client, http) =
        slow_client(1, config, |_, request| Slow::after(Duration::ZERO, body(request)));
    assert_eq!(many(&world, &client, 105), 105);
    let took = world.now();
    assert!((seconds(9)..=seconds(10)).contains(&took), "{took:?}");
    let calls = (0..100).map(|_| ("eth_x", json!([]))).collect();
    let answers = world.memory.block_on(client.call_many(calls));
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(http.load.lock().unwrap().total, 105 + 5);
    let took = world.now() - took;
    assert!((seconds(7)..=seconds(10)).contains(&took), "{took:?}");
}

#[test]
fn whoever_is_not_polled_keeps_no_place_from_others() {
    let config = UpstreamConfig { in_flight_max: 1, ..Default::default() };
    let (world, client, http) =
        slow_client(1, config, |_, request| Slow::after(seconds(1), body(request)));
    let mut left_alone = client.call("eth_x", json!([])).boxed();
    assert!((&mut left_alone).now_or_never().is_none());
    assert_eq!(call(&world, &client), Ok("\"well\"".into()));
    assert_eq!(http.load.lock().unwrap().total, 2);
    assert!(world.memory.block_on(left_alone).is_ok());
}

#[test]
fn a_call_that_is_dropped_is_given_up() {
    let (world, client, http) = slow_client(1, UpstreamConfig::default(), |_, request| {
        Slow::after(seconds(9), body(request))
    });
    let calls: Vec<_> = (0..50).map(|_| ("eth_x", json!([]))).collect();
    let mut dropped = client.call_many(calls).boxed();
    assert!((&mut dropped).now_or_never().is_none());
    world.memory.runtime.run_until_idle();
    assert_eq!(http.load.lock().unwrap().now, 3);
    drop(dropped);
    world.memory.runtime.run_until_idle();
    assert_eq!(http.load.lock().unwrap().now, 0);
    assert!(world.memory.runtime.task_names().is_empty());
    assert!(call(&world, &client).is_ok());
}

#[test]
fn a_process_that_goes_down_answers_no_call() {
    let (world, client, _) = slow_client(1, UpstreamConfig::default(), |_, request| {
        Slow::after(seconds(9), body(request))
    });
    let mut open = client.call("eth_x", json!([])).boxed();
    assert!((&mut open).now_or_never().is_none());
    world.memory.runtime.run_until_idle();
    world.memory.runtime.kill();
    let answer = open.now_or_never().unwrap().unwrap_err();
    assert_eq!(answer, UpstreamError::Unavailable { detail: "the process is going down".into() });
}
