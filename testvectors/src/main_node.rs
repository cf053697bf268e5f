//! A recorded main node.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Answer, Exchange, request_key};

/// What a main node answered, by method and parameters.
#[derive(Clone, Debug)]
pub struct MainNodeRecording {
    answers: BTreeMap<String, Answer>,
    exchanges: Vec<Exchange>,
}

impl MainNodeRecording {
    pub(crate) fn new(exchanges: Vec<Exchange>) -> Self {
        let entry = |one: &Exchange| (request_key(&one.method, &one.params), one.answer.clone());
        Self { answers: exchanges.iter().map(entry).collect(), exchanges }
    }

    /// What was answered to this request; `None` if it was never made.
    pub fn answer(&self, method: &str, params: &Value) -> Option<&Answer> {
        self.answers.get(&request_key(method, params))
    }

    /// Every request that was made with its answer, in order of the file.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// Number of the newest L2 block.
    ///
    /// # Panics
    ///
    /// If `eth_blockNumber` is not recorded.
    pub fn head(&self) -> u32 {
        let answer = self.answer("eth_blockNumber", &json!([])).expect("a recording has a head");
        let hex: String = answer.parse();
        u32::from_str_radix(hex.trim_start_matches("0x"), 16).expect("a block number is hex")
    }
}
