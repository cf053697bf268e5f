//! Which endpoint is asked, and how often when it fails.

use lockstep_io::Io;
use lockstep_types::ChainId;

use super::{
    slow_http::{Slow, SlowHttp},
    *,
};

fn call(world: &World, client: &RpcClient) -> Result<String, UpstreamError> {
    world.memory.block_on(client.call("eth_x", json!([]))).map(raw)
}

/// Endpoint `bad` fails, others answer.
fn without(bad: usize) -> impl Fn(usize, &HttpRequest) -> Result<Answer, NetError> {
    move |endpoint, request| match endpoint == bad {
        true => Err(NetError::Connect("refused".into())),
        false => well(request),
    }
}

#[test]
fn the_first_endpoint_is_preferred() {
    let world = World::new();
    let log = world.serve(|_, request| well(request));
    let client = world.client(3, UpstreamConfig::default());
    for _ in 0..5 {
        call(&world, &client).unwrap();
    }
    assert_eq!(endpoints(&log), [0; 5]);
}

#[test]
fn another_endpoint_is_asked_when_one_fails() {
    for fault in [
        Err(NetError::Connect("refused".into())),
        Ok(Answer::status(429)),
        Ok(Answer::status(500)),
        Ok(Answer::ok("<html>")),
    ] {
        let world = World::new();
        let log = world.serve(move |endpoint, request| match endpoint {
            0 => fault.clone(),
            _ => well(request),
        });
        let client = world.client(2, UpstreamConfig::default());
        call(&world, &client).unwrap();
        assert_eq!(endpoints(&log), [0, 1]);
    }
}

#[test]
fn an_endpoint_that_keeps_failing_rests_and_is_tried_again_later() {
    let world = World::new();
    let log = world.serve(without(0));
    let client = world.client(2, UpstreamConfig::default());
    for _ in 0..3 {
        call(&world, &client).unwrap();
    }
    assert_eq!(endpoints(&log), [0, 1, 0, 1, 0, 1]);
    log.lock().unwrap().clear();
    for _ in 0..10 {
        call(&world, &client).unwrap();
    }
    assert_eq!(endpoints(&log), [1; 10], "the first endpoint rests");
    // Rests grow: in ten minutes there are few tries.
    log.lock().unwrap().clear();
    let end = world.now() + Duration::from_secs(600);
    while world.now() < end {
        call(&world, &client).unwrap();
        world.sleep(Duration::from_millis(500));
    }
    let tries = endpoints(&log).iter().filter(|endpoint| **endpoint == 0).count();
    assert!((15..60).contains(&tries), "{tries}");
    // Back in order, it is preferred again.
    let log = world.serve(|_, request| well(request));
    world.sleep(Duration::from_secs(30));
    for _ in 0..3 {
        call(&world, &client).unwrap();
    }
    assert_eq!(endpoints(&log), [0; 3]);
}

#[test]
fn nothing_is_asked_in_a_hurry_while_everything_fails() {
    for fault in [
        Err(NetError::Connect("refused".into())),
        Err(NetError::TooLarge(1)),
        Ok(Answer::status(500)),
        Ok(Answer::status(429)),
        Ok(Answer::ok("<html>")),
        Ok(Answer::ok(r#"{"id":null,"error":{"code":-32600,"message":"no"}}"#)),
    ] {
        for endpoint_count in [1, 3] {
            let world = World::new();
            let answer = fault.clone();
            let log = world.serve(move |_, _| answer.clone());
            let client = world.client(endpoint_count, UpstreamConfig::default());
            // A caller in a hurry: no pause between calls.
            let mut call_count = 0;
            while world.now() < Duration::from_secs(60) {
                call(&world, &client).unwrap_err();
                call_count += 1;
                assert!(call_count < 100, "calls fail without taking time");
            }
            let requests = sizes(&log).len();
            let range = endpoint_count * 5..endpoint_count * 15;
            assert!(range.contains(&requests), "{requests} requests, {fault:?}");
        }
    }
}

#[test]
fn one_request_finds_out_whether_an_endpoint_is_back() {
    let second = Duration::from_secs(1);
    let back_at = Duration::from_secs(1000);
    let world = World::new();
    let clock = world.memory.clock.clone();
    let http = SlowHttp::new(Arc::new(clock.clone()), move |_, request| {
        let is_back = Duration::from_nanos(clock.mono().0) >= back_at;
        let body = if is_back { well(request).unwrap().body } else { "<html>".into() };
        Slow::after(second, body)
    });
    let io = Io { http: Arc::new(http.clone()), ..world.memory.io() };
    let client = RpcClient::new(&io, "test", vec![EndpointId(0)], UpstreamConfig::default());
    let ask = |count: usize| {
        let calls = (0..count).map(|_| client.call("eth_x", json!([])));
        let answers = world.memory.block_on(futures::future::join_all(calls));
        let load = std::mem::take(&mut *http.load.lock().unwrap());
        (answers.iter().filter(|answer| answer.is_ok()).count(), load)
    };
    let (answered, _) = ask(1);
    assert_eq!(answered, 0);
    // It rests now. Of those who wait, one goes at a time.
    let (answered, load) = ask(3);
    assert_eq!((answered, load.most), (0, 1));
    assert!(load.total > 3, "{load:?}");
    // Once one of them was answered, the others go on at once.
    world.sleep(back_at);
    let before = world.now();
    let (answered, load) = ask(5);
    assert_eq!((answered, load.total), (5, 5));
    assert!(load.most > 1, "{load:?}");
    assert!(world.now() - before <= 4 * second, "{:?}", world.now() - before);
}

#[test]
fn a_flapping_endpoint_costs_no_answers() {
    let world = World::new();
    let count = Mutex::new(0);
    let log = world.serve(move |endpoint, request| {
        let mut count = count.lock().unwrap();
        *count += 1;
        if endpoint == 0 && *count % 2 == 0 { Err(NetError::TimedOut) } else { well(request) }
    });
    let client = world.client(2, UpstreamConfig::default());
    for _ in 0..50 {
        call(&world, &client).unwrap();
    }
    assert!(endpoints(&log).contains(&0) && endpoints(&log).contains(&1));
}

/// A server that says `429` once with `headers`; returns when it is asked again.
fn asked_again_after(headers: &[(&str, &str)]) -> Duration {
    let world = World::new();
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let answer =
        move |_: &HttpRequest| Ok(Answer { headers: headers.clone(), ..Answer::status(429) });
    let log = world.serve(at_first(answer, well));
    world.call("eth_x").unwrap();
    let asked = log.lock().unwrap();
    assert_eq!(asked.len(), 2);
    asked[1].at.since(asked[0].at)
}

#[test]
fn a_pause_that_was_asked_for_is_kept() {
    let seconds = Duration::from_secs;
    assert_eq!(asked_again_after(&[("retry-after", "7")]), seconds(7));
    // Virtual wall time begins on 2024-01-01.
    let date = ("retry-after", "Mon, 01 Jan 2024 00:00:12 GMT");
    assert_eq!(asked_again_after(&[date]), seconds(12));
    let their_clock = ("date", "Mon, 01 Jan 2024 00:00:04 GMT");
    assert_eq!(asked_again_after(&[their_clock, date]), seconds(8));
    assert_eq!(asked_again_after(&[("retry-after", "86400")]), seconds(60), "within bounds");
    for nonsense in ["soon", "-1", "1.5", "", "Mon, 01 Jan 2024"] {
        let pause = asked_again_after(&[("retry-after", nonsense)]);
        assert!(pause <= Duration::from_millis(250), "{nonsense}: {pause:?}");
    }
}

#[test]
fn a_pause_that_was_asked_for_holds_for_every_call_and_not_for_other_endpoints() {
    let world = World::new();
    let log = world.serve(|endpoint, request| match endpoint {
        0 => {
            Ok(Answer { headers: vec![("retry-after".into(), "30".into())], ..Answer::status(503) })
        }
        _ => well(request),
    });
    let client = world.client(2, UpstreamConfig::default());
    for _ in 0..5 {
        call(&world, &client).unwrap();
    }
    assert_eq!(endpoints(&log), [0, 1, 1, 1, 1, 1]);
    assert!(world.now() < Duration::from_secs(1));
    world.sleep(Duration::from_secs(30));
    call(&world, &client).unwrap();
    assert_eq!(endpoints(&log)[6..], [0, 1]);
}

fn of_chain(id: u64) -> impl Fn(&str, &Value) -> Said {
    move |method, _| match method {
        "eth_chainId" => result(format!("{id:#x}")),
        _ => result("well"),
    }
}

#[test]
fn an_endpoint_of_another_chain_is_not_used() {
    let world = World::new();
    let log = world.serve(|endpoint, request| match endpoint {
        0 => Ok(faithful(request, of_chain(5))),
        _ => Ok(faithful(request, of_chain(270))),
    });
    let config = UpstreamConfig { chain_id: Some(ChainId(270)), ..Default::default() };
    let client = world.client(2, config.clone());
    for _ in 0..3 {
        call(&world, &client).unwrap();
    }
    let asked = log.lock().unwrap().clone();
    let wrong = asked.iter().filter(|asked| asked.endpoint == 0);
    assert!(wrong.clone().all(|asked| asked.methods == ["eth_chainId"]) && wrong.count() > 0);
    let checks = asked.iter().filter(|it| it.endpoint == 1 && it.methods == ["eth_chainId"]);
    assert_eq!(checks.count(), 1, "it is asked once");
    // If it is the only one, that is what the caller is told.
    let error = call(&world, &world.client(1, config)).unwrap_err();
    let UpstreamError::Lie { detail } = error else { panic!("{error:?}") };
    assert!(detail.contains("endpoint 0 is of chain 5, not of chain 270"), "{detail}");
}
