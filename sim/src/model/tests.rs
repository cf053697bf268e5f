//! The model gives what a main node and L1 would give.

use lockstep_io::HttpRequest;
use serde_json::{Value, json};

use super::*;

fn ask(model: &mut Model, now_ms: u64, endpoint: usize, method: &str, params: Value) -> Value {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = HttpRequest {
        body: Some(call.to_string().into()),
        path: String::new(),
        timeout: Duration::from_secs(1),
        response_bytes_max: 1 << 20,
    };
    let answer = model.answer(Duration::from_millis(now_ms), EndpointId(endpoint), &request);
    serde_json::from_slice::<Value>(&answer.body).unwrap()["result"].take()
}

#[test]
fn a_chain_grows_and_its_batches_become_final() {
    let mut model = Model::new(&ModelPlan::default(), 1);
    model.heal(Duration::from_secs(5));
    let ExpectedEnd::Healthy { batch, block } = model.expected_end() else { panic!() };
    assert_eq!(
        ask(&mut model, 200_000, 0, "eth_blockNumber", json!([])),
        json!(format!("{block:#x}"))
    );
    let details = ask(&mut model, 200_000, 0, "zks_getL1BatchDetails", json!([batch]));
    let tx = details["executeTxHash"].clone();
    assert!(!tx.is_null(), "{details}");
    let receipt = ask(&mut model, 200_000, 1, "eth_getTransactionReceipt", json!([tx]));
    assert!(!receipt["blockNumber"].is_null(), "{receipt}");
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    let answers = || {
        let mut rng = rand_chacha::rand_core::SeedableRng::seed_from_u64(4);
        let plan = ModelPlan::draw(&mut rng);
        let mut model = Model::new(&plan, 7);
        let mut all = Vec::new();
        for second in 0..60 {
            let now = second * 1_000;
            if second % 10 == 5 {
                let event = ModelEvent::draw(&plan, &mut rng);
                model.apply(Duration::from_millis(now), &event);
            }
            all.push(ask(&mut model, now, 0, "eth_blockNumber", json!([])));
            all.push(ask(&mut model, now, 0, "zks_getL1BatchDetails", json!([second / 10])));
            all.push(ask(&mut model, now, 0, "en_syncL2Block", json!([second / 3, true])));
        }
        all
    };
    assert_eq!(answers(), answers());
}

#[test]
fn a_reorg_keeps_what_is_executed() {
    let mut model = Model::new(&ModelPlan { blocks_at_start: 100, ..ModelPlan::default() }, 1);
    for second in (20..200).step_by(5) {
        let now = Duration::from_secs(second);
        let before = model.view();
        model.advance(now);
        let executed = model.operator.newest(StepKind::Execute);
        model.apply(now, &ModelEvent::Reorg { depth: 9, batches: 0, kind: ForkKind::SameStart });
        let kept = usize::try_from(executed).unwrap();
        assert_eq!(before.branch[..kept], model.view().branch[..kept]);
    }
}
