//! What an upstream's failure means for a step.

use lockstep_pipeline::{Peer, StageError};
use lockstep_upstream::UpstreamError;

/// What `error` of `peer` means for a step of the pipeline.
///
/// A refusal is asked again like silence: the main node may be an older or newer release today,
/// and nothing has been stored that depended on the answer.
pub fn stage_error(peer: Peer, error: UpstreamError) -> StageError {
    match error {
        UpstreamError::Lie { detail } => StageError::Lie { peer, detail },
        other @ (UpstreamError::Unavailable { .. }
        | UpstreamError::Rejected { .. }
        | UpstreamError::Malformed { .. }) => {
            StageError::Unavailable { peer, detail: other.to_string() }
        }
    }
}
