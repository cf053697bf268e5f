//! `trace_filter`: calls of a range of blocks.
//!
//! There is no index of calls: the batches of the range are run again, one after the other, up to
//! [`BATCHES_MAX`] of them and for as long as one trace may take.

use std::sync::Arc;

use lockstep_types::{Address, L2BlockNumber};
use lockstep_vm::CallFrame;
use lockstep_wire::eth::{BlockNumberOrTag, TraceFilter, TraceItem};
use serde_json::value::{RawValue, to_raw_value};

use super::of_seen;
use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
    execution::Engine,
    one_view::OneView,
    trace::{cache::Wanted, seen::of_block},
};

/// Most batches that one request has run again.
const BATCHES_MAX: u32 = 100;

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    const NAME: &str = "trace_filter";
    let engine = Arc::clone(engine);
    methods.add_async(NAME, move |params, view| {
        let engine = Arc::clone(&engine);
        async move {
            let answer = async {
                let filter: TraceFilter = params.sequence().next()?;
                answer(&engine, &view, filter, NAME).await
            };
            answer.await.map_err(|error: ApiError| error.into_object(NAME))
        }
    });
}

async fn answer(
    engine: &Arc<Engine>,
    view: &OneView,
    filter: TraceFilter,
    name: &'static str,
) -> ApiResult<Box<RawValue>> {
    let filter = Arc::new(filter);
    let items_max = engine.context.config.logs_max;
    let started = engine.execution.clock.mono();
    let time_max = engine.context.config.replay_time_max;
    let wanted_of = Arc::clone(&filter);
    let blocks = engine.read(name, view, move |call| blocks_of(call, &wanted_of)).await?;
    let mut to_skip = filter.after.unwrap_or(0);
    let mut left = filter.count.unwrap_or(u64::MAX);
    let mut found: Vec<TraceItem> = Vec::new();
    for wanted in blocks {
        if left == 0 {
            break;
        }
        if engine.execution.clock.mono().since(started) > time_max {
            return Err(ApiError::TimedOut(time_max));
        }
        let traces = engine.traces(&wanted).await?;
        let filter = Arc::clone(&filter);
        let job = move |call: &Call| {
            let mut matching = Vec::new();
            for seen in of_block(call, &wanted, &traces)? {
                let all = of_seen(call, &seen)?;
                matching.extend(
                    all.into_iter()
                        .zip(ends(&seen.root()))
                        .filter_map(|(item, (from, to))| filter.matches(from, to).then_some(item)),
                );
            }
            Ok(matching)
        };
        for item in engine.read(name, view, job).await? {
            if to_skip > 0 {
                to_skip -= 1;
            } else if left > 0 {
                left -= 1;
                found.push(item);
            }
        }
        if found.len() > items_max {
            let text = format!(
                "more than {items_max} traces match: use `after` and `count`, or fewer blocks"
            );
            return Err(ApiError::BadRequest(text));
        }
    }
    Ok(to_raw_value(&found)?)
}

/// Blocks with transactions that `filter` means.
fn blocks_of(call: &Call, filter: &TraceFilter) -> ApiResult<Vec<Wanted>> {
    let head = call.head()?;
    let resolve = |block: Option<BlockNumberOrTag>| {
        call.resolve(block.unwrap_or(BlockNumberOrTag::Latest), head)
    };
    // Genesis was not run.
    let from = resolve(filter.from_block)?.max(L2BlockNumber(1));
    let to = resolve(filter.to_block)?.min(head);
    let mut blocks = Vec::new();
    if from > to {
        return Ok(blocks);
    }
    let first_batch = call.header(from)?.params.batch;
    for number in from.0..=to.0 {
        let header = call.header(L2BlockNumber(number))?;
        if header.params.batch.0 - first_batch.0 >= BATCHES_MAX {
            let to = L2BlockNumber(number - 1);
            return Err(ApiError::TooMuchToRead { from, to });
        }
        if header.tx_count() > 0 {
            blocks.push(Wanted::of(&header));
        }
    }
    Ok(blocks)
}

/// Caller and callee of each call, in the order of the list.
fn ends(root: &CallFrame) -> Vec<(Address, Address)> {
    let mut all = Vec::new();
    add(root, &mut all);
    all
}

fn add(call: &CallFrame, all: &mut Vec<(Address, Address)>) {
    all.push((call.from, call.to));
    for inner in &call.calls {
        add(inner, all);
    }
}
