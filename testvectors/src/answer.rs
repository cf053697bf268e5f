//! Recorded requests with their answers, and when two requests are the same.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

/// An error that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RpcError {
    /// JSON-RPC error code.
    pub code: i64,
    /// What it says.
    pub message: String,
    /// What came with it, often nothing.
    #[serde(default)]
    pub data: Option<Value>,
}

/// What a request was answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A result, byte for byte as recorded.
    Result(Box<RawValue>),
    /// An error.
    Error(RpcError),
}

/// A request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Line")]
pub struct Exchange {
    /// The method that was called.
    pub method: String,
    /// Its parameters, by position.
    pub params: Value,
    /// What came back.
    pub answer: Answer,
}

#[derive(Deserialize)]
struct Line {
    method: String,
    params: Value,
    result: Option<Box<RawValue>>,
    error: Option<RpcError>,
}

impl TryFrom<Line> for Exchange {
    type Error = &'static str;

    fn try_from(line: Line) -> Result<Self, Self::Error> {
        let answer = match (line.result, line.error) {
            (Some(result), None) => Answer::Result(result),
            (None, Some(error)) => Answer::Error(error),
            (None, None) => Answer::Result(RawValue::NULL.to_owned()),
            (Some(_), Some(_)) => return Err("both a result and an error"),
        };
        Ok(Self { method: line.method, params: line.params, answer })
    }
}

impl Answer {
    /// The result as recorded; `None` if an error was answered.
    pub fn result(&self) -> Option<&str> {
        match self {
            Self::Result(raw) => Some(raw.get()),
            Self::Error(_) => None,
        }
    }

    /// The result as `T`.
    ///
    /// # Panics
    ///
    /// If an error was answered, or a result of another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> T {
        let text = self.result().unwrap_or_else(|| panic!("an error was recorded: {self:?}"));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:.300}"))
    }
}

/// Two requests with the same key have the same answer: upper and lower case, the order of keys
/// and trailing `null` parameters make no difference.
pub fn request_key(method: &str, params: &Value) -> String {
    let mut params = match params {
        Value::Array(params) => params.clone(),
        Value::Null => Vec::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            vec![other.clone()]
        }
    };
    while params.last().is_some_and(Value::is_null) {
        params.pop();
    }
    let mut key = method.to_owned();
    normal_form(&Value::Array(params), &mut key);
    key
}

fn normal_form(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(&Value::from(text.to_lowercase()).to_string()),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                normal_form(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.keys().collect();
            names.sort();
            out.push('{');
            for name in names {
                out.push_str(name);
                out.push(':');
                normal_form(&fields[name], out);
                out.push(',');
            }
            out.push('}');
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => {
            out.push_str(&plain.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_that_differ_only_in_spelling_have_one_key() {
        let one = request_key("m", &json!(["0xAB", {"b": 1, "a": [null]}, null]));
        let other = request_key("m", &json!(["0xab", {"a": [null], "b": 1}]));
        assert_eq!(one, other);
        assert_ne!(one, request_key("m", &json!(["0xab", {"a": [], "b": 1}])));
        assert_eq!(request_key("m", &Value::Null), request_key("m", &json!([])));
    }

    #[test]
    fn a_recorded_null_is_a_result() {
        let line = r#"{"method":"m","params":[1],"result":null}"#;
        let exchange: Exchange = serde_json::from_str(line).unwrap();
        assert_eq!(exchange.answer.result(), Some("null"));
    }
}
