//! What the chain is like, as data.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What the chain, its main node and L1 are like. Part of the text of scenarios: names stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelPlan {
    /// Endpoints of the main node.
    pub main_node_count: usize,
    /// Endpoints of L1.
    pub l1_node_count: usize,
    /// Batches after genesis, when the world has ended.
    pub batch_count: u32,
}

impl Default for ModelPlan {
    fn default() -> Self {
        Self { main_node_count: 1, l1_node_count: 1, batch_count: 6 }
    }
}

impl ModelPlan {
    /// A plan by chance.
    pub fn draw(_rng: &mut ChaCha8Rng) -> Self {
        Self::default()
    }
}
