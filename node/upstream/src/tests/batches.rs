//! Several calls at once.

use super::*;

/// Calls whose parameter is their number.
fn numbers(count: u32) -> Vec<(&'static str, Value)> {
    (0..count).map(|number| ("eth_x", json!([number]))).collect()
}

fn ask(world: &World, client: &RpcClient, count: u32) -> Vec<Result<String, UpstreamError>> {
    let answers = world.memory.block_on(client.call_many(numbers(count)));
    answers.into_iter().map(|answer| answer.map(raw)).collect()
}

/// Every call was answered with its own parameters.
fn assert_all_are_right(answers: &[Result<String, UpstreamError>], count: u32) {
    let expected: Vec<_> = (0..count).map(|number| Ok(format!("[{number}]"))).collect();
    assert_eq!(answers, expected);
}

fn echo(request: &HttpRequest) -> Answer {
    faithful(request, |_, params| result(params.clone()))
}

/// Without pauses that depend on chance, and answered by `server`.
fn asked(
    count: u32,
    server: impl Fn(usize, &HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static,
) -> Vec<usize> {
    let world = World::new();
    let log = world.serve(server);
    let config = UpstreamConfig { backoff_min: Duration::ZERO, ..Default::default() };
    let client = world.client(1, config);
    assert_all_are_right(&ask(&world, &client, count), count);
    sizes(&log)
}

fn body(value: &Value) -> Result<Answer, NetError> {
    Ok(Answer::ok(value.to_string()))
}

/// The responses of an echo to a batch.
fn responses(request: &HttpRequest) -> Vec<Value> {
    calls(request).iter().map(|call| respond(call, result(call["params"].clone()))).collect()
}

#[test]
fn calls_are_sent_in_batches_and_answers_keep_their_order() {
    let backwards = |_, request: &HttpRequest| {
        if !is_batch(request) {
            return Ok(echo(request));
        }
        body(&responses(request).into_iter().rev().collect())
    };
    assert_eq!(asked(45, backwards), [20, 20, 5]);
    assert_eq!(asked(41, backwards), [20, 20, 1]);
    assert_eq!(asked(0, backwards), [0; 0]);
}

#[test]
fn an_answer_with_wrong_ids_is_dropped_whole_and_asked_again_in_halves() {
    type Damage = fn(Vec<Value>) -> Vec<Value>;
    let damages: [Damage; 6] = [
        // Short, longer, twice, strange, missing, of another type.
        |mut all| all.drain(..3).collect(),
        |mut all| {
            all.push(json!({"id": 999, "result": "x"}));
            all
        },
        |mut all| {
            all[1] = all[0].clone();
            all
        },
        |mut all| {
            all[2]["id"] = json!(0);
            all
        },
        |mut all| {
            all[2]["id"] = Value::Null;
            all
        },
        |mut all| {
            all[3]["id"] = json!(all[3]["id"].to_string());
            all
        },
    ];
    for damage in damages {
        let server = at_first(
            move |request| body(&json!(damage(responses(request)))),
            |request| Ok(echo(request)),
        );
        assert_eq!(asked(4, server), [4, 2, 2]);
    }
}

#[test]
fn calls_that_fail_in_a_batch_are_asked_again_alone() {
    let server = at_first(
        |request| {
            Ok(faithful(request, |_, params| match params[0].as_u64() {
                Some(1 | 3) => error(-32_603, "Internal error"),
                _ => result(params.clone()),
            }))
        },
        |request| Ok(echo(request)),
    );
    assert_eq!(asked(4, server), [4, 1, 1]);
}

#[test]
fn a_batch_whose_calls_all_fail_is_asked_again_in_halves() {
    let server = at_first(
        |request| Ok(faithful(request, |_, _| error(-32_009, "Server is busy"))),
        |request| Ok(echo(request)),
    );
    assert_eq!(asked(6, server), [6, 3, 3]);
}

#[test]
fn one_call_that_always_fails_does_not_fail_the_others() {
    let world = World::new();
    world.serve(|_, request| {
        Ok(faithful(request, |_, params| match params[0].as_u64() {
            Some(2) => error(-32_603, "Internal error"),
            Some(3) => error(-32_601, "Method not found"),
            _ => result(params.clone()),
        }))
    });
    let answers = ask(&world, &world.client(1, UpstreamConfig::default()), 5);
    assert!(matches!(answers[2], Err(UpstreamError::Unavailable { .. })), "{answers:?}");
    assert!(matches!(answers[3], Err(UpstreamError::Rejected { code: -32_601, .. })));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
}

#[test]
fn an_endpoint_that_refuses_batches_is_asked_singly_for_a_while() {
    for refusal in [
        json!({"id": null, "error": {"code": -32_600, "message": "Invalid request"}}),
        json!({"error": {"code": -32_005,
            "message": "Batched requests are not supported by this server"}}),
        json!({"id": null, "error": {"code": -32_000, "message": "no batching please"}}),
    ] {
        let world = World::new();
        let log = world.serve(
            move |_, request| {
                if is_batch(request) { body(&refusal) } else { Ok(echo(request)) }
            },
        );
        let client = world.client(1, UpstreamConfig::default());
        assert_all_are_right(&ask(&world, &client, 3), 3);
        assert_all_are_right(&ask(&world, &client, 3), 3);
        assert_eq!(sizes(&log), [3, 1, 1, 1, 1, 1, 1]);
        world.sleep(Duration::from_secs(600));
        assert_all_are_right(&ask(&world, &client, 2), 2);
        assert_eq!(sizes(&log)[7..], [2, 1, 1]);
    }
}

#[test]
fn an_endpoint_that_answers_batches_as_single_calls_is_asked_singly() {
    let single = |request: &HttpRequest| body(&responses(request)[0]);
    let world = World::new();
    let log = world.serve(move |_, request| match is_batch(request) {
        true => single(request),
        false => Ok(echo(request)),
    });
    let client = world.client(1, UpstreamConfig::default());
    assert_all_are_right(&ask(&world, &client, 4), 4);
    assert_eq!(sizes(&log).iter().filter(|size| **size > 1).count(), 2, "4, 2");
    log.lock().unwrap().clear();
    assert_all_are_right(&ask(&world, &client, 2), 2);
    assert_eq!(sizes(&log), [1, 1]);
    // Once is taken for a mix-up.
    let world = World::new();
    let log = world.serve(at_first(single, |request| Ok(echo(request))));
    let client = world.client(1, UpstreamConfig::default());
    assert_all_are_right(&ask(&world, &client, 4), 4);
    assert_all_are_right(&ask(&world, &client, 4), 4);
    assert_eq!(sizes(&log), [4, 2, 2, 4]);
}

#[test]
fn a_batch_that_is_too_large_is_split_until_it_fits() {
    type Refusal = fn(&HttpRequest) -> Result<Answer, NetError>;
    let refusals: [Refusal; 5] = [
        |_| Err(NetError::TooLarge(7)),
        |_| Ok(Answer::status(413)),
        |_| {
            body(&json!({"id": null, "error": {"code": -32_011,
            "message": "The batch response was too large"}}))
        },
        |_| {
            body(&json!({"error": {"code": -32_010, "message": "The batch request was too large"}}))
        },
        |_| body(&json!({"id": null, "error": {"code": -32_003, "message": ""}})),
    ];
    for refusal in refusals {
        let world = World::new();
        let log = world.serve(move |_, request| match calls(request).len() {
            0..=3 => Ok(echo(request)),
            _ => refusal(request),
        });
        // It does not count as a try.
        let config = UpstreamConfig { attempts_max: 1, ..Default::default() };
        let client = world.client(1, config);
        assert_all_are_right(&ask(&world, &client, 16), 16);
        assert_eq!(sizes(&log), [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]);
        log.lock().unwrap().clear();
        // What fits is remembered, and now and then a little more is tried.
        assert_all_are_right(&ask(&world, &client, 9), 9);
        assert!(sizes(&log).iter().all(|size| *size <= 3), "{:?}", sizes(&log));
    }
}

#[test]
fn calls_whose_answer_is_too_large_in_a_batch_are_asked_alone() {
    let server = |_, request: &HttpRequest| {
        let is_alone = !is_batch(request);
        Ok(faithful(request, move |_, params| match params[0].as_u64() {
            Some(1) if !is_alone => error(-32_008, "Response is too big"),
            _ => result(params.clone()),
        }))
    };
    assert_eq!(asked(3, server), [3, 1]);
}

#[test]
fn what_is_too_large_alone_is_refused() {
    let world = World::new();
    let log = world
        .serve(|_, request| Ok(faithful(request, |_, _| error(-32_008, "Response is too big"))));
    assert!(matches!(world.call("eth_x"), Err(UpstreamError::Rejected { code: -32_008, .. })));
    assert_eq!(sizes(&log), [1]);
}

#[test]
fn a_failing_upstream_is_not_asked_more_often_because_batches_are_split() {
    for answer in [Ok(Answer::ok("<html>")), Err(NetError::TimedOut), Ok(Answer::status(503))] {
        let world = World::new();
        let log = world.serve(move |_, _| answer.clone());
        let answers = ask(&world, &world.client(1, UpstreamConfig::default()), 20);
        assert!(answers.iter().all(Result::is_err));
        // 20, twice 10, four times 5, eight times 2 or 3: fifteen at most.
        assert!(sizes(&log).len() <= 15, "{:?}", sizes(&log));
    }
}
