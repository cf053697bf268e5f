//! Requests of all kinds, by the ten thousand: every one is answered, by an answer of its own or an
//! error that is not ours.
//!
//! The number of requests and the seed can be set by `LOCKSTEP_FUZZ_REQUESTS` and
//! `LOCKSTEP_FUZZ_SEED`.

#[expect(unreachable_pub, reason = "shared with the test over a socket")]
mod generate;

use std::collections::BTreeMap;

use lockstep_vm_toy::{Op, Program};
use serde_json::Value;

use self::generate::{Chance, Generator, Known};
use super::{
    sample::{ALICE, CONTRACT},
    toy::{Setup, Toy},
};
use crate::ApiConfig;

/// Requests where nothing else is asked for.
const REQUESTS: u64 = 6_000;
const INTERNAL_ERROR: i64 = -32_603;
const METHOD_NOT_FOUND: i64 = -32_601;

#[expect(clippy::disallowed_methods, reason = "a long run is asked for by hand")]
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => default,
    }
}

#[expect(clippy::print_stdout, reason = "a long run tells what it did")]
fn tell(words: &str) {
    println!("{words}");
}

fn known(toy: &Toy) -> Known {
    let input = |ops: &[Op]| Program(ops.to_vec()).encode().to_string();
    let hashes = (0..=6).map(|block| toy.hash(block).to_string());
    let tx_hashes = [(1, 0), (2, 0), (2, 1), (4, 0), (6, 0)];
    let tx_hashes = tx_hashes.map(|(block, index)| toy.tx_hash(block, index).to_string());
    Known {
        addresses: [ALICE, CONTRACT].map(|address| address.to_string()).to_vec(),
        hashes: hashes.chain(tx_hashes).collect(),
        head: 6,
        inputs: vec![
            input(&[Op::Return { key: 5 }]),
            input(&[Op::Add { key: 5, amount: 1 }, Op::Emit { topic: 1, data: 2 }]),
            input(&[Op::Write { key: 6, value: 1 }, Op::Revert]),
            input(&[Op::Halt]),
            input(&[Op::Deploy { dep: 0, account: 77 }, Op::Burn { gas: 1_000 }]),
        ],
        raws: Vec::new(),
    }
}

/// What answers there were, by method and code; 0 is a result.
type Answers = BTreeMap<String, BTreeMap<i64, u64>>;

fn note(answers: &mut Answers, request: &str, answer: &Value) {
    let Ok(request) = serde_json::from_str::<Value>(request) else { return };
    let Some(method) = request["method"].as_str() else { return };
    let code = answer["error"]["code"].as_i64().unwrap_or(0);
    *answers.entry(method.to_owned()).or_default().entry(code).or_default() += 1;
}

/// The test over a socket asks for what is in the list.
#[test]
fn the_list_of_methods_has_all_of_them() {
    let list: Vec<&str> = include_str!("methods.txt").lines().collect();
    let names = Toy::new(Setup::default()).world.method_names();
    let missing: Vec<_> = names.iter().filter(|name| !list.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(list.is_sorted());
}

#[test]
fn every_request_is_answered_and_no_answer_is_an_internal_error() {
    let seed = setting("LOCKSTEP_FUZZ_SEED", 6);
    let count = setting("LOCKSTEP_FUZZ_REQUESTS", REQUESTS);
    let config = ApiConfig { filters_max: 50, ..ApiConfig::default() };
    let toy = Toy::new(Setup { config, ..Setup::default() });
    let methods = toy.world.method_names();
    let (known, chance) = (known(&toy), Chance(seed));
    let mut generator = Generator { chance, known, methods: methods.clone() };
    let mut answers = Answers::new();
    for number in 0..count {
        let request = generator.request();
        let answer = toy.world.raw(&request);
        let place = || format!("request {number} of seed {seed}: {request}\n{answer}");
        let parsed: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{}", place()));
        assert!(parsed.is_object(), "{}", place());
        let code = parsed["error"]["code"].as_i64();
        assert_ne!(code, Some(INTERNAL_ERROR), "{}", place());
        if let Some(id) = parsed["result"].as_str().filter(|id| id.len() > 60) {
            // Ids of filters and hashes of all kinds: later requests ask for them.
            generator.known.hashes.push(id.to_owned());
            generator.known.hashes.truncate(200);
        }
        note(&mut answers, &request, &parsed);
    }
    tell(&format!("{count} requests of seed {seed}, {} methods", methods.len()));
    if count < REQUESTS {
        return;
    }
    // The table is good: nearly all methods were reached, and gave results.
    let without: Vec<_> = methods
        .iter()
        .filter(|method| {
            let codes = answers.get(*method);
            codes.is_none_or(|codes| !codes.keys().any(|code| [0, METHOD_NOT_FOUND].contains(code)))
        })
        .collect();
    tell(&format!("never any result: {without:?}"));
    assert!(without.len() * 10 <= methods.len(), "{without:?}");
}
