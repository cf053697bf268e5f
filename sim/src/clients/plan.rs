//! What clients do, as data.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What clients do. Part of the text of scenarios: names stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientPlan {
    /// How many ask at once.
    pub count: u32,
}

impl ClientPlan {
    /// A plan by chance.
    pub fn draw(_rng: &mut ChaCha8Rng) -> Self {
        Self::default()
    }
}
