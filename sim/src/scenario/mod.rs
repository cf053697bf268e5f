//! What happens in a run, as data: drawn from a seed, written by hand, saved, replayed, made
//! smaller.

mod draw;
mod event;
mod knobs;
mod rates;

pub use self::{
    event::{DiskFault, Event, Keep, Step, When},
    knobs::{ExecMode, ReplicaKnobs, Schedule},
    rates::{DiskRates, NetRates},
};
use serde::{Deserialize, Serialize};

use crate::{clients::ClientPlan, model::ModelPlan};

/// A whole run. Part of files that are kept: fields stay, new ones have defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about, for readers.
    #[serde(default)]
    pub note: String,
    /// Everything that is left to chance during the run follows from it.
    pub seed: Seed,
    /// Which VM runs.
    #[serde(default)]
    pub exec: ExecMode,
    /// Which of the ready tasks runs next.
    #[serde(default)]
    pub schedule: Schedule,
    /// Faults stop then, milliseconds after the beginning.
    pub heal_at_ms: u64,
    /// From then on, this long until the expected end.
    pub patience_ms: u64,
    /// The chain.
    #[serde(default)]
    pub model: ModelPlan,
    /// The replica's settings.
    #[serde(default)]
    pub replica: ReplicaKnobs,
    /// Clients of its API.
    #[serde(default)]
    pub clients: ClientPlan,
    /// How often exchanges go wrong.
    #[serde(default)]
    pub net: NetRates,
    /// How often and how the disk disappoints.
    #[serde(default)]
    pub disk: DiskRates,
    /// What happens when.
    #[serde(default)]
    pub script: Vec<Step>,
}

/// The seed of a run; in text it is a hexadecimal number with `0x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seed(pub u64);

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        format!("{:#x}", seed.0)
    }
}

impl TryFrom<String> for Seed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map(Self).map_err(|error| format!("`{text}` is not a seed: {error}"))
    }
}

impl Scenario {
    /// The scenario as text, which [`from_text`](Self::from_text) reads.
    pub fn to_text(&self) -> String {
        // Only maps with keys that are no strings have no text; there are none.
        toml::to_string(self).unwrap_or_else(|error| format!("# {error}"))
    }

    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// Where the text is wrong, and how.
    pub fn from_text(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Nothing goes wrong: one endpoint each, latency, an honest main node.
    pub fn calm(seed: Seed) -> Self {
        Self {
            note: String::new(),
            seed,
            exec: ExecMode::Toy,
            schedule: Schedule::Random,
            heal_at_ms: 60_000,
            patience_ms: 600_000,
            model: ModelPlan::default(),
            replica: ReplicaKnobs::default(),
            clients: ClientPlan::default(),
            net: NetRates::default(),
            disk: DiskRates::default(),
            script: Vec::new(),
        }
    }

    /// The same, with EraVM on a recorded chain.
    pub fn calm_era(seed: Seed) -> Self {
        Self { exec: ExecMode::Era, heal_at_ms: 5_000, ..Self::calm(seed) }
    }
}
