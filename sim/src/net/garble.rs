//! What is said, made wrong: so that no honest server would say it.

use bytes::Bytes;
use rand_chacha::{ChaCha8Rng, rand_core::RngCore};
use serde_json::{Value, json};

use super::fault::{Change, Fate};
use crate::model::Answer;

/// Changes `answer` as `fate` says.
pub(super) fn apply(fate: &Fate, answer: &mut Answer, rng: &mut ChaCha8Rng) {
    match fate.change {
        None => {}
        Some(Change::Garbled) => answer.body = garbled(&answer.body, rng),
        Some(Change::Status(status)) => {
            answer.status = status;
            answer.body = Bytes::from_static(b"<html><body>try later</body></html>");
        }
        Some(Change::TooMany) => {
            answer.status = 429;
            answer.body = Bytes::new();
            let values = ["", "1", "7", "300", "soon", "-5", "Wed, 21 Oct 2065 07:28:00 GMT"];
            let value = values[below(rng, values.len())];
            if !value.is_empty() {
                answer.headers.push(("retry-after".to_owned(), value.to_owned()));
            }
        }
        Some(Change::RpcError) => with_json(answer, rng, rpc_error),
        Some(Change::BadBatch) => with_json(answer, rng, bad_batch),
    }
}

fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    let bound = u32::try_from(bound.max(1)).unwrap_or(u32::MAX);
    usize::try_from(rng.next_u32() % bound).unwrap_or(0)
}

fn with_json(
    answer: &mut Answer,
    rng: &mut ChaCha8Rng,
    change: impl Fn(&mut Value, &mut ChaCha8Rng),
) {
    if let Ok(mut value) = serde_json::from_slice::<Value>(&answer.body) {
        change(&mut value, rng);
        answer.body = value.to_string().into();
    }
}

/// Puts an error in the place of a result, in a batch of some.
fn rpc_error(value: &mut Value, rng: &mut ChaCha8Rng) {
    let errors = [
        (-32_005, "limit exceeded"),
        (-32_016, "over rate limit"),
        (-32_601, "method not found"),
        (-32_603, "internal error"),
        (-32_000, "header not found"),
        (429, "too many requests"),
    ];
    let (code, message) = errors[below(rng, errors.len())];
    let error = json!({"code": code, "message": message});
    let fail = |entry: &mut Value| {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("result");
            entry.insert("error".to_owned(), error.clone());
        }
    };
    match value.as_array_mut() {
        None => fail(value),
        Some(entries) => {
            for entry in entries {
                if rng.next_u32().is_multiple_of(2) {
                    fail(entry);
                }
            }
        }
    }
}

/// Turns a batch around, shortens it, or makes one object of it.
fn bad_batch(value: &mut Value, rng: &mut ChaCha8Rng) {
    let Some(entries) = value.as_array_mut() else { return };
    match rng.next_u32() % 5 {
        // Any order is allowed.
        0 => entries.reverse(),
        1 => {
            let keep = below(rng, entries.len());
            entries.truncate(keep);
        }
        2 => {
            *value = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32_600, "message": "batches are not supported"}})
        }
        3 => {
            if let Some(first) = entries.first().cloned() {
                entries.push(first);
            }
        }
        _ => entries.rotate_left(1),
    }
}

/// Makes something of `body` that does not mean what was meant.
///
/// The result of a change that keeps it JSON differs in type or shape from what was there, so that
/// nobody can take it for an honest answer; a changed digit of a hash would be a lie.
fn garbled(body: &Bytes, rng: &mut ChaCha8Rng) -> Bytes {
    match rng.next_u32() % 6 {
        0 => Bytes::from_static(b"<!doctype html><title>Attention Required!</title>"),
        1 => Bytes::new(),
        2 => {
            // Invalid UTF-8 in the middle.
            let mut bytes = body.to_vec();
            let at = below(rng, bytes.len());
            bytes.insert(at, 0xff);
            bytes.into()
        }
        3 => Bytes::from("[".repeat(100_000)),
        _ => {
            let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.clone() };
            let count = count_of(&value);
            let mut at = below(rng, count);
            mistype(&mut value, &mut at);
            value.to_string().into()
        }
    }
}

/// Places below `result`s of `value` that can be changed.
fn count_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count_of).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count_of).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Gives the place with number `at` a value of another type; numbers run in order.
fn mistype(value: &mut Value, at: &mut usize) {
    if *at == 0 {
        *value = match value {
            Value::Array(_) => json!("[]"),
            Value::Object(_) => json!([]),
            Value::String(_) => json!({"unexpected": true}),
            Value::Number(_) => json!([[]]),
            Value::Null => json!({"nothing": "here"}),
            Value::Bool(_) => json!("perhaps"),
        };
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for child in children {
        if *at == usize::MAX {
            return;
        }
        mistype(child, at);
    }
}
