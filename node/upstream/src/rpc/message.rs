//! JSON-RPC 2.0 on the wire: what is sent, and which answer belongs to which call.
//!
//! An answer counts only if it answers exactly the calls that were sent: each id once, none
//! missing, none strange. Anything else is a [`Flaw`], and nothing of the answer is used.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

/// Longest message of an error that is kept.
const MESSAGE_CHARS_MAX: usize = 2000;

/// Longest data of an error that is kept, bytes of JSON.
const DATA_BYTES_MAX: usize = 64 << 10;

/// A call: method and parameters.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

/// An error as the upstream put it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

/// What the upstream said to one call.
pub(super) type Answer = Result<Box<RawValue>, RpcError>;

/// A well-formed answer.
#[derive(Debug)]
pub(super) enum Decoded {
    /// To each call, in the order in which they were asked.
    Answers(Vec<Answer>),
    /// One error for everything, naming no call.
    Refused(RpcError),
}

/// Why an answer is none.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Flaw {
    /// Not JSON-RPC.
    #[error("not JSON-RPC: {0}")]
    Garbage(String),
    /// A batch was answered as if it were one call.
    #[error("a batch was answered as a single call")]
    NotABatch,
    /// The answers are not to what was asked.
    #[error("{0}")]
    Ids(&'static str),
}

#[derive(Serialize)]
struct RequestJson<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: &'a Value,
}

/// Body of a request. One call goes alone, several as a batch; ids count up from `first_id`.
pub(super) fn encode<'a>(calls: impl ExactSizeIterator<Item = &'a Call>, first_id: u64) -> Bytes {
    let is_batch = calls.len() != 1;
    let requests: Vec<_> = (first_id..)
        .zip(calls)
        .map(|(id, Call { method, params })| RequestJson { jsonrpc: "2.0", id, method, params })
        .collect();
    let body = match requests.as_slice() {
        [one] if !is_batch => serde_json::to_vec(one),
        many => serde_json::to_vec(many),
    };
    body.expect("JSON values can be written").into()
}

#[derive(Deserialize)]
struct ResponseJson {
    #[serde(default)]
    id: Value,
    /// `null` is an answer too, so it is not read as an absent one.
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<ErrorJson>,
}

#[derive(Deserialize)]
struct ErrorJson {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(d).map(Some)
}

impl ResponseJson {
    fn answer(self) -> Result<Answer, Flaw> {
        match (self.result, self.error) {
            (None, Some(error)) => Ok(Err(error.into())),
            // Some servers put `"result": null` beside an error.
            (Some(result), Some(error)) if result.get() == "null" => Ok(Err(error.into())),
            (Some(result), None) => Ok(Ok(result)),
            (Some(_), Some(_)) => Err(Flaw::Garbage("both result and error".into())),
            (None, None) => Err(Flaw::Garbage("neither result nor error".into())),
        }
    }
}

impl From<ErrorJson> for RpcError {
    fn from(json: ErrorJson) -> Self {
        let data = json.data.filter(|data| data.get().len() <= DATA_BYTES_MAX);
        Self {
            code: json.code,
            message: json.message.chars().take(MESSAGE_CHARS_MAX).collect(),
            data: data.and_then(|data| serde_json::from_str(data.get()).ok()),
        }
    }
}

/// Reads the answer to `count` calls that were sent by [`encode`] with `first_id`.
pub(super) fn decode(body: &[u8], first_id: u64, count: usize) -> Result<Decoded, Flaw> {
    let garbage = |error: &dyn std::error::Error| Flaw::Garbage(error.to_string());
    let text = std::str::from_utf8(body).map_err(|error| garbage(&error))?;
    let is_array = match text.trim_start().as_bytes().first() {
        Some(b'[') => true,
        Some(b'{') => false,
        Some(_) => return Err(Flaw::Garbage("neither an object nor an array".into())),
        None => return Err(Flaw::Garbage("empty".into())),
    };
    if is_array {
        let responses = serde_json::from_str(text).map_err(|error| garbage(&error))?;
        return decode_batch(responses, first_id, count).map(Decoded::Answers);
    }
    let response: ResponseJson = serde_json::from_str(text).map_err(|error| garbage(&error))?;
    let id = response.id.clone();
    match (response.answer()?, id) {
        (Err(error), Value::Null) => Ok(Decoded::Refused(error)),
        (_, _) if count != 1 => Err(Flaw::NotABatch),
        (answer, id) if lockstep_io::planted!("X20", id.as_u64() == Some(first_id), true) => {
            Ok(Decoded::Answers(vec![answer]))
        }
        (_, _) => Err(Flaw::Ids("the answer is to another call")),
    }
}

fn decode_batch(
    responses: Vec<ResponseJson>,
    first_id: u64,
    count: usize,
) -> Result<Vec<Answer>, Flaw> {
    if count == 1 {
        return Err(Flaw::Garbage("a single call was answered as a batch".into()));
    }
    let mut answers: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
    for response in responses {
        let position = response.id.as_u64().and_then(|id| id.checked_sub(first_id));
        let position = lockstep_io::planted!("X19", position, next_place(&answers));
        let position = position.and_then(|position| usize::try_from(position).ok());
        let place = position.and_then(|position| answers.get_mut(position));
        let place = place.ok_or(Flaw::Ids("the answer has an id that was not asked"))?;
        if place.replace(response.answer()?).is_some() {
            return Err(Flaw::Ids("the answer has an id twice"));
        }
    }
    let answers: Option<Vec<_>> = answers.into_iter().collect();
    answers.ok_or(Flaw::Ids("the answer does not have every id"))
}

/// Where the next answer goes if their ids are not looked at.
fn next_place(answers: &[Option<Answer>]) -> Option<u64> {
    u64::try_from(answers.iter().position(Option::is_none)?).ok()
}

impl RpcError {
    /// What the error means for whoever asked.
    pub(super) fn meaning(&self) -> Meaning {
        let message = self.message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        match self.code {
            -32_011 | -32_010 | -32_008 | -32_007 | -32_003 => Meaning::TooBig,
            _ if says(&["too big", "too large"]) => Meaning::TooBig,
            -32_005 if says(&["batch"]) => Meaning::Final,
            429 | -32_005 => Meaning::Overload,
            _ if says(&["rate limit", "too many requests"]) => Meaning::Overload,
            -32_009 | -32_603 => Meaning::Passing,
            _ => Meaning::Final,
        }
    }

    /// Code and the beginning of the message.
    pub(super) fn brief(&self) -> String {
        let message: String = self.message.chars().take(200).collect();
        format!("code {}: {message}", self.code)
    }
}

/// What an [`RpcError`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Too much was asked for at once.
    TooBig,
    /// Too often was asked.
    Overload,
    /// It may work later.
    Passing,
    /// It will not work.
    Final,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answers(body: &str, first_id: u64, count: usize) -> Result<Vec<String>, Flaw> {
        match decode(body.as_bytes(), first_id, count)? {
            Decoded::Answers(answers) => Ok(answers
                .into_iter()
                .map(|answer| answer.map_or_else(|e| e.brief(), |raw| raw.get().to_owned()))
                .collect()),
            Decoded::Refused(error) => Ok(vec![format!("refused: {}", error.brief())]),
        }
    }

    #[test]
    fn one_call_goes_alone_and_several_as_a_batch() {
        let calls = [("a", json!([])), ("b", json!([1, true]))];
        let calls: Vec<_> = calls.map(|(method, params)| Call { method, params }).into();
        let one = json!({"jsonrpc": "2.0", "id": 7, "method": "a", "params": []});
        let two = json!({"jsonrpc": "2.0", "id": 8, "method": "b", "params": [1, true]});
        let sent =
            |calls: &[Call]| -> Value { serde_json::from_slice(&encode(calls.iter(), 7)).unwrap() };
        assert_eq!(sent(&calls[..1]), one);
        assert_eq!(sent(&calls), json!([one, two]));
    }

    #[test]
    fn answers_are_put_in_the_order_of_the_calls() {
        let body = r#" [{"id":8,"error":{"code":3,"message":"no"}},{"id":7,"result":null}]"#;
        assert_eq!(answers(body, 7, 2).unwrap(), ["null", "code 3: no"]);
        assert_eq!(answers(r#"{"id":1,"result":{"a":1},"x":[]}"#, 1, 1).unwrap(), [r#"{"a":1}"#]);
    }

    #[test]
    fn an_answer_to_anything_else_is_none() {
        for (body, count) in [
            (r#"{"id":2,"result":1}"#, 1),
            (r#"{"id":"1","result":1}"#, 1),
            (r#"{"id":null,"result":1}"#, 1),
            (r#"{"result":1}"#, 1),
            (r#"[{"id":1,"result":1},{"id":1,"result":1}]"#, 2),
            (r#"[{"id":1,"result":1},{"id":3,"result":1}]"#, 2),
            (r#"[{"id":1,"result":1},{"id":0,"result":1}]"#, 2),
            (r#"[{"id":1,"result":1}]"#, 2),
            (r#"[{"id":1,"result":1},{"id":2,"result":1},{"id":2,"result":1}]"#, 2),
            (r#"[{"id":1,"result":1},{"error":{"code":1,"message":""}}]"#, 2),
            (r#"[]"#, 2),
        ] {
            let flaw = answers(body, 1, count).unwrap_err();
            assert!(matches!(flaw, Flaw::Ids(_)), "{body}: {flaw:?}");
        }
        assert_eq!(answers(r#"{"id":1,"result":1}"#, 1, 2), Err(Flaw::NotABatch));
    }

    #[test]
    fn garbage_is_no_answer() {
        let deep = format!(r#"{{"id":{}1{},"result":1}}"#, "[".repeat(5000), "]".repeat(5000));
        for body in [
            "",
            "  ",
            "<html><body>502</body></html>",
            "null",
            "\"0x1\"",
            "7",
            "{",
            "[{]",
            r#"{"id":1,"result":1"#,
            r#"{"id":1,"result":1}x"#,
            r#"{"id":1,"id":1,"result":1}"#,
            r#"{"id":1,"result":1,"result":2}"#,
            r#"{"id":1}"#,
            r#"{"id":1,"result":1,"error":{"code":1}}"#,
            r#"{"id":1,"error":{"message":"no code"}}"#,
            r#"{"id":1,"error":"text"}"#,
            r#"[{"id":1,"result":1}]"#,
            &deep,
        ] {
            let flaw = answers(body, 1, 1).unwrap_err();
            assert!(matches!(flaw, Flaw::Garbage(_)), "{body}: {flaw:?}");
        }
        let not_utf8 = decode(b"{\"id\":1,\"result\":\"\xff\"}", 1, 1);
        assert!(matches!(not_utf8, Err(Flaw::Garbage(_))));
    }

    #[test]
    fn a_deep_result_is_passed_on_without_being_looked_into() {
        let result = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!(r#"{{"id":1,"result":{result}}}"#);
        assert_eq!(answers(&body, 1, 1).unwrap(), [result]);
    }

    #[test]
    fn an_error_that_names_no_call_is_for_all_of_them() {
        let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"bad"}}"#;
        for count in [1, 2] {
            assert_eq!(answers(body, 1, count).unwrap(), ["refused: code -32600: bad"]);
        }
    }

    #[test]
    fn errors_mean_what_servers_mean_by_them() {
        for (code, message, meaning) in [
            (-32_603, "Internal error", Meaning::Passing),
            (-32_009, "Server is busy, try again later", Meaning::Passing),
            (-32_005, "limit exceeded", Meaning::Overload),
            (-32_005, "Batched requests are not supported by this server", Meaning::Final),
            (429, "", Meaning::Overload),
            (-32_000, "Rate limit reached", Meaning::Overload),
            (-32_008, "Response is too big", Meaning::TooBig),
            (-32_011, "The batch response was too large", Meaning::TooBig),
            (-32_003, "", Meaning::TooBig),
            (-32_601, "Method not found", Meaning::Final),
            (3, "execution reverted", Meaning::Final),
        ] {
            let error = RpcError { code, message: message.into(), data: None };
            assert_eq!(error.meaning(), meaning, "{code} {message}");
        }
    }

    #[test]
    fn long_errors_are_cut() {
        let message = "ä".repeat(10_000);
        let data = "x".repeat(DATA_BYTES_MAX);
        let body = json!({"id": 1, "error": {"code": 1, "message": message, "data": data}});
        match decode(body.to_string().as_bytes(), 1, 1) {
            Ok(Decoded::Answers(answers)) => {
                let error = answers.into_iter().next().unwrap().unwrap_err();
                assert_eq!(error.message.chars().count(), MESSAGE_CHARS_MAX);
                assert_eq!(error.data, None);
            }
            other => panic!("{other:?}"),
        }
    }
}
