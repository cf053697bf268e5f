//! S2: a batch is taken as agreed on only with the root that it has.

use lockstep_types::L1BatchNumber;

use super::{
    Violation,
    found::{Found, Place, unreadable},
};
use crate::model::Chain;

/// Compares what is stored as announced and agreed on with what is true.
pub(super) fn check(
    found: &Found,
    place: &Place,
    chain: &Chain,
) -> Result<Vec<Violation>, Violation> {
    let agreed = found.view.agreed_batch().map_err(unreadable)?.unwrap_or_default();
    for number in 1..=agreed.0 {
        let claim = found.view.claim(L1BatchNumber(number)).map_err(unreadable)?;
        let stored = claim.and_then(|claim| claim.root);
        let golden = place.batch(number).map(|id| chain.batch(id).root);
        if stored != golden {
            let detail =
                format!("batch {number} is agreed on with root {stored:?}, not {golden:?}");
            return Ok(vec![Violation::new("S2", "agreed root", detail)]);
        }
        let stored = claim.and_then(|claim| claim.commitment).map(|commitment| commitment.0);
        let golden = place.batch(number).map(|id| chain.batch(id).commitment);
        if stored.is_some() && stored != golden {
            let detail = format!("batch {number} has commitment {stored:?}, not {golden:?}");
            return Ok(vec![Violation::new("S2", "commitment", detail)]);
        }
    }
    Ok(Vec::new())
}
