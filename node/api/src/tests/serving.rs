//! Which methods are there, how large and how long answers may be, and one view for a batch.

use std::{collections::BTreeMap, time::Duration};

use lockstep_io_memory::MemoryIo;
use lockstep_types::{L1BatchNumber, TxType};
use serde_json::{Value, json};

use super::{
    sample::{Block, batch, event, genesis, l2_tx, receipt},
    toy::{Setup, Toy},
    world::World,
};
use crate::{ApiContext, Serving};

fn serving(serving: Serving) -> World {
    let change = |context: ApiContext| ApiContext { serving, ..context };
    let mut world = World::with_context(MemoryIo::new(0), None, change);
    world.persist_genesis(&genesis(Vec::new()));
    world
}

/// Parameters that are left over, and so long that the request is a job.
fn long() -> Value {
    json!(["x".repeat(10_000)])
}

#[test]
fn methods_of_a_namespace_that_is_off_are_not_there() {
    let namespaces = "eth,net".parse().unwrap();
    let world = serving(Serving { namespaces, ..Serving::default() });
    assert_eq!(world.ask("eth_chainId", json!([])), "0x10e");
    assert_eq!(world.ask("net_version", json!([])), "270");
    for method in ["zks_L1ChainId", "web3_clientVersion", "txpool_status", "eth_subscribe"] {
        let error = world.error(method, json!(["newHeads"]));
        assert_eq!(error, (-32_601, "Method not found".to_owned()), "{method}");
    }
}

#[test]
fn an_answer_that_is_too_long_is_an_error_unless_its_method_may() {
    let response_bytes_max_of = BTreeMap::from([("eth_getBlockByHash".to_owned(), 10_000)]);
    let limits = Serving { response_bytes_max: 100, response_bytes_max_of, ..Serving::default() };
    let world = serving(limits);
    let answer = world.call("eth_getBlockByNumber", &json!(["0x0", false]));
    let expected = json!({
        "code": -32_008, "message": "Response is too big", "data": "Exceeded max limit of 100",
    });
    assert_eq!(answer["error"], expected);
    let hash = lockstep_types::block::legacy_block_hash(lockstep_types::L2BlockNumber(0));
    assert_eq!(world.ask("eth_getBlockByHash", json!([hash.0, false]))["number"], "0x0");
}

#[test]
fn a_request_that_takes_too_long_is_given_up() {
    let setup = Setup { delay: Some(Duration::from_secs(5)), ..Setup::default() };
    let request_time_max = Some(Duration::from_secs(3));
    let toy = Toy::serving(setup, Serving { request_time_max, ..Serving::default() });
    let overloaded = "Request timed out due to server being overloaded";
    let expected = (503, overloaded.to_owned());
    assert_eq!(toy.world.error("eth_blockNumber", long()), expected);
    assert_eq!(toy.world.error("debug_traceBlockByNumber", json!(["0x1"])), expected);
}

#[test]
fn so_many_read_at_once_and_others_wait() {
    let setup = Setup { delay: Some(Duration::from_secs(1)), ..Setup::default() };
    let wait_max = Duration::from_millis(2_500);
    let limits = Serving { reads_max: 2, scans_max: 1, wait_max, ..Serving::default() };
    let toy = Toy::serving(setup, limits);
    let mut requests = vec![("eth_blockNumber", long()); 9];
    requests.extend(vec![("eth_getFilterChanges", json!(["0x1"])); 2]);
    let answers = toy.world.call_all(&requests);
    let most = |method| toy.load.most(method);
    assert_eq!((most("eth_blockNumber"), most("eth_getFilterChanges")), (2, 1));
    let codes: Vec<_> = answers.iter().map(|answer| answer["error"]["code"].as_i64()).collect();
    // There is no such filter.
    let expected = [vec![None; 6], vec![Some(503); 3], vec![Some(-32_602); 2]].concat();
    assert_eq!(codes, expected);
}

#[test]
fn a_batch_is_answered_from_one_view_whatever_happens_meanwhile() {
    let mut world = World::new(crate::ApiConfig::default());
    world.persist_genesis(&genesis(Vec::new()));
    let block = |number: u8, own: bool| {
        let mut block = Block { number: number.into(), batch: number.into(), ..Block::default() };
        if own {
            block.own = Some(receipt(vec![event(number, &[1])]));
        } else {
            let tx = (l2_tx(number, TxType::Eip1559), receipt(vec![event(number, &[1])]));
            block.transactions = vec![tx];
        }
        block.record()
    };
    world.persist(&block(1, true), Some(&batch(1, [1, 1], &[])));
    world.persist(&block(2, false), None);
    let requests = [
        ("eth_blockNumber", json!([])),
        ("eth_getBlockByNumber", json!(["latest", false])),
        ("eth_getBlockByNumber", json!(["finalized", false])),
        ("eth_blockNumber", json!([])),
        ("eth_getBlockByNumber", json!(["0x2", false])),
        ("eth_getLogs", json!([{"fromBlock": "0x0"}])),
    ];
    let before = world.batch(&requests, |_, _| {});
    // After the first answer the newest block goes.
    let answers = world.batch(&requests, |world, index| {
        if index == 0 {
            world.roll_back(L1BatchNumber(1));
        }
    });
    assert_eq!(answers, before);
    assert_eq!(world.ask("eth_blockNumber", json!([])), "0x1");
}
