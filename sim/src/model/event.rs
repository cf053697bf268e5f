//! What may happen to the main node and to L1 during a scenario.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::ModelPlan;

/// Something that happens to the main node or to L1. Part of the text of scenarios: names stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelEvent {
    /// The main node's newest batches are replaced by others.
    Reorg {
        /// How many.
        depth: u32,
    },
}

impl ModelEvent {
    /// An event for a chain of `plan`.
    pub fn draw(_plan: &ModelPlan, _rng: &mut ChaCha8Rng) -> Self {
        Self::Reorg { depth: 1 }
    }
}
