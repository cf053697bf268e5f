//! Answers over JSON-RPC.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use lockstep_io::{EndpointId, HttpRequest};
use serde_json::{Value, json};

use super::{Answer, LieKind, Model, Tag, View, l1::L1Asked};

impl Model {
    /// What `endpoint` answers to `request` when asked at `now`, a time since the world began.
    /// `now` may be before that of an earlier call by up to an hour: then it is a stale answer
    /// that is asked for, of a server that lags.
    pub fn answer(&mut self, now: Duration, endpoint: EndpointId, request: &HttpRequest) -> Answer {
        let now = now + self.offset;
        self.advance(now);
        let body = request.body.as_deref().unwrap_or_default();
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            let (headers, tag) = (Vec::new(), Tag::Honest);
            return Answer { status: 400, headers, body: Bytes::new(), tag };
        };
        let mut lies = BTreeSet::new();
        let answer = match body.as_array() {
            Some(calls) => {
                calls.iter().map(|call| self.call(now, endpoint, call, &mut lies)).collect()
            }
            None => self.call(now, endpoint, &body, &mut lies),
        };
        let tag = if lies.is_empty() {
            Tag::Honest
        } else {
            let names: Vec<_> = lies.iter().map(|kind| format!("{kind:?}")).collect();
            Tag::Lie(names.join(" "))
        };
        self.told.extend(lies);
        Answer { status: 200, headers: Vec::new(), body: answer.to_string().into(), tag }
    }

    fn call(
        &mut self,
        now: Duration,
        endpoint: EndpointId,
        call: &Value,
        lies: &mut BTreeSet<LieKind>,
    ) -> Value {
        let method = call["method"].as_str().unwrap_or_default();
        let params = &call["params"];
        let index = endpoint.0;
        let result = match index.checked_sub(self.plan.main_node_count) {
            None => self.main_node(now, index, method, params, lies),
            Some(provider) => self.l1_provider(now, provider, method, params),
        };
        match result {
            Some(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
            None => {
                let error = json!({"code": -32_601, "message": "Method not found"});
                json!({"jsonrpc": "2.0", "id": call["id"], "error": error})
            }
        }
    }

    fn l1_provider(
        &self,
        now: Duration,
        provider: usize,
        method: &str,
        params: &Value,
    ) -> Option<Value> {
        let lag = self.plan.l1_lag_ms.get(provider).copied().unwrap_or_default();
        let lag = if self.is_healed { 0 } else { lag };
        let is_hidden =
            self.receipts_hidden.iter().any(|(from, until)| *from <= now && now < *until);
        let asked = L1Asked {
            now: now.saturating_sub(Duration::from_millis(lag)),
            knows_finalized: !self.plan.l1_without_finalized.contains(&provider),
            plain_numbers: self.plan.l1_plain_numbers.contains(&provider),
            shows_receipts: !is_hidden,
        };
        self.l1.answer(&self.chain, &asked, method, params)
    }

    fn main_node(
        &mut self,
        now: Duration,
        index: usize,
        method: &str,
        params: &Value,
        lies: &mut BTreeSet<LieKind>,
    ) -> Option<Value> {
        let lag = self.plan.main_node_lag_ms.get(index).copied().unwrap_or_default();
        let lag = if self.is_healed { 0 } else { lag };
        let view = self.view_at(now.saturating_sub(Duration::from_millis(lag)));
        let (chain, dice) = (self.chain.clone(), &mut self.dice);
        let number = params[0].as_u64().and_then(|number| u32::try_from(number).ok());
        let mut lying: Vec<_> = self
            .lies
            .iter_mut()
            .filter(|lie| now < lie.until && lie.endpoint.is_none_or(|one| one == index))
            .collect();

        let other = lying.iter_mut().find_map(|lie| {
            let other = lie.other.clone()?;
            lie.told_count += 1;
            let is_told = lie.kind == LieKind::B7Fork || lie.told_count % 2 == 1;
            is_told.then_some((lie.kind, other))
        });
        let honest = view.answer(&chain, method, params);
        let mut result = match &other {
            None => honest.clone()?,
            Some((_, other)) => View::answer(&Arc::clone(other), &chain, method, params)?,
        };
        let mut note = |kind: LieKind, before: &Option<Value>, after: &Value| {
            if before.as_ref() != Some(after) {
                lies.insert(kind);
            }
        };
        if let Some((kind, _)) = other {
            note(kind, &honest, &result);
        }
        for lie in lying {
            let is_about = number.is_none_or(|number| number % lie.every == lie.residue);
            if lie.other.is_some() || !is_about {
                continue;
            }
            let before = Some(result.clone());
            lie.kind.tell(&chain, &view, method, number.unwrap_or_default(), &mut result, dice);
            note(lie.kind, &before, &result);
        }
        Some(result)
    }
}
