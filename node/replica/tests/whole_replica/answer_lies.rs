//! Every field of every answer of an upstream, changed and left out: what comes of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_store::codec::decode;
use lockstep_types::{BatchSteps, StepKind, StepTx};
use serde_json::{Value, json};

use crate::support::{
    chain::BATCH_BLOCKS,
    upstream::step_hash,
    world::{BATCHES, Tables, World},
};

/// The batch that is lied about.
const BATCH: u32 = 2;
/// Its second block, and its fictive one.
const BLOCK: u32 = BATCH_BLOCKS + 2;
const FICTIVE: u32 = BATCH_BLOCKS * BATCH;
/// Blocks that are precommitted.
const PRECOMMITTED: u32 = BATCH_BLOCKS * 3;

/// How long a lie is told, after which everything honest has been done for long.
const LONG: Duration = Duration::from_secs(240);

/// What came of a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reaction {
    /// The chain is not begun: an error says why.
    Refused,
    /// Writes are halted for this reason, and nothing false is stored.
    Halted(&'static str),
    /// What would follow from the answer is missing until it is true; the rest goes on.
    Waits,
    /// Nothing is stored because of it.
    Unused,
    /// It is stored as it came.
    HandedOn,
}

/// What is stored as it came, because nothing there is can tell that it is wrong: the answer and
/// the path in it.
const HANDED_ON: &[(&str, &str)] = &[
    // Who got the fees of genesis, if there had been any.
    ("en_genesisConfig", "/fee_account"),
    // Told for people and by newer main nodes only.
    ("en_syncL2Block inner", "/pubdataLimit"),
    ("en_syncL2Block fictive", "/pubdataLimit"),
    // Input of the real machine, whose state tells; the toy machine does not know it.
    ("en_syncL2Block inner", "/virtualBlocks"),
    ("en_syncL2Block fictive", "/virtualBlocks"),
    // Obsolete fields of priority operations, which no hash covers.
    ("en_syncL2Block inner", "/transactions/0/common_data/L1/deadlineBlock"),
    ("en_syncL2Block inner", "/transactions/0/common_data/L1/ethBlock"),
    ("en_syncL2Block inner", "/transactions/0/common_data/L1/ethHash"),
    ("en_syncL2Block inner", "/transactions/0/common_data/L1/fullFee"),
    ("en_syncL2Block inner", "/transactions/0/common_data/L1/layer2TipFee"),
    // The sequencer's clock, and the main node's for when it saw a step.
    ("en_syncL2Block inner", "/transactions/0/received_timestamp_ms"),
    ("zks_getBlockDetails block", "/precommittedAt"),
    ("zks_getL1BatchDetails batch", "/committedAt"),
    ("zks_getL1BatchDetails batch", "/provenAt"),
    ("zks_getL1BatchDetails batch", "/executedAt"),
    // Kept as the announcement that it is. Nobody can compute one for the toy chain; where they are
    // computed, another one halts (`commitments`). L1's steps are not believed with it.
    ("zks_getL1BatchDetails batch", "/commitment"),
];

/// A question, and the name of it in the table.
#[derive(Clone, Debug)]
struct Question {
    name: String,
    method: String,
    params: Value,
}

/// Which question is lied about where a method is asked more than once: those with this first
/// parameter. Of other methods it is the first that has an answer.
fn picked(method: &str) -> Vec<(&'static str, Value)> {
    let step = |kind, number| (kind, json!(step_hash(kind, number)));
    match method {
        "en_syncL2Block" => vec![("inner", json!(BLOCK)), ("fictive", json!(FICTIVE))],
        "zks_getL1BatchDetails" => vec![("batch", json!(BATCH))],
        "zks_getBlockDetails" => vec![("block", json!(BLOCK))],
        "l1:eth_getBlockByNumber" => {
            ["latest", "safe", "finalized"].map(|tag| (tag, json!(tag))).into()
        }
        "l1:eth_getTransactionReceipt" => vec![
            step("commit", BATCH),
            step("prove", BATCH),
            step("execute", BATCH),
            step("precommit", BLOCK),
        ],
        _ => Vec::new(),
    }
}

/// The questions that are lied about, each with its honest answer: some of every method that is
/// asked.
fn questions(heard: &Heard) -> Vec<(Question, Value)> {
    let mut questions = Vec::new();
    for (method, asked) in heard {
        let mut answered = asked.iter().filter(|(_, answer)| !answer.is_null());
        let question = |label: &str, params: &Value| Question {
            name: format!("{method} {label}"),
            method: method.clone(),
            params: params.clone(),
        };
        let picks = picked(method);
        for (label, first) in &picks {
            let found = answered.clone().find(|(params, _)| params[0] == *first);
            let (params, answer) = found.unwrap_or_else(|| panic!("nobody asks {method} {label}"));
            questions.push((question(label, params), answer.clone()));
        }
        if picks.is_empty()
            && let Some((params, answer)) = answered.next()
        {
            questions.push((question("", params), answer.clone()));
        }
    }
    questions
}

/// The newest answer to each question, in the order in which they were asked first.
type Heard = BTreeMap<String, Vec<(Value, Value)>>;

/// One chain that is being precommitted, committed, proven and executed.
fn world() -> World {
    let world = World::new();
    world.upstream.set(|knobs| knobs.precommitted = PRECOMMITTED);
    world
}

/// What is stored when nobody lies, and every answer that was given: the newest to each question.
fn honest() -> (Tables, Heard) {
    let mut world = world();
    let heard = Arc::new(Mutex::new(Heard::new()));
    let told = heard.clone();
    world.upstream.twist(move |method, params, result| {
        let mut heard = told.lock().unwrap();
        let asked = heard.entry(method.to_owned()).or_default();
        match asked.iter_mut().find(|(asked, _)| asked == params) {
            Some((_, answer)) => answer.clone_from(result),
            None => asked.push((params.clone(), result.clone())),
        }
    });
    let running = world.start();
    running.follow_to(world.upstream.chain.tip());
    world.sleep(LONG);
    assert_eq!(running.batch(BATCHES)["status"], json!("verified"));
    let rows = world.dump(Some(running));
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    (rows, heard)
}

/// Paths of everything in `value` that has no parts. Bytes that are sent as numbers are one thing.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                leaves(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) if items.first().is_some_and(|item| !item.is_number()) => {
            found.push(at.to_owned());
            for (index, value) in items.iter().enumerate() {
                leaves(value, &format!("{at}/{index}"), found);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => found.push(at.to_owned()),
    }
}

/// Something else of the same kind.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => json!(format!("0x{}", "11".repeat(32))),
        Value::Bool(it) => json!(!it),
        Value::Number(it) => json!(it.as_u64().unwrap() ^ 1),
        Value::String(text) => {
            let mut text = text.clone();
            let last = text.pop();
            let is_hex = text.starts_with("0x") && last.is_some_and(|it| it.is_ascii_hexdigit());
            text.push(if is_hex && last != Some('1') { '1' } else { '2' });
            json!(text)
        }
        Value::Array(items) => match items.split_last() {
            None => json!([value]),
            // Bytes, or other things.
            Some((last, before)) if last.is_number() => {
                json!([before, &[other(last)]].concat())
            }
            Some((_, before)) => json!(before),
        },
        Value::Object(_) => json!({"other": 1}),
    }
}

/// The answer with the value at `path` changed, or gone.
fn lie(honest: &Value, path: &str, is_gone: bool) -> Value {
    let mut answer = honest.clone();
    let (before, name) = path.rsplit_once('/').unwrap_or_default();
    if is_gone
        && let Some(Value::Object(fields)) = answer.pointer_mut(before)
        && !path.is_empty()
    {
        fields.remove(name);
        return answer;
    }
    let at = answer.pointer_mut(path).unwrap();
    *at = if is_gone { Value::Null } else { other(at) };
    answer
}

/// Tables of `found` with something that is not so in `clean`. Cursors say how far this replica has
/// come.
fn false_tables(found: &Tables, clean: &Tables) -> Vec<&'static str> {
    let is_false = |table: &'static str, (key, row): &(Vec<u8>, Vec<u8>)| {
        let clean = clean[table].iter().find(|(clean, _)| clean == key).map(|(_, row)| row);
        let Some(clean) = clean else { return true };
        if table == "steps" { !is_some_of(row, clean) } else { clean != row }
    };
    let tables = found.iter().filter(|(table, _)| **table != "cursors");
    let wrong = tables.filter(|(table, rows)| rows.iter().any(|row| is_false(table, row)));
    wrong.map(|(table, _)| *table).collect()
}

/// Whether the steps in one row are among those in the other, or not as final yet.
fn is_some_of(row: &[u8], clean: &[u8]) -> bool {
    let (found, clean): (BatchSteps, BatchSteps) = (decode(row).unwrap(), decode(clean).unwrap());
    StepKind::ALL.into_iter().all(|kind| {
        let (Some(found), clean) = (found.get(kind), clean.get(kind)) else { return true };
        clean.is_some_and(|clean| {
            let same = StepTx { finality: clean.finality, ..found.clone() };
            same == *clean && found.finality <= clean.finality
        })
    })
}

/// Tables of which `found` has less than `clean`, without the cursors.
fn missing(found: &Tables, clean: &Tables) -> Vec<&'static str> {
    let tables = clean.iter().filter(|(table, _)| **table != "cursors");
    let less = tables.filter(|(table, rows)| found[*table].len() < rows.len());
    less.map(|(table, _)| *table).collect()
}

/// What comes of `answer` to `question`, and the tables that have something false then.
fn told(question: &Question, answer: Value, clean: &Tables) -> (Reaction, Vec<&'static str>) {
    let Question { method: asked, params, .. } = question.clone();
    let mut world = world();
    world.upstream.twist(move |method, with, result| {
        if method == asked && *with == params {
            *result = answer.clone();
        }
    });
    let (reaction, rows) = match world.open_within(LONG) {
        None => (Reaction::Waits, world.dump(None)),
        Some(Err(_refused)) => (Reaction::Refused, world.dump(None)),
        Some(Ok(replica)) => {
            let running = world.run(replica);
            running.within(LONG, |running| running.halted().is_some());
            // Evidence is written down, and what L1 contradicts is left.
            world.sleep(Duration::from_secs(10));
            let halted = running.halted().map(|(code, _)| Reaction::Halted(code));
            let rows = world.dump(Some(running));
            let without =
                if missing(&rows, clean).is_empty() { Reaction::Unused } else { Reaction::Waits };
            (halted.unwrap_or(without), rows)
        }
    };
    let wrong = false_tables(&rows, clean);
    if wrong.is_empty() && reaction != Reaction::Unused {
        world.upstream.be_honest();
        let running = world.start();
        running.follow_to(world.upstream.chain.tip());
        world.sleep(LONG);
        let healed = world.dump(Some(running));
        let name = &question.name;
        assert_eq!(false_tables(&healed, clean), Vec::<&str>::new(), "{name}: after the lie");
        let mut missing = missing(&healed, clean);
        // Those of batches that are final meanwhile say nothing more, and are not asked for.
        missing.retain(|table| *table != "precommits");
        assert_eq!(missing, Vec::<&str>::new(), "{name}: something is missing after the lie");
    }
    (if wrong.is_empty() { reaction } else { Reaction::HandedOn }, wrong)
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is for people")]
fn no_lie_about_any_field_of_any_answer_is_accepted() {
    let (clean, heard) = honest();
    let mut accepted = Vec::new();
    let mut counts = BTreeMap::<Reaction, usize>::new();
    for (question, honest) in &questions(&heard) {
        let name = question.name.as_str();
        let mut paths = Vec::new();
        leaves(honest, "", &mut paths);
        // One transaction is like the other.
        paths.retain(|path| !path.starts_with("/transactions/") || path.contains("/0/"));
        for path in paths {
            for is_gone in [false, true] {
                let answer = lie(honest, &path, is_gone);
                if answer == *honest {
                    continue;
                }
                let (reaction, wrong) = told(question, answer, &clean);
                *counts.entry(reaction).or_default() += 1;
                let how = if is_gone { "gone" } else { "other" };
                println!("{name:<40} {path:<52} {how:<6} {reaction:?} {}", wrong.join(" "));
                if reaction == Reaction::HandedOn
                    && !HANDED_ON.contains(&(name.trim(), path.as_str()))
                {
                    accepted.push(format!("{name} {path} {how}: {wrong:?}"));
                }
            }
        }
    }
    println!("{counts:?}, {} accepted", accepted.len());
    assert!(accepted.is_empty(), "{accepted:#?}");
}
