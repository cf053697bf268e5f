//! V1 and S3 at the end: the node is where it has to be, and what it stores is what a node stores
//! that nothing ever happened to.

use lockstep_io_memory::MemoryStores;
use lockstep_store::{StoreFault, tables};
use lockstep_types::L1BatchNumber;

use super::{Ending, Violation, found::Found, replay};
use crate::model::{ExpectedEnd, Model};

/// Key of how far precommits are known, in the table of cursors.
const PRECOMMITS_KEY: &[u8] = b"precommits";

/// Judges the end.
///
/// # Errors
///
/// [`StoreFault`]: the disk cannot be read.
pub(super) fn check(
    model: &Model,
    ending: &Ending,
    disk: &MemoryStores,
    has_rolled_back: bool,
) -> Result<Vec<Violation>, StoreFault> {
    match ending {
        Ending::Violation => return Ok(Vec::new()),
        Ending::TooLate(state) => {
            let detail = format!("not at {:?} in time: {state}", model.expected_end());
            return Ok(vec![Violation::new("V1", "too late", detail)]);
        }
        Ending::AsExpected => {}
    }
    let ExpectedEnd::Healthy { block, batch } = model.expected_end() else {
        return Ok(Vec::new());
    };
    let found = Found::open(disk)?;
    let view = &found.view;
    let head = view.head()?.map_or(0, |head| head.0);
    let agreed = view.agreed_batch()?.unwrap_or_default();
    if head != block || agreed != L1BatchNumber(batch) {
        let detail = format!("block {head} and agreed batch {agreed}, not {block} and {batch}");
        return Ok(vec![Violation::new("V1", "not at the end", detail)]);
    }
    let clean = match replay::clean(model) {
        Ok(clean) => clean,
        Err(why) => return Ok(vec![Violation::new("V1", "clean replay", why)]),
    };
    let rows = found.rows()?;
    for (table, expected) in &clean {
        let found = &without_precommits(table, &rows[table]);
        let expected = &without_precommits(table, expected);
        if found == expected {
            continue;
        }
        let is_same = |(key, value): &&(Vec<u8>, Vec<u8>)| {
            expected.iter().any(|(other, expected)| other == key && expected == value)
        };
        let odd = found.iter().find(|row| !is_same(row));
        let missing = expected.iter().find(|(key, _)| !found.iter().any(|(other, _)| other == key));
        let shown = |row: Option<&(Vec<u8>, Vec<u8>)>| match row {
            Some((key, value)) => {
                use lockstep_types::alloy_primitives::hex::encode;
                let expected = expected.iter().find(|(other, _)| other == key);
                let expected = expected.map(|(_, value)| encode(value));
                format!("{}: {} instead of {expected:?}", encode(key), encode(value))
            }
            None => "nothing".to_owned(),
        };
        let detail = format!(
            "table {table} has {} rows, {} after a clean replay; differs: {}; lacks: {}",
            found.len(),
            expected.len(),
            shown(odd),
            shown(missing)
        );
        let invariant = if has_rolled_back { "S6" } else { "S3" };
        return Ok(vec![Violation::new(invariant, format!("table {table}"), detail)]);
    }
    Ok(Vec::new())
}

/// Which precommits are known depends on when they were asked for.
fn without_precommits(table: &str, rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_compared = |(key, _): &&(Vec<u8>, Vec<u8>)| {
        table != tables::PRECOMMITS.name
            && !(table == tables::CURSORS.name && key == PRECOMMITS_KEY)
    };
    rows.iter().filter(is_compared).cloned().collect()
}
