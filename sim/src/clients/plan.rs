//! What clients do, as data.

use rand_chacha::{ChaCha8Rng, rand_core::RngCore};
use serde::{Deserialize, Serialize};

use crate::model::Dice;

/// What clients do. Part of the text of scenarios: names stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientPlan {
    /// How many ask at once.
    pub count: u32,
    /// Pause between two questions of one client, about.
    pub pause_ms: u64,
    /// Of a hundred requests, so many are no requests.
    pub malformed: u32,
    /// Of a hundred requests, so many have something run.
    pub calls: u32,
    /// Of a hundred requests, so many are batches.
    pub batches: u32,
    /// How many subscribe and hold filters.
    pub watchers: u32,
}

impl ClientPlan {
    /// A plan by chance.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut dice = Dice::new(rng.next_u64(), "clients");
        Self {
            count: *dice.pick(&[0, 1, 1, 2]),
            pause_ms: *dice.pick(&[150, 900, 3_000]),
            malformed: *dice.pick(&[0, 10]),
            calls: *dice.pick(&[0, 0, 20]),
            batches: *dice.pick(&[0, 0, 15]),
            watchers: *dice.pick(&[0, 0, 1, 2]),
        }
    }
}
