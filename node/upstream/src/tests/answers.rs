//! Answers that fail a call, and what comes of it.

use super::*;

/// Asks once; the first request is answered with `fault`, the second well.
fn heals_after(fault: impl Fn(&HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static) {
    let world = World::new();
    let log = world.serve(at_first(fault, well));
    assert_eq!(world.call("eth_x"), Ok("\"well\"".into()));
    assert_eq!(sizes(&log), [1, 1]);
}

#[test]
fn a_network_failure_is_tried_again() {
    for fault in [
        NetError::Connect("refused".into()),
        NetError::Dns("no such host".into()),
        NetError::Tls("bad certificate".into()),
        NetError::Reset("by peer".into()),
        NetError::TimedOut,
        NetError::TooLarge(5),
    ] {
        heals_after(move |_| Err(fault.clone()));
    }
}

#[test]
fn a_status_that_is_no_success_is_tried_again() {
    for status in [301, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504] {
        heals_after(move |_| Ok(Answer::status(status)));
        // What looks like an answer beside such a status is none, but for 400 (below).
        if status != 400 {
            heals_after(move |request| Ok(Answer { status, ..well(request)? }));
        }
    }
}

#[test]
fn a_passing_error_is_tried_again() {
    for code in [-32_009, -32_603, -32_005, 429] {
        heals_after(move |request| Ok(faithful(request, |_, _| error(code, "later"))));
    }
    heals_after(|request| Ok(faithful(request, |_, _| error(-32_000, "Rate limit reached"))));
    heals_after(|_| Ok(Answer::ok(r#"{"id":null,"error":{"code":-32005,"message":"later"}}"#)));
    heals_after(|_| Ok(Answer::ok(r#"{"error":{"code":-32700,"message":"Parse error"}}"#)));
}

#[test]
fn garbage_is_tried_again() {
    for body in [
        "",
        "<html><body>Bad gateway</body></html>",
        "null",
        "\"0x1\"",
        "[]",
        "{}",
        "{\"jsonrpc\":\"2.0\",\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"id\":999,\"result\":\"of another call\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":\"0x1\"}",
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x1\"}]",
    ] {
        heals_after(move |_| Ok(Answer::ok(body)));
    }
    heals_after(|_| Ok(Answer::ok(vec![b'{', 0xff, b'}'])));
}

#[test]
fn a_body_that_is_cut_anywhere_is_no_answer() {
    let world = World::new();
    let config = UpstreamConfig { attempts_max: 1, rest_max: Duration::ZERO, ..Default::default() };
    let client = world.client(1, config);
    let cut_at = Arc::new(Mutex::new(0));
    let cut = cut_at.clone();
    world.serve(move |_, request| {
        let answer = faithful(request, |_, _| result(json!({"number": 5, "list": [1, "x"]})));
        Ok(Answer { body: answer.body.slice(..*cut.lock().unwrap()), ..answer })
    });
    // Ids below 1000 have the same number of bytes from call 100 on.
    for _ in 0..99 {
        world.memory.block_on(client.call("eth_x", json!([]))).unwrap_err();
    }
    let whole = r#"{"id":100,"jsonrpc":"2.0","result":{"list":[1,"x"],"number":5}}"#.len();
    for length in 0..=whole {
        *cut_at.lock().unwrap() = length;
        let answer = world.memory.block_on(client.call("eth_x", json!([])));
        assert_eq!(answer.is_ok(), length == whole, "{length}: {answer:?}");
    }
}

#[test]
fn an_answer_to_the_call_before_is_not_taken_for_this_one() {
    let world = World::new();
    let earlier = Mutex::new(None);
    world.serve(move |_, request| {
        let answer = faithful(request, |_, params| result(params[0].clone()));
        // Each call gets what the one before should have got.
        Ok(earlier.lock().unwrap().replace(answer).unwrap_or(Answer::ok("")))
    });
    let client = world.client(1, UpstreamConfig::default());
    for number in 0..5 {
        let answer = world.memory.block_on(client.call("eth_x", json!([number])));
        assert!(matches!(answer, Err(UpstreamError::Malformed { .. })), "{answer:?}");
    }
}

#[test]
fn a_refusal_is_final_and_comes_with_everything_it_said() {
    let world = World::new();
    let log = world.serve(|_, request| {
        Ok(faithful(
            request,
            |_, _| json!({"error": {"code": 3, "message": "reverted", "data": {"why": "0x08c3"}}}),
        ))
    });
    let rejected = UpstreamError::Rejected {
        code: 3,
        message: "reverted".into(),
        data: Some(json!({"why": "0x08c3"})),
    };
    assert_eq!(world.call("eth_x"), Err(rejected));
    assert_eq!(sizes(&log), [1]);
}

#[test]
fn a_refusal_may_have_status_400() {
    let world = World::new();
    let log = world.serve(|_, request| {
        let answer = faithful(request, |_, _| error(-32_602, "Invalid params"));
        Ok(Answer { status: 400, ..answer })
    });
    let refused = world.call("eth_x");
    assert!(matches!(refused, Err(UpstreamError::Rejected { code: -32_602, .. })), "{refused:?}");
    assert_eq!(sizes(&log), [1]);
}

#[test]
fn tries_are_counted_and_the_last_says_why() {
    let world = World::new();
    let log = world.serve(|_, _| Ok(Answer::status(502)));
    let detail = "status 502".to_owned();
    assert_eq!(world.call("eth_x"), Err(UpstreamError::Unavailable { detail }));
    assert_eq!(sizes(&log), [1, 1, 1, 1]);
}

#[test]
fn an_upstream_is_to_blame_for_its_answers_only_if_all_were_bad() {
    let world = World::new();
    world.serve(|_, _| Ok(Answer::ok("<html>")));
    assert!(matches!(world.call("eth_x"), Err(UpstreamError::Malformed { .. })));
    world.serve(at_first(|_| Err(NetError::TimedOut), |_| Ok(Answer::ok("<html>"))));
    assert!(matches!(world.call("eth_x"), Err(UpstreamError::Unavailable { .. })));
}

#[test]
fn without_an_endpoint_there_is_no_answer() {
    let world = World::new();
    let client = world.client(0, UpstreamConfig::default());
    let answer = world.memory.block_on(client.call("eth_x", json!([])));
    let detail = "no endpoint is configured".to_owned();
    assert_eq!(answer.unwrap_err(), UpstreamError::Unavailable { detail });
}

#[test]
fn the_same_seed_asks_at_the_same_times() {
    let story = |seed| {
        let world = World { memory: MemoryIo::new(seed) };
        let log = world.serve(|endpoint, request| match endpoint {
            0 => Err(NetError::TimedOut),
            _ if calls(request).len() > 3 => Ok(Answer::status(413)),
            _ => Ok(faithful(request, |_, params| match params[0].as_u64() {
                Some(5) => error(-32_603, "Internal error"),
                _ => result(params.clone()),
            })),
        });
        let client = world.client(2, UpstreamConfig::default());
        let calls = (0..50).map(|number| ("eth_x", json!([number]))).collect();
        let answers = world.memory.block_on(client.call_many(calls));
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
        log.lock().unwrap().clone()
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}
