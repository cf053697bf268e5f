//! What clients are told about a run that failed. The words are the reference node's.

use lockstep_types::{Bytes, alloy_primitives::hex};
use lockstep_vm::SimulationEnd;

use crate::error::{ApiError, ApiResult};

/// What a run returned, or why it returned nothing.
pub(super) fn output(end: SimulationEnd, time_max: std::time::Duration) -> ApiResult<Bytes> {
    match end {
        SimulationEnd::Success { output } => Ok(output),
        SimulationEnd::Stopped => Err(ApiError::TimedOut(time_max)),
        SimulationEnd::Refused { .. } => {
            Err(ApiError::Run { message: message(&end), data: Bytes::new() })
        }
        SimulationEnd::Reverted { reason, data } => {
            let message = reverted(reason.as_deref());
            Err(ApiError::Run { message, data })
        }
    }
}

/// Why a run returned nothing; empty if it did.
pub(super) fn message(end: &SimulationEnd) -> String {
    match end {
        SimulationEnd::Success { .. } | SimulationEnd::Stopped => String::new(),
        SimulationEnd::Reverted { reason, data: _ } => reverted(reason.as_deref()),
        SimulationEnd::Refused { message } => message.clone(),
    }
}

fn reverted(reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// The reason that a trace shows where the data is all there is.
pub(crate) fn data_reason(data: &[u8]) -> String {
    let selector = data.get(..4).unwrap_or_default();
    let (selector, data) = (hex::encode(selector), hex::encode(data));
    format!("Error function_selector = 0x{selector}, data = 0x{data}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_without_words_is_shown_with_its_first_four_bytes() {
        assert_eq!(data_reason(&[]), "Error function_selector = 0x, data = 0x");
        let shown = "Error function_selector = 0x01020304, data = 0x0102030405";
        assert_eq!(data_reason(&[1, 2, 3, 4, 5]), shown);
        assert_eq!(data_reason(&[1, 2]), "Error function_selector = 0x, data = 0x0102");
    }
}
