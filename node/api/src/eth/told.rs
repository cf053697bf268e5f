//! Logs that a filter has told of and that may go with their block.
//!
//! They are remembered as the JSON that was told, within a bound of bytes for each filter and
//! another for all of them. Beyond either the oldest ones of the filter at hand are forgotten: when
//! their blocks go, the filter says nothing of it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lockstep_types::{L2BlockHash, L2BlockNumber};
use serde_json::value::RawValue;

use super::logs::FoundLog;
use crate::{
    call::Call,
    error::{ApiError, ApiResult},
};

/// What a log takes beside its JSON.
const OVERHEAD_BYTES: usize = 128;
/// A filter may have this share of what all filters may remember.
const SHARE: usize = 16;

/// How much all filters remember.
#[derive(Debug)]
pub(super) struct ToldBytes {
    used: AtomicUsize,
    max: usize,
}

impl ToldBytes {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }
}

/// Logs that a filter has told of, of which nothing newer is forgotten than anything remembered.
#[derive(Debug)]
pub(super) struct Told {
    logs: VecDeque<ToldLog>,
    bytes: usize,
    of_all: Arc<ToldBytes>,
}

/// A log that was told of, with its block.
#[derive(Debug)]
pub(super) struct ToldLog {
    block: L2BlockNumber,
    hash: L2BlockHash,
    json: Box<RawValue>,
}

impl ToldLog {
    fn bytes(&self) -> usize {
        self.json.get().len() + OVERHEAD_BYTES
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.of_all.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Told {
    pub(super) fn new(of_all: &Arc<ToldBytes>) -> Self {
        Self { logs: VecDeque::new(), bytes: 0, of_all: Arc::clone(of_all) }
    }

    /// How many of them, from the newest back, are of blocks that are gone.
    pub(super) fn gone(&self, call: &Call) -> ApiResult<usize> {
        let mut count = 0;
        let mut last = None;
        for log in self.logs.iter().rev() {
            if last != Some(log.block) {
                let header = call.view.block(log.block)?;
                if header.is_some_and(|header| header.hash == log.hash) {
                    break;
                }
                last = Some(log.block);
            }
            count += 1;
        }
        Ok(count)
    }

    /// The newest block that it remembers logs of, apart from the newest `gone` ones.
    pub(super) fn newest_before(&self, gone: usize) -> Option<(L2BlockNumber, L2BlockHash)> {
        let log = self.logs.iter().rev().nth(gone)?;
        Some((log.block, log.hash))
    }

    /// Takes out the newest `gone` ones, which are told of as removed, newest first.
    pub(super) fn remove(&mut self, gone: usize) -> ApiResult<Vec<Box<RawValue>>> {
        let removed = self.logs.iter().rev().take(gone).map(|log| as_removed(&log.json));
        let removed = removed.collect::<ApiResult<Vec<_>>>()?;
        for _ in 0..gone {
            let log = self.logs.pop_back();
            self.release(log.map_or(0, |log| log.bytes()));
        }
        Ok(removed)
    }

    /// Logs as they are remembered.
    pub(super) fn of(call: &Call, found: &[FoundLog]) -> ApiResult<Vec<ToldLog>> {
        let mut last = None;
        let mut told = Vec::with_capacity(found.len());
        for log in found {
            let block = log.block();
            let hash = match last {
                Some((number, hash)) if number == block => hash,
                Some(_) | None => call.header(block)?.hash,
            };
            last = Some((block, hash));
            told.push(ToldLog { block, hash, json: log.json().to_owned() });
        }
        Ok(told)
    }

    /// Remembers logs that come after all others.
    pub(super) fn remember(&mut self, logs: Vec<ToldLog>) {
        for log in logs {
            let bytes = log.bytes();
            self.bytes += bytes;
            self.of_all.used.fetch_add(bytes, Ordering::Relaxed);
            self.logs.push_back(log);
        }
        while self.bytes > self.of_all.max / SHARE
            || self.of_all.used.load(Ordering::Relaxed) > self.of_all.max
        {
            let Some(log) = self.logs.pop_front() else { break };
            self.release(log.bytes());
        }
    }

    fn release(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.of_all.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The log, told of as gone. Apart from names there is nothing but hex in it.
fn as_removed(json: &RawValue) -> ApiResult<Box<RawValue>> {
    let text = json.get().replacen("\"removed\":false", "\"removed\":true", 1);
    if text.len() == json.get().len() {
        return Err(ApiError::BadAnswer("a log does not say whether it is removed"));
    }
    Ok(RawValue::from_string(text)?)
}
